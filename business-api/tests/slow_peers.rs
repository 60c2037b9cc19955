//! Peers of the REST listener that send nothing, or half, or are too many: none needs a key for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod support;

use std::time::Duration;

use business_api::Config;
use events::clock::Clock;
use support::{App, KEY, On, T0, limited};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};

async fn app(change: impl FnOnce(&mut Config)) -> App {
    let mut config = Config::default();
    change(&mut config);
    App::start_with(On::Sqlite, Clock::starting_at(T0, 1), config).await
}

/// Sends, and reads to the end of the stream.
async fn ended(app: &App, bytes: &str) -> String {
    let mut stream = TcpStream::connect(app.base.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut all)).await.expect("it is not closed");
    String::from_utf8(all).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_silent_the_half_and_the_idle_are_closed() {
    limited(async {
        let app = app(|config| {
            config.request_timeout_ms = 300;
            config.limits.head_ms = 200;
            config.limits.idle_ms = 400;
        })
        .await;
        let half_body = format!(
            "POST /v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n\
             Idempotency-Key: a\r\nContent-Length: 100\r\n\r\n{{"
        );
        for (bytes, says) in [
            ("", ""),
            ("GET /livez HTTP/1.1\r\nHost: x\r\nX-A: ", ""),
            ("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 "),
            (&half_body, "HTTP/1.1 503 "),
        ] {
            let said = ended(&app, bytes).await;
            assert!(said.starts_with(says) && said.is_empty() == says.is_empty(), "{bytes}: {said}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_limit_are_closed_at_once() {
    limited(async {
        let app = app(|config| config.limits.connections = 2).await;
        let addr = app.base.strip_prefix("http://").unwrap();
        let inside = [TcpStream::connect(addr).await.unwrap(), TcpStream::connect(addr).await.unwrap()];
        let refused = timeout(Duration::from_secs(5), ended(&app, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!(refused.expect("at once"), "");
        drop(inside);
        let deadline = Instant::now() + Duration::from_secs(10);
        while ended(&app, "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.is_empty() {
            assert!(Instant::now() < deadline, "no room though the others left");
        }
    })
    .await;
}
