//! A log in memory whose room and confirmations a test controls. It keeps the contract of `EventLog` otherwise.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use events::{
    bytes::Bytes,
    log::{Ack, Append, AppendError, Around, Batch, EventLog, Health, LogError, Position, Record, Start, Subscription},
    topic::Topic,
};
use futures::future::BoxFuture;
use tokio::sync::Notify;

/// What becomes of confirmations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    #[default]
    AtOnce,
    Held,
    Failed,
}

/// Topic, key and payload of what a frozen process appends.
type Kept = (Topic, Bytes, Option<Bytes>);

#[derive(Debug, Default)]
struct State {
    records: Vec<Record>,
    acks: Acks,
    held: Vec<(Ack, Position)>,
    full: bool,
    refused: Option<Topic>,
    panic_on: Option<Vec<u8>>,
    block_on: Option<Vec<u8>>,
    /// How often the readers of a topic were broken.
    broken: Vec<Topic>,
    /// Readers of this topic see no more than so many records, and this is how far one has come.
    stop: Option<(Topic, usize, usize)>,
}

#[derive(Clone, Debug, Default)]
pub struct MemoryLog {
    state: Arc<Mutex<State>>,
    appended: Arc<Notify>,
    behind: Arc<AtomicBool>,
    /// What this view appends is kept here until it is not muted any more.
    muted: Arc<Mutex<Option<Vec<Kept>>>>,
}

impl MemoryLog {
    pub fn acks(&self, acks: Acks) {
        self.state.lock().unwrap().acks = acks;
    }

    /// The same log, as another gateway sees it.
    pub fn view(&self) -> Arc<Self> {
        Arc::new(Self { behind: Arc::default(), muted: Arc::default(), ..self.clone() })
    }

    /// Who reads claims by this view hears of none: it lags behind, or its process is frozen.
    pub fn lag_behind(&self, behind: bool) {
        self.behind.store(behind, Ordering::SeqCst);
    }

    /// Who appends by this view is frozen: it comes into the log afterwards.
    pub fn mute(&self, mute: bool) {
        let kept =
            if mute { self.muted.lock().unwrap().replace(Vec::new()) } else { self.muted.lock().unwrap().take() };
        for (topic, key, payload) in kept.into_iter().flatten() {
            self.append(Append { topic, key: &key, payload: payload.as_deref(), headers: &[] }, Ack::None).unwrap();
        }
    }

    /// The process of this view is dead: it appends and hears nothing any more.
    pub fn cut_off(&self) {
        self.mute(true);
        self.lag_behind(true);
    }

    /// Appends are refused for want of room.
    pub fn full(&self, full: bool) {
        self.state.lock().unwrap().full = full;
    }

    /// Appends to a topic are refused for want of room.
    pub fn refuse(&self, topic: Option<Topic>) {
        self.state.lock().unwrap().refused = topic;
    }

    /// Appends with this key panic: a defect in the middle of one session's step.
    pub fn panic_on(&self, key: &str) {
        self.state.lock().unwrap().panic_on = Some(key.as_bytes().to_vec());
    }

    /// Appends with this key do not return until it is taken back: a shard that hangs.
    pub fn block_on(&self, key: Option<&str>) {
        self.state.lock().unwrap().block_on = key.map(|key| key.as_bytes().to_vec());
    }

    /// Puts a record that says it was appended at another time.
    pub fn put_at(&self, topic: Topic, key: &str, payload: &[u8], appended_at_ms: i64) {
        self.put(topic, key, payload);
        self.state.lock().unwrap().records.last_mut().unwrap().appended_at_ms = appended_at_ms;
    }

    /// Whoever reads this topic meets an error, and has to begin anew.
    pub fn break_readers(&self, topic: Topic) {
        self.state.lock().unwrap().broken.push(topic);
    }

    /// Readers of a topic come no further than to this many records of the log, until `None`.
    pub fn stop(&self, at: Option<(Topic, usize)>) {
        self.state.lock().unwrap().stop = at.map(|(topic, at)| (topic, at, 0));
    }

    /// A reader has come to where it is stopped.
    pub fn stopped(&self) -> bool {
        self.state.lock().unwrap().stop.is_some_and(|(_, at, came)| came == at)
    }

    pub fn held(&self) -> usize {
        self.state.lock().unwrap().held.len()
    }

    /// Confirms, or fails, everything held.
    pub fn settle(&self, durable: bool) {
        let held = std::mem::take(&mut self.state.lock().unwrap().held);
        for (ack, position) in held {
            settle(ack, if durable { Ok(position) } else { Err(LogError::Timeout) });
        }
    }

    pub fn len(&self) -> usize {
        self.state.lock().unwrap().records.len()
    }

    pub fn records(&self, topic: Topic) -> Vec<Record> {
        let state = self.state.lock().unwrap();
        state.records.iter().filter(|record| record.position.topic == topic).cloned().collect()
    }

    pub fn payloads(&self, topic: Topic) -> Vec<Bytes> {
        self.records(topic).into_iter().filter_map(|record| record.payload).collect()
    }

    pub fn delete(&self, topic: Topic, key: &str) {
        self.append(Append { topic, key: key.as_bytes(), payload: None, headers: &[] }, Ack::None).unwrap();
    }

