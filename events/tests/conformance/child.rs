//! This test binary as a child process that can be killed: it runs [`entry`] with a role in its environment.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use events::{
    log::{Ack, AckSink, EventLog, LogConfig, LogError, Position, embedded::EmbeddedLog, open},
    topic::Topic,
};

use crate::rig::{positions, record};

const ROLE: &str = "EVGATE_TEST_CHILD_ROLE";
const CONFIG: &str = "EVGATE_TEST_CHILD_CONFIG";
/// Lines of ours among those of the test harness.
const MARK: &str = "@";

pub struct Child {
    process: std::process::Child,
    out: BufReader<ChildStdout>,
}

impl Child {
    pub fn start(role: &str, config: &LogConfig) -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["child::entry", "--exact", "--nocapture"])
            .env(ROLE, role)
            .env(CONFIG, serde_json::to_string(config).unwrap())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        Self { process, out }
    }

    /// What it says, line by line.
    pub fn lines(&mut self) -> impl Iterator<Item = String> + '_ {
        ours(&mut self.out)
    }

    /// SIGKILL; the lines that were still in the pipe.
    pub fn kill(mut self) -> Vec<String> {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        ours(&mut self.out).collect()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill(); // Err: dead already
        let _ = self.process.wait();
    }
}

/// Whole lines only: the last one may have been cut by the kill.
fn ours(out: &mut BufReader<ChildStdout>) -> impl Iterator<Item = String> + '_ {
    std::iter::from_fn(move || {
        loop {
            let mut line = String::new();
            if out.read_line(&mut line).unwrap() == 0 || !line.ends_with('\n') {
                return None;
            }
            if let Some((_, said)) = line.trim_end().split_once(MARK) {
                return Some(said.to_owned());
            }
        }
    })
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{MARK}{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Not a test of its own: without a role there is nothing to do.
#[test]
fn entry() {
    let Ok(role) = env::var(ROLE) else { return };
    let config: LogConfig = serde_json::from_str(&env::var(CONFIG).unwrap()).unwrap();
    match role.as_str() {
        "consume" => consume(&config),
        "append" => append_for_ever(&config),
        other => panic!("no role {other}"),
    }
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
            reader.commit(&positions(&batch.records)).await.unwrap();
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
        let key = format!("key-{}", token % 8);
        while log.append(record(Topic::Device, &key, &token.to_string()), ack()).is_err() {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}
