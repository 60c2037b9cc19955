//! A charger that goes from one node to another: the claim that stands last in the log holds it, whatever clocks say and however
//! late it is read; the older session can neither speak nor unregister it, and a bill that it carries is kept.

use std::sync::Arc;

use codecs::ykc::kind;
use events::{
    proto::{Envelope, envelope::Body},
    topic::Topic,
};

use crate::common::{MemoryLog, Rig, eventually, log::Acks, ocpp, registry, ykc};

const TEN_MINUTES: i64 = 600_000;

/// Two nodes over one log, each with its own view of it; the clock of the first is ahead.
async fn two(ahead_ms: i64) -> (Rig, Rig) {
    let log = Arc::new(MemoryLog::default());
    registry::fill(&log);
    let a = Rig::node(log.view(), "a", ahead_ms).await;
    (a, Rig::node(log.view(), "b", 0).await)
}

fn said<T>(rig: &Rig, pick: impl Fn(&Envelope, &Body) -> Option<T>) -> Vec<T> {
    let device = rig.envelopes(Topic::Device);
    device.iter().filter_map(|envelope| pick(envelope, envelope.body.as_ref()?)).collect()
}

/// Node and epoch of each login.
fn logins(rig: &Rig) -> Vec<(String, u64)> {
    said(rig, |envelope, body| matches!(body, Body::Connected(_)).then(|| (envelope.node.clone(), envelope.epoch)))
}

fn claims(rig: &Rig) -> usize {
    let session = rig.envelopes(Topic::Session);
    session.iter().filter(|envelope| matches!(envelope.body, Some(Body::SessionClaimed(_)))).count()
}

fn left(rig: &Rig) -> usize {
    said(rig, |_, body| matches!(body, Body::Disconnected(_)).then_some(())).len()
}