    pub fn put(&self, topic: Topic, key: &str, payload: &[u8]) {
        let append = Append { topic, key: key.as_bytes(), payload: Some(payload), headers: &[] };
        self.append(append, Ack::None).unwrap();
    }
}

fn settle(ack: Ack, outcome: Result<Position, LogError>) {
    if let Ack::Notify { sink, token } = ack {
        sink.acked(token, outcome);
    }
}

fn now_ms() -> i64 {
    events::clock::Clock::REAL.now_ms()
}

impl EventLog for MemoryLog {
    fn append(&self, record: Append<'_>, ack: Ack) -> Result<(), AppendError> {
        if let Some(muted) = self.muted.lock().unwrap().as_mut() {
            muted.push((record.topic, Bytes::copy_from_slice(record.key), record.payload.map(Bytes::copy_from_slice)));
            return Ok(());
        }
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if state.panic_on.as_deref() == Some(record.key) {
            drop(state);
            panic!("a defect, on purpose");
        }
        while state.block_on.as_deref() == Some(record.key) {
            drop(state);
            std::thread::sleep(Duration::from_millis(2));
            state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        if state.full || state.refused == Some(record.topic) {
            return Err(AppendError::Full);
        }
        let offset = i64::try_from(state.records.len()).unwrap();
        let position = Position { topic: record.topic, partition: 0, offset };
        state.records.push(Record {
            position,
            key: Bytes::copy_from_slice(record.key),
            payload: record.payload.map(Bytes::copy_from_slice),
            headers: record
                .headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Bytes::copy_from_slice(value)))
                .collect(),
            appended_at_ms: now_ms(),
        });
        // Claims wait for nobody.
        let acks = if record.topic == Topic::Session { Acks::AtOnce } else { state.acks };
        if acks == Acks::Held && matches!(ack, Ack::Notify { .. }) {
            state.held.push((ack.clone(), position));
        }
        drop(state);
        match acks {
            Acks::AtOnce => settle(ack, Ok(position)),
            Acks::Failed => settle(ack, Err(LogError::DiskFull)),
            Acks::Held => {}
        }
        self.appended.notify_waiters();
        Ok(())
    }

    fn subscribe(&self, _: &str, _: &[Topic]) -> Result<Box<dyn Subscription>, LogError> {
        Err(LogError::Backend("the gateway reads without a group".into()))
    }

    fn subscribe_from(&self, _: &str, _: &[Topic], _: &[Position]) -> Result<Box<dyn Subscription>, LogError> {
        Err(LogError::Backend("the gateway reads without a group".into()))
    }

    fn around<'a>(&'a self, _: &'a [Position]) -> BoxFuture<'a, Result<Vec<(Position, Around)>, LogError>> {
        Box::pin(async { Err(LogError::Backend("the gateway reads without a group".into())) })
    }

    fn tail(&self, topics: &[Topic], start: Start) -> Result<Box<dyn Subscription>, LogError> {
        let next = match start {
            Start::Beginning => 0,
            Start::End => self.state.lock().unwrap().records.len(),
            Start::At(from) => {
                let state = self.state.lock().unwrap();
                state.records.iter().position(|record| record.appended_at_ms >= from).unwrap_or(state.records.len())
            }
        };
        // Polls the vector by itself: a test's log need not be fast.
        let broken = self.state.lock().unwrap().broken.len();
        Ok(Box::new(Tail { log: self.clone(), topics: topics.to_vec(), next, broken }))
    }

    fn flush(&self, _: Duration) -> BoxFuture<'_, Result<(), LogError>> {
        Box::pin(async { Ok(()) })
    }

    fn health(&self) -> Health {
        Health { backend: "memory", ..Health::default() }
    }
}

struct Tail {
    log: MemoryLog,
    topics: Vec<Topic>,
    next: usize,
    /// Errors of before its time.
    broken: usize,
}

impl Subscription for Tail {
    fn poll(&mut self, max: usize, wait: Duration) -> BoxFuture<'_, Result<Batch, LogError>> {
        Box::pin(async move {
            let _ = tokio::time::timeout(wait.min(Duration::from_millis(5)), self.log.appended.notified()).await;
            if self.topics.contains(&Topic::Session) && self.log.behind.load(Ordering::SeqCst) {
                return Ok(Batch::default());
            }
            let mut state = self.log.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if state.broken.iter().skip(self.broken).any(|topic| self.topics.contains(topic)) {
                return Err(LogError::Backend("broken, on purpose".into()));
            }
            let mut records = Vec::new();
            let stop = state.stop.filter(|(topic, ..)| self.topics.contains(topic)).map(|(_, at, _)| at);
            while let Some(record) = state.records.get(self.next)
                && records.len() < max
                && Some(self.next) != stop
            {
                self.next += 1;
                if self.topics.contains(&record.position.topic) {
                    records.push(record.clone());
                }
            }
            let at_end = self.next == state.records.len();
            if stop.is_some()
                && let Some((.., came)) = &mut state.stop
            {
                *came = self.next;
            }
            Ok(Batch { records, at_end, idle: false })
        })
    }

    fn commit<'a>(&'a mut self, _: &'a [Position]) -> BoxFuture<'a, Result<(), LogError>> {
        Box::pin(async { Ok(()) })
    }

    fn stands(&mut self, _: &[Position]) {}
}
