//! A spool whose gateway will not come back: `evgate spool drain` hands it on to a real Kafka, in order, and says so.

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use events::{
    log::{Ack, Append, KafkaConfig, LogConfig, SpoolConfig, Start, open, open_spooled},
    topic::Topic,
};

use crate::common::free_port;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka: run `make test`"]
async fn a_spool_that_was_left_behind_is_handed_on_by_the_command() {
    let (folder, prefix) = (tempfile::tempdir().unwrap(), format!("leftbehind{:x}.", std::process::id()));
    let brokers = std::env::var("EVGATE_TEST_KAFKA").expect("EVGATE_TEST_KAFKA names a broker");
    let spool = folder.path().join("spool");
    // Its gateway never reached Kafka: nobody listens there.
    let nowhere = KafkaConfig {
        brokers: free_port().to_string(),
        topic_prefix: prefix.clone(),
        partitions: 2,
        spool: SpoolConfig { path: spool.clone(), after_ms: 50, ..SpoolConfig::default() },
        ..KafkaConfig::default()
    };
    let config = LogConfig::Kafka(nowhere.clone());
    let log = tokio::task::spawn_blocking(move || open_spooled(&config)).await.unwrap().unwrap();
    let bills: Vec<String> = (1..=500).map(|bill| bill.to_string()).collect();
    for (at, bill) in bills.iter().enumerate() {
        let key = format!("charger-{}", at % 7);
        let (key, payload) = (key.as_bytes(), Some(bill.as_bytes()));
        log.append(Append { topic: Topic::Device, key, payload, headers: &[] }, Ack::Kept).unwrap();
    }
    // It ends in order, and what is not confirmed is in the spool.
    tokio::task::spawn_blocking(move || drop(log)).await.unwrap();

    let command = |verb: &str| evgate(&["spool", verb, spool.to_str().unwrap()], folder.path(), &brokers, &prefix);
    let said = stdout(&command("status"));
    assert!(said.contains("ev.device.v1: 500 records"), "{said}");
    let said = stdout(&command("drain"));
    assert!(said.contains("500 records to hand on") && said.contains("the log has all 500"), "{said}");
    assert!(stdout(&command("status")).contains("empty: the log has everything"));
    assert!(stdout(&command("drain")).contains("the log has all 0"));

    let there = LogConfig::Kafka(KafkaConfig { brokers: brokers.clone(), ..nowhere });
    let log = tokio::task::spawn_blocking(move || open(&there)).await.unwrap().unwrap();
    let mut tail = log.tail(&[Topic::Device], Start::Beginning).unwrap();
    let mut found: Vec<(Vec<u8>, usize)> = Vec::new();
    loop {
        let batch = tail.poll(1_000, Duration::from_secs(20)).await.unwrap();
        for record in batch.records {
            let bill = std::str::from_utf8(&record.payload.unwrap()).unwrap().parse().unwrap();
            found.push((record.key.to_vec(), bill));
        }
        if batch.at_end {
            break;
        }
    }
    for key in 0..7 {
        let key = format!("charger-{key}").into_bytes();
        let bills: Vec<usize> = found.iter().filter(|(of, _)| *of == key).map(|(_, bill)| *bill).collect();
        assert!(bills.is_sorted() && bills.len() >= 71, "{bills:?}");
    }
    assert_eq!(found.len(), bills.len(), "each once");
}

fn evgate(args: &[&str], folder: &Path, brokers: &str, prefix: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evgate"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("EVGATE__") || name == "EVGATE_CONFIG") {
        command.env_remove(name);
    }
    command.env("EVGATE__LOG__KIND", "kafka").env("EVGATE__LOG__BROKERS", brokers);
    command.env("EVGATE__LOG__TOPIC_PREFIX", prefix).env("EVGATE__LOG__PARTITIONS", "2");
    command.args(args).current_dir(folder).output().unwrap()
}

#[track_caller]
fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
