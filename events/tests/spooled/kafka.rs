//! The spool before a real Kafka that is stopped, and in a process that is killed.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use events::{
    log::{Ack, KafkaConfig, LogConfig, SpoolConfig, Start, open, open_spooled},
    topic::Topic,
};

use tokio::sync::Mutex;

use crate::double::{Heard, empty, eventually, money, record};

/// One test stops the broker at a time.
pub static BROKER: Mutex<()> = Mutex::const_new(());
static RUN: AtomicU32 = AtomicU32::new(0);

fn broker(what: &str) {
    let script = std::env::var("EVGATE_TEST_KAFKA_CTL").expect("EVGATE_TEST_KAFKA_CTL names the broker's script");
    assert!(Command::new(script).arg(what).status().unwrap().success(), "{what}");
}

pub fn settings(folder: &Path) -> KafkaConfig {
    KafkaConfig {
        brokers: std::env::var("EVGATE_TEST_KAFKA").expect("EVGATE_TEST_KAFKA names a broker"),
        topic_prefix: format!("spool{:x}-{}.", std::process::id(), RUN.fetch_add(1, Ordering::Relaxed)),
        partitions: 3,
        spool: SpoolConfig { path: folder.join("spool"), after_ms: 1000, ..SpoolConfig::default() },
        ..KafkaConfig::default()
    }
}

fn config(folder: &Path) -> LogConfig {
    LogConfig::Kafka(settings(folder))
}

/// Numbers by key, each where it occurs first.
async fn in_kafka(config: &LogConfig) -> BTreeMap<String, Vec<u64>> {
    let log = open(config).unwrap();
    let mut tail = log.tail(&[Topic::Device], Start::Beginning).unwrap();
    let mut by_key: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    loop {
        let batch = tail.poll(1000, Duration::from_secs(20)).await.unwrap();
        for record in batch.records {
            let numbers = by_key.entry(String::from_utf8(record.key.to_vec()).unwrap()).or_default();
            let number = std::str::from_utf8(&record.payload.unwrap()).unwrap().parse().unwrap();
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        if batch.at_end {
            return by_key;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka: run `make test`"]
async fn with_kafka_stopped_everybody_is_answered_and_everything_follows_in_order() {
    let _alone = BROKER.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let log = open_spooled(&config).unwrap();
    let heard = Arc::new(Heard::default());
    let mut appended: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let (mut token, mut slowest) = (0, Duration::ZERO);
    let mut round = async |count: u64| {
        for _ in 0..count {
            token += 1;
            let key = format!("key-{}", token % 20);
            let began = Instant::now();
            if token % 3 == 0 {
                log.append(record(Topic::Device, &key, &token.to_string()), Ack::Kept).unwrap();
            } else {
                money(&*log, &heard, token, &key).unwrap();
                heard.durable(token).await;
                slowest = slowest.max(began.elapsed());
            }
            appended.entry(key).or_default().push(token);
        }
    };
    round(60).await;
    broker("stop");
    round(500).await;
    assert!(log.health().spool.unwrap().records > 400);
    broker("start");
    round(200).await;
    tokio::time::timeout(Duration::from_secs(60), empty(&*log)).await.unwrap();
    round(20).await;
    log.flush(Duration::from_secs(20)).await.unwrap();
    assert!(slowest < Duration::from_secs(2), "the slowest answer took {slowest:?}");
    assert_eq!(log.health().lost, 0);
    assert_eq!(in_kafka(&config).await, appended);
}

const CHILD: &str = "EVGATE_TEST_SPOOL_KAFKA_CHILD";

/// Not a test of its own: the process that is killed.
#[test]
fn child() {
    let Ok(config) = std::env::var(CHILD) else { return };
    let config: LogConfig = serde_json::from_str(&config).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let log = open_spooled(&config).unwrap();
        let heard = Arc::new(Heard::default());
        for token in 1.. {
            money(&*log, &heard, token, &format!("key-{}", token % 8)).unwrap();
            heard.durable(token).await;
            let mut out = std::io::stdout().lock();
            out.write_all(format!("@{token}\n").as_bytes()).unwrap();
            out.flush().unwrap();
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka: run `make test`"]
async fn what_a_killed_process_had_answered_is_handed_on_by_the_next() {
    let _alone = BROKER.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    drop(open(&config).unwrap()); // the topics are there before the broker is away
    broker("stop");
    let mut said = 0;
    for round in 1..=3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kafka::child", "--exact", "--nocapture"])
            .env(CHILD, serde_json::to_string(&config).unwrap())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut numbers =
            lines.filter_map(|line| line.split_once('@').and_then(|(_, number)| number.parse::<u64>().ok()));
        let answered = numbers.by_ref().take(100 * round).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        said = said.max(answered).max(numbers.last().unwrap_or(0));
    }
    let log = open_spooled(&config).unwrap();
    let left = log.health().spool.unwrap().left_behind;
    assert!(left >= said, "{left} of at least {said}");
    broker("start");
    // Killed again in the middle of the drain would be the same again; here it runs to its end.
    tokio::time::timeout(Duration::from_secs(90), log.caught_up()).await.unwrap().unwrap();
    empty(&*log).await;
    log.flush(Duration::from_secs(20)).await.unwrap();
    let found = in_kafka(&config).await;
    let mut all: Vec<u64> = found.values().flatten().copied().collect();
    all.sort_unstable();
    assert!(all.len() as u64 >= said && all.iter().take(said as usize).copied().eq(1..=said), "{said} were answered");
    // Each of the three processes counted from 1.
    assert!(found.values().all(|numbers| numbers.is_sorted()), "{found:?}");
    eventually("nothing left", || {
        events::log::spooled::look(&folder.path().join("spool")).unwrap().is_empty().then_some(())
    })
    .await;
}