async fn both_drain(a: Rig, b: Rig) {
    a.drained().await;
    b.drained().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_by_a_clock_behind_fences_the_older_and_comes_back_above_it() {
    let (a, b) = two(TEN_MINUTES).await;
    b.log.lag_behind(true);
    let mut old = a.pile(registry::PILE).await;
    let mut new = b.pile(registry::PILE).await;
    // b's epoch is lower, as it has not heard of a's clock; still it is the later one.
    old.closed().await;
    new.beats(registry::PILE).await;
    let before = logins(&a);
    assert!(before[1].1 < before[0].1, "{before:?}");
    b.log.lag_behind(false);
    // Nobody would believe what it says of now: closed at once, and the next one is right.
    new.closed().await;
    // If it did not come back, it would be offline: the end is said under the epoch that is believed.
    let end = |envelope: &Envelope, body: &Body| matches!(body, Body::Disconnected(_)).then_some(envelope.epoch);
    assert_eq!(b.event(Topic::Device, end).await, before[0].1);
    new = b.pile(registry::PILE).await;
    new.beats(registry::PILE).await;
    new.silence(150).await;
    let after = logins(&a);
    assert!(after.iter().rev().skip(1).all(|earlier| earlier.1 < after.last().unwrap().1), "{after:?}");
    assert_eq!(left(&a), 1);
    both_drain(a, b).await;
}

/// A node that was stopped and woke: what it says carries an older epoch, and its bill is in the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_node_wakes_as_the_older_one() {
    let (a, b) = two(0).await;
    let mut old = a.pile(registry::PILE).await;
    a.log.lag_behind(true);
    let mut new = b.pile(registry::PILE).await;
    // It does not know yet that it has lost the charger.
    let record = ykc::record(registry::PILE, ykc::trade(registry::PILE, 1));
    old.send(&record).await;
    old.expect(kind::RECORD_CONFIRM).await;
    a.log.lag_behind(false);
    old.closed().await;
    new.beats(registry::PILE).await;
    new.send(&record).await;
    new.expect(kind::RECORD_CONFIRM).await;
    let bills = said(&a, |envelope, body| match body {
        Body::TransactionRecorded(bill) => Some((envelope.epoch, bill.session.clone(), bill.digest.clone())),
        _ => None,
    });
    // The same bill twice, by session and digest, and only the later one speaks for now.
    assert!(bills.len() == 2 && bills[0].0 < bills[1].0 && (&bills[0].1, &bills[0].2) == (&bills[1].1, &bills[1].2));
    assert_eq!(left(&a), 0);
    both_drain(a, b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_older_session_neither_answers_nor_unregisters_and_its_bill_is_kept() {
    let (a, b) = two(0).await;
    let mut old = a.pile(registry::PILE).await;
    let mut old_station = a.station(registry::STATION).await;
    a.log.acks(Acks::Held);
    let record = ykc::record(registry::PILE, ykc::trade(registry::PILE, 1));
    old.send(&record).await;
    old_station.call("StartTransaction", ocpp::start(1, 1_000)).await;
    eventually(|| (a.log.held() == 2).then_some(())).await;
    let mut new = b.pile(registry::PILE).await;
    let mut station = b.station(registry::STATION).await;
    assert_eq!(old.next().await, None, "an answer by the older");
    assert_eq!(old_station.close_code().await, Some(1008));
    a.log.settle(true);
    a.log.acks(Acks::AtOnce);
    new.send(&record).await;
    new.expect(kind::RECORD_CONFIRM).await;
    station.ask("StartTransaction", ocpp::start(1, 1_000)).await;
    drop((old, old_station));
    new.beats(registry::PILE).await;
    station.beats().await;
    assert_eq!(left(&a), 0);
    let starts = said(&a, |_, body| match body {
        Body::SessionStarted(start) => Some(start.session.clone()),
        _ => None,
    });
    assert!(starts.len() == 2 && starts[0] == starts[1], "{starts:?}");
    let bills = said(&a, |_, body| matches!(body, Body::TransactionRecorded(_)).then_some(()));
    assert_eq!(bills.len(), 2);
    both_drain(a, b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_log_away_two_may_hold_it_and_one_does_when_it_is_back() {
    let (a, b) = two(0).await;
    a.log.refuse(Some(Topic::Session));
    let mut one = a.pile(registry::PILE).await;
    let mut other = b.pile(registry::PILE).await;
    one.beats(registry::PILE).await;
    other.beats(registry::PILE).await;
    assert_eq!(claims(&a), 0);
    a.log.refuse(None);
    // Both are said again; whichever stands first in the log is closed.
    tokio::select! {
        () = one.closed() => {}
        () = other.closed() => {}
    }
    assert_eq!(claims(&a), 2);
    drop((one, other));
    let mut now = b.pile(registry::PILE).await;
    now.beats(registry::PILE).await;
    now.silence(700).await;
    assert_eq!(claims(&a), 3, "said again without need");
    both_drain(a, b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_of_one_name_do_not_ignore_each_other() {
    let log = Arc::new(MemoryLog::default());
    registry::fill(&log);
    let a = Rig::node(log.view(), "same", 0).await;
    let b = Rig::node(log.view(), "same", 0).await;
    let mut old = a.pile(registry::PILE).await;
    let mut new = b.pile(registry::PILE).await;
    old.closed().await;
    new.beats(registry::PILE).await;
    let status = crate::admin::get(&a, "/status").await.1;
    assert!(status.contains("another process uses this node's name"), "{status}");
    both_drain(a, b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_listeners_open_after_the_claims_are_read() {
    let (a, _b) = two(TEN_MINUTES).await;
    let _old = a.pile(registry::PILE).await;
    let view = a.log.view();
    view.lag_behind(true);
    let mut starting = Box::pin(Rig::node(Arc::clone(&view), "c", 0));
    let opened = tokio::time::timeout(std::time::Duration::from_millis(300), &mut starting).await;
    assert!(opened.is_err(), "opened without the claims");
    view.lag_behind(false);
    let c = starting.await;
    let mut new = c.pile(registry::PILE).await;
    new.beats(registry::PILE).await;
    let logins = logins(&a);
    assert!(logins[0].1 < logins[1].1, "{logins:?}");
    c.drained().await;
}
