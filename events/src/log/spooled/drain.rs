//! The drain: from the spool to the log, in order, one record of a key at a time.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    refused::Refused,
    waiting::{Mark, Place, Waiting},
};
use crate::{
    log::{Append, AppendError, Batch, EventLog, LogError, Position, Record, Subscription},
    topic::Topic,
};

/// Records in hand: read from the spool and not in the log yet.
const WINDOW: usize = 2048;
/// The same in bytes, plus one read.
const WINDOW_BYTES: usize = 16 << 20;
/// From the first to the longest pause after the log has refused or failed.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long it waits for something to do.
const LOOK: Duration = Duration::from_secs(60);
/// How often it says how far it is.
const SAY: Duration = Duration::from_secs(10);

pub(super) struct Drain {
    waiting: Arc<Waiting>,
    log: Arc<dyn EventLog>,
    reader: Box<dyn Subscription>,
    refused: Refused,
    /// In order by topic and offset.
    open: BTreeMap<Place, Slot>,
    open_bytes: usize,
    /// Records that the log was given, by number.
    sent: HashMap<u64, Place>,
    last_number: u64,
    /// By topic: the last offset read, and the last committed.
    read_upto: [i64; Topic::ALL.len()],
    committed: [i64; Topic::ALL.len()],
    pause: Duration,
    not_before: Option<Instant>,
    say_at: Instant,
    /// Why the log did not take the last record that it did not take, since it took one.
    refusal: Option<String>,
}

struct Slot {
    record: Record,
    sent: bool,
}

impl Drain {
    pub fn new(waiting: Arc<Waiting>, log: Arc<dyn EventLog>, reader: Box<dyn Subscription>, refused: Refused) -> Self {
        Self {
            waiting,
            log,
            reader,
            refused,
            open: BTreeMap::new(),
            open_bytes: 0,
            sent: HashMap::new(),
            last_number: 0,
            read_upto: [-1; Topic::ALL.len()],
            committed: [-1; Topic::ALL.len()],
            pause: PAUSE,
            not_before: None,
            say_at: Instant::now() + SAY,
            refusal: None,
        }
    }

    /// Until the spool is closed.
    pub async fn run(mut self) {
        loop {
            for place in self.hear() {
                self.set_aside(place).await;
            }
            if self.not_before.is_none_or(|at| at <= Instant::now()) {
                self.not_before = None;
                self.send().await;
            }
            if let Err(error) = self.commit().await {
                // Whatever is not committed is handed on again after a restart; consumers know repetitions.
                tracing::warn!(%error, "cannot note how far the spool is drained");
                self.wait();
            }
            self.say();
            match self.more().await {
                Ok(batch) => self.take(batch),
                Err(LogError::Closed) => return,
                Err(error) => {
                    tracing::error!(%error, "cannot read the spool");
                    tokio::time::sleep(PAUSE_MAX).await;
                }
            }
        }
    }

    /// What the log has said about what it was given; the places of records that it will never take.
    fn hear(&mut self) -> Vec<Place> {
        let mut refused = Vec::new();
        for (number, outcome) in self.waiting.take_outcomes() {
            let Some(place) = self.sent.remove(&number) else { continue };
            match outcome {
                Ok(()) => {
                    self.pause = PAUSE;
                    self.refusal = None;
                    self.done(place);
                }
                Err(LogError::TooLarge) => refused.push(place),
                Err(error) => {
                    self.refusal = Some(format!("{}: {error}", place.0));
                    if let Some(slot) = self.open.get_mut(&place) {
                        slot.sent = false;
                    }
                    self.wait();
                }
            }
        }
        refused
    }

    /// Keeps a record where it blocks nothing; if that fails it is tried with the log again.
    async fn set_aside(&mut self, place: Place) {
        let Some(slot) = self.open.get_mut(&place) else { return };
        if let Err(error) = self.refused.keep(&slot.record).await {
            tracing::error!(%error, topic = %place.0, "a record that the log refused cannot be set aside");
            slot.sent = false;
            self.wait();
            return;
        }
        let (bytes, at_ms) = (slot.record.bytes(), slot.record.appended_at_ms);
        tracing::error!(topic = %place.0, bytes, at_ms, "the log refuses a record for good: it is set aside in the spool's folder");
        if let Some(slot) = self.open.remove(&place) {
            self.open_bytes = self.open_bytes.saturating_sub(bytes);
            self.waiting.refused(place, &slot.record);
        }
    }

    /// Twice as long as the last time, once for all failures of a round.
    fn wait(&mut self) {
        if self.not_before.is_none() {
            self.not_before = Some(Instant::now() + self.pause);
            self.pause = (self.pause * 2).min(PAUSE_MAX);
        }
    }

    fn done(&mut self, place: Place) {
        if let Some(slot) = self.open.remove(&place) {
            self.open_bytes = self.open_bytes.saturating_sub(slot.record.bytes());
            self.waiting.drained(place, &slot.record);
        }
    }

    /// Hands on what may go; what the log refuses for good makes room for what comes behind it.
    async fn send(&mut self) {
        loop {
            let refused = self.send_ready();
            if refused.is_empty() {
                return;
            }
            for place in refused {
                self.set_aside(place).await;
            }
            if self.not_before.is_some() {
                return;
            }
        }
    }

