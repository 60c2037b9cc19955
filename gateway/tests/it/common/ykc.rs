//! A YKC charger's socket.

use std::net::SocketAddr;

use codecs::ykc::{
    self, Amount, Amps, Card, Celsius, Cp56, Energy, Flag, Gun, GunHealth, GunHome, GunState, MeterReading, Network,
    Operator, PileId, PileType, Price, ProtocolVersion, RecordRate, RecordRates, Scan, ScanOptions, StopReason, Text,
    TradeFlag, TradeNo, Vin, Volts, kind,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::PATIENCE;

pub struct Client<S = TcpStream> {
    pub stream: S,
    buffer: Vec<u8>,
    seq: u16,
}

/// A frame received.
#[derive(Debug, PartialEq, Eq)]
pub struct Got {
    pub kind: u8,
    pub seq: [u8; 2],
    pub body: Vec<u8>,
}

impl Client {
    pub async fn connect(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).await.unwrap())
    }

    /// Nothing may come for a while.
    pub async fn silence(&mut self, ms: u64) {
        let mut byte = [0; 1];
        let read = timeout(std::time::Duration::from_millis(ms), self.stream.peek(&mut byte)).await;
        assert!(read.is_err(), "something came: {read:?}");
        assert!(self.buffer.is_empty());
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), seq: 0 }
    }

    pub async fn send(&mut self, body: &impl ykc::Body) -> [u8; 2] {
        let seq = self.seq.to_le_bytes();
        self.seq += 1;
        let mut out = Vec::new();
        ykc::encode(seq, body, &mut out);
        self.raw(&out).await;
        seq
    }

    pub async fn raw(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.unwrap().unwrap();
    }

    /// The next frame; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Got> {
        timeout(PATIENCE, async {
            loop {
                match ykc::scan(&self.buffer, ScanOptions::default()) {
                    Scan::Frame { frame, consumed } => {
                        let got = Got { kind: frame.kind, seq: frame.seq, body: frame.body.to_vec() };
                        self.buffer.drain(..consumed);
                        return Some(got);
                    }
                    Scan::Skip { error, .. } => panic!("the gateway wrote {error}"),
                    Scan::Incomplete { .. } => {
                        if self.stream.read_buf(&mut self.buffer).await.unwrap() == 0 {
                            return None;
                        }
                    }
                }
            }
        })
        .await
        .expect("no frame in time")
    }

    /// The next frame, which must be of this type.
    pub async fn expect(&mut self, kind: u8) -> Got {
        let got = self.next().await.expect("the gateway closed");
        assert_eq!(got.kind, kind, "{got:02x?}");
        got
    }

    /// The gateway closes, in order: an end, not a reset.
    pub async fn closed(&mut self) {
        loop {
            if self.next().await.is_none() {
                return;
            }
        }
    }

    pub async fn log_in(&mut self, id: &str) {
        self.send(&login(id)).await;
        let ack = self.expect(kind::LOGIN_ACK).await;
        assert_eq!(ack.body[7], 0, "refused");
        self.expect(kind::TIME_SYNC).await;
    }

    /// A heartbeat is answered.
    pub async fn beats(&mut self, id: &str) {
        let seq = self.send(&heartbeat(id)).await;
        let got = self.expect(kind::HEARTBEAT_ACK).await;
        assert_eq!(got.seq, seq);
    }
}

pub fn pile(id: &str) -> PileId {
    id.parse().unwrap()
}

pub fn login(id: &str) -> ykc::Login {
    ykc::Login {
        pile: pile(id),
        pile_type: PileType::Dc,
        gun_count: 2,
        protocol_version: ProtocolVersion::V1_6,
        program_version: Text::new("V4.1.50"),
        network: Network::Sim,
        sim: [0; 10],
        operator: Operator::Mobile,
    }
}

pub fn heartbeat(id: &str) -> ykc::Heartbeat {
    ykc::Heartbeat { pile: pile(id), gun: Gun(1), gun_state: GunHealth::Normal }
}

pub fn trade(id: &str, counter: u16) -> TradeNo {
    TradeNo::compose(pile(id), Gun(1), 1_763_700_000_000, counter)
}

pub fn real_time(id: &str, state: GunState, plugged: bool, trade_no: TradeNo) -> ykc::RealTime {
    ykc::RealTime {
        trade_no,
        pile: pile(id),
        gun: Gun(1),
        state,
        gun_home: GunHome::Unknown,
        plugged: if plugged { Flag::Yes } else { Flag::No },
        voltage: Volts(4_000),
        current: Amps(1_500),
        cable_temp: Celsius(75),
        cable_code: [0; 8],
        soc: 55,
        battery_max_temp: Celsius(80),
        charge_minutes: 3,
        remain_minutes: 40,
        energy: Energy(31_234),
        energy_loss: Energy(31_234),
        amount: Amount(34_567),
        fault_bits: 0,
    }
}

/// A gun that does nothing.
pub fn idle(id: &str, gun: u8) -> ykc::RealTime {
    ykc::RealTime { gun: Gun(gun), ..real_time(id, GunState::Idle, false, TradeNo::ZERO) }
}

pub fn record(id: &str, trade_no: TradeNo) -> ykc::Record {
    let rate = RecordRate {
        price: Price(110_000),
        energy: Energy(10_000),
        energy_loss: Energy(10_000),
        amount: Amount(11_000),
    };
    ykc::Record {
        trade_no,
        pile: pile(id),
        gun: Gun(1),
        start_time: Cp56::from_utc_ms(1_763_700_000_000),
        end_time: Cp56::from_utc_ms(1_763_703_600_000),
        rates: RecordRates::Four([rate; 4]),
        meter_start: MeterReading::new(1_000_000),
        meter_end: MeterReading::new(1_040_000),
        total_energy: Energy(40_000),
        total_energy_loss: Energy(40_000),
        total_amount: Amount(44_000),
        vin: Vin::NONE,
        trade_flag: TradeFlag::App,
        trade_time: Cp56::from_utc_ms(1_763_703_600_000),
        stop_reason: StopReason(0x41),
        physical_card: Card::ZERO,
    }
}
