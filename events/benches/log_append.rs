//! Appends of 300 bytes until the last is confirmed, embedded, and on Kafka when `EVGATE_TEST_KAFKA` names a broker:
//! `tests/services/with-services kafka -- cargo bench -p events --bench log_append`
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use events::{
    log::{
        Ack, AckSink, Append, AppendError, EmbeddedConfig, EventLog, KafkaConfig, LogConfig, LogError, Position,
        append_durable, open,
    },
    topic::Topic,
};

#[derive(Default)]
struct Count(AtomicU64);

impl AckSink for Count {
    fn acked(&self, _token: u64, outcome: Result<Position, LogError>) {
        outcome.expect("confirmed");
        self.0.fetch_add(1, Ordering::Release);
    }
}

const BATCH: u64 = 50_000;

/// A thousand chargers, 50,000 records, each one confirmed.
fn stream(log: &dyn EventLog, payload: &[u8]) -> Duration {
    let count = Arc::new(Count::default());
    let began = Instant::now();
    for token in 0..BATCH {
        let key = format!("32010200{:06}", token % 1000);
        let record = Append { topic: Topic::Telemetry, key: key.as_bytes(), payload: Some(payload), headers: &[] };
        loop {
            match log.append(record, Ack::Notify { sink: Arc::clone(&count) as Arc<dyn AckSink>, token }) {
                Ok(()) => break,
                Err(AppendError::Full) => std::thread::sleep(Duration::from_micros(200)),
                Err(error) => unreachable!("{error}"),
            }
        }
    }
    while count.0.load(Ordering::Acquire) < BATCH {
        std::thread::sleep(Duration::from_micros(200));
    }
    began.elapsed()
}

fn benches(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let mut logs =
        vec![("embedded", open(&LogConfig::Embedded(EmbeddedConfig { path, ..Default::default() })).unwrap())];
    if let Ok(brokers) = env::var("EVGATE_TEST_KAFKA") {
        let topic_prefix = format!("bench{}.", std::process::id());
        logs.push((
            "kafka",
            open(&LogConfig::Kafka(KafkaConfig { brokers, topic_prefix, ..Default::default() })).unwrap(),
        ));
    }
    let payload = [b'x'; 300];
    let mut group = criterion.benchmark_group("log_append");
    group.sample_size(10);
    for (name, log) in &logs {
        group.throughput(Throughput::Elements(BATCH));
        group.bench_function(format!("{name}/stream"), |bench| {
            bench.iter_custom(|rounds| (0..rounds).map(|_| stream(&**log, &payload)).sum());
        });
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("{name}/one_in_flight"), |bench| {
            let record = Append { topic: Topic::Device, key: b"k", payload: Some(&payload), headers: &[] };
            bench.iter(|| runtime.block_on(append_durable(&**log, record)).expect("confirmed"));
        });
    }
    group.finish();
}

criterion_group!(log_append, benches);
criterion_main!(log_append);
