//! A disk that is full or failing under the spool: nothing is confirmed that is not durable, nothing taken is dropped, somebody is told.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use events::{
    log::{
        Ack, Append, AppendError, EventLog, OpenError,
        spooled::{Spool, SpooledLog},
    },
    topic::Topic,
};

use crate::double::{Double, Heard, Mode, Rig, empty, eventually, money, record};

#[tokio::test]
async fn a_full_spool_confirms_nothing_keeps_what_it_took_and_goes_on_when_there_is_room() {
    let mut rig = Rig::new(20);
    rig.mbytes = 1;
    let log = rig.open_with(|config| config.queue_records = 40);
    let heard = Arc::new(Heard::default());
    rig.log.mode(Mode::Silent);
    let payload = "x".repeat(50_000);
    let big = |token: u64| {
        let ack = Ack::Notify { sink: Arc::clone(&heard) as _, token };
        let key = format!("key-{token}");
        log.append(
            Append { topic: Topic::Device, key: key.as_bytes(), payload: Some(payload.as_bytes()), headers: &[] },
            ack,
        )
    };
    let mut taken = Vec::new();
    let refused = loop {
        let token = taken.len() as u64;
        match big(token) {
            Ok(()) => taken.push(token),
            Err(error) => break error,
        }
        assert!(taken.len() < 500);
        tokio::time::sleep(Duration::from_millis(3)).await;
        // A spool that cannot write leaves the log to be asked, in case that it is back; that has room until here.
        if taken.len() == 200 {
            rig.log.mode(Mode::Full);
        }
    };
    assert_eq!(refused, AppendError::Full, "back pressure");
    let spool = log.health().spool.unwrap();
    let (since, why) = spool.failing.clone().expect("it says that it cannot write");
    assert!(since > 0 && why.contains("full"), "{why}");
    let confirmed = taken.iter().filter(|token| heard.of(**token).is_some()).count();
    assert!(confirmed >= 10 && confirmed < taken.len(), "{confirmed} of {}", taken.len());
    // Nobody was told that it failed, either: their connections end by their own time.
    assert!(taken.iter().filter_map(|token| heard.of(*token)).all(|outcome| outcome.is_ok()));
    assert_eq!(log.health().lost, 0);

    rig.log.recover();
    empty(&log).await;
    for token in &taken {
        heard.durable(*token).await;
    }
    let spool = log.health().spool.unwrap();
    assert_eq!(spool.failing, None, "well again");
    let mut keys: Vec<String> = rig.log.log().into_iter().map(|held| held.key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), taken.len(), "every record that was taken is in the log");
}

#[test]
fn a_folder_that_cannot_be_written_is_said_at_the_start() {
    let rig = Rig::new(20);
    let file = rig.folder.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let mut config = rig.config();
    config.path = file.join("spool");
    match Spool::open(&config, 900) {
        Err(OpenError::Io { path, .. }) => assert!(path.starts_with(file)),
        other => panic!("{other:?}"),
    }
}

const CHILD: &str = "EVGATE_TEST_SPOOL_CHILD";

/// Not a test of its own: what the next one runs as a process of its own, whose files may not grow beyond a limit.
#[test]
fn child() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(spool_until_the_disk_says_no(Path::new(&folder)));
}

