//! Lies that the line can tell: what the comparison must find out.

use codecs::ykc::{self, MeterReading, RecordConfirm, RecordRates, RecordResult, Scan, ScanOptions, TradeNo};
use serde_json::Value;

use crate::spoken::{self, Money};

/// One lie, told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// The message is swallowed, and the charger is told that it arrived.
    Swallowed(Money),
    /// A second record goes up, the same but for its trade number.
    RecordTwice,
    /// The record says 0.1 kWh more.
    MoreEnergy,
    /// The stop says 100 Wh more.
    MoreMeter,
}

/// What comes of it.
pub struct Told {
    /// What the gateway gets.
    pub passes: Vec<u8>,
    /// What the charger gets at once.
    pub answer: Option<Vec<u8>>,
}

impl Lie {
    pub fn is_about(self, kind: Money) -> bool {
        match self {
            Self::Swallowed(of) => of == kind,
            Self::RecordTwice | Self::MoreEnergy => kind == Money::Record,
            Self::MoreMeter => kind == Money::Stop,
        }
    }

    /// Tells it about a whole message.
    pub fn tell(self, piece: &[u8]) -> Told {
        match self {
            Self::Swallowed(Money::Record) => {
                let (seq, record) = record(piece);
                let confirm = RecordConfirm { trade_no: record.trade_no, result: RecordResult::Accepted };
                let mut answer = Vec::new();
                ykc::encode(seq, &confirm, &mut answer);
                Told { passes: Vec::new(), answer: Some(answer) }
            }
            Self::Swallowed(_) => {
                let call: Value = serde_json::from_slice(&text(piece)).expect("a call");
                let answer = format!("[3,{},{{}}]", call[1]).into_bytes();
                let mut frame = vec![0x81, u8::try_from(answer.len()).expect("a short answer")];
                frame.extend(answer);
                Told { passes: Vec::new(), answer: Some(frame) }
            }
            Self::RecordTwice => {
                let (seq, mut record) = record(piece);
                let TradeNo(mut digits) = record.trade_no;
                digits[15] ^= 0x01;
                record.trade_no = TradeNo(digits);
                let mut passes = piece.to_vec();
                ykc::encode(seq, &record, &mut passes);
                Told { passes, answer: None }
            }
            Self::MoreEnergy => {
                let (seq, mut record) = record(piece);
                // A record that adds up: nothing but the comparison with the charger can find it out.
                let RecordRates::Four(rates) = &mut record.rates else { panic!("four rates") };
                let rate = rates.iter_mut().find(|rate| rate.energy.0 > 0).expect("a rate with energy");
                let more = rate.price.0 / 100;
                rate.energy.0 += 1_000;
                rate.energy_loss.0 += 1_000;
                rate.amount.0 += more;
                record.total_energy.0 += 1_000;
                record.total_energy_loss.0 += 1_000;
                record.total_amount.0 += more;
                record.meter_end = MeterReading::new(record.meter_end.raw() + 1_000);
                let mut passes = Vec::new();
                ykc::encode(seq, &record, &mut passes);
                Told { passes, answer: None }
            }
            Self::MoreMeter => {
                let mut call: Value = serde_json::from_slice(&text(piece)).expect("a call");
                let meter = call[3]["meterStop"].as_i64().expect("a meter reading");
                call[3]["meterStop"] = (meter + 100).into();
                let mut passes = Vec::new();
                simulator::wire::ws::write_frame(
                    &mut passes,
                    simulator::wire::ws::TEXT,
                    call.to_string().as_bytes(),
                    [1, 2, 3, 4],
                );
                Told { passes, answer: None }
            }
        }
    }
}

fn record(piece: &[u8]) -> ([u8; 2], ykc::Record) {
    let Scan::Frame { frame, .. } = ykc::scan(piece, ScanOptions::default()) else { panic!("a frame") };
    let Ok(ykc::Message::Record(record)) = frame.message() else { panic!("a record") };
    (frame.seq, record.read())
}

fn text(piece: &[u8]) -> Vec<u8> {
    spoken::frame(piece).expect("a whole frame").payload
}
