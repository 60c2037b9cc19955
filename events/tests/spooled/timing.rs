//! When a record goes to the spool, and when its waiter hears.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use events::{
    log::{Ack, AppendError, EventLog},
    topic::Topic,
};

use crate::double::{Heard, Mode, Rig, empty, eventually, money, record};

#[tokio::test]
async fn what_the_log_confirms_in_time_never_sees_the_spool() {
    let rig = Rig::new(60_000);
    let log = rig.open();
    let heard = Arc::new(Heard::default());
    for token in 0..100 {
        money(&log, &heard, token, "k").unwrap();
        assert!(heard.of(token).unwrap().unwrap().partition >= 0, "by the log");
    }
    let spool = log.health().spool.unwrap();
    assert_eq!((spool.spooled, spool.records, spool.log_away), (0, 0, false));
    assert_eq!(rig.log.log().len(), 100);
}

#[tokio::test]
async fn what_the_log_does_not_confirm_in_time_is_answered_by_the_spool_and_later_ones_at_once() {
    let rig = Rig::new(300);
    let log = rig.open();
    let heard = Arc::new(Heard::default());
    rig.log.mode(Mode::Silent);
    let began = Instant::now();
    money(&log, &heard, 1, "a").unwrap();
    assert_eq!(heard.durable(1).await.partition, -1, "by the spool");
    assert!((290..2_000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    assert!(log.health().spool.unwrap().log_away);

    // Now the log is known to be away: nobody waits for it again.
    let began = Instant::now();
    for token in 2..12 {
        money(&log, &heard, token, &format!("key-{token}")).unwrap();
        heard.durable(token).await;
    }
    assert!(began.elapsed() < Duration::from_millis(2_500), "{:?} for ten", began.elapsed());
    let spool = log.health().spool.unwrap();
    assert_eq!((spool.spooled, spool.drained, spool.records), (11, 0, 11));
    assert!(spool.bytes > 0 && spool.oldest_at_ms > 0);

    // It comes back, and with its first confirmation the old way.
    rig.log.recover();
    empty(&log).await;
    let spool = log.health().spool.unwrap();
    assert_eq!((spool.drained, spool.bytes, spool.oldest_at_ms, spool.log_away), (11, 0, 0, false));
    money(&log, &heard, 100, "a").unwrap();
    assert!(heard.of(100).unwrap().unwrap().partition >= 0);
}

#[tokio::test]
async fn a_log_that_refuses_or_fails_is_not_waited_for() {
    for mode in [Mode::Full, Mode::Fails] {
        let rig = Rig::new(60_000);
        let log = rig.open();
        let heard = Arc::new(Heard::default());
        rig.log.mode(mode);
        money(&log, &heard, 1, "k").unwrap();
        assert_eq!(heard.durable(1).await.partition, -1, "{mode:?}");
        log.append(record(Topic::Device, "k", "kept"), Ack::Kept).unwrap();
        rig.log.recover();
        empty(&log).await;
        assert_eq!(rig.log.payloads(), ["1", "kept"], "{mode:?}");
        assert_eq!(log.health().lost, 0);
    }
}

#[tokio::test]
async fn a_late_confirmation_is_enough() {
    let rig = Rig::new(50);
    let log = rig.open();
    let heard = Arc::new(Heard::default());
    rig.log.mode(Mode::Silent);
    for token in 0..20 {
        money(&log, &heard, token, &format!("key-{}", token % 4)).unwrap();
    }
    for token in 0..20 {
        heard.durable(token).await;
    }
    rig.log.recover();
    empty(&log).await;
    assert_eq!(rig.log.log().len(), 20, "none was sent twice");
}

#[tokio::test]
async fn what_nobody_waits_for_passes_or_is_refused_while_its_key_is_behind() {
    let rig = Rig::new(50);
    let log = rig.open();
    let heard = Arc::new(Heard::default());
    rig.log.mode(Mode::Silent);
    money(&log, &heard, 1, "behind").unwrap();
    heard.durable(1).await;
    let status = |key| log.append(record(Topic::Device, key, "status"), Ack::None);
    assert_eq!(status("behind"), Err(AppendError::Full), "it would overtake");
    status("other").unwrap();
    log.append(record(Topic::Telemetry, "behind", "sample"), Ack::None).unwrap();
    log.append(record(Topic::Session, "behind", "claim"), Ack::None).unwrap();
    rig.log.recover();
    empty(&log).await;
    status("behind").unwrap();
    assert_eq!(rig.log.payloads(), ["1", "status", "sample", "claim", "status"]);
}

#[tokio::test]
async fn a_compacted_topic_is_left_to_its_owner() {
    let rig = Rig::new(50);
    let log = rig.open();
    let heard = Arc::new(Heard::default());
    rig.log.mode(Mode::Silent);
    log.append(record(Topic::Registry, "k", "v"), Ack::Notify { sink: Arc::clone(&heard) as _, token: 1 }).unwrap();
    money(&log, &heard, 2, "k").unwrap();
    heard.durable(2).await;
    assert_eq!(heard.of(1), None);
    rig.log.settle(1, false);
    assert!(heard.of(1).unwrap().is_err(), "told as it is");
    assert_eq!(log.health().spool.unwrap().spooled, 1);
}

#[tokio::test]
async fn a_log_that_is_only_slow_stays_in_use() {
    let rig = Rig::new(50);
    let log = rig.open();
    let heard = Arc::new(Heard::default());
    rig.log.mode(Mode::Silent);
    money(&log, &heard, 1, "a").unwrap();
    heard.durable(1).await;
    rig.log.settle(1, true);
    eventually("no longer away", || (!log.health().spool?.log_away).then_some(())).await;
    empty(&log).await;
    money(&log, &heard, 2, "b").unwrap();
    assert_eq!(rig.log.held().len(), 1, "the log was asked first");
}
