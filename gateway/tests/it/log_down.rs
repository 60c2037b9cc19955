//! The log takes money but does not confirm it: silence, then a closed connection, never an answer.

use codecs::ykc::kind;
use events::{proto::envelope::Body, topic::Topic};

use crate::common::{Rig, counter, eventually, log::Acks, ocpp, registry, ykc};

#[tokio::test]
async fn a_record_that_fails_in_the_log_closes_the_connection_unanswered() {
    let rig = Rig::start().await;
    let before = counter("evgate_money_unanswered_total", &[]);
    let mut pile = rig.pile(registry::PILE).await;
    rig.log.acks(Acks::Failed);
    pile.send(&ykc::record(registry::PILE, ykc::trade(registry::PILE, 1))).await;
    assert_eq!(pile.next().await, None, "closed, nothing answered");
    assert!(counter("evgate_money_unanswered_total", &[]) > before);
    let reason = rig.event(Topic::Device, |_, body| match body {
        Body::Disconnected(left) => Some(left.reason.clone()),
        _ => None,
    });
    assert_eq!(reason.await, "log_unavailable");

    // The charger tries again when the log is well, and gets its answer.
    rig.log.acks(Acks::AtOnce);
    let mut pile = rig.pile(registry::PILE).await;
    pile.send(&ykc::record(registry::PILE, ykc::trade(registry::PILE, 1))).await;
    assert_eq!(pile.expect(kind::RECORD_CONFIRM).await.body[16], 0);
    rig.drained().await;
}

#[tokio::test]
async fn money_that_is_never_confirmed_closes_the_connection_and_liveness_goes_on_until_then() {
    let rig = Rig::with(|config| config.money.ack_ms = 400).await;
    let mut pile = rig.pile(registry::PILE).await;
    let mut station = rig.station(registry::STATION).await;
    rig.log.acks(Acks::Held);
    pile.send(&ykc::record(registry::PILE, ykc::trade(registry::PILE, 1))).await;
    station.call("StartTransaction", ocpp::start(1, 100)).await;
    // Unconfirmed money does not stop heartbeats.
    pile.beats(registry::PILE).await;
    station.beats().await;
    assert_eq!(pile.next().await, None);
    assert_eq!(station.next().await, Err(Some(1013)));
    // Confirmations for connections that are gone are dropped.
    rig.log.settle(true);
    rig.log.acks(Acks::AtOnce);
    let mut again = rig.pile(registry::PILE).await;
    again.beats(registry::PILE).await;
    again.silence(50).await;
    rig.drained().await;
}

#[tokio::test]
async fn a_confirmation_is_not_given_to_the_next_connection_in_the_same_slot() {
    let rig = Rig::start().await;
    let mut old = rig.pile(registry::PILE).await;
    rig.log.acks(Acks::Held);
    old.send(&ykc::record(registry::PILE, ykc::trade(registry::PILE, 7))).await;
    eventually(|| (rig.log.held() == 1).then_some(())).await;
    drop(old);
    let left = rig.event(Topic::Device, |_, body| matches!(body, Body::Disconnected(_)).then_some(()));
    left.await;
    let mut new = rig.pile(registry::PILE).await;
    rig.log.settle(true);
    new.silence(100).await;
    new.beats(registry::PILE).await;
    rig.drained().await;
}

#[tokio::test]
async fn at_most_so_much_money_waits_per_connection() {
    let rig = Rig::with(|config| config.limits.pending_money = 3).await;
    let mut pile = rig.pile(registry::PILE).await;
    rig.log.acks(Acks::Held);
    for counter in 1..=3 {
        pile.send(&ykc::record(registry::PILE, ykc::trade(registry::PILE, counter))).await;
        let expected = usize::from(counter);
        eventually(|| (rig.log.held() == expected).then_some(())).await;
    }
    // The fourth stays in the socket.
    pile.send(&ykc::record(registry::PILE, ykc::trade(registry::PILE, 4))).await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(rig.log.held(), 3);
    rig.log.settle(true);
    for _ in 1..=3 {
        pile.expect(kind::RECORD_CONFIRM).await;
    }
    eventually(|| (rig.log.held() == 1).then_some(())).await;
    rig.log.settle(true);
    pile.expect(kind::RECORD_CONFIRM).await;
    rig.drained().await;
}