    /// Hands on the first record of every key that is not with the log already; the places of those that it will never take.
    fn send_ready(&mut self) -> Vec<Place> {
        let (mut ready, mut done) = (Vec::new(), Vec::new());
        let mut busy = HashSet::new();
        let mut state = self.waiting.lock();
        for (place, slot) in &self.open {
            let key = (place.0, &slot.record.key);
            if busy.contains(&key) {
                continue;
            }
            // What is known of it comes with the spool's confirmation.
            let known = state.spooled_upto.get(place.0.index()).is_some_and(|upto| place.1 < *upto);
            if !slot.sent && known {
                match state.marks.get(place) {
                    Some(Mark::Confirmed) => {
                        state.marks.remove(place);
                        done.push(*place);
                        continue; // the next of its key may go
                    }
                    Some(Mark::Open) => {}
                    None => ready.push(*place),
                }
            }
            busy.insert(key);
        }
        drop(state);
        done.into_iter().for_each(|place| self.done(place));
        let mut refused = Vec::new();
        for place in ready {
            match self.send_one(place) {
                Ok(()) => {}
                // Larger than this process sends: an earlier one had a larger limit.
                Err(AppendError::TooLarge) => refused.push(place),
                Err(error) => {
                    self.refusal = Some(format!("{}: {error}", place.0));
                    self.wait();
                    break;
                }
            }
        }
        refused
    }

    fn send_one(&mut self, place: Place) -> Result<(), AppendError> {
        let Some(slot) = self.open.get_mut(&place) else { return Ok(()) };
        let record = &slot.record;
        let headers: Vec<(&str, &[u8])> = record.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let append = Append { topic: place.0, key: &record.key, payload: record.payload.as_deref(), headers: &headers };
        self.last_number += 1;
        // Before the log has it: it may answer at once.
        self.sent.insert(self.last_number, place);
        let outcome = self.log.append(append, self.waiting.drain_ack(self.last_number));
        if outcome.is_ok() {
            slot.sent = true;
        } else {
            self.sent.remove(&self.last_number);
        }
        outcome
    }

    /// The spool may forget what stands before the first record that the log does not have.
    async fn commit(&mut self) -> Result<(), LogError> {
        let mut positions = Vec::new();
        for topic in Topic::ALL {
            let first_open = self.open.range((topic, i64::MIN)..=(topic, i64::MAX)).next();
            let read = self.read_upto.get(topic.index()).copied().unwrap_or(-1);
            let offset = first_open.map_or(read, |((_, offset), _)| offset - 1);
            if self.committed.get(topic.index()).is_some_and(|committed| offset > *committed) {
                positions.push(Position { topic, partition: 0, offset });
            }
        }
        if positions.is_empty() {
            return Ok(());
        }
        self.reader.commit(&positions).await?;
        for position in positions {
            if let Some(committed) = self.committed.get_mut(position.topic.index()) {
                *committed = position.offset;
            }
        }
        Ok(())
    }

    fn say(&mut self) {
        if let Some(oldest) = self.open.values().map(|slot| slot.record.appended_at_ms).min() {
            self.waiting.oldest_at_ms.store(oldest, Ordering::Relaxed);
        }
        let now = Instant::now();
        if now >= self.say_at {
            self.say_at = now + SAY;
            let health = self.waiting.health();
            if health.records > 0 {
                let (records, drained, away) = (health.records, health.drained, health.log_away);
                let refusal = self.refusal.as_deref().unwrap_or("none");
                tracing::info!(records, drained, log_away = away, refusal, "the spool holds records for the log");
            }
        }
    }

    /// Records, once there are any; none when the log has news or a pause is over.
    async fn more(&mut self) -> Result<Batch, LogError> {
        let room = if self.open_bytes < WINDOW_BYTES { WINDOW.saturating_sub(self.open.len()) } else { 0 };
        let look = if self.open.is_empty() { Instant::now() + LOOK } else { self.say_at };
        let until = self.not_before.map_or(look, |at| at.min(look));
        let waiting = Arc::clone(&self.waiting);
        let news = waiting.news.notified();
        if room == 0 {
            let _ = tokio::time::timeout_at(until, news).await; // news or the time: look again
            return Ok(Batch::default());
        }
        if waiting.health().records > self.open.len() as u64 {
            // Not beside the news: a busy log's would interrupt every read.
            let batch = self.reader.poll(room, Duration::ZERO).await?;
            if !batch.records.is_empty() {
                return Ok(batch);
            }
        }
        tokio::select! {
            () = news => Ok(Batch::default()),
            batch = self.reader.poll(room, until.saturating_duration_since(Instant::now())) => batch,
        }
    }

    fn take(&mut self, batch: Batch) {
        for record in batch.records {
            let place = (record.position.topic, record.position.offset);
            if let Some(read) = self.read_upto.get_mut(place.0.index()) {
                *read = place.1;
            }
            self.open_bytes += record.bytes();
            self.open.insert(place, Slot { record, sent: false });
        }
    }
}
