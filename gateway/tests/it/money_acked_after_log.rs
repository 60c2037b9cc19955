//! The promise: money is answered after the log's confirmation, and not before.

use codecs::ykc::kind;
use events::{proto::envelope::Body, topic::Topic};

use crate::common::{Rig, eventually, log::Acks, ocpp, registry, ykc};

#[tokio::test]
async fn a_ykc_record_waits_for_the_log() {
    let rig = Rig::start().await;
    let mut pile = rig.pile(registry::PILE).await;
    rig.log.acks(Acks::Held);
    let trade_no = ykc::trade(registry::PILE, 1);
    let seq = pile.send(&ykc::record(registry::PILE, trade_no)).await;
    eventually(|| (rig.log.held() == 1).then_some(())).await;
    pile.silence(100).await;
    rig.log.settle(true);
    let confirm = pile.expect(kind::RECORD_CONFIRM).await;
    assert_eq!(confirm.seq, seq);
    assert_eq!((&confirm.body[..16], confirm.body[16]), (&trade_no.0[..], 0));
    let recorded = rig.event(Topic::Device, |_, body| match body {
        Body::TransactionRecorded(record) => Some(record.clone()),
        _ => None,
    });
    let record = recorded.await;
    assert_eq!(record.session, trade_no.to_string());
    assert_eq!((record.energy_e4, record.amount_e4), (Some(40_000), Some(44_000)));
    assert_eq!(record.periods.len(), 4);
    assert_eq!(record.stop_reason, "full");
    assert_eq!(record.digest.len(), 32);
    assert_eq!(record.raw.len(), 158);
    rig.drained().await;
}

#[tokio::test]
async fn ocpp_transaction_messages_wait_for_the_log_and_the_rest_does_not() {
    let rig = Rig::start().await;
    let mut station = rig.station(registry::STATION).await;
    rig.log.acks(Acks::Held);
    let start = station.call("StartTransaction", ocpp::start(1, 1_000)).await;
    eventually(|| (rig.log.held() == 1).then_some(())).await;
    station.beats().await;
    station.silence(80).await;
    rig.log.settle(true);
    let answer = station.result(&start).await;
    let transaction = answer["transactionId"].as_i64().unwrap();
    assert_eq!(answer["idTagInfo"]["status"], "Accepted");
    assert!((1..=i64::from(i32::MAX)).contains(&transaction));

    let meter = station.call("MeterValues", ocpp::meter_values(transaction, 1_500)).await;
    eventually(|| (rig.log.held() == 1).then_some(())).await;
    station.silence(50).await;
    rig.log.settle(true);
    station.result(&meter).await;

    let stop = station.call("StopTransaction", ocpp::stop(transaction, 2_500)).await;
    eventually(|| (rig.log.held() == 1).then_some(())).await;
    station.silence(50).await;
    rig.log.settle(true);
    station.result(&stop).await;
    rig.drained().await;
}

#[tokio::test]
async fn a_retry_with_a_new_message_id_gets_the_same_transaction() {
    let rig = Rig::start().await;
    let mut station = rig.station(registry::STATION).await;
    let first = station.ask("StartTransaction", ocpp::start(1, 1_000)).await;
    drop(station);
    let mut station = rig.station(registry::STATION).await;
    let again = station.ask("StartTransaction", ocpp::start(1, 1_000)).await;
    assert_eq!(first["transactionId"], again["transactionId"]);
    let other = station.ask("StartTransaction", ocpp::start(1, 1_001)).await;
    assert_ne!(first["transactionId"], other["transactionId"]);
    rig.drained().await;
}

#[tokio::test]
async fn a_meter_message_of_several_samples_waits_for_all_of_them() {
    let rig = Rig::start().await;
    let mut station = rig.station(registry::STATION).await;
    rig.log.acks(Acks::Held);
    let mut values = ocpp::meter_values(77, 1_500);
    let second = values["meterValue"][0].clone();
    values["meterValue"].as_array_mut().unwrap().push(second);
    let id = station.call("MeterValues", values).await;
    eventually(|| (rig.log.held() == 2).then_some(())).await;
    rig.log.settle(true);
    station.result(&id).await;
    station.silence(50).await;
    rig.drained().await;
}
