//! Garbage of every kind on other people's sockets ends nobody's charge, and each kind moves its counter.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use codecs::ykc::crc16;
use common::{Addresses, BEFORE_SEVEN_MS, FOUR_PRICES, Process, TENANT, books, registry};
use events::{
    clock::Clock,
    log::{EmbeddedConfig, LogConfig},
};
use evgate::fleet_registry::FleetRegistry;
use simulator::{Fleet, FleetConfig, SessionPlan, SimClock};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};

const GOOD_OF_EACH: usize = 3;
const SESSIONS: usize = 2 * GOOD_OF_EACH;
/// Registered, but not among the good ones: its connection is the bad one.
const BAD_OCPP: &str = "TEST-0004";
const BAD_PILE: [u8; 7] = [0x10, 0x01, 0x00, 0x01, 0x00, 0x00, 0x04];

/// A YKC frame with a right checksum, whatever it holds.
fn frame(encryption: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut covered = vec![0, 1, encryption, kind];
    covered.extend(body);
    let crc = crc16(&covered).to_le_bytes();
    [&[0x68, u8::try_from(covered.len()).unwrap()], covered.as_slice(), &crc].concat()
}

fn heartbeat() -> Vec<u8> {
    frame(0, 0x03, &[&BAD_PILE[..], &[1, 0]].concat())
}

/// What is sent on a YKC socket, and the kind that is counted for it.
fn ykc_garbage() -> Vec<(&'static str, Vec<u8>)> {
    let mut wrong_crc = heartbeat();
    *wrong_crc.last_mut().unwrap() ^= 0xff;
    // Random, from a fixed seed: a linear congruential generator without start bytes.
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    vec![
        ("garbage", noise.filter(|byte| *byte != 0x68).take(2_000).collect()),
        ("crc", wrong_crc),
        ("length", vec![0x68, 0x02, 0, 0, 0, 0, 0, 0]),
        ("encrypted", frame(1, 0x03, &[0; 16])),
        ("body", frame(0, 0x01, &BAD_PILE)),
        ("not_logged_in", heartbeat()),
    ]
}

