//! The log has no room: money waits and its socket is not read; live data is coalesced; liveness is answered.

use codecs::ykc::{GunState, TradeNo, kind};
use events::{proto::envelope::Body, topic::Topic};

use crate::common::{Rig, counter, ocpp, registry, ykc};

#[tokio::test]
async fn money_waits_for_room_and_is_then_answered_once() {
    let rig = Rig::start().await;
    let mut pile = rig.pile(registry::PILE).await;
    rig.log.full(true);
    pile.send(&ykc::record(registry::PILE, ykc::trade(registry::PILE, 1))).await;
    // Not read any more: what follows waits in the socket, in order.
    pile.send(&ykc::heartbeat(registry::PILE)).await;
    pile.silence(150).await;
    rig.log.full(false);
    let mut kinds = [pile.next().await.unwrap().kind, pile.next().await.unwrap().kind];
    kinds.sort_unstable();
    assert_eq!(kinds, [kind::HEARTBEAT_ACK, kind::RECORD_CONFIRM]);
    let records = rig
        .envelopes(Topic::Device)
        .into_iter()
        .filter(|envelope| matches!(envelope.body, Some(Body::TransactionRecorded(_))))
        .count();
    assert_eq!(records, 1);
    rig.drained().await;
}

#[tokio::test]
async fn live_data_is_coalesced_to_the_latest_and_counted_while_heartbeats_are_answered() {
    let rig = Rig::start().await;
    let before = counter("evgate_events_shed_total", &["live"]);
    let mut pile = rig.pile(registry::PILE).await;
    pile.send(&ykc::real_time(registry::PILE, GunState::Idle, false, TradeNo::ZERO)).await;
    pile.beats(registry::PILE).await;
    rig.log.full(true);
    for soc in 1..=10 {
        let mut sample = ykc::real_time(registry::PILE, GunState::Idle, false, TradeNo::ZERO);
        sample.soc = soc;
        pile.send(&sample).await;
    }
    pile.beats(registry::PILE).await;
    assert!(counter("evgate_events_shed_total", &["live"]) >= before + 9.0);
    rig.log.full(false);
    let latest = rig.event(Topic::Telemetry, |_, body| match body {
        Body::MeterSampled(sample) if sample.soc_percent == Some(10) => Some(()),
        _ => None,
    });
    latest.await;
    assert_eq!(rig.envelopes(Topic::Telemetry).len(), 2, "the first and the latest");
    rig.drained().await;
}

#[tokio::test]
async fn the_order_of_a_transaction_is_kept_through_a_full_log() {
    let rig = Rig::start().await;
    let mut station = rig.station(registry::STATION).await;
    let started = station.ask("StartTransaction", ocpp::start(1, 1_000)).await;
    let transaction = started["transactionId"].as_i64().unwrap();
    rig.log.full(true);
    let first = station.call("MeterValues", ocpp::meter_values(transaction, 1_500)).await;
    let second = station.call("MeterValues", ocpp::meter_values(transaction, 2_000)).await;
    let stop = station.call("StopTransaction", ocpp::stop(transaction, 2_500)).await;
    station.silence(100).await;
    rig.log.full(false);
    for id in [first, second, stop] {
        station.result(&id).await;
    }
    let meters: Vec<Option<u64>> = rig
        .envelopes(Topic::Device)
        .iter()
        .filter_map(|envelope| match envelope.body.as_ref()? {
            Body::SessionStarted(started) => Some(started.meter_start_e4),
            Body::MeterSampled(sample) => Some(sample.register_e4),
            Body::TransactionRecorded(record) => Some(record.meter_end_e4),
            _ => None,
        })
        .collect();
    assert_eq!(meters, [Some(10_000), Some(15_000), Some(20_000), Some(25_000)]);
    rig.drained().await;
}

#[tokio::test]
async fn what_a_lost_connection_still_had_to_say_is_said_when_there_is_room() {
    let rig = Rig::start().await;
    let pile = rig.pile(registry::PILE).await;
    rig.log.full(true);
    drop(pile);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    rig.log.full(false);
    let left = rig.event(Topic::Device, |_, body| matches!(body, Body::Disconnected(_)).then_some(()));
    left.await;
    rig.drained().await;
}
