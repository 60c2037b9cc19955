//! What only the embedded log promises: files, locks, retention, the disk limit.

use std::{collections::BTreeSet, time::Duration};

use events::{
    log::{
        Ack, Append, AppendError, EventLog, Keep, LogConfig, LogError, NotDurable, OpenError, Start, append_durable,
        embedded::EmbeddedLog, open,
    },
    topic::Topic,
};

use metrics_exporter_prometheus::PrometheusBuilder;

use crate::{
    child::Child,
    rig::{Embedded, Rig, durable, fill, limited, number, positions, read_count, read_to_end, record},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_loses_nothing_that_was_confirmed() {
    limited(async {
        let rig = Embedded::new();
        let mut confirmed = BTreeSet::new();
        let mut before = 0;
        for round in 1..=4 {
            // Every round begins with 0 again: what counts is the number of records.
            let mut child = Child::start("append", &rig.config());
            let said: Vec<String> = child.lines().take(2000 * round).collect();
            let all = said.len() + child.kill().len();
            let log = rig.open();
            let mut reader = log.tail(&[Topic::Device], Start::Beginning).unwrap();
            let records = read_to_end(&mut *reader).await;
            let kept: Vec<_> = records[before..].iter().map(number).collect();
            assert!(kept.len() >= all, "{all} confirmed, {} kept", kept.len());
            assert_eq!(kept, (0..kept.len() as u64).collect::<Vec<_>>(), "in order, without a hole");
            before = records.len();
            confirmed.extend(positions(&records));
        }
        assert_eq!(confirmed.len(), before, "no offset twice");
    })
    .await;
}

#[tokio::test]
async fn a_second_writer_is_refused_and_a_reader_is_not() {
    limited(async {
        let rig = Embedded::new();
        let log = rig.open();
        match open(&rig.config()) {
            Err(OpenError::InUse { path }) => assert_eq!(path, rig.settings().path),
            other => panic!("{other:?}"),
        }
        let beside = EmbeddedLog::open_reading(&rig.settings().path).unwrap();
        assert_eq!(beside.append(record(Topic::Device, "k", "v"), Ack::None), Err(AppendError::Closed));
        let mut tail = beside.tail(&[Topic::Device], Start::End).unwrap();
        let mut group = beside.subscribe("beside", &[Topic::Device]).unwrap();
        fill(&*log, 0, 20).await;
        assert_eq!(read_count(&mut *tail, 20).await.len(), 20);
        let records = read_count(&mut *group, 20).await;
        group.commit(&positions(&records)).await.unwrap();
        // The same group in the writing process goes on where the other process committed, once that lets go of it.
        let mut here = log.subscribe("beside", &[Topic::Device]).unwrap();
        let nothing = here.poll(10, Duration::from_millis(300)).await.unwrap();
        assert!(nothing.records.is_empty() && !nothing.at_end);
        drop(group);
        fill(&*log, 20, 3).await;
        assert_eq!(read_count(&mut *here, 3).await.iter().map(number).collect::<Vec<_>>(), [20, 21, 22]);
        drop(log);
        drop((here, tail, beside));
        // Also when nobody writes: a tool looks at the log of a stopped site.
        let after = EmbeddedLog::open_reading(&rig.settings().path).unwrap();
        let mut all = after.tail(&[Topic::Device], Start::Beginning).unwrap();
        assert_eq!(read_to_end(&mut *all).await.len(), 23);
        assert!(open(&rig.config()).is_ok());
    })
    .await;
}

#[tokio::test]
async fn what_a_group_has_not_read_is_kept() {
    limited(async {
        let rig = Embedded::new();
        let mut config = rig.settings();
        config.keep.insert("ev.device.v1".to_owned(), Keep { hours: 0, mbytes: 1 });
        let metrics = PrometheusBuilder::new().install_recorder().unwrap();
        let told = || {
            let series = "evgate_log_group_unread{group=\"slow\",topic=\"ev.device.v1\"} ";
            metrics.render().lines().find_map(|line| line.strip_prefix(series)?.parse::<u64>().ok())
        };
        let log = EmbeddedLog::open(&config).unwrap();
        let mut slow = log.subscribe("slow", &[Topic::Device]).unwrap();
        let payload = vec![b'x'; 10_000];
        let append = async |n| {
            for _ in 0..n {
                durable(&log, Append { topic: Topic::Device, key: b"k", payload: Some(&payload), headers: &[] }).await;
            }
        };
        append(300).await;
        log.tidy().await.unwrap();
        let size = || log.sizes().unwrap()[Topic::Device.index()];
        assert_eq!((size().records, told()), (300, Some(300)), "3 MB, but nobody has read them");
        let some = read_count(&mut *slow, 250).await;
        slow.commit(&positions(&some[..250])).await.unwrap();
        log.tidy().await.unwrap();
        // One MiB is 104 records, of which 50 are unread.
        let kept = size();
        assert!((95..=105).contains(&kept.records), "{kept:?}");
        assert_eq!(told(), Some(50));
        assert!(kept.bytes <= 1 << 20);
        assert_eq!(kept.next_offset, 300);
        let mut tail = log.tail(&[Topic::Device], Start::Beginning).unwrap();
        let rest = read_to_end(&mut *tail).await;
        assert_eq!(rest.len() as u64, kept.records, "the newest are kept");
        assert_eq!(rest.last().unwrap().position.offset, 299);
        // A group that will never come back is forgotten by hand.
        append(200).await;
        log.tidy().await.unwrap();
        assert_eq!((size().records, told()), (250, Some(250)), "unread again");
        drop(slow);
        log.forget_group("slow").await.unwrap();
        log.tidy().await.unwrap();
        assert!(size().records <= 105);
        assert!(log.positions().unwrap().is_empty());
        assert_eq!(told(), Some(0), "nothing is kept for it any more");
    })
    .await;
}

#[tokio::test]
async fn old_records_go_and_offsets_are_never_used_again() {
    limited(async {
        let rig = Embedded::new();
        let mut config = rig.settings();
        config.keep.insert("ev.device.v1".to_owned(), Keep { hours: 1, mbytes: 0 });
        config.tombstone_seconds = 3600;
        let log = EmbeddedLog::open(&config).unwrap();
        fill(&log, 0, 50).await;
        let gone = Append { topic: Topic::Registry, key: b"a", payload: None, headers: &[] };
        durable(&log, record(Topic::Registry, "a", "1")).await;
        durable(&log, gone).await;
        log.tidy().await.unwrap();
        let records = |log: &EmbeddedLog, topic: Topic| log.sizes().unwrap()[topic.index()];
        assert_eq!((records(&log, Topic::Device).records, records(&log, Topic::Registry).records), (50, 1));
        drop(log);
        // Two hours pass.
        let conn = rusqlite::Connection::open(&config.path).unwrap();
        conn.execute_batch(
            "UPDATE \"ev.device.v1\" SET at_ms = at_ms - 7200000; UPDATE \"biz.registry.v1\" SET at_ms = at_ms - 7200000;",
        )
        .unwrap();
        drop(conn);
        let log = EmbeddedLog::open(&config).unwrap();
        log.tidy().await.unwrap();
        for topic in [Topic::Device, Topic::Registry] {
            assert_eq!((records(&log, topic).records, records(&log, topic).bytes), (0, 0), "{topic}");
        }
        drop(log);
        let log = EmbeddedLog::open(&config).unwrap();
        assert_eq!(durable(&log, record(Topic::Device, "k", "50")).await.offset, 50);
        assert_eq!(durable(&log, record(Topic::Registry, "a", "2")).await.offset, 2);
    })
    .await;
}

#[tokio::test]
async fn at_the_disk_limit_appends_are_refused_until_there_is_room() {
    limited(async {
        let rig = Embedded::new();
        let mut config = rig.settings();
        config.disk_mbytes_max = 4;
        let log = EmbeddedLog::open(&config).unwrap();
        let mut reader = log.subscribe("reads", &[Topic::Device, Topic::Raw]).unwrap();
        let payload = vec![b'x'; 50_000];
        let append = |topic| append_durable(&log, Append { topic, key: b"k", payload: Some(&payload), headers: &[] });
        let (mut device, mut raw) = (0, 0);
        let error = loop {
            let topic = if (device + raw) % 2 == 0 { Topic::Device } else { Topic::Raw };
            match append(topic).await {
                Ok(_) if topic == Topic::Device => device += 1,
                Ok(_) => raw += 1,
                Err(error) => break error,
            }
            assert!(device + raw < 200, "10 MB in 4");
        };
        assert_eq!(error, NotDurable::Failed(LogError::DiskFull));
        assert!(device + raw > 60, "{}", device + raw);
        assert_eq!(log.health().lost, 1, "counted");
        assert!(log.used_bytes().unwrap() < 5 << 20);
        let (since, why) = log.health().degraded.unwrap();
        assert!(since > 0 && why.contains("full"), "{why}");
        assert_eq!(append(Topic::Device).await, Err(NotDurable::Failed(LogError::DiskFull)), "still");
        // Nobody waits for this one: it is counted all the same.
        log.append(record(Topic::Device, "k", "v"), Ack::None).unwrap();
        log.flush(Duration::from_secs(5)).await.unwrap();
        assert_eq!(log.health().lost, 3);
        // Reading goes on, and so does committing. What was read of the raw frames then makes room for money.
        let records = read_count(&mut *reader, device + raw).await;
        reader.commit(&positions(&records)).await.unwrap();
        log.tidy().await.unwrap();
        append(Topic::Device).await.unwrap();
        assert_eq!(log.health().degraded, None);
        assert_eq!(log.sizes().unwrap()[Topic::Device.index()].records, device as u64 + 1, "money is kept");
        assert_eq!(log.sizes().unwrap()[Topic::Raw.index()].records, 0);
    })
    .await;
}

#[tokio::test]
async fn a_compacted_topic_holds_one_record_per_key() {
    limited(async {
        let rig = Embedded::new();
        let log = EmbeddedLog::open(&rig.settings()).unwrap();
        for round in 0..50 {
            for key in ["a", "b", "c"] {
                durable(&log, record(Topic::Session, key, &format!("{key}{round}"))).await;
            }
        }
        let size = log.sizes().unwrap()[Topic::Session.index()];
        assert_eq!((size.records, size.bytes, size.next_offset), (3, 3 * 4, 150));
    })
    .await;
}

#[tokio::test]
async fn a_newer_file_is_not_touched() {
    let rig = Embedded::new();
    drop(rig.open());
    let conn = rusqlite::Connection::open(rig.settings().path).unwrap();
    conn.pragma_update(None, "user_version", 9).unwrap();
    for outcome in [EmbeddedLog::open(&rig.settings()), EmbeddedLog::open_reading(&rig.settings().path)] {
        match outcome {
            Err(OpenError::Newer { found: 9, known: 1, .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn closing_writes_what_was_taken_and_ends_readers() {
    limited(async {
        let rig = Embedded::new();
        let log = rig.open();
        let mut reader = log.tail(&[Topic::Device], Start::Beginning).unwrap();
        for n in 0..3000 {
            log.append(record(Topic::Device, "k", &n.to_string()), Ack::None).unwrap();
        }
        drop(log);
        assert_eq!(read_count(&mut *reader, 3000).await.len(), 3000);
        let end = tokio::time::timeout(Duration::from_secs(5), async {
            loop {
                if let Err(error) = reader.poll(10, Duration::from_secs(10)).await {
                    return error;
                }
            }
        });
        assert_eq!(end.await.unwrap(), LogError::Closed);
    })
    .await;
}

#[tokio::test]
async fn what_nobody_waits_for_gathers_until_somebody_does() {
    limited(async {
        let rig = Embedded::new();
        let mut config = rig.settings();
        config.linger_ms = 20_000;
        let log = EmbeddedLog::open(&config).unwrap();
        let mut reader = log.tail(&[Topic::Telemetry, Topic::Device], Start::Beginning).unwrap();
        let quiet = |n: u32| log.append(record(Topic::Telemetry, "k", &n.to_string()), Ack::None).unwrap();
        (0..100).for_each(quiet);
        let nothing = reader.poll(10, Duration::from_millis(300)).await.unwrap();
        assert!(nothing.records.is_empty());
        assert_eq!(log.health().queued, 100);
        // Money takes along what came before it.
        let began = std::time::Instant::now();
        durable(&log, record(Topic::Device, "k", "money")).await;
        assert_eq!(read_count(&mut *reader, 101).await.len(), 101);
        (100..150).for_each(quiet);
        log.flush(Duration::from_secs(5)).await.unwrap();
        assert_eq!(read_count(&mut *reader, 50).await.len(), 50);
        assert!(began.elapsed() < Duration::from_secs(10));
        // And at last by itself.
        drop(log);
        config.linger_ms = 30;
        let log = EmbeddedLog::open(&config).unwrap();
        log.append(record(Topic::Telemetry, "k", "150"), Ack::None).unwrap();
        let mut reader = log.tail(&[Topic::Telemetry], Start::Beginning).unwrap();
        assert_eq!(read_count(&mut *reader, 151).await.len(), 151);
    })
    .await;
}

#[test]
fn configuration_is_checked() {
    let wrong = |change: &str| {
        let config: LogConfig = serde_json::from_str(change).unwrap();
        match open(&config) {
            Err(OpenError::Config { key, .. }) => key,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(wrong(r#"{"kind":"embedded","queue_records":0}"#), "queue_records");
    assert_eq!(wrong(r#"{"kind":"embedded","keep":{"ev.nothing":{"hours":1}}}"#), "keep.ev.nothing");
    assert_eq!(wrong(r#"{"kind":"embedded","path":"/"}"#), "path");
    assert_eq!(wrong(r#"{"kind":"kafka","brokers":" "}"#), "brokers");
    assert_eq!(wrong(r#"{"kind":"kafka","topic_prefix":"a/b"}"#), "topic_prefix");
    assert_eq!(wrong(r#"{"kind":"kafka","message_timeout_ms":0}"#), "message_timeout_ms");
    assert!(serde_json::from_str::<LogConfig>(r#"{"kind":"embedded","pth":"x"}"#).is_err(), "unknown key");
    let secret: LogConfig = serde_json::from_str(r#"{"kind":"kafka","options":{"sasl.password":"hunter2"}}"#).unwrap();
    assert!(!format!("{secret:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_group_name_that_could_leave_its_folder_is_refused() {
    let rig = Embedded::new();
    let log = rig.open();
    for name in ["", "../x", "a b", "a~b"] {
        assert!(log.subscribe(name, &[Topic::Device]).is_err(), "{name:?}");
    }
}
