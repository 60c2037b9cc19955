//! A charger that is taken out of the registry, or disabled, while it is connected: its connection ends, after the answers to what it
//! had told; everybody else stays.

use codecs::ykc::kind;
use events::{
    proto::envelope::Body,
    registry::{Charger, registry_entry::Value},
    topic::Topic,
};

use crate::common::{Rig, eventually, log::Acks, ocpp, registry, ykc};

fn entry(id: &str, protocol: &str) -> Charger {
    Charger {
        tenant: registry::TENANT,
        charger: id.into(),
        protocol: protocol.into(),
        enabled: true,
        tariff: "S01/1".into(),
        ..Charger::default()
    }
}

fn key(id: &str) -> String {
    format!("charger/{id}")
}

/// Changes a charger and waits until the gateway has read that.
async fn change(rig: &Rig, id: &str, to: Option<Charger>) {
    match to {
        Some(charger) => registry::put(&rig.log, &key(id), Value::Charger(charger)),
        None => rig.log.delete(Topic::Registry, &key(id)),
    }
    read(rig).await;
}

/// The gateway knows what the registry says now.
async fn read(rig: &Rig) {
    let mark = format!("3999999{:07}", rig.log.records(Topic::Registry).len());
    registry::pile(&rig.log, &mark);
    // A pile that it does not know yet is refused.
    loop {
        let mut pile = rig.ykc().await;
        pile.send(&ykc::login(&mark)).await;
        if pile.expect(kind::LOGIN_ACK).await.body[7] == 0 {
            return;
        }
    }
}

async fn left(rig: &Rig, id: &str) -> String {
    rig.event(Topic::Device, |envelope, body| match body {
        Body::Disconnected(left) if envelope.charger == id => Some(left.reason.clone()),
        _ => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pile_is_answered_what_it_told_and_then_closed_and_refused() {
    for to in [None, Some(Charger { enabled: false, ..entry(registry::PILE, "ykc") })] {
        let rig = Rig::start().await;
        let mut pile = rig.pile(registry::PILE).await;
        rig.log.acks(Acks::Held);
        let record = ykc::record(registry::PILE, ykc::trade(registry::PILE, 1));
        pile.send(&record).await;
        eventually(|| (rig.log.held() == 1).then_some(())).await;
        change(&rig, registry::PILE, to).await;
        pile.silence(100).await;
        rig.log.settle(true);
        let answer = pile.expect(kind::RECORD_CONFIRM).await;
        assert_eq!((&answer.body[..16], answer.body[16]), (&record.trade_no.0[..], 0));
        assert_eq!(pile.next().await, None, "not closed");
        assert_eq!(left(&rig, registry::PILE).await, "removed");
        let mut again = rig.ykc().await;
        again.send(&ykc::login(registry::PILE)).await;
        assert_eq!(again.expect(kind::LOGIN_ACK).await.body[7], 1);
        assert_eq!(again.next().await, None);
        rig.drained().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_station_is_answered_what_it_told_and_then_closed_and_refused() {
    for to in [None, Some(Charger { enabled: false, ..entry(registry::STATION, "ocpp1.6") })] {
        let rig = Rig::start().await;
        let mut station = rig.station(registry::STATION).await;
        rig.log.acks(Acks::Held);
        let call = station.call("StartTransaction", ocpp::start(1, 1_000)).await;
        eventually(|| (rig.log.held() == 1).then_some(())).await;
        change(&rig, registry::STATION, to).await;
        station.silence(100).await;
        rig.log.settle(true);
        let answer = station.result(&call).await;
        assert_eq!(answer["idTagInfo"]["status"], "Accepted");
        assert_eq!(station.next().await, Err(Some(1008)));
        assert_eq!(left(&rig, registry::STATION).await, "removed");
        let path = format!("/ocpp/{}", registry::STATION);
        let again = ocpp::upgrade(rig.gateway.ocpp_addr.unwrap(), &path, Some("ocpp1.6"), None).await;
        assert!(again.is_err(), "let in again");
        rig.drained().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_piles_and_other_changes_end_nothing() {
    let rig = Rig::start().await;
    let mut shared = rig.pile(registry::PILE).await;
    shared.log_in(registry::PILE_B).await;
    let mut station = rig.station(registry::STATION).await;
    // Other fields, a tariff that is gone, another charger.
    let tariffless = Charger { tariff: String::new(), connectors: 9, ..entry(registry::PILE, "ykc") };
    change(&rig, registry::PILE, Some(tariffless)).await;
    let secret =
        Charger { secret_salt: "x".into(), secret_hash: vec![1; 32].into(), ..entry(registry::STATION, "ocpp1.6") };
    change(&rig, registry::STATION, Some(secret)).await;
    rig.log.delete(Topic::Registry, &format!("tariff/{}/S01/1", registry::TENANT));
    change(&rig, registry::STATION_B, None).await;
    shared.beats(registry::PILE).await;
    shared.beats(registry::PILE_B).await;
    station.beats().await;
    // One pile of a concentrator goes; the other stays, and so does their connection.
    change(&rig, registry::PILE, None).await;
    assert_eq!(left(&rig, registry::PILE).await, "removed");
    shared.beats(registry::PILE_B).await;
    shared.send(&ykc::heartbeat(registry::PILE)).await;
    shared.beats(registry::PILE_B).await;
    station.beats().await;
    change(&rig, registry::PILE_B, None).await;
    assert_eq!(shared.next().await, None);
    rig.drained().await;
}

/// What was true once, and comes again because the topic is read from its start, is not now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_the_topic_anew_ends_nothing_and_misses_nothing() {
    let rig = Rig::start().await;
    rig.log.delete(Topic::Registry, &key(registry::PILE));
    let gone_at = rig.log.len();
    change(&rig, registry::PILE, Some(entry(registry::PILE, "ykc"))).await;
    let mut pile = rig.pile(registry::PILE).await;
    let mut other = rig.pile(registry::PILE_B).await;
    // The reader begins anew and stands at the moment at which the charger was gone.
    rig.log.stop(Some((Topic::Registry, gone_at)));
    rig.log.break_readers(Topic::Registry);
    eventually(|| rig.log.stopped().then_some(())).await;
    pile.beats(registry::PILE).await;
    let mut pile = rig.pile(registry::PILE).await;
    rig.log.stop(None);
    read(&rig).await;
    pile.beats(registry::PILE).await;
    other.beats(registry::PILE_B).await;
    // Gone while nobody could read it.
    rig.log.break_readers(Topic::Registry);
    rig.log.delete(Topic::Registry, &key(registry::PILE));
    assert_eq!(pile.next().await, None);
    other.beats(registry::PILE_B).await;
    rig.drained().await;
}