/// A client's WebSocket frame with an all-zero mask.
fn ws_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match u8::try_from(payload.len()) {
        Ok(short @ 0..=125) => bytes.push(0x80 | short),
        _ => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

fn text(message: &str) -> Vec<u8> {
    ws_frame(0x81, message.as_bytes())
}

/// What is sent on an OCPP socket after its upgrade, and the kind that is counted for it.
fn ocpp_garbage() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("websocket", b"\x81\x02{}".to_vec()),
        ("too_long", [&[0x81, 0x80 | 127][..], &(1_u64 << 40).to_be_bytes(), &[0; 4]].concat()),
        ("not_json", text("hello")),
        ("envelope", text(r#"[2,"1"]"#)),
        ("unknown_action", text(r#"[2,"1","Frobnicate",{}]"#)),
        ("payload", text(r#"[2,"2","StatusNotification",{"connectorId":[]}]"#)),
        ("unasked", text(r#"[3,"nobody-asked",{}]"#)),
    ]
}

/// Sends and listens for a moment: the peer may answer, close, or say nothing.
async fn throw(addr: SocketAddr, bytes: &[u8]) {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = [0; 1024];
    // Err: it says nothing. An error of the socket is as good as an end.
    let _ = timeout(Duration::from_millis(150), socket.read(&mut answer)).await;
}

/// A socket on which `bytes` were sent after the upgrade.
async fn upgraded(addr: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    let upgrade = format!(
        "GET /ocpp/{BAD_OCPP} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ocpp1.6\r\n\r\n"
    );
    socket.write_all(upgrade.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = timeout(Duration::from_secs(5), socket.read(&mut answer)).await.expect("an answer").unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    socket.write_all(bytes).await.unwrap();
    socket
}

async fn throw_after_upgrade(addr: SocketAddr, bytes: &[u8]) {
    let mut socket = upgraded(addr, bytes).await;
    let mut answer = [0; 1024];
    let _ = timeout(Duration::from_millis(150), socket.read(&mut answer)).await;
}

/// `evgate_malformed_total` by (protocol, kind), and `evgate_connections_closed_total` by ("closed", reason).
async fn counters(admin: SocketAddr) -> BTreeMap<(String, String), u64> {
    let text = reqwest::Client::builder().no_proxy().build().unwrap();
    let text = text.get(format!("http://{admin}/metrics")).send().await.unwrap().text().await.unwrap();
    let label = |line: &str, name: &str| {
        line.split_once(&format!("{name}=\""))
            .and_then(|(_, rest)| rest.split_once('"'))
            .map(|(value, _)| value.to_owned())
    };
    let value = |line: &str| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap();
    text.lines()
        .filter_map(|line| {
            if line.starts_with("evgate_malformed_total{") {
                Some(((label(line, "protocol")?, label(line, "kind")?), value(line)))
            } else if line.starts_with("evgate_connections_closed_total{") {
                Some((("closed".to_owned(), label(line, "reason")?), value(line)))
            } else {
                None
            }
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_ends_nobody_elses_session_and_is_counted() {
    timeout(Duration::from_secs(180), isolation()).await.expect("in time");
}

async fn isolation() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registry.toml");
    std::fs::write(&file, registry(GOOD_OF_EACH + 1, GOOD_OF_EACH + 1, &FOUR_PRICES)).unwrap();
    let clock = Clock::starting_at(BEFORE_SEVEN_MS, 30);
    let addresses = Addresses::free();
    let data = folder.path().join("data");
    let args = ["serve", "--registry", file.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let mut env = addresses.env(clock);
    env.push(("EVGATE__GATEWAY__LIMITS__HALF_FRAME_MS", "500".to_owned()));
    // One shard: the garbage and the good chargers share a thread.
    env.push(("EVGATE__GATEWAY__SHARDS", "1".to_owned()));
    let mut serve = Process::start(folder.path(), &args, &env);
    serve.ready(addresses.admin).await;

    let known = FleetRegistry::read(&file).unwrap();
    let (ykc, ocpp) = (addresses.ykc.to_string(), addresses.ocpp.to_string());
    let fleet = Fleet::start(&FleetConfig {
        seed: 3,
        clock: SimClock { origin_ms: clock.origin_ms, real_origin_ms: clock.real_origin_ms, factor: clock.factor },
        plan: SessionPlan {
            sessions: 1,
            starts: known.starts_of(TENANT),
            // Some ten minutes of charging: longer than all the garbage takes.
            energy_e4: [100_000, 150_000],
            ..SessionPlan::default()
        },
        chargers: known.select(TENANT, Some((GOOD_OF_EACH, &ykc)), Some((GOOD_OF_EACH, &ocpp))),
        tariffs: known.tariffs,
        ..FleetConfig::default()
    })
    .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while fleet.progress().charging < SESSIONS as u64 {
        assert!(Instant::now() < deadline, "not everybody charges: {:?}", fleet.progress());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let before = counters(addresses.admin).await;
    // A charger may have needed a second try to get in; from here on none may.
    let reconnects = fleet.progress().reconnects;
    let mut expected: Vec<(&str, &str)> = Vec::new();
    for (kind, bytes) in ykc_garbage() {
        throw(addresses.ykc, &bytes).await;
        expected.push(("ykc", kind));
    }
    // Half a frame, and then silence: of YKC its bytes are dropped, of a WebSocket the connection.
    let mut half_ykc = TcpStream::connect(addresses.ykc).await.unwrap();
    half_ykc.write_all(&heartbeat()[..9]).await.unwrap();
    for request in ["GET /ocpp/TEST-0004 HTTP/1.1\r\n\r\n", "\u{16}\u{3}\u{1} not HTTP at all\r\n\r\n"] {
        throw(addresses.ocpp, request.as_bytes()).await;
    }
    expected.push(("ocpp1.6", "upgrade"));
    for (kind, bytes) in ocpp_garbage() {
        throw_after_upgrade(addresses.ocpp, &bytes).await;
        expected.push(("ocpp1.6", kind));
    }
    let half_ocpp = upgraded(addresses.ocpp, &text("[2,\"1\",\"Heartbeat\",{}]")[..9]).await;
    expected.push(("closed", "half_frame"));
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let after = counters(addresses.admin).await;
        let unmoved: Vec<_> = expected
            .iter()
            .filter(|(protocol, kind)| {
                let key = ((*protocol).to_owned(), (*kind).to_owned());
                let zero = before.get(&key).unwrap_or_else(|| panic!("{key:?} does not exist from the start"));
                after[&key] <= *zero
            })
            .collect();
        if unmoved.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "these counters did not move: {unmoved:?}\n{after:#?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    drop((half_ykc, half_ocpp));
    let progress = fleet.progress();
    assert_eq!(
        (progress.reconnects, progress.charging),
        (reconnects, SESSIONS as u64),
        "somebody was hurt: {progress:?}"
    );

    let done = fleet.wait_done(Instant::now() + Duration::from_secs(90)).await;
    assert!(done, "the good chargers did not finish: {:?}", fleet.progress());
    let ended = fleet.stop(Instant::now() + Duration::from_secs(20)).await;
    assert_eq!((ended.unsettled, ended.progress.reconnects), (0, reconnects), "{:?}", ended.progress);
    let orders = books::settled_orders(&addresses.platform(), SESSIONS, Duration::from_secs(30)).await;
    assert_eq!(serve.terminate(Duration::from_secs(60)), 0, "{}", serve.said());
    let log = LogConfig::Embedded(EmbeddedConfig { path: data.join("events.db"), ..EmbeddedConfig::default() });
    books::assert_agree(&ended.ledger, &orders, &events::log::open(&log).unwrap(), SESSIONS).await;
}
