//! What peers may do to an HTTP listener, and what ends them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Bytes, routing::get};
use listener::{HttpLimits, HttpMeters, serve_http};
use metrics::{Counter, Gauge};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(10);
const HEAD: Duration = Duration::from_millis(300);
const IDLE: Duration = Duration::from_millis(1_500);

struct Rig {
    addr: SocketAddr,
    refused: Arc<AtomicU64>,
    timed_out: Arc<AtomicU64>,
    stop: CancellationToken,
    join: JoinHandle<()>,
}

async fn rig(connections: usize) -> Rig {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (refused, timed_out) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let limits = HttpLimits { connections, head: HEAD, idle: IDLE, write: HEAD };
    let meters = HttpMeters {
        open: Gauge::noop(),
        refused: Counter::from_arc(Arc::clone(&refused)),
        timed_out: Counter::from_arc(Arc::clone(&timed_out)),
        accept_errors: Counter::noop(),
    };
    let router = Router::new()
        .route("/quick", get(|| async { "quick" }).post(|body: Bytes| async move { body.len().to_string() }))
        // Longer than any time-out of a connection.
        .route(
            "/slow",
            get(|| async {
                tokio::time::sleep(2 * IDLE).await;
                "slow"
            }),
        )
        // More than the sockets of both sides hold.
        .route("/large", get(|| async { vec![b'x'; 64 << 20] }));
    let stop = CancellationToken::new();
    let join = tokio::spawn(serve_http("test", listener, limits, meters, router, |stream| stream, stop.clone()));
    Rig { addr, refused, timed_out, stop, join }
}

/// A connection on which `bytes` were sent.
async fn sent(rig: &Rig, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(rig.addr).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    stream
}

/// Everything until the end of the stream, which may be a reset.
async fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("it is not closed");
    String::from_utf8(all).unwrap()
}

/// Reads one answer whose body ends with `tail`.
async fn answer(stream: &mut TcpStream, tail: &str) {
    let mut all = Vec::new();
    while !all.ends_with(tail.as_bytes()) {
        assert_ne!(timeout(PATIENCE, stream.read_buf(&mut all)).await.unwrap().unwrap(), 0, "it ended early");
    }
    assert!(all.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&all));
}

const QUICK: &str = "GET /quick HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn the_silent_and_the_half_are_closed_in_time() {
    let rig = rig(16).await;
    for bytes in ["", "G", "GET /quick HTTP/1.1\r\nHost: x\r\nX-A: "] {
        let begun = Instant::now();
        assert_eq!(rest(&mut sent(&rig, bytes).await).await, "", "{bytes}");
        assert!((HEAD..IDLE).contains(&begun.elapsed()), "{bytes}: {:?}", begun.elapsed());
    }
    // One that sends a byte now and then is not faster by it.
    let mut trickle = TcpStream::connect(rig.addr).await.unwrap();
    let begun = Instant::now();
    while trickle.write_all(b"G").await.is_ok() {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(HEAD / 10).await;
    }
    assert_eq!(rig.timed_out.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn between_requests_there_is_more_time_but_an_end_to_it() {
    let rig = rig(16).await;
    let mut stream = sent(&rig, QUICK).await;
    for _ in 0..2 {
        answer(&mut stream, "quick").await;
        // Longer than a head may take.
        tokio::time::sleep(2 * HEAD).await;
        stream.write_all(QUICK.as_bytes()).await.unwrap();
    }
    answer(&mut stream, "quick").await;
    let begun = Instant::now();
    assert_eq!(rest(&mut stream).await, "");
    assert!((IDLE - HEAD..2 * IDLE).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    // A later head that is begun has no more time than the first.
    let mut stream = sent(&rig, QUICK).await;
    answer(&mut stream, "quick").await;
    let begun = Instant::now();
    stream.write_all(&QUICK.as_bytes()[..9]).await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
    assert!((HEAD / 2..IDLE).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert_eq!(rig.timed_out.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn long_answers_and_bodies_that_come_slowly_are_served() {
    let rig = rig(16).await;
    answer(&mut sent(&rig, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await, "slow").await;
    let mut stream = sent(&rig, "POST /quick HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n").await;
    for byte in b"12345" {
        tokio::time::sleep(HEAD / 2).await;
        stream.write_all(&[*byte]).await.unwrap();
    }
    answer(&mut stream, "\r\n\r\n5").await;
    assert_eq!(rig.timed_out.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_peer_that_takes_nothing_of_its_answer_is_closed() {
    let rig = rig(16).await;
    let mut stream = sent(&rig, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let deadline = Instant::now() + PATIENCE;
    while rig.timed_out.load(Ordering::Relaxed) == 0 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(rest(&mut stream).await.len() < 64 << 20);
    // One that takes it, slowly as it may be, gets it all.
    let mut stream = sent(&rig, "GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let (mut part, mut all) = (vec![0; 8 << 20], 0);
    loop {
        match timeout(PATIENCE, stream.read(&mut part)).await.unwrap().unwrap() {
            0 => break,
            read => all += read,
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(all > 64 << 20, "{all}");
}

#[tokio::test]
async fn more_than_the_limit_are_closed_at_once_and_others_served_when_there_is_room() {
    let rig = rig(2).await;
    let mut inside = [sent(&rig, QUICK).await, sent(&rig, QUICK).await];
    for stream in &mut inside {
        answer(stream, "quick").await;
    }
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(rest(&mut TcpStream::connect(rig.addr).await.unwrap()).await, "");
    }
    assert!(begun.elapsed() < IDLE, "{:?}", begun.elapsed());
    assert_eq!(rig.refused.load(Ordering::Relaxed), 20);
    drop(inside);
    let deadline = Instant::now() + PATIENCE;
    while rest(&mut sent(&rig, "GET /quick HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await).await.is_empty() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn at_the_stop_what_has_begun_is_answered_and_nobody_holds_it_up() {
    let rig = rig(16).await;
    let mut slow = sent(&rig, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut idle = sent(&rig, QUICK).await;
    answer(&mut idle, "quick").await;
    let _half = sent(&rig, "GET /qu").await;
    let _silent = sent(&rig, "").await;
    tokio::time::sleep(HEAD / 3).await;
    rig.stop.cancel();
    assert_eq!(rest(&mut idle).await, "");
    answer(&mut slow, "slow").await;
    timeout(PATIENCE, rig.join).await.unwrap().unwrap();
    assert!(TcpStream::connect(rig.addr).await.is_err());
}
