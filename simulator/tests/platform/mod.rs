//! Small platforms on loopback: they answer what a charger needs, remember everything, and can be told to misbehave.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod ocpp;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use codecs::ykc::{
    self, Balance, BillingModel, Body, Card, CheckResult, Grant, HeartbeatAck, LoginAck, LoginResult, Message,
    ModelAnswer, ModelCheckAck, PileId, Price, RatePrice, RatePrices, Record, RecordConfirm, RecordResult, Refusal,
    Scan, ScanOptions, StartAnswer, TradeNo,
};
use simulator::{FleetConfig, Floors, Period, SimClock, Slot, TariffBook};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// 2025-11-24 18:30 in China: flat until 19:00, then sharp.
pub const EVENING: i64 = 1_763_980_200_000;

/// Tariff A: 00-07 valley, 07-10 flat, 10-12 peak, 12-14 flat, 14-17 peak, 17-19 flat, 19-21 sharp, 21-23 flat, 23-24 valley.
pub fn tariff() -> Vec<Slot> {
    let period = |hour: usize| match hour {
        0..7 | 23 => (Period::Valley, 31_250),
        10..12 | 14..17 => (Period::Peak, 105_470),
        19..21 => (Period::Sharp, 131_840),
        _ => (Period::Flat, 62_340),
    };
    (0..96)
        .map(|quarter| period(quarter / 4))
        .map(|(period, elec_p5)| Slot { period, elec_p5, service_p5: 45_000 })
        .collect()
}

/// The same for a charger.
pub fn model(pile: PileId) -> BillingModel {
    let rate = |energy| RatePrice { energy: Price(energy), service: Price(45_000) };
    let mut slots = [0; 48];
    for (half, slot) in slots.iter_mut().enumerate() {
        *slot = tariff()[half * 2].period as u8;
    }
    let rates = RatePrices::Four([rate(131_840), rate(105_470), rate(62_340), rate(31_250)]);
    BillingModel { pile, model_no: [1, 0], rates, loss_ratio: 0, slots }
}

/// A config on a clock that starts in the evening, `factor` times as fast, with all floors away.
pub fn config(factor: u32) -> FleetConfig {
    let floors = Floors {
        live_data_ms: 2,
        heartbeat_ms: 0,
        record_retry_ms: 0,
        request_ms: 50,
        reconnect_ms: 20,
        silence_ms: 2000,
        ocpp_call_ms: 0,
        ocpp_retry_ms: 0,
    };
    FleetConfig {
        seed: 7,
        clock: SimClock::starting_at(EVENING, factor),
        floors,
        connect_spread_ms: 0,
        tariffs: [("A".to_owned(), TariffBook::always(tariff()))].into(),
        ..FleetConfig::default()
    }
}

