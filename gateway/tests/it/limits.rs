//! Too many connections: refused, counted, and room again when others leave.

use tokio::{io::AsyncReadExt as _, net::TcpStream};

use crate::common::{PATIENCE, Rig, counter, registry};

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
