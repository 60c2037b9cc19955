//! What waits for the log or the spool: who gets it, who is told, and which keys are behind.

mod acks;
mod leaving;

use std::{
    collections::{HashMap, VecDeque},
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::{Notify, watch};

use super::{Spool, spooled};
use crate::{
    clock::Clock,
    log::{Ack, Append, AppendError, EventLog as _, LogError, Position, embedded::EmbeddedLog, lost::Lost},
    topic::Topic,
};

/// In a token: the spool confirms a record; the log confirms a drained one; else the log confirms a record as it was appended.
const OF_SPOOL: u64 = 1 << 62;
const OF_DRAIN: u64 = 2 << 62;
const KIND: u64 = 3 << 62;
/// The partition of a position in the spool.
const IN_SPOOL: i32 = -1;

/// Where a record stands in the spool.
pub(super) type Place = (Topic, i64);
type Told = (Ack, Result<Position, LogError>);

/// What is known of a record in the spool that was handed to the log as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// The log has not said yet what became of it.
    Open,
    /// The log has it.
    Confirmed,
}

/// What the log says about a record as it was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InLog {
    /// It was not given it, or has failed.
    No,
    Open,
    Confirmed,
}

#[derive(Debug)]
struct Entry {
    topic: Topic,
    /// Until the spool has it in its queue.
    copy: Option<Copied>,
    /// `Ack::None` when it was told.
    ack: Ack,
    in_log: InLog,
    /// Its place in the spool, once durable.
    place: Option<Place>,
}

impl Entry {
    /// Whoever waits for it brings it to safety by itself.
    fn is_kept(&self) -> bool {
        matches!(&self.ack, Ack::Notify { sink, .. } if sink.keeps())
    }
}

#[derive(Debug)]
struct Copied {
    key: Bytes,
    payload: Option<Bytes>,
    headers: Vec<(String, Bytes)>,
}

impl Copied {
    fn of(record: Append<'_>) -> Self {
        let header = |(name, value): &(&str, &[u8])| ((*name).to_owned(), Bytes::copy_from_slice(value));
        Self {
            key: Bytes::copy_from_slice(record.key),
            payload: record.payload.map(Bytes::copy_from_slice),
            headers: record.headers.iter().map(header).collect(),
        }
    }
}

pub(super) struct State {
    /// None when it closes.
    spool: Option<Arc<EmbeddedLog>>,
    entries: HashMap<u64, Entry>,
    /// What the log was given and the spool was not, oldest first; some of it is confirmed by now.
    due: VecDeque<(Instant, u64)>,
    last_token: u64,
    /// By topic: how many records of a key are in the spool and not in the log.
    behind: [HashMap<Bytes, u32>; Topic::ALL.len()],
    pub marks: HashMap<Place, Mark>,
    /// The spool has confirmed what stands before this offset, by topic, so that `marks` says all there is to know of it.
    pub spooled_upto: [i64; Topic::ALL.len()],
    /// What became of drained records.
    outcomes: Vec<(u64, Result<(), LogError>)>,
    /// The log failed, or let a record run out of time, and has confirmed nothing since.
    away: bool,
    /// Records of an earlier process that are not in the log; every key counts as behind until there are none.
    left_behind: u64,
    /// Records in the spool that are not in the log, and their bytes.
    records: u64,
    bytes: u64,
    /// Since when there are any, and how many had been drained then.
    since: Option<(Instant, u64)>,
}

/// See the module.
pub(super) struct Waiting {
    after: Duration,
    /// The largest record that the spool takes.
    record_max: usize,
    /// Records in the spool that are not in the log: the only thing that the hot path looks at.
    behind: AtomicU64,
    state: Mutex<State>,
    /// Where what an earlier process left behind ends, by topic.
    left_upto: [i64; Topic::ALL.len()],
    /// Itself, as the sink that the log and the spool are given.
    me: Weak<Self>,
    /// What neither the log nor the spool took, at the end.
    lost: Lost,
    /// Something may become due.
    pub something: Notify,
    /// There is something for the drain.
    pub news: Notify,
    /// Records in the spool, and of these, how many were left behind.
    depth: watch::Sender<(u64, u64)>,
    spooled: AtomicU64,
    drained: AtomicU64,
    /// Set aside.
    refused: AtomicU64,
    /// Of the records in the spool, real UTC ms.
    pub oldest_at_ms: AtomicI64,
    /// The spool's thread has died.
    pub dead: AtomicBool,
}