/// Polls until `found` gives something, at most 50 s.
pub async fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + Duration::from_secs(50);
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(Instant::now() < give_up, "waited 50 s for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One frame as it came.
#[derive(Clone, Debug)]
pub struct Got {
    pub at: Instant,
    /// Which connection, from 1.
    pub connection: u64,
    pub kind: u8,
    pub seq: [u8; 2],
    pub body: Vec<u8>,
}

impl Got {
    pub fn message(&self) -> Message<'_> {
        Message::parse(self.kind, &self.body).unwrap()
    }
    pub fn record(&self) -> Option<Record> {
        match self.message() {
            Message::Record(record) => Some(record.read()),
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
pub struct Knobs {
    pub refuse_logins: AtomicBool,
    pub hold_tariff: AtomicBool,
    pub mute_heartbeats: AtomicBool,
    /// Records are answered only from this transmission of each on.
    pub confirm_from: AtomicU64,
    pub refuse_starts: AtomicBool,
    pub balance_fen: AtomicU64,
}

/// The way to the newest connection: bytes, or its end.
type Line = mpsc::Sender<Option<Vec<u8>>>;

/// A YKC platform.
pub struct YkcPlatform {
    pub address: SocketAddr,
    pub knobs: Arc<Knobs>,
    log: Arc<Mutex<Vec<Got>>>,
    bad: Arc<AtomicU64>,
    down: Arc<Mutex<Option<Line>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for YkcPlatform {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl YkcPlatform {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let knobs: Arc<Knobs> = Arc::default();
        let (log, bad, down) = (Arc::default(), Arc::default(), Arc::default());
        let shared = Desk {
            knobs: Arc::clone(&knobs),
            log: Arc::clone(&log),
            bad: Arc::clone(&bad),
            down: Arc::clone(&down),
            seen: Arc::default(),
            trades: Arc::default(),
        };
        let task = tokio::spawn(async move {
            for connection in 1.. {
                let (stream, _) = listener.accept().await.unwrap();
                let desk = shared.clone();
                tokio::spawn(async move { desk.serve(stream, connection).await });
            }
        });
        Self { address, knobs, log, bad, down, task }
    }

    pub fn log(&self) -> Vec<Got> {
        self.log.lock().unwrap().clone()
    }

    pub fn of_kind(&self, kind: u8) -> Vec<Got> {
        self.log().into_iter().filter(|got| got.kind == kind).collect()
    }

    pub fn records(&self) -> Vec<Record> {
        self.log().iter().filter_map(Got::record).collect()
    }

    /// Bytes and frames that could not be read.
    pub fn bad(&self) -> u64 {
        self.bad.load(Relaxed)
    }

    /// Sends a frame on the newest connection.
    pub fn send(&self, seq: u16, body: &impl Body) {
        let mut bytes = Vec::new();
        ykc::encode(seq.to_le_bytes(), body, &mut bytes);
        self.down.lock().unwrap().as_ref().expect("a connection").try_send(Some(bytes)).unwrap();
    }

    /// Cuts the newest connection.
    pub fn cut(&self) {
        let _gone_already = self.down.lock().unwrap().as_ref().expect("a connection").try_send(None);
    }
}

#[derive(Clone)]
struct Desk {
    knobs: Arc<Knobs>,
    log: Arc<Mutex<Vec<Got>>>,
    bad: Arc<AtomicU64>,
    down: Arc<Mutex<Option<Line>>>,
    seen: Arc<Mutex<HashMap<TradeNo, u64>>>,
    trades: Arc<AtomicU64>,
}

impl Desk {
    async fn serve(self, mut stream: tokio::net::TcpStream, connection: u64) {
        let (sender, mut orders) = mpsc::channel(64);
        *self.down.lock().unwrap() = Some(sender);
        let mut buffer: Vec<u8> = Vec::new();
        loop {
            let mut chunk = [0; 4096];
            let out = tokio::select! {
                read = stream.read(&mut chunk) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(len) => {
                        buffer.extend_from_slice(&chunk[..len]);
                        let mut out = Vec::new();
                        let used = self.digest(connection, &buffer, &mut out);
                        buffer.drain(..used);
                        out
                    }
                },
                order = orders.recv() => match order.flatten() {
                    Some(bytes) => bytes,
                    None => return,
                },
            };
            if stream.write_all(&out).await.is_err() {
                return;
            }
        }
    }

    fn digest(&self, connection: u64, buffer: &[u8], out: &mut Vec<u8>) -> usize {
        let mut used = 0;
        loop {
            match ykc::scan(&buffer[used..], ScanOptions::default()) {
                Scan::Incomplete { .. } => return used,
                Scan::Skip { consumed, .. } => {
                    used += consumed;
                    self.bad.fetch_add(1, Relaxed);
                }
                Scan::Frame { frame, consumed } => {
                    used += consumed;
                    let got = Got {
                        at: Instant::now(),
                        connection,
                        kind: frame.kind,
                        seq: frame.seq,
                        body: frame.body.to_vec(),
                    };
                    self.log.lock().unwrap().push(got);
                    self.answer(&frame, out);
                }
            }
        }
    }

    fn answer(&self, frame: &ykc::Frame<'_>, out: &mut Vec<u8>) {
        let (seq, on) = (frame.seq, |knob: &AtomicBool| knob.load(Relaxed));
        match frame.message().unwrap() {
            Message::Login(login) => {
                let result = if on(&self.knobs.refuse_logins) { LoginResult::Refused } else { LoginResult::Ok };
                ykc::encode(seq, &LoginAck { pile: login.pile(), result }, out);
            }
            Message::Heartbeat(beat) if !on(&self.knobs.mute_heartbeats) => {
                ykc::encode(seq, &HeartbeatAck { pile: beat.pile(), gun: beat.gun(), ack: 0 }, out);
            }
            Message::ModelCheck(check) if !on(&self.knobs.hold_tariff) => {
                let same = check.model_no() == [1, 0];
                let result = if same { CheckResult::Same } else { CheckResult::Differs };
                ykc::encode(seq, &ModelCheckAck { pile: check.pile(), model_no: [1, 0], result }, out);
            }
            Message::ModelRequest(request) => ykc::encode(seq, &ModelAnswer(model(request.pile())), out),
            Message::StartRequest(request) => {
                let refused = on(&self.knobs.refuse_starts);
                let counter = u16::try_from(self.trades.fetch_add(1, Relaxed) + 5000).unwrap();
                let answer = StartAnswer {
                    trade_no: TradeNo::compose(request.pile(), request.gun(), EVENING, counter),
                    pile: request.pile(),
                    gun: request.gun(),
                    logical_card: Card::ZERO,
                    balance: Balance(u32::try_from(self.knobs.balance_fen.load(Relaxed)).unwrap()),
                    grant: if refused { Grant::Refused } else { Grant::Granted },
                    refusal: if refused { Refusal::AccountFrozen } else { Refusal::None },
                };
                ykc::encode(seq, &answer, out);
            }
            Message::Record(record) => {
                let trade_no = record.trade_no();
                let mut seen = self.seen.lock().unwrap();
                let times = seen.entry(trade_no).or_default();
                *times += 1;
                if *times >= self.knobs.confirm_from.load(Relaxed) {
                    ykc::encode(seq, &RecordConfirm { trade_no, result: RecordResult::Accepted }, out);
                }
            }
            _ => {}
        }
    }
}
