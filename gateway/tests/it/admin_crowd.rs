//! Peers of the admin listener that send nothing, or half, or are too many.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::common::{PATIENCE, Rig, counter};

/// Sends, and reads to the end of the stream.
async fn ended(rig: &Rig, bytes: &str) -> String {
    let mut stream = TcpStream::connect(rig.gateway.admin_addr).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("it is not closed");
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn the_silent_the_half_and_the_idle_are_closed() {
    let rig = Rig::with(|config| {
        config.admin.head_ms = 200;
        config.admin.idle_ms = 400;
    })
    .await;
    let before = counter("evgate_admin_connections_timed_out_total", &[]);
    for (bytes, says) in [
        ("", ""),
        ("GET /livez HTTP/1.1\r\nHost: x\r\nX-A: ", ""),
        ("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 "),
        ("POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", "HTTP/1.1 405 "),
    ] {
        assert!(ended(&rig, bytes).await.starts_with(says), "{bytes}");
    }
    assert!(counter("evgate_admin_connections_timed_out_total", &[]) >= before + 3.0);
    rig.drained().await;
}

#[tokio::test]
async fn more_than_the_limit_are_closed_at_once() {
    let rig = Rig::with(|config| config.admin.connections = 2).await;
    let before = counter("evgate_admin_connections_refused_total", &[]);
    let inside = [
        TcpStream::connect(rig.gateway.admin_addr).await.unwrap(),
        TcpStream::connect(rig.gateway.admin_addr).await.unwrap(),
    ];
    assert_eq!(timeout(Duration::from_secs(5), ended(&rig, "")).await.expect("at once"), "");
    assert!(counter("evgate_admin_connections_refused_total", &[]) > before);
    drop(inside);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while ended(&rig, "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.is_empty() {
        assert!(tokio::time::Instant::now() < deadline);
    }
    rig.drained().await;
}
