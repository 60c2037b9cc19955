//! A peer that does not read what it asked for stalls only itself, and not for ever.

use std::time::Duration;

use codecs::ykc;
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpSocket,
    time::{Instant, timeout},
};

use crate::common::{PATIENCE, Rig, counter, registry, ykc as client};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_read_is_closed_and_others_are_served() {
    let rig = Rig::with(|config| config.limits.write_ms = 300).await;
    let closed_before = counter("evgate_connections_closed_total", &["write_timeout"]);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut deaf = socket.connect(rig.gateway.ykc_addr.unwrap()).await.unwrap();
    let mut login = Vec::new();
    ykc::encode([0, 0], &client::login(registry::PILE), &mut login);
    deaf.write_all(&login).await.unwrap();
    let mut beats = Vec::new();
    for _ in 0..4096 {
        ykc::encode([1, 0], &client::heartbeat(registry::PILE), &mut beats);
    }
    let mut other = rig.pile(registry::PILE_B).await;

    // Writes until the gateway reads no more and both buffers are full.
    let until = Instant::now() + PATIENCE;
    while timeout(Duration::from_millis(100), deaf.write_all(&beats)).await.is_ok_and(|sent| sent.is_ok()) {
        assert!(Instant::now() < until, "the gateway swallows everything");
        other.beats(registry::PILE_B).await;
    }
    while counter("evgate_connections_closed_total", &["write_timeout"]) <= closed_before {
        assert!(Instant::now() < until, "never closed");
        other.beats(registry::PILE_B).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    other.beats(registry::PILE_B).await;
    drop(deaf);
    rig.drained().await;
}
