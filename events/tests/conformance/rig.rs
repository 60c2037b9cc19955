//! What the suite needs of a backend, and helpers to write and read with.

use std::{
    collections::BTreeMap,
    env,
    future::Future,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use events::{
    log::{
        Ack, AckSink, Append, AppendError, EmbeddedConfig, EventLog, KafkaConfig, LogConfig, LogError, NotDurable,
        Position, Record, Subscription, append_durable, open,
    },
    topic::Topic,
};
use tempfile::TempDir;

/// Storage that stays the same over several openings.
pub trait Rig {
    fn config(&self) -> LogConfig;

    fn open(&self) -> Arc<dyn EventLog> {
        open(&self.config()).expect("the log opens")
    }

    /// What another process opens beside a writer.
    fn is_kafka(&self) -> bool;

    /// Kills what keeps the records, and starts it again.
    fn crash_storage(&self);

    /// A log whose storage does not answer, with a queue of at most `records`.
    fn stuck(&self, records: usize) -> (Arc<dyn EventLog>, Box<dyn FnOnce()>);
}

pub struct Embedded {
    folder: TempDir,
}

impl Embedded {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn settings(&self) -> EmbeddedConfig {
        EmbeddedConfig { path: self.folder.path().join("events.db"), ..EmbeddedConfig::default() }
    }
}

impl Rig for Embedded {
    fn config(&self) -> LogConfig {
        LogConfig::Embedded(self.settings())
    }

    fn is_kafka(&self) -> bool {
        false
    }

    fn crash_storage(&self) {} // the storage is a file; `embedded_only` kills the process that writes it

    fn stuck(&self, records: usize) -> (Arc<dyn EventLog>, Box<dyn FnOnce()>) {
        let config = EmbeddedConfig { queue_records: records, ..self.settings() };
        let log = open(&LogConfig::Embedded(config.clone())).unwrap();
        let other = rusqlite::Connection::open(&config.path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        (log, Box::new(move || other.execute_batch("ROLLBACK").unwrap()))
    }
}

pub struct Kafka {
    prefix: String,
}

static RUN: AtomicU32 = AtomicU32::new(0);

/// A broker that one test kills is missed by every other: it is killed when nobody else uses it.
struct Broker {
    users: usize,
    killers: usize,
}
static BROKER: Mutex<Broker> = Mutex::new(Broker { users: 0, killers: 0 });
static CHANGED: Condvar = Condvar::new();

impl Drop for Kafka {
    fn drop(&mut self) {
        BROKER.lock().unwrap_or_else(PoisonError::into_inner).users -= 1;
        CHANGED.notify_all();
    }
}

impl Kafka {
    pub fn new() -> Self {
        let broker = BROKER.lock().unwrap_or_else(PoisonError::into_inner);
        let mut broker =
            CHANGED.wait_while(broker, |broker| broker.killers > 0).unwrap_or_else(PoisonError::into_inner);
        broker.users += 1;
        drop(broker);
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        Self { prefix: format!("t{nanos:x}-{}.", RUN.fetch_add(1, Ordering::Relaxed)) }
    }

    pub fn settings(&self) -> KafkaConfig {
        KafkaConfig {
            brokers: env::var("EVGATE_TEST_KAFKA").expect("EVGATE_TEST_KAFKA names a broker"),
            topic_prefix: self.prefix.clone(),
            partitions: 3,
            session_timeout_ms: 6000,
            ..KafkaConfig::default()
        }
    }
}

impl Rig for Kafka {
    fn config(&self) -> LogConfig {
        LogConfig::Kafka(self.settings())
    }

    fn is_kafka(&self) -> bool {
        true
    }

    fn crash_storage(&self) {
        let mut broker = BROKER.lock().unwrap_or_else(PoisonError::into_inner);
        broker.killers += 1;
        CHANGED.notify_all();
        // Those who wait for the same do not count.
        let mut broker =
            CHANGED.wait_while(broker, |broker| broker.users > broker.killers).unwrap_or_else(PoisonError::into_inner);
        let script = env::var("EVGATE_TEST_KAFKA_CTL").expect("EVGATE_TEST_KAFKA_CTL names the broker's script");
        let status = std::process::Command::new(script).arg("restart").status().unwrap();
        broker.killers -= 1;
        drop(broker);
        CHANGED.notify_all();
        assert!(status.success());
    }

    fn stuck(&self, records: usize) -> (Arc<dyn EventLog>, Box<dyn FnOnce()>) {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap(); // accepts nothing, answers nothing
        let config = KafkaConfig {
            brokers: nobody.local_addr().unwrap().to_string(),
            queue_records: u32::try_from(records).unwrap(),
            message_timeout_ms: 3000,
            create_topics: false,
            ..self.settings()
        };
        (open(&LogConfig::Kafka(config)).unwrap(), Box::new(move || drop(nobody)))
    }
}

/// Every test ends by itself.
pub async fn limited(test: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(150), test).await.expect("the test took too long");
}

/// Remembers outcomes by token.
#[derive(Default)]
pub struct Acks {
    pub outcomes: Mutex<BTreeMap<u64, Result<Position, LogError>>>,
    /// Tokens in the order in which they were confirmed.
    pub order: Mutex<Vec<u64>>,
}

impl AckSink for Acks {
    fn acked(&self, token: u64, outcome: Result<Position, LogError>) {
        assert!(self.outcomes.lock().unwrap().insert(token, outcome).is_none(), "{token} confirmed twice");
        self.order.lock().unwrap().push(token);
    }
}

impl Acks {
    pub fn count(&self) -> usize {
        self.outcomes.lock().unwrap().len()
    }

    pub async fn wait_for(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.count() < count {
            assert!(Instant::now() < deadline, "{} of {count} confirmed", self.count());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn position(&self, token: u64) -> Position {
        self.outcomes.lock().unwrap().get(&token).expect("confirmed").clone().expect("durable")
    }
}

pub fn record<'a>(topic: Topic, key: &'a str, payload: &'a str) -> Append<'a> {
    Append { topic, key: key.as_bytes(), payload: Some(payload.as_bytes()), headers: &[] }
}

/// Appends, waiting while the queue is full.
pub fn append(log: &dyn EventLog, record: Append<'_>, sink: &Arc<Acks>, token: u64) {
    loop {
        match log.append(record, Ack::Notify { sink: Arc::clone(sink) as Arc<dyn AckSink>, token }) {
            Ok(()) => return,
            Err(AppendError::Full) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("{error}"),
        }
    }
}

pub async fn durable(log: &dyn EventLog, record: Append<'_>) -> Position {
    loop {
        match append_durable(log, record).await {
            Ok(position) => return position,
            Err(NotDurable::Refused(AppendError::Full)) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// `n` records of the device topic over 8 keys, all durable; payload `<i>`.
pub async fn fill(log: &dyn EventLog, from: u64, n: u64) -> Arc<Acks> {
    let acks = Arc::new(Acks::default());
    for i in from..from + n {
        append(log, record(Topic::Device, &format!("key-{}", i % 8), &i.to_string()), &acks, i);
    }
    acks.wait_for(usize::try_from(n).unwrap()).await;
    for i in from..from + n {
        acks.position(i);
    }
    acks
}

pub fn text(record: &Record) -> String {
    String::from_utf8(record.payload.as_ref().expect("a payload").to_vec()).unwrap()
}

pub fn number(record: &Record) -> u64 {
    text(record).parse().unwrap()
}

/// Everything until the end is reported.
pub async fn read_to_end(subscription: &mut dyn Subscription) -> Vec<Record> {
    let mut records = Vec::new();
    loop {
        let batch = subscription.poll(100, Duration::from_secs(20)).await.unwrap();
        records.extend(batch.records);
        if batch.at_end {
            return records;
        }
    }
}

/// Until `count` records have come.
pub async fn read_count(subscription: &mut dyn Subscription, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(60);
    while records.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} read", records.len());
        records.extend(subscription.poll(100, Duration::from_millis(500)).await.unwrap().records);
    }
    records
}

pub fn positions(records: &[Record]) -> Vec<Position> {
    records.iter().map(|record| record.position).collect()
}