impl Waiting {
    pub fn new(spool: &Arc<EmbeddedLog>, of: &Spool) -> Arc<Self> {
        let records = of.left();
        let mut left_upto = [0; Topic::ALL.len()];
        for unread in &of.left {
            if let Some(upto) = left_upto.get_mut(unread.topic.index()) {
                *upto = unread.next_offset;
            }
        }
        let state = State {
            spool: Some(Arc::clone(spool)),
            entries: HashMap::new(),
            due: VecDeque::new(),
            last_token: 0,
            behind: std::array::from_fn(|_| HashMap::new()),
            marks: HashMap::new(),
            spooled_upto: left_upto,
            outcomes: Vec::new(),
            away: false,
            left_behind: records,
            records,
            bytes: of.left.iter().map(|unread| unread.bytes).sum(),
            since: (records > 0).then(|| (Instant::now(), 0)),
        };
        metrics::counter!("evgate_spool_refused_total").increment(of.still_refused);
        Arc::new_cyclic(|me| Self {
            after: of.after,
            record_max: of.record_max,
            behind: AtomicU64::new(records),
            state: Mutex::new(state),
            left_upto,
            me: Weak::clone(me),
            lost: Lost::default(),
            something: Notify::new(),
            news: Notify::new(),
            depth: watch::Sender::new((records, records)),
            spooled: AtomicU64::new(0),
            drained: AtomicU64::new(0),
            refused: AtomicU64::new(of.still_refused),
            oldest_at_ms: AtomicI64::new(of.left.iter().map(|unread| unread.oldest_at_ms).min().unwrap_or(0)),
            dead: AtomicBool::new(false),
        })
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Earlier records of this key are in the spool and not in the log yet.
    pub fn is_behind(&self, topic: Topic, key: &[u8]) -> bool {
        self.behind.load(Ordering::Relaxed) != 0 && spooled(topic) && self.lock().is_behind(topic, key)
    }

    /// Takes a record that must not be lost. `Some`: the caller hands it to the log with this token; `None`: the spool took it.
    pub fn begin(&self, record: Append<'_>, ack: Ack) -> Result<Option<u64>, AppendError> {
        if record.bytes() > self.record_max {
            return Err(AppendError::TooLarge); // it would stand in the way of what comes behind it
        }
        let mut state = self.lock();
        state.last_token += 1;
        let token = state.last_token;
        let aside = state.is_behind(record.topic, record.key) || state.away && !state.spool_fails();
        let in_log = if aside { InLog::No } else { InLog::Open };
        let entry = Entry { topic: record.topic, copy: Some(Copied::of(record)), ack, in_log, place: None };
        state.entries.insert(token, entry);
        if aside {
            // What came before it and is not there yet goes first.
            self.spool_due(&mut state);
            let taken = if state.due.is_empty() { self.to_spool(&mut state, token) } else { Err(AppendError::Full) };
            if taken.is_err() {
                state.entries.remove(&token);
            }
            return taken.map(|()| None);
        }
        let first = state.due.is_empty();
        state.due.push_back((Instant::now() + self.after, token));
        drop(state);
        if first {
            self.something.notify_one();
        }
        Ok(Some(token))
    }

    /// The log had no room, or will never take it: this record, and before it all that wait, go to the spool.
    pub fn not_taken(&self, token: u64, error: AppendError) -> Result<(), AppendError> {
        let mut state = self.lock();
        state.not_in_log(token);
        let told = error == AppendError::TooLarge && state.entries.get(&token).is_some_and(Entry::is_kept);
        if !told {
            self.spool_due(&mut state);
        }
        if state.entries.get(&token).is_some_and(|entry| entry.copy.is_some()) {
            state.entries.remove(&token); // no room there either: nobody has it
            return Err(if told { AppendError::TooLarge } else { AppendError::Full });
        }
        Ok(())
    }

    /// Spools what has waited too long; says when to look again.
    pub fn expire(&self, now: Instant) -> Option<Instant> {
        let mut state = self.lock();
        while let Some((due, token)) = state.due.front().copied() {
            if state.entries.get(&token).is_none_or(|entry| entry.copy.is_none()) {
                state.due.pop_front();
                continue;
            }
            if due > now {
                return Some(due);
            }
            state.away = true;
            // What came after it would run out too: this way it is answered for sooner.
            self.spool_due(&mut state);
            if !state.due.is_empty() {
                return Some(now + self.after.min(Duration::from_millis(100))); // no room in the spool's queue
            }
        }
        None
    }

    /// Everything that waits for the log goes to the spool now.
    pub fn spool_everything(&self) {
        self.spool_due(&mut self.lock());
    }

    /// In order, all of it or until the spool has no room.
    fn spool_due(&self, state: &mut State) {
        while let Some((_, token)) = state.due.front().copied() {
            if self.to_spool(state, token).is_err() {
                return;
            }
            state.due.pop_front();
        }
    }

    /// Gives a record to the spool, unless that has it or nobody needs it any more. Under the lock, so that the spool's order is that
    /// of arrival.
    fn to_spool(&self, state: &mut State, token: u64) -> Result<(), AppendError> {
        let Some(entry) = state.entries.get_mut(&token) else { return Ok(()) };
        let Some(copy) = &entry.copy else { return Ok(()) };
        let Some(spool) = &state.spool else { return Err(AppendError::Closed) };
        let headers: Vec<(&str, &[u8])> = copy.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let record = Append { topic: entry.topic, key: &copy.key, payload: copy.payload.as_deref(), headers: &headers };
        let bytes = record.bytes();
        let Some(me) = self.me.upgrade() else { return Err(AppendError::Closed) };
        spool.append_kept(record, me, OF_SPOOL | token)?;
        let Some(copy) = entry.copy.take() else { return Ok(()) };
        if let Some(behind) = state.behind.get_mut(entry.topic.index()) {
            *behind.entry(copy.key).or_insert(0) += 1;
        }
        state.records += 1;
        state.bytes += bytes as u64;
        self.spooled.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("evgate_spool_taken_total").increment(1);
        if state.since.is_none() {
            state.since = Some((Instant::now(), self.drained.load(Ordering::Relaxed)));
            self.oldest_at_ms.store(Clock::REAL.now_ms(), Ordering::Relaxed);
            tracing::warn!(
                after_ms = self.after.as_millis(),
                "the log does not confirm: what must not be lost goes to the spool"
            );
        }
        self.publish_depth(state);
        Ok(())
    }

    /// What the log has said about drained records since the last call.
    pub fn take_outcomes(&self) -> Vec<(u64, Result<(), LogError>)> {
        mem::take(&mut self.lock().outcomes)
    }

    /// The sink and the token for a drained record.
    pub fn drain_ack(self: &Arc<Self>, number: u64) -> Ack {
        Ack::Notify { sink: Arc::clone(self) as _, token: OF_DRAIN | number }
    }

    /// From now on nothing can be spooled.
    pub fn close(&self) {
        let spool = self.lock().spool.take();
        drop(spool); // not under the lock: its writer may be telling us something
    }

    pub fn lost(&self) -> u64 {
        self.lost.total()
    }
}

impl State {
    fn is_behind(&self, topic: Topic, key: &[u8]) -> bool {
        self.left_behind > 0 || self.behind.get(topic.index()).is_some_and(|behind| behind.contains_key(key))
    }

    /// The log does not have this record and will not get it from the call that appended it.
    fn not_in_log(&mut self, token: u64) {
        let Some(entry) = self.entries.get_mut(&token) else { return };
        entry.in_log = InLog::No;
        if let Some(place) = entry.place {
            self.marks.remove(&place);
            self.entries.remove(&token);
        }
    }

    fn spool_fails(&self) -> bool {
        self.spool.as_ref().is_none_or(|spool| spool.health().degraded.is_some())
    }

    /// An hour's worth of keys should not stay in memory for ever.
    fn shrink(&mut self) {
        self.behind.iter_mut().for_each(HashMap::shrink_to_fit);
        self.marks.shrink_to_fit();
        self.entries.shrink_to_fit();
    }
}
