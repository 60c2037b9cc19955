//! What only the Kafka log has to stand.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use events::{
    log::{
        Append, EventLog, KafkaConfig, LogConfig, LogError, NotDurable, Start, append_durable, kafka::KafkaLog, open,
    },
    topic::Topic,
};

use crate::rig::{Acks, Kafka, Rig, append, limited, number, read_to_end, record};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka: run `make test`"]
async fn a_broker_killed_in_the_middle_loses_and_repeats_nothing() {
    limited(async {
        let rig = Arc::new(Kafka::new());
        let log = rig.open();
        let acks = Arc::new(Acks::default());
        let crash = std::thread::spawn({
            let rig = Arc::clone(&rig);
            move || {
                std::thread::sleep(Duration::from_millis(700));
                rig.crash_storage();
            }
        });
        // Until the broker has been away and is back again.
        let mut total = 0;
        while total < 10_000 || !crash.is_finished() {
            let token = total;
            total += 1;
            append(&*log, record(Topic::Device, &format!("key-{}", token % 16), &token.to_string()), &acks, token);
            if token % 20 == 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        crash.join().unwrap();
        log.flush(Duration::from_secs(60)).await.unwrap();
        acks.wait_for(usize::try_from(total).unwrap()).await;
        assert!(acks.outcomes.lock().unwrap().values().all(Result::is_ok));
        let mut reader = log.tail(&[Topic::Device], Start::Beginning).unwrap();
        let mut by_key: BTreeMap<_, Vec<u64>> = BTreeMap::new();
        let records = read_to_end(&mut *reader).await;
        for record in &records {
            by_key.entry(record.key.clone()).or_default().push(number(record));
        }
        assert_eq!(records.len() as u64, total);
        assert!(by_key.values().all(|numbers| numbers.is_sorted()), "order per key");
        assert_eq!(records.iter().map(number).collect::<BTreeSet<_>>().len() as u64, total);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_it_opens_and_fails_in_time() {
    limited(async {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let config = KafkaConfig {
            brokers: nobody.local_addr().unwrap().to_string(),
            create_topics: false,
            message_timeout_ms: 800,
            ..KafkaConfig::default()
        };
        let log = open(&LogConfig::Kafka(config)).unwrap();
        assert_eq!(log.health().degraded, None);
        let failed = append_durable(&*log, record(Topic::Device, "k", "v")).await;
        assert_eq!(failed, Err(NotDurable::Failed(LogError::Timeout)));
        let (since, why) = log.health().degraded.expect("degraded");
        assert!(since > 0, "{why}");
        // A reader waits; it does not fail, and does not claim to be at the end.
        let mut tail = log.tail(&[Topic::Device], Start::Beginning).unwrap();
        let batch = tail.poll(10, Duration::from_millis(500)).await.unwrap();
        assert!(batch.records.is_empty() && !batch.at_end);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka: run `make test`"]
async fn settings_of_created_topics() {
    limited(async {
        let rig = Kafka::new();
        let log = KafkaLog::open(&rig.settings()).unwrap();
        let admin: rdkafka::admin::AdminClient<_> =
            rdkafka::ClientConfig::new().set("bootstrap.servers", rig.settings().brokers).create().unwrap();
        let names = [Topic::Device, Topic::Registry].map(|topic| format!("{}{topic}", rig.settings().topic_prefix));
        let wanted: Vec<_> = names.iter().map(|name| rdkafka::admin::ResourceSpecifier::Topic(name)).collect();
        let found = admin.describe_configs(&wanted, &rdkafka::admin::AdminOptions::new()).await.unwrap();
        let setting = |place: usize, name: &str| -> String {
            let resource = found[place].as_ref().unwrap();
            resource.get(name).unwrap().value.clone().unwrap()
        };
        assert_eq!((setting(0, "cleanup.policy"), setting(1, "cleanup.policy")), ("delete".into(), "compact".into()));
        assert_eq!(setting(0, "retention.ms"), (30_i64 * 24 * 3_600_000).to_string());
        assert_eq!(setting(0, "message.timestamp.type"), "LogAppendTime");
        drop(log);
        drop(KafkaLog::open(&rig.settings()).unwrap()); // topics that exist are no error
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka: run `make test`"]
async fn a_reader_waits_for_a_topic_that_is_created_later() {
    limited(async {
        let rig = Kafka::new();
        let early = KafkaLog::open(&KafkaConfig { create_topics: false, ..rig.settings() }).unwrap();
        let mut tail = early.tail(&[Topic::Device], Start::Beginning).unwrap();
        let mut group = early.subscribe("early", &[Topic::Device]).unwrap();
        assert!(tail.poll(1, Duration::from_millis(700)).await.unwrap().records.is_empty());
        let log = rig.open();
        append_durable(&*log, Append { topic: Topic::Device, key: b"k", payload: Some(b"v"), headers: &[] })
            .await
            .unwrap();
        assert_eq!(crate::rig::read_count(&mut *tail, 1).await.len(), 1);
        assert_eq!(crate::rig::read_count(&mut *group, 1).await.len(), 1);
    })
    .await;
}
