//! A process that is out of file descriptors accepts nobody, says so, and goes on when there are some again. Alone in its process: it
//! takes all descriptors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use listener::{HttpLimits, HttpMeters, serve_http};
use metrics::{Counter, Gauge};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn accepts_again_when_there_are_descriptors() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let errors = Arc::new(AtomicU64::new(0));
    let limits = HttpLimits { connections: 8, head: PATIENCE, idle: PATIENCE, write: PATIENCE };
    let meters = HttpMeters {
        open: Gauge::noop(),
        refused: Counter::noop(),
        timed_out: Counter::noop(),
        accept_errors: Counter::from_arc(Arc::clone(&errors)),
    };
    let router = Router::new().route("/", get(|| async { "here" }));
    tokio::spawn(serve_http("test", listener, limits, meters, router, |stream| stream, Default::default()));

    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(128), maximum }).unwrap();
    let mut all = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        all.push(file);
    }
    all.pop();
    // Takes the last one: for the other end there is none.
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let begun = Instant::now();
    while errors.load(Ordering::Relaxed) < 3 {
        assert!(begun.elapsed() < PATIENCE, "accept did not fail");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // It pauses: no loop that takes a core.
    assert!(begun.elapsed() > Duration::from_millis(50), "{:?}", begun.elapsed());
    all.clear();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("it does not accept again").unwrap();
    assert!(answer.ends_with("here"), "{answer}");
}