async fn spool_until_the_disk_says_no(folder: &Path) {
    let say = |line: &str| {
        let mut out = std::io::stdout().lock();
        out.write_all(format!("@{line}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    };
    let mut config = Rig::new(20).config();
    config.path = folder.to_owned();
    let double = Double::new();
    let log = SpooledLog::open(Arc::clone(&double) as _, Spool::open(&config, 900).unwrap()).unwrap();
    let heard = Arc::new(Heard::default());
    double.mode(Mode::Full);
    let mut token = 0;
    // A second without an answer, and the spool says why.
    loop {
        token += 1;
        money(&log, &heard, token, "k").unwrap();
        let until = Instant::now() + Duration::from_secs(1);
        while heard.of(token).is_none() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if heard.of(token).is_none() {
            break;
        }
        log.append(record(Topic::Device, "k", &"x".repeat(20_000)), Ack::Kept).unwrap();
    }
    let why = log.health().spool.unwrap().failing.expect("failing").1;
    say(&format!("unanswered {token} {why}"));
    // The parent lifts the limit.
    heard.durable(token).await;
    say("answered");
    double.recover();
    empty(&log).await;
    assert_eq!(log.health().lost, 0);
    assert_eq!(double.log().len() as u64, 2 * token - 1, "all of them, once");
    say("drained");
}

#[test]
fn a_disk_that_fails_in_the_middle_answers_nobody_and_forgets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // Blocks of 1 KiB; without the signal, a write beyond the limit fails as on a disk that is full.
    let script = "trap '' XFSZ; ulimit -S -f 600; exec \"$0\" disk::child --exact --nocapture";
    let mut child = Command::new("bash")
        .args(["-c", script, std::env::current_exe().unwrap().to_str().unwrap()])
        .env(CHILD, folder.path().join("spool"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut next = || lines.find_map(|line| line.split_once('@').map(|(_, said)| said.to_owned()));
    let said = next().expect("it says something");
    assert!(said.starts_with("unanswered "), "{said}");
    let lifted =
        Command::new("prlimit").args(["--pid", &child.id().to_string(), "--fsize=unlimited"]).status().unwrap();
    assert!(lifted.success());
    assert_eq!(next().as_deref(), Some("answered"));
    assert_eq!(next().as_deref(), Some("drained"));
    assert!(child.wait().unwrap().success());
}

#[tokio::test]
async fn the_embedded_log_keeps_what_must_not_be_lost_and_tells_those_who_wait() {
    use events::log::{EmbeddedConfig, LogError, NotDurable, Start, append_durable, embedded::EmbeddedLog};
    let folder = tempfile::tempdir().unwrap();
    let config =
        EmbeddedConfig { path: folder.path().join("events.db"), disk_mbytes_max: 2, ..EmbeddedConfig::default() };
    let log = EmbeddedLog::open(&config).unwrap();
    let mut reader = log.subscribe("reads", &[Topic::Raw]).unwrap();
    let payload = vec![b'x'; 100_000];
    let raw = || append_durable(&log, Append { topic: Topic::Raw, key: b"k", payload: Some(&payload), headers: &[] });
    while raw().await.is_ok() {}
    let kept = |payload: &str| log.append(record(Topic::Device, "k", payload), Ack::Kept).unwrap();
    kept("1");
    kept("2");
    let error = append_durable(&log, record(Topic::Device, "k", "somebody waits")).await;
    assert_eq!(error, Err(NotDurable::Failed(LogError::DiskFull)), "told at once");
    kept("3");
    assert_eq!(log.flush(Duration::from_millis(300)).await, Err(LogError::Timeout), "they are not durable");
    assert_eq!((log.health().queued, log.health().lost), (3, 2), "the raw record and the one of somebody who waited");
    // Room comes when a group has read.
    let batch = reader.poll(100, Duration::from_secs(5)).await.unwrap();
    let positions: Vec<_> = batch.records.iter().map(|record| record.position).collect();
    reader.commit(&positions).await.unwrap();
    log.flush(Duration::from_secs(10)).await.unwrap();
    let mut device = log.tail(&[Topic::Device], Start::Beginning).unwrap();
    let records = device.poll(100, Duration::from_secs(5)).await.unwrap().records;
    let payloads: Vec<_> = records.iter().map(|record| record.payload.clone().unwrap()).collect();
    assert_eq!(payloads, ["1", "2", "3"]);
    assert_eq!(log.health().queued, 0);
    eventually("well again", || log.health().degraded.is_none().then_some(())).await;
}
