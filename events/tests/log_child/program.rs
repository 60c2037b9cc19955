//! A reader or a writer of a log, for the conformance suite to kill: `log-child consume|append CONFIG`. A program, since a test that
//! does nothing unless it is told to would count as one that passed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{env, io::Write as _, sync::Arc, time::Duration};

use events::{
    log::{Ack, AckSink, Append, EventLog, LogConfig, LogError, Position, embedded::EmbeddedLog, open},
    topic::Topic,
};

fn main() {
    let mut arguments = env::args().skip(1);
    let mut argument = || arguments.next().expect("log-child consume|append CONFIG");
    let (role, config) = (argument(), argument());
    let config: LogConfig = serde_json::from_str(&config).unwrap();
    match role.as_str() {
        "consume" => consume(&config),
        "append" => append_for_ever(&config),
        other => panic!("no role {other}"),
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Reads ten at a time, commits, says what it committed; until it is killed.
fn consume(config: &LogConfig) {
    let log: Arc<dyn EventLog> = match config {
        LogConfig::Embedded(embedded) => Arc::new(EmbeddedLog::open_reading(&embedded.path).unwrap()),
        LogConfig::Kafka(_) => open(config).unwrap(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut reader = log.subscribe("resumed", &[Topic::Device]).unwrap();
        loop {
            let batch = reader.poll(10, Duration::from_secs(5)).await.unwrap();
            let positions: Vec<Position> = batch.records.iter().map(|record| record.position).collect();
            reader.commit(&positions).await.unwrap();
            for record in &batch.records {
                say(&format!("{} {}", record.position.partition, record.position.offset));
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    });
}

struct Say;

impl AckSink for Say {
    fn acked(&self, token: u64, outcome: Result<Position, LogError>) {
        outcome.unwrap();
        say(&token.to_string());
    }
}

/// Appends numbers as fast as it is let, says each one that is confirmed; until it is killed.
fn append_for_ever(config: &LogConfig) {
    let log = open(config).unwrap();
    let sink: Arc<dyn AckSink> = Arc::new(Say);
    for token in 0_u64.. {
        let ack = || Ack::Notify { sink: Arc::clone(&sink), token };
        let (key, payload) = (format!("key-{}", token % 8), token.to_string());
        let record =
            || Append { topic: Topic::Device, key: key.as_bytes(), payload: Some(payload.as_bytes()), headers: &[] };
        while log.append(record(), ack()).is_err() {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}
