//! Strangers who hold the API's port open, and a process that runs out of file descriptors: chargers come in all the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use codecs::ykc::crc16;
use common::{Addresses, FOUR_PRICES, Process, registry};
use events::clock::Clock;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// Open files that the process may have; it would like to have some 200,000.
const FILES: usize = 1_024;
const CROWD: usize = 3_000;

struct Rig {
    serve: Process,
    addresses: Addresses,
    http: reqwest::Client,
    folder: tempfile::TempDir,
}

/// A `serve` with two known piles that may open so many files.
async fn rig(soft: usize, hard: usize) -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registry.toml");
    std::fs::write(&file, registry(2, 0, &FOUR_PRICES)).unwrap();
    let addresses = Addresses::free();
    let data = folder.path().join("data");
    let args = ["serve", "--registry", file.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let mut env = addresses.env(Clock::REAL);
    env.push(("EVGATE__GATEWAY__SHARDS", "1".to_owned()));
    let under = ["prlimit".to_owned(), format!("--nofile={soft}:{hard}")];
    let mut serve = Process::start_under(folder.path(), &under, &args, &env);
    serve.ready(addresses.admin).await;
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
    Rig { serve, addresses, http, folder }
}

/// A YKC frame with a right checksum.
fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut covered = vec![0, 0, 0, kind];
    covered.extend(body);
    let crc = crc16(&covered).to_le_bytes();
    [&[0x68, u8::try_from(covered.len()).unwrap()], covered.as_slice(), &crc].concat()
}

/// Reads frames until one of this kind is there; its body.
async fn heard(stream: &mut TcpStream, kind: u8) -> Vec<u8> {
    timeout(Duration::from_secs(5), async {
        loop {
            let mut head = [0; 2];
            stream.read_exact(&mut head).await.expect("the gateway closed");
            let mut rest = vec![0; usize::from(head[1]) + 2];
            stream.read_exact(&mut rest).await.unwrap();
            if rest[3] == kind {
                return rest.split_off(4);
            }
        }
    })
    .await
    .expect("no answer")
}

fn login(number: u8) -> Vec<u8> {
    let mut body = vec![0x10, 0x01, 0x00, 0x01, 0x00, 0x00, number, 0, 1, 16];
    body.extend([0; 8 + 1 + 10 + 1]);
    frame(0x01, &body)
}

/// Logs in; tried again while the registry is still on its way to the gateway.
async fn log_in(addr: SocketAddr, number: u8) -> TcpStream {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut stream = timeout(Duration::from_secs(5), TcpStream::connect(addr)).await.expect("it accepts").unwrap();
        stream.write_all(&login(number)).await.unwrap();
        if heard(&mut stream, 0x02).await[7] == 0 {
            return stream;
        }
        assert!(Instant::now() < deadline, "refused");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn beats(stream: &mut TcpStream, number: u8) {
    let body = [0x10, 0x01, 0x00, 0x01, 0x00, 0x00, number, 1, 0];
    stream.write_all(&frame(0x03, &body)).await.unwrap();
    heard(stream, 0x04).await;
}

impl Rig {
    async fn get(&self, addr: SocketAddr, path: &str) -> String {
        let answer = self.http.get(format!("http://{addr}{path}")).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.text().await.unwrap()
    }

    async fn metric(&self, name: &str) -> f64 {
        let text = self.get(self.addresses.admin, "/metrics").await;
        let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.unwrap_or_else(|| panic!("no {name}")).rsplit_once(' ').unwrap().1.parse().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_who_say_nothing_to_the_api_keep_no_charger_out() {
    evgate::open_files::raise();
    // The soft limit is too low for anybody: it is raised.
    let rig = rig(64, FILES).await;
    let mut old = log_in(rig.addresses.ykc, 1).await;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        // Longer than a lost SYN takes to be sent again.
        match timeout(Duration::from_secs(5), TcpStream::connect(rig.addresses.api)).await {
            Ok(stream) => crowd.push(stream.unwrap()),
            Err(_) => break, // nobody accepts any more
        }
    }
    let mut new = log_in(rig.addresses.ykc, 2).await;
    beats(&mut new, 2).await;
    beats(&mut old, 1).await;
    rig.get(rig.addresses.admin, "/livez").await;
    assert_eq!(crowd.len(), CROWD);
    assert!(rig.metric("evgate_api_http_connections_refused_total").await > 1_000.0);
    let said = std::fs::read_to_string(rig.folder.path().join("serve.log")).unwrap();
    assert_eq!(said.matches("too many connections; closing more").count(), 1, "{said}");

    // What holds is told: less than asked for, and enough for chargers.
    let status: serde_json::Value = serde_json::from_str(&rig.get(rig.addresses.admin, "/status").await).unwrap();
    let limit = status["connections_limit"].as_u64().unwrap();
    assert!((300..1_000).contains(&limit), "{limit}");
    assert_eq!(rig.metric("evgate_connections_limit").await.to_string(), limit.to_string());
    assert!(said.contains("the limit of open files is too low"), "{said}");

    drop(crowd);
    let deadline = Instant::now() + Duration::from_secs(10);
    while rig.http.get(format!("http://{}/livez", rig.addresses.api)).send().await.is_err() {
        assert!(Instant::now() < deadline, "the API has no room though the crowd has left");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_descriptors_goes_on_when_it_has_some_again() {
    let rig = rig(FILES, FILES).await;
    let mut old = log_in(rig.addresses.ykc, 1).await;
    // The client keeps this connection: it needs no descriptor later.
    let failed = rig.metric("evgate_accept_errors_total{listener=\"ykc\"}").await;
    let files = |limit: usize| {
        let pid = format!("--pid={}", rig.serve.pid());
        let limit = format!("--nofile={limit}:{FILES}");
        assert!(std::process::Command::new("prlimit").args([&pid, &limit]).status().unwrap().success());
    };
    files(8);
    let mut waiting = TcpStream::connect(rig.addresses.ykc).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while rig.metric("evgate_accept_errors_total{listener=\"ykc\"}").await < failed + 5.0 {
        assert!(Instant::now() < deadline, "accept does not fail");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    beats(&mut old, 1).await;
    let said = std::fs::read_to_string(rig.folder.path().join("serve.log")).unwrap();
    assert_eq!(said.matches("accept fails").count(), 1, "{said}");
    files(FILES);
    waiting.write_all(&login(2)).await.unwrap();
    assert_eq!(heard(&mut waiting, 0x02).await[7], 0);
}
