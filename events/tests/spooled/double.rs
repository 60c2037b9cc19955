//! A log whose confirmations a test decides. Like a Kafka producer it holds what it was given in a queue, and a record is in the log
//! from its confirmation on.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use events::{
    log::{
        Ack, AckSink, Append, AppendError, Around, EventLog, Health, LogError, Position, SpoolConfig, Start,
        Subscription,
        spooled::{Spool, SpooledLog},
    },
    topic::Topic,
};
use futures::future::BoxFuture;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Confirms at once.
    #[default]
    Well,
    /// Takes everything and says nothing.
    Silent,
    /// Takes everything and fails it at once.
    Fails,
    /// Takes nothing.
    Full,
}

#[derive(Clone, Debug)]
pub struct Held {
    pub topic: Topic,
    pub key: String,
    pub payload: String,
    ack: Ack,
}

#[derive(Debug, Default)]
struct State {
    mode: Mode,
    queue: VecDeque<Held>,
    log: Vec<Held>,
    too_large: BTreeSet<String>,
    refuses_at_once: bool,
}

#[derive(Debug, Default)]
pub struct Double(Mutex<State>);

impl Double {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// From now on; what is in the queue stays there.
    pub fn mode(&self, mode: Mode) {
        self.state().mode = mode;
    }

    /// From now on it takes no record of this payload, ever; or takes it again.
    pub fn too_large(&self, payload: &str, is: bool) {
        let too_large = &mut self.state().too_large;
        if is {
            too_large.insert(payload.to_owned());
        } else {
            too_large.remove(payload);
        }
    }

    /// From now on it does not even take what is too large, as a producer with a smaller limit.
    pub fn refuse_at_once(&self) {
        self.state().refuses_at_once = true;
    }

    /// Well again, and confirms what it holds, in order.
    pub fn recover(&self) {
        self.mode(Mode::Well);
        self.settle(usize::MAX, true);
    }

    /// Confirms or fails up to `count` of what it holds, oldest first.
    pub fn settle(&self, count: usize, well: bool) {
        for _ in 0..count {
            let mut state = self.state();
            let Some(held) = state.queue.pop_front() else { return };
            let position = Position { topic: held.topic, partition: 0, offset: state.log.len() as i64 };
            let outcome = match (well, state.too_large.contains(&held.payload)) {
                (true, true) => Err(LogError::TooLarge),
                (true, false) => Ok(position),
                (false, _) => Err(LogError::Timeout),
            };
            if outcome.is_ok() {
                state.log.push(held.clone());
            }
            drop(state);
            if let Ack::Notify { sink, token } = held.ack {
                sink.acked(token, outcome);
            }
        }
    }

    pub fn held(&self) -> Vec<Held> {
        self.state().queue.iter().cloned().collect()
    }

    pub fn log(&self) -> Vec<Held> {
        self.state().log.clone()
    }

    pub fn payloads(&self) -> Vec<String> {
        self.log().into_iter().map(|held| held.payload).collect()
    }

    /// Payloads per key, each at its first occurrence.
    pub fn first_by_key(&self) -> BTreeMap<String, Vec<String>> {
        let mut by_key: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for held in self.log() {
            let payloads = by_key.entry(held.key).or_default();
            if !payloads.contains(&held.payload) {
                payloads.push(held.payload);
            }
        }
        by_key
    }
}

