//! What chargers and gateway say to each other, as far as it is money: read off the wire, in both directions.

use codecs::{
    ocpp::{Envelope, Text, Timestamp, scan_envelope},
    ykc::{self, Message, RecordResult, Scan, ScanOptions, kind},
};
use serde_json::Value;

/// A money message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Money {
    /// OCPP StartTransaction.
    Start,
    /// OCPP MeterValues of a transaction.
    Meter,
    /// OCPP StopTransaction.
    Stop,
    /// YKC 0x3B.
    Record,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Money went up.
    Asked {
        kind: Money,
        /// Trade number or transaction id; a start has none yet.
        session: String,
        /// What its answer names: trade number or message id.
        id: String,
        /// Meter values: their times, UTC ms.
        times: Vec<i64>,
    },
    /// An answer came down, to whatever.
    Answered {
        id: String,
        /// Not "yes": a bill called illegal, a CALLERROR.
        refused: bool,
        /// Of a start's answer.
        session: Option<String>,
    },
    /// Something else, or what cannot be read.
    Other,
}

/// What stands at the start of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Not whole yet.
    More,
    /// So many bytes, and what they say.
    Whole(usize, Said),
}

/// Cuts a stream into messages.
#[derive(Debug)]
pub enum Reader {
    Ykc,
    /// The upgrade, before the frames.
    Http,
    Ws,
}

impl Reader {
    /// The next message; `who` is filled in as soon as the charger has said its name.
    pub fn next(&mut self, input: &[u8], who: &mut String) -> Piece {
        match self {
            Self::Ykc => ykc_piece(input, who),
            Self::Http => match input.windows(4).position(|four| four == b"\r\n\r\n") {
                None => Piece::More,
                Some(end) => {
                    let head = String::from_utf8_lossy(&input[..end]);
                    let path = head.split(' ').nth(1).unwrap_or_default();
                    if let Some((_, identity)) = path.rsplit_once('/') {
                        identity.clone_into(who);
                    }
                    *self = Self::Ws;
                    Piece::Whole(end + 4, Said::Other)
                }
            },
            Self::Ws => match frame(input) {
                None => Piece::More,
                Some(frame) => Piece::Whole(frame.head + frame.payload.len(), ocpp_said(&frame.payload)),
            },
        }
    }
}

fn ykc_piece(input: &[u8], who: &mut String) -> Piece {
    if input.is_empty() {
        return Piece::More;
    }
    match ykc::scan(input, ScanOptions::default()) {
        Scan::Incomplete { .. } => Piece::More,
        Scan::Skip { consumed, .. } => Piece::Whole(consumed, Said::Other),
        Scan::Frame { frame, consumed } => {
            let said = match (frame.kind, frame.message()) {
                (kind::RECORD, Ok(Message::Record(record))) => {
                    let session = record.trade_no().to_string();
                    Said::Asked { kind: Money::Record, id: session.clone(), session, times: Vec::new() }
                }
                (_, Ok(Message::RecordConfirm(confirm))) => Said::Answered {
                    id: confirm.trade_no().to_string(),
                    refused: confirm.result() != RecordResult::Accepted,
                    session: None,
                },
                (_, Ok(message)) => {
                    if let Some(pile) = message.pile() {
                        *who = pile.to_string();
                    }
                    Said::Other
                }
                (_, Err(_)) => Said::Other,
            };
            Piece::Whole(consumed, said)
        }
    }
}

/// A WebSocket frame of either side, unmasked.
pub struct Frame {
    /// Bytes before the payload.
    pub head: usize,
    /// Where the four bytes of the mask are, if it has one.
    pub mask: Option<usize>,
    pub payload: Vec<u8>,
}

/// The frame at the start of `input`, if it is whole.
pub fn frame(input: &[u8]) -> Option<Frame> {
    let second = *input.get(1)?;
    let (len, mut head) = match second & 0x7F {
        126 => (usize::from(u16::from_be_bytes(input.get(2..4)?.try_into().ok()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(input.get(2..10)?.try_into().ok()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    let mask = (second & 0x80 != 0).then_some(head);
    head += if mask.is_some() { 4 } else { 0 };
    let payload = input.get(head..head + len)?;
    let payload = match mask {
        None => payload.to_vec(),
        Some(at) => payload.iter().zip(input[at..at + 4].iter().cycle()).map(|(byte, mask)| byte ^ mask).collect(),
    };
    Some(Frame { head, mask, payload })
}

fn ocpp_said(payload: &[u8]) -> Said {
    let Some(envelope) = std::str::from_utf8(payload).ok().and_then(|text| scan_envelope(text).ok()) else {
        return Said::Other;
    };
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
    let transaction = |value: &Value| value.get("transactionId").and_then(Value::as_i64).map(|id| id.to_string());
    match envelope {
        Envelope::Call { id, action, payload } => {
            let (payload, id) = (json(payload), id.as_str().to_owned());
            let (kind, session) = match (action.as_str(), transaction(&payload)) {
                ("StartTransaction", _) => (Money::Start, String::new()),
                ("StopTransaction", Some(session)) => (Money::Stop, session),
                ("MeterValues", Some(session)) => (Money::Meter, session),
                _ => return Said::Other,
            };
            let values = payload.get("meterValue").and_then(Value::as_array);
            let time = |value: &Value| {
                let text = value.get("timestamp")?.as_str()?.to_owned();
                Timestamp::from_text(Text::from(text)).utc_ms()
            };
            Said::Asked { kind, session, id, times: values.into_iter().flatten().filter_map(time).collect() }
        }
        Envelope::CallResult { id, payload } => {
            Said::Answered { id: id.as_str().to_owned(), refused: false, session: transaction(&json(payload)) }
        }
        Envelope::CallError { id, .. } => Said::Answered { id: id.as_str().to_owned(), refused: true, session: None },
        Envelope::CallResultError { .. } | Envelope::Send { .. } => Said::Other,
    }
}
