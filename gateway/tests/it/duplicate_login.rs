//! A second login of the same charger: the newer connection wins, the older can neither speak nor unregister.

use codecs::ykc::kind;
use events::{proto::envelope::Body, topic::Topic};

use crate::common::{Rig, registry, ykc};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newer_ykc_connection_wins() {
    let rig = Rig::with(|config| config.shards = 2).await;
    let mut old = rig.pile(registry::PILE).await;
    old.beats(registry::PILE).await;
    let mut new = rig.pile(registry::PILE).await;
    old.closed().await;
    new.beats(registry::PILE).await;
    let record = ykc::record(registry::PILE, ykc::trade(registry::PILE, 1));
    new.send(&record).await;
    new.expect(kind::RECORD_CONFIRM).await;

    // The old end did not unregister the charger: nothing says it left, and later events have the higher epoch.
    let device = rig.envelopes(Topic::Device);
    let left = device.iter().filter(|envelope| matches!(envelope.body, Some(Body::Disconnected(_)))).count();
    assert_eq!(left, 0);
    let epochs: Vec<u64> = device
        .iter()
        .filter(|envelope| matches!(envelope.body, Some(Body::Connected(_))))
        .map(|envelope| envelope.epoch)
        .collect();
    assert_eq!(epochs.len(), 2);
    assert!(epochs[0] < epochs[1]);
    let recorded = rig
        .event(Topic::Device, |envelope, body| matches!(body, Body::TransactionRecorded(_)).then_some(envelope.epoch));
    assert_eq!(recorded.await, epochs[1]);
    rig.drained().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newer_ocpp_connection_wins() {
    let rig = Rig::with(|config| config.shards = 2).await;
    let mut old = rig.station(registry::STATION).await;
    old.beats().await;
    let mut new = rig.station(registry::STATION).await;
    assert_eq!(old.close_code().await, Some(1008));
    new.beats().await;
    rig.drained().await;
}

#[tokio::test]
async fn a_repeated_login_on_the_same_connection_keeps_its_seat() {
    let rig = Rig::start().await;
    let mut pile = rig.pile(registry::PILE).await;
    pile.log_in(registry::PILE).await;
    pile.beats(registry::PILE).await;
    let epochs: std::collections::HashSet<u64> =
        rig.envelopes(Topic::Device).iter().map(|envelope| envelope.epoch).collect();
    assert_eq!(epochs.len(), 1);
    rig.drained().await;
}
