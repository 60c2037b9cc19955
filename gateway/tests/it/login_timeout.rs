//! Peers that connect and say nothing, or half of something.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::common::{PATIENCE, Rig, counter, registry, ykc};

#[tokio::test]
async fn who_does_not_log_in_is_closed() {
    let rig = Rig::with(|config| config.limits.login_ms = 150).await;
    let before = counter("evgate_connections_closed_total", &["login_timeout"]);
    let mut mute = rig.ykc().await;
    let mut chatty = rig.ykc().await;
    let mut half = TcpStream::connect(rig.gateway.ocpp_addr.unwrap()).await.unwrap();
    half.write_all(b"GET /ocpp/CP-1 HTTP/1.1\r\nHost:").await.unwrap();
    // Frames other than a login are not answered and gain no time.
    chatty.send(&ykc::heartbeat(registry::PILE)).await;
    assert_eq!(chatty.next().await, None);
    assert_eq!(mute.next().await, None);
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, half.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(rest.is_empty());
    assert!(counter("evgate_connections_closed_total", &["login_timeout"]) >= before + 3.0);
    // Who is logged in stays.
    let mut pile = rig.pile(registry::PILE).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    pile.beats(registry::PILE).await;
    rig.drained().await;
}

#[tokio::test]
async fn a_silent_pile_is_gone_and_a_silent_station_is_pinged_first() {
    use futures::StreamExt as _;
    use tokio_tungstenite::tungstenite::Message;
    let rig = Rig::with(|config| {
        config.ykc.silence_ms = 200;
        config.ocpp.ping_after_ms = 100;
        config.ocpp.silence_ms = 400;
    })
    .await;
    let mut pile = rig.pile(registry::PILE).await;
    assert_eq!(pile.next().await, None);
    let mut station = rig.station(registry::STATION).await;
    let first = tokio::time::timeout(PATIENCE, station.ws.next()).await.unwrap().unwrap().unwrap();
    assert!(matches!(first, Message::Ping(_)), "{first:?}");
    // The library answers pings while it is read, so it stays.
    let again = tokio::time::timeout(PATIENCE, station.ws.next()).await.unwrap().unwrap().unwrap();
    assert!(matches!(again, Message::Ping(_)), "{again:?}");
    // Then nobody reads: no pong, and the gateway closes.
    tokio::time::sleep(std::time::Duration::from_millis(800)).await;
    let closed = rig.event(events::topic::Topic::Device, |envelope, body| match body {
        events::proto::envelope::Body::Disconnected(left) if envelope.charger == registry::STATION => {
            Some(left.reason.clone())
        }
        _ => None,
    });
    assert_eq!(closed.await, "silent");
    rig.drained().await;
}
