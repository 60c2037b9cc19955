//! Too many connections: refused, counted, and room again when others leave.

use std::{sync::Arc, time::Duration};

use codecs::ykc::kind;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::Instant,
};

use crate::common::{MemoryLog, PATIENCE, Rig, counter, registry, ykc};

async fn refused(rig: &Rig) {
    let mut stream = TcpStream::connect(rig.gateway.ykc_addr.unwrap()).await.unwrap();
    let mut rest = Vec::new();
    // An end or a reset: nothing is said either way.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn connections_per_address_are_limited() {
    let rig = Rig::with(|config| config.limits.connections_per_ip = 2).await;
    let before = counter("evgate_connections_refused_total", &["per_ip"]);
    let pile = rig.pile(registry::PILE).await;
    let mut other = rig.pile(registry::PILE_B).await;
    refused(&rig).await;
    assert!(counter("evgate_connections_refused_total", &["per_ip"]) > before);
    other.beats(registry::PILE_B).await;
    drop(pile);
    let left = rig.event(events::topic::Topic::Device, |_, body| {
        matches!(body, events::proto::envelope::Body::Disconnected(_)).then_some(())
    });
    left.await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    rig.pile(registry::PILE).await;
    rig.drained().await;
}

#[tokio::test]
async fn connections_in_all_are_limited() {
    let rig = Rig::with(|config| config.limits.connections = 1).await;
    let before = counter("evgate_connections_refused_total", &["total"]);
    let mut pile = rig.pile(registry::PILE).await;
    refused(&rig).await;
    assert!(counter("evgate_connections_refused_total", &["total"]) > before);
    pile.beats(registry::PILE).await;
    rig.drained().await;
}

/// Everybody comes at once: those beyond the rate are closed unanswered and come in later, and who is in is served all the while.
#[tokio::test]
async fn a_storm_of_logins_is_let_in_at_its_pace() {
    const PILES: usize = 40;
    let ids: Vec<String> = (0..PILES).map(|index| format!("{:014}", 55_000_000_000_000 + index)).collect();
    let log = Arc::new(MemoryLog::default());
    registry::fill(&log);
    ids.iter().for_each(|id| registry::pile(&log, id));
    let rig = Rig::over(log, |config| config.limits.logins_per_second = 20).await;
    let before = counter("evgate_logins_total", &["ykc", "busy"]);
    let mut living = rig.pile(registry::PILE).await;
    let begun = Instant::now();
    let mut storm = JoinSet::new();
    for id in ids {
        let addr = rig.gateway.ykc_addr.unwrap();
        storm.spawn(async move {
            loop {
                let mut client = ykc::Client::connect(addr).await;
                client.send(&ykc::login(&id)).await;
                match client.next().await {
                    Some(ack) => {
                        assert_eq!((ack.kind, ack.body[7]), (kind::LOGIN_ACK, 0), "refused for good");
                        return client;
                    }
                    None => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
    }
    let mut inside = Vec::new();
    while inside.len() < PILES {
        tokio::select! {
            Some(client) = storm.join_next() => inside.push(client.unwrap()),
            () = tokio::time::sleep(Duration::from_millis(20)) => living.beats(registry::PILE).await,
        }
    }
    // Ten at once, then twenty a second.
    assert!((1_000..10_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    assert!(counter("evgate_logins_total", &["ykc", "busy"]) > before);
    rig.drained().await;
}

#[tokio::test]
async fn a_station_that_is_too_many_hears_when_to_come_back() {
    let rig = Rig::with(|config| config.limits.logins_per_second = 1).await;
    let _first = rig.station(registry::STATION).await;
    let mut stream = TcpStream::connect(rig.gateway.ocpp_addr.unwrap()).await.unwrap();
    let request = format!(
        "GET /ocpp/{} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: ocpp1.6\r\n\r\n",
        registry::STATION_B
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let seconds: u32 = answer.split("Retry-After: ").nth(1).unwrap().split('\r').next().unwrap().parse().unwrap();
    assert!((15..30).contains(&seconds), "{seconds}");
    rig.drained().await;
}
