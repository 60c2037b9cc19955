//! A record that the log will never take: it is set aside on the spool's disk, answered for from there, and holds nothing up.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use events::{
    log::{
        Ack, Append, AppendError, EventLog, KafkaConfig, LogConfig, LogError, Start, open, open_spooled,
        spooled::{Spool, SpooledLog, look, look_refused},
    },
    topic::Topic,
};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
};

use crate::{
    double::{Heard, Mode, Rig, empty, eventually, money, record},
    kafka::{BROKER, settings},
};

/// Records set aside in the folder.
fn aside(folder: &Path) -> u64 {
    look_refused(&folder.join("spool")).unwrap().iter().map(|unread| unread.records).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_is_answered_by_the_spool_each_time_and_the_others_go_on() {
    for at_once in [false, true] {
        let rig = Rig::new(60_000);
        if at_once {
            rig.log.refuse_at_once();
        }
        let (log, heard) = (rig.open(), Arc::new(Heard::default()));
        rig.log.too_large("2", true);
        for token in 1..=3 {
            money(&log, &heard, token, "k").unwrap();
            heard.durable(token).await;
        }
        empty(&log).await;
        assert_eq!(rig.log.payloads(), ["1", "3"]);
        let spool = log.health().spool.unwrap();
        assert_eq!((spool.refused, spool.log_away), (1, false), "the log is well: {spool:?}");
        // The answer got lost, and it comes again; and one that nobody waits for must not be lost.
        let ack = Ack::Notify { sink: Arc::clone(&heard) as _, token: 4 };
        log.append(record(Topic::Device, "k", "2"), ack).unwrap();
        heard.durable(4).await;
        log.append(record(Topic::Device, "k", "2"), Ack::Kept).unwrap();
        eventually("set aside", || (log.health().spool?.refused == 3).then_some(())).await;
        assert_eq!((aside(rig.folder.path()), log.health().lost), (3, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_keeps_the_record_in_any_case_is_told_so() {
    let rig = Rig::new(60_000);
    let (log, heard) = (rig.open(), Arc::new(Heard::who_keeps()));
    rig.log.too_large("2", true);
    for token in 1..=3 {
        money(&log, &heard, token, "k").unwrap();
    }
    assert_eq!(heard.of(2), Some(Err(LogError::TooLarge)));
    rig.log.refuse_at_once();
    let ack = Ack::Notify { sink: Arc::clone(&heard) as _, token: 4 };
    assert_eq!(log.append(record(Topic::Device, "k", "2"), ack), Err(AppendError::TooLarge));
    let spool = log.health().spool.unwrap();
    assert_eq!((spool.spooled, spool.refused, spool.log_away, aside(rig.folder.path())), (0, 0, false, 0), "{spool:?}");
    assert_eq!(rig.log.payloads(), ["1", "3"]);
}

/// The disk holds so many and no more: then whoever waits is not answered, and what was answered stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_without_end_they_take_no_more_disk_than_is_allowed() {
    let mut rig = Rig::new(20);
    rig.mbytes = 1;
    let (log, heard) = (rig.open(), Arc::new(Heard::default()));
    let payload = "x".repeat(200_000);
    rig.log.too_large(&payload, true);
    let mut answered = 0;
    loop {
        let ack = Ack::Notify { sink: Arc::clone(&heard) as _, token: answered };
        if log.append(record(Topic::Device, "k", &payload), ack).is_err() {
            break;
        }
        let deadline = Instant::now() + Duration::from_secs(2);
        while heard.of(answered).is_none() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if heard.of(answered).is_none() {
            break;
        }
        answered += 1;
        assert!(answered < 40, "no end");
    }
    assert!(answered >= 4, "{answered}");
    let spool = log.health().spool.unwrap();
    assert!(spool.failing.is_some() && spool.refused + spool.records >= answered, "{answered}: {spool:?}");
    assert_eq!(log.health().lost, 0);
    // Another charger is served.
    money(&log, &heard, 1000, "other").unwrap();
    heard.durable(1000).await;
}

/// A spool that was filled by a process with a larger limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_smaller_limit_does_not_let_through_is_set_aside_and_holds_up_nothing() {
    let rig = Rig::new(20);
    let large = "x".repeat(190_000);
    rig.log.mode(Mode::Full);
    let (log, heard) = (rig.open(), Arc::new(Heard::default()));
    let say = |log: &dyn EventLog, token: u64, payload: &str| {
        log.append(record(Topic::Device, "k", payload), Ack::Notify { sink: Arc::clone(&heard) as _, token }).unwrap();
    };
    for (token, payload) in [(1, "1"), (2, &*large), (3, "3")] {
        say(&log, token, payload);
        heard.durable(token).await;
    }
    drop(log);
    rig.log.too_large(&large, true);
    rig.log.refuse_at_once();
    rig.log.mode(Mode::Well);
    let small = || SpooledLog::open(Arc::clone(&rig.log) as _, Spool::open(&rig.config(), 120).unwrap()).unwrap();
    let log = small();
    tokio::time::timeout(Duration::from_secs(20), log.caught_up()).await.unwrap().unwrap();
    assert_eq!(rig.log.payloads(), ["1", "3"]);
    assert_eq!((aside(rig.folder.path()), log.health().spool.unwrap().refused), (1, 1));
    // One that is smaller is set aside behind it.
    rig.log.too_large("4", true);
    say(&log, 4, "4");
    heard.durable(4).await;
    eventually("set aside", || (log.health().spool?.refused == 2).then_some(())).await;
    drop(log);
    // The large one does not fit into this spool, and does not keep the one behind it.
    rig.log.too_large("4", false);
    let log = small();
    assert_eq!(log.health().spool.unwrap().left_behind, 1);
    tokio::time::timeout(Duration::from_secs(20), log.caught_up()).await.unwrap().unwrap();
    assert_eq!(rig.log.payloads(), ["1", "3", "4"]);
    assert_eq!((aside(rig.folder.path()), log.health().spool.unwrap().refused), (1, 1));
    drop(log);
    // With the larger limit it goes.
    rig.log.too_large(&large, false);
    let log = rig.open();
    tokio::time::timeout(Duration::from_secs(20), log.caught_up()).await.unwrap().unwrap();
    assert_eq!((aside(rig.folder.path()), log.health().spool.unwrap().refused), (0, 0));
    assert_eq!(rig.log.payloads().last(), Some(&large));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_for_is_set_aside_and_tried_again_by_the_next_process() {
    let rig = Rig::new(20);
    let folder = rig.folder.path();
    rig.log.mode(Mode::Full);
    let (log, heard) = (rig.open(), Arc::new(Heard::default()));
    for token in 1..=4 {
        money(&log, &heard, token, if token == 3 { "other" } else { "k" }).unwrap();
        heard.durable(token).await;
    }
    rig.log.too_large("1", true);
    rig.log.recover();
    empty(&log).await;
    let spool = log.health().spool.unwrap();
    assert_eq!((spool.drained, spool.refused), (3, 1), "{spool:?}");
    assert_eq!(rig.log.first_by_key()["k"], ["2", "4"], "what comes behind it goes on");
    assert_eq!(aside(folder), 1);
    drop(log);
    // Still too large: it is looked at again, and holds nobody up.
    let log = rig.open();
    assert_eq!(log.health().spool.unwrap().left_behind, 1);
    log.caught_up().await.unwrap();
    eventually("set aside again", || (log.health().spool?.refused == 1).then_some(())).await;
    assert_eq!(aside(folder), 1);
    drop(log);
    // The brokers were given a larger limit.
    rig.log.too_large("1", false);
    let log = rig.open();
    log.caught_up().await.unwrap();
    assert_eq!(log.health().spool.unwrap().refused, 0);
    assert_eq!((aside(folder), rig.log.first_by_key()["k"].last().map(String::as_str)), (0, Some("1")));
    let headers = rig.log.log();
    assert_eq!(headers.len(), 4, "each once: {headers:?}");
}

struct Kafka {
    admin: AdminClient<DefaultClientContext>,
    topic: String,
}

impl Kafka {
    /// The topic of a new prefix, whose records are at most so large.
    async fn with_limit(config: &KafkaConfig, bytes: usize) -> Self {
        let admin = ClientConfig::new().set("bootstrap.servers", &config.brokers).create().unwrap();
        let kafka = Self { admin, topic: format!("{}{}", config.topic_prefix, Topic::Device) };
        let limit = bytes.to_string();
        let topic = NewTopic::new(&kafka.topic, 1, TopicReplication::Fixed(1)).set("max.message.bytes", &limit);
        kafka.admin.create_topics([&topic], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
        kafka
    }

    async fn limit(&self, bytes: usize) {
        let limit = bytes.to_string();
        let change = AlterConfig::new(ResourceSpecifier::Topic(&self.topic)).set("max.message.bytes", &limit);
        self.admin.alter_configs([&change], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    }
}

/// Random bytes: brokers judge what is compressed.
fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..bytes).map(|_| next()).collect()
}

/// First bytes of the payloads by key, each where it occurs first, with their sizes.
async fn in_kafka(config: &LogConfig) -> BTreeMap<String, Vec<(usize, Vec<u8>)>> {
    let log = open(config).unwrap();
    let mut tail = log.tail(&[Topic::Device], Start::Beginning).unwrap();
    let mut by_key: BTreeMap<String, Vec<_>> = BTreeMap::new();
    loop {
        let batch = tail.poll(1000, Duration::from_secs(20)).await.unwrap();
        for record in batch.records {
            let payloads = by_key.entry(String::from_utf8(record.key.to_vec()).unwrap()).or_default();
            let payload = record.payload.unwrap();
            let seen = (payload.len(), payload[..16].to_vec());
            if !payloads.contains(&seen) {
                payloads.push(seen);
            }
        }
        if batch.at_end {
            return by_key;
        }
    }
}

const LIMIT: usize = 20_000;
const LARGE: usize = 100_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka: run `make test`"]
async fn a_topic_that_takes_less_than_we_do_loses_and_blocks_nothing() {
    let _alone = BROKER.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let kafka_config = settings(folder.path());
    let kafka = Kafka::with_limit(&kafka_config, LIMIT).await;
    let mut config = LogConfig::Kafka(kafka_config);
    let log = open_spooled(&config).unwrap();
    let heard = Arc::new(Heard::default());
    let say = |log: &dyn EventLog, token: u64, key: &str, payload: &[u8]| {
        let append = Append { topic: Topic::Device, key: key.as_bytes(), payload: Some(payload), headers: &[] };
        log.append(append, Ack::Notify { sink: Arc::clone(&heard) as _, token }).unwrap();
    };
    // A hundred at once may be a batch that the topic does not take either: smaller ones follow, and nothing of it is given up.
    let mut small = BTreeMap::<String, Vec<(usize, Vec<u8>)>>::new();
    let mut token = 0;
    let mut hundred = |log: &dyn EventLog| {
        let first = token + 1;
        for _ in 0..100 {
            token += 1;
            let (key, payload) = (format!("key-{}", token % 7), noise(1000, token));
            say(log, token, &key, &payload);
            small.entry(key).or_default().push((1000, payload[..16].to_vec()));
        }
        first..=token
    };
    // The first large one was perhaps not alone in its batch: the spool answers for it, and finds out.
    say(&*log, 10_000, "key-1", &noise(LARGE, 10_000));
    heard.durable(10_000).await;
    for token in hundred(&*log) {
        heard.durable(token).await;
    }
    tokio::time::timeout(Duration::from_secs(60), empty(&*log)).await.unwrap();
    assert_eq!((aside(folder.path()), log.health().spool.unwrap().refused), (1, 1));
    // By now it is known that such a one is refused, whatever else is sent: the answer is the same.
    say(&*log, 10_001, "key-2", &noise(LARGE, 10_001));
    heard.durable(10_001).await;
    eventually("set aside", || (log.health().spool?.refused == 2).then_some(())).await;
    assert_eq!(log.health().degraded, None, "brokers that refuse it are well");
    for token in hundred(&*log) {
        heard.durable(token).await;
    }
    log.flush(Duration::from_secs(20)).await.unwrap();
    assert_eq!(log.health().degraded, None, "Kafka is well");
    assert_eq!(in_kafka(&config).await, small);
    drop(log);
    // A process that sends only smaller ones begins, and leaves them where they are.
    if let LogConfig::Kafka(kafka) = &mut config {
        kafka.record_kbytes_max = 50;
    }
    let log = open_spooled(&config).unwrap();
    tokio::time::timeout(Duration::from_secs(60), log.caught_up()).await.unwrap().unwrap();
    assert_eq!((aside(folder.path()), log.health().spool.unwrap().refused), (2, 2));
    say(&*log, 10_002, "key-1", &noise(1000, 10_002));
    heard.durable(10_002).await;
    drop(log);
    if let LogConfig::Kafka(kafka) = &mut config {
        kafka.record_kbytes_max = 900;
    }
    // The limit is raised: the next process hands on what was set aside.
    kafka.limit(2 * LARGE).await;
    let log = open_spooled(&config).unwrap();
    tokio::time::timeout(Duration::from_secs(60), log.caught_up()).await.unwrap().unwrap();
    assert_eq!(aside(folder.path()), 0);
    eventually("nothing left", || look(&folder.path().join("spool")).unwrap().is_empty().then_some(())).await;
    let keys = in_kafka(&config).await;
    for (key, seed) in [("key-1", 10_000), ("key-2", 10_001)] {
        assert_eq!(keys[key].last(), Some(&(LARGE, noise(LARGE, seed)[..16].to_vec())), "what was set aside is there");
    }
}
