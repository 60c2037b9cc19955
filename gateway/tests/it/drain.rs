//! SIGTERM: served until the delay is over, then goodbyes, never between a money message and its answer.

use codecs::ykc::kind;
use events::{proto::envelope::Body, topic::Topic};
use tokio::{io::AsyncReadExt as _, net::TcpStream};

use crate::common::{PATIENCE, Rig, eventually, log::Acks, registry, ykc};

#[tokio::test]
async fn everybody_hears_goodbye_and_the_gateway_ends() {
    let rig = Rig::with(|config| config.shards = 2).await;
    let mut pile = rig.pile(registry::PILE).await;
    let mut station = rig.station(registry::STATION).await;
    rig.stop.cancel();
    assert_eq!(station.close_code().await, Some(1012));
    // An end, not a reset.
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, pile.stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    drop((pile, station));
    tokio::time::timeout(PATIENCE, rig.gateway.join).await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(rig.gateway.ykc_addr.unwrap()).await.is_err());
    let reasons: Vec<String> = rig
        .log
        .payloads(Topic::Device)
        .iter()
        .filter_map(|bytes| match events::prost::Message::decode(&bytes[..]).ok() {
            Some(events::proto::Envelope { body: Some(Body::Disconnected(left)), .. }) => Some(left.reason),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, ["drain", "drain"]);
}

#[tokio::test]
async fn a_record_under_way_is_answered_before_the_goodbye() {
    let rig = Rig::start().await;
    let mut pile = rig.pile(registry::PILE).await;
    rig.log.acks(Acks::Held);
    pile.send(&ykc::record(registry::PILE, ykc::trade(registry::PILE, 1))).await;
    eventually(|| (rig.log.held() == 1).then_some(())).await;
    rig.stop.cancel();
    pile.silence(150).await;
    rig.log.settle(true);
    pile.expect(kind::RECORD_CONFIRM).await;
    assert_eq!(pile.next().await, None);
    drop(pile);
    tokio::time::timeout(PATIENCE, rig.gateway.join).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn during_the_delay_chargers_are_still_served_and_a_late_deadline_cuts() {
    let rig = Rig::with(|config| {
        config.drain.delay_ms = 300;
        config.drain.deadline_ms = 300;
    })
    .await;
    rig.stop.cancel();
    let mut pile = rig.pile(registry::PILE).await;
    rig.log.acks(Acks::Held);
    pile.send(&ykc::record(registry::PILE, ykc::trade(registry::PILE, 1))).await;
    // Never confirmed: cut at the deadline, unanswered, so nothing is lost.
    assert_eq!(pile.next().await, None);
    drop(pile);
    tokio::time::timeout(PATIENCE, rig.gateway.join).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn goodbyes_are_spread() {
    let rig = Rig::with(|config| config.drain.spread_ms = 400).await;
    let mut first = rig.pile(registry::PILE).await;
    let mut second = rig.pile(registry::PILE_B).await;
    let begun = tokio::time::Instant::now();
    rig.stop.cancel();
    first.closed().await;
    second.closed().await;
    assert!(begun.elapsed().as_millis() >= 180, "both left at once");
    drop((first, second));
    tokio::time::timeout(PATIENCE, rig.gateway.join).await.unwrap().unwrap().unwrap();
}
