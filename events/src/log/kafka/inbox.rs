//! What the reading threads have fetched and the subscriber has not taken yet, bounded in records and bytes; and who owns which
//! partition, how far it was handed out, and whether its end was reached.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use crate::{
    log::{Batch, LogError, Position, Record},
    topic::Topic,
};

const RECORDS_MAX: usize = 4096;
const BYTES_MAX: usize = 8 << 20;

#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    room: Condvar,
    pub news: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Record>,
    bytes: usize,
    partitions: BTreeMap<(Topic, i32), Partition>,
    /// Topics that were given partitions (or none) at least once.
    assigned: Vec<Topic>,
    /// The positions of a reader that keeps its own.
    stored: Option<BTreeMap<(Topic, i32), i64>>,
    failed: Option<LogError>,
    closed: bool,
}

/// A partition for as long as it is ours without a break.
#[derive(Clone, Copy, Debug)]
struct Partition {
    /// The offset after the last record fetched; -1 = none yet.
    next: i64,
    /// Nothing before this offset was asked for.
    begin: i64,
    /// Fetched to its end.
    ended: bool,
    /// First and last offset handed out.
    handed: Option<(i64, i64)>,
    committed: i64,
}

/// Where a partition that is assigned is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begins {
    /// After what the group committed.
    Committed,
    /// At the first record kept.
    First,
    At(i64),
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the reading thread: false = closed. Waits for room at most `wait`, and says so by `None`.
    pub fn wait_for_room(&self, wait: Duration) -> Option<bool> {
        let state = self.lock();
        let full =
            |state: &mut State| !state.closed && (state.waiting.len() >= RECORDS_MAX || state.bytes >= BYTES_MAX);
        let (state, waited) = self.room.wait_timeout_while(state, wait, full).unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Some(false);
        }
        (!waited.timed_out()).then_some(true)
    }

    /// From now on the reader keeps positions of its own, and this is where they are.
    pub fn stands(&self, stored: &[Position]) {
        let mut last = BTreeMap::new();
        for Position { topic, partition, offset } in stored.iter().copied() {
            let stood = last.entry((topic, partition)).or_insert(offset);
            *stood = offset.max(*stood);
        }
        self.lock().stored = Some(last);
    }

    /// Answers where each of them begins.
    pub fn assign(&self, topic: Topic, partitions: impl Iterator<Item = i32>) -> Vec<Begins> {
        let mut state = self.lock();
        if !state.assigned.contains(&topic) {
            state.assigned.push(topic);
        }
        let mut begins = Vec::new();
        for partition in partitions {
            let stood = state.stored.as_ref().map(|stored| stored.get(&(topic, partition)).copied());
            let begin = match stood {
                None => Begins::Committed,
                Some(Some(offset)) if offset >= 0 => Begins::At(offset + 1),
                Some(_) => Begins::First,
            };
            begins.push(begin);
            let begin = if let Begins::At(offset) = begin { offset } else { 0 };
            let fresh = Partition { next: -1, begin, ended: false, handed: None, committed: -1 };
            state.partitions.insert((topic, partition), fresh);
        }
        begins
    }

    /// What was fetched from these and not handed out goes to their next owner.
    pub fn revoke(&self, topic: Topic, partitions: impl Iterator<Item = i32>) {
        let mut state = self.lock();
        let gone: Vec<_> = partitions.collect();
        state.partitions.retain(|(of, partition), _| *of != topic || !gone.contains(partition));
        let lost = |record: &Record| record.position.topic == topic && gone.contains(&record.position.partition);
        state.waiting.retain(|record| !lost(record));
        state.bytes = state.waiting.iter().map(weight).sum();
        self.room.notify_all();
    }

    pub fn push(&self, record: Record) {
        let mut state = self.lock();
        let Position { topic, partition, offset } = record.position;
        let Some(owned) = state.partitions.get_mut(&(topic, partition)) else { return };
        if offset < owned.next.max(owned.begin) {
            // librdkafka begins anew where a topic does not reach so far any more: it was made again, or cut.
            let why = format!("{topic} partition {partition} has gone back to {offset}");
            state.failed = Some(LogError::Backend(why));
            return;
        }
        owned.next = offset + 1;
        owned.ended = false;
        state.bytes += weight(&record);
        state.waiting.push_back(record);
    }

    /// The brokers said that nothing is behind what was fetched.
    pub fn ended(&self, topic: Topic, partition: i32) {
        if let Some(owned) = self.lock().partitions.get_mut(&(topic, partition)) {
            owned.ended = true;
        }
    }

    /// Compares with the ends that came with the last answers of the brokers.
    pub fn compare(&self, topic: Topic, end: impl Fn(i32) -> Option<i64>) {
        let mut state = self.lock();
        for ((of, partition), owned) in &mut state.partitions {
            if *of == topic && !owned.ended && owned.next >= 0 {
                owned.ended = end(*partition).is_some_and(|end| owned.next >= end);
            }
        }
    }

    pub fn fail(&self, error: LogError) {
        self.lock().failed = Some(error);
        self.news.notify_waiters();
    }

    pub fn close(&self) {
        self.lock().closed = true;
        self.room.notify_all();
    }

    pub fn take(&self, max: usize, topics: &[Topic]) -> Result<Batch, LogError> {
        let mut state = self.lock();
        let count = max.min(state.waiting.len());
        let records: Vec<_> = state.waiting.drain(..count).collect();
        for record in &records {
            let Position { topic, partition, offset } = record.position;
            if let Some(owned) = state.partitions.get_mut(&(topic, partition)) {
                let first = owned.handed.map_or(offset, |(first, _)| first);
                owned.handed = Some((first, offset));
            }
        }
        state.bytes -= records.iter().map(weight).sum::<usize>().min(state.bytes);
        if let (true, Some(error)) = (records.is_empty(), &state.failed) {
            return Err(error.clone());
        }
        let at_end = state.waiting.is_empty()
            && !state.partitions.is_empty()
            && topics.iter().all(|topic| state.assigned.contains(topic))
            && state.partitions.values().all(|owned| owned.ended);
        let idle = state.partitions.is_empty();
        drop(state);
        self.room.notify_all();
        Ok(Batch { records, at_end, idle })
    }

    /// Of these positions, the last one per partition that is ours and was handed out since it is: committing another one could
    /// take its next owner back.
    pub fn committable(&self, positions: &[Position]) -> BTreeMap<(Topic, i32), i64> {
        let state = self.lock();
        let mut upto = BTreeMap::new();
        for position in positions {
            let key = (position.topic, position.partition);
            let Some(owned) = state.partitions.get(&key) else { continue };
            let handed = owned.handed.is_some_and(|(first, last)| (first..=last).contains(&position.offset));
            if handed && position.offset > owned.committed {
                let offset: &mut i64 = upto.entry(key).or_insert(position.offset);
                *offset = position.offset.max(*offset);
            }
        }
        upto
    }

    pub fn committed(&self, upto: &BTreeMap<(Topic, i32), i64>) {
        let mut state = self.lock();
        for (key, offset) in upto {
            if let Some(owned) = state.partitions.get_mut(key) {
                owned.committed = owned.committed.max(*offset);
            }
        }
    }
}

fn weight(record: &Record) -> usize {
    record.key.len() + record.payload.as_ref().map_or(0, bytes::Bytes::len) + 64
}