impl EventLog for Double {
    fn append(&self, record: Append<'_>, ack: Ack) -> Result<(), AppendError> {
        let mut state = self.state();
        if state.mode == Mode::Full {
            return Err(AppendError::Full);
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        if state.refuses_at_once && state.too_large.contains(&record.payload.map(text).unwrap_or_default()) {
            return Err(AppendError::TooLarge);
        }
        state.queue.push_back(Held {
            topic: record.topic,
            key: text(record.key),
            payload: record.payload.map(text).unwrap_or_default(),
            ack,
        });
        let mode = state.mode;
        drop(state);
        match mode {
            Mode::Well => self.settle(usize::MAX, true),
            Mode::Fails => self.settle(usize::MAX, false),
            Mode::Silent | Mode::Full => {}
        }
        Ok(())
    }

    fn subscribe(&self, _: &str, _: &[Topic]) -> Result<Box<dyn Subscription>, LogError> {
        Err(LogError::Closed)
    }

    fn subscribe_from(&self, _: &str, _: &[Topic], _: &[Position]) -> Result<Box<dyn Subscription>, LogError> {
        Err(LogError::Closed)
    }

    fn around<'a>(&'a self, _: &'a [Position]) -> BoxFuture<'a, Result<Vec<(Position, Around)>, LogError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn tail(&self, _: &[Topic], _: Start) -> Result<Box<dyn Subscription>, LogError> {
        Err(LogError::Closed)
    }

    fn flush(&self, within: Duration) -> BoxFuture<'_, Result<(), LogError>> {
        Box::pin(async move {
            let deadline = Instant::now() + within;
            while !self.state().queue.is_empty() {
                if Instant::now() > deadline {
                    return Err(LogError::Timeout);
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Ok(())
        })
    }

    fn health(&self) -> Health {
        Health { backend: "double", ..Health::default() }
    }
}

/// A spool's folder and the log behind it, which outlive the processes that use them.
pub struct Rig {
    pub log: Arc<Double>,
    pub folder: tempfile::TempDir,
    pub after: Duration,
    pub mbytes: u64,
}

impl Rig {
    pub fn new(after_ms: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { log: Double::new(), folder, after: Duration::from_millis(after_ms), mbytes: 64 }
    }

    pub fn config(&self) -> SpoolConfig {
        SpoolConfig {
            path: self.folder.path().join("spool"),
            after_ms: self.after.as_millis() as u64,
            mbytes_max: self.mbytes,
            ..SpoolConfig::default()
        }
    }

    pub fn open(&self) -> SpooledLog {
        self.open_with(|_| {})
    }

    pub fn open_with(&self, change: impl FnOnce(&mut SpoolConfig)) -> SpooledLog {
        let mut config = self.config();
        change(&mut config);
        SpooledLog::open(Arc::clone(&self.log) as _, Spool::open(&config, 900).unwrap()).unwrap()
    }
}

/// Outcomes by token.
#[derive(Debug, Default)]
pub struct Heard {
    outcomes: Mutex<BTreeMap<u64, Result<Position, LogError>>>,
    keeps: bool,
}

impl AckSink for Heard {
    fn acked(&self, token: u64, outcome: Result<Position, LogError>) {
        let before = self.outcomes.lock().unwrap().insert(token, outcome);
        assert!(before.is_none(), "{token} was told twice");
    }

    fn keeps(&self) -> bool {
        self.keeps
    }
}

impl Heard {
    /// Of somebody who has the records in any case.
    pub fn who_keeps() -> Self {
        Self { keeps: true, ..Self::default() }
    }

    pub fn of(&self, token: u64) -> Option<Result<Position, LogError>> {
        self.outcomes.lock().unwrap().get(&token).cloned()
    }

    pub async fn durable(&self, token: u64) -> Position {
        eventually("an outcome", || self.of(token)).await.expect("durable")
    }
}

pub fn record<'a>(topic: Topic, key: &'a str, payload: &'a str) -> Append<'a> {
    Append { topic, key: key.as_bytes(), payload: Some(payload.as_bytes()), headers: &[] }
}

/// Appends to the device topic for somebody who waits.
pub fn money(log: &dyn EventLog, heard: &Arc<Heard>, token: u64, key: &str) -> Result<(), AppendError> {
    log.append(record(Topic::Device, key, &token.to_string()), Ack::Notify { sink: Arc::clone(heard) as _, token })
}

pub async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub async fn empty(log: &dyn EventLog) {
    eventually("an empty spool", || (log.health().spool?.records == 0).then_some(())).await;
}
