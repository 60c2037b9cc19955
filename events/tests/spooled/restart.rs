//! What a process leaves in the spool, the next one hands on.

use std::{sync::Arc, time::Duration};

use events::{
    log::{
        Ack, EventLog, OpenError,
        spooled::{Spool, look},
    },
    topic::Topic,
};

use crate::double::{Heard, Mode, Rig, empty, eventually, money, record};

#[tokio::test]
async fn what_is_not_confirmed_at_the_end_is_in_the_spool_and_drained_first_by_the_next() {
    let rig = Rig::new(60_000);
    let heard = Arc::new(Heard::default());
    let log = rig.open();
    rig.log.mode(Mode::Silent);
    for token in 0..10 {
        money(&log, &heard, token, &format!("key-{}", token % 3)).unwrap();
    }
    log.append(record(Topic::Device, "key-0", "10"), Ack::Kept).unwrap();
    assert!(log.flush(Duration::from_millis(300)).await.is_err(), "the log has nothing");
    for token in 0..10 {
        assert_eq!(heard.durable(token).await.partition, -1, "but the spool has");
    }
    let spool = look(&rig.config().path).unwrap();
    assert_eq!(spool.iter().map(|unread| unread.records).sum::<u64>(), 11);
    match Spool::open(&rig.config(), 900) {
        Err(OpenError::InUse { path }) => assert!(path.starts_with(rig.config().path)),
        other => panic!("{other:?}"),
    }
    drop(log);
    rig.log.settle(usize::MAX, false);

    let log = rig.open();
    let spool = log.health().spool.unwrap();
    assert_eq!((spool.records, spool.left_behind), (11, 11));
    // New records wait behind what was left, of whatever key.
    money(&log, &heard, 20, "new").unwrap();
    heard.durable(20).await;
    let early = tokio::time::timeout(Duration::from_millis(150), log.caught_up()).await;
    assert!(early.is_err(), "not before the log has it");
    rig.log.recover();
    log.caught_up().await.unwrap();
    let payloads = rig.log.payloads();
    assert!(payloads.len() >= 11, "{payloads:?}");
    empty(&log).await;
    assert_eq!(rig.log.log().len(), 12, "each once");
    drop(log);
    assert!(look(&rig.config().path).unwrap().is_empty());
}

#[tokio::test]
async fn what_was_drained_leaves_the_disk() {
    let rig = Rig::new(20);
    let log = rig.open();
    let heard = Arc::new(Heard::default());
    let payload = "x".repeat(10_000);
    let mut sizes = Vec::new();
    for round in 0..3 {
        rig.log.mode(Mode::Fails);
        for token in round * 1000..round * 1000 + 300 {
            let key = format!("key-{token}");
            let ack = Ack::Notify { sink: Arc::clone(&heard) as _, token };
            log.append(record(Topic::Device, &key, &payload), ack).unwrap();
        }
        heard.durable(round * 1000 + 299).await;
        rig.log.recover();
        empty(&log).await;
        // Deleted in the next round of housekeeping.
        let file = rig.config().path.join("spool.db");
        eventually("rows gone", || {
            let conn = rusqlite::Connection::open(&file).unwrap();
            let rows: i64 = conn.query_row("SELECT count(*) FROM \"ev.device.v1\"", [], |row| row.get(0)).unwrap();
            (rows == 0).then_some(())
        })
        .await;
        sizes.push(std::fs::metadata(&file).unwrap().len());
    }
    assert!(sizes[2] <= sizes[0] * 2, "the file does not grow with every outage: {sizes:?}");
}
