//! What a connection says and what it takes for an answer.

use std::io::Write as _;
use std::ops::Range;

use simulator::wire::ykc::PileId;
use simulator::wire::{ws, ykc};

use crate::ids::{ocpp_ids, ykc_ids};
use crate::plan::{Mix, Plan, PlanError};

/// Size of the reference's request and answer.
const ECHO_LEN: usize = 60;
/// Size of a MeterValues call.
const METER_VALUES_LEN: usize = 650;
/// Any mask serves a client whose messages are no secret; a constant one costs no random number per message.
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// Where a login is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    More,
    Ready,
    Refused,
}

/// What some bytes held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    pub consumed: usize,
    pub answers: u64,
    pub errors: u64,
    /// The server says goodbye, or talks nonsense.
    pub lost: bool,
}

/// Protocol state of one thread's connections.
#[derive(Debug)]
pub(crate) enum Dialect {
    Echo,
    Ykc { mix: Mix, first: usize, piles: Vec<Pile> },
    Ocpp { mix: Mix, first: usize, stations: Vec<Station>, head: Head, text: Vec<u8> },
}

/// One YKC charger.
#[derive(Debug)]
pub(crate) struct Pile {
    id: PileId,
    seq: u16,
    energy_e4: u32,
    records: u32,
}

/// One OCPP charge point.
#[derive(Debug)]
pub(crate) struct Station {
    identity: String,
    upgraded: bool,
    calls: u32,
}

/// What all upgrade requests have in common.
#[derive(Debug)]
pub(crate) struct Head {
    host: String,
    path: String,
    password: Option<String>,
}

impl Dialect {
    /// The dialect for the connections `share` of a plan.
    pub(crate) fn new(plan: &Plan, share: Range<usize>) -> Result<Self, PlanError> {
        let (mix, first) = (plan.mix, share.start);
        if mix.is_ykc() {
            let bad = || PlanError::FirstId(plan.first_id.clone());
            let ids = ykc_ids(&plan.first_id, plan.connections).ok_or_else(bad)?;
            let ids = ids.get(share).unwrap_or_default();
            let piles = ids.iter().map(|id| ykc::pile(id).map(|id| Pile { id, seq: 0, energy_e4: 0, records: 0 }));
            return Ok(Self::Ykc { mix, first, piles: piles.collect::<Option<_>>().ok_or_else(bad)? });
        }
        if mix.is_ocpp() {
            let mut ids = ocpp_ids(&plan.first_id, plan.connections);
            let stations = ids.drain(share).map(|identity| Station { identity, upgraded: false, calls: 0 }).collect();
            let head = Head { host: plan.target.to_string(), path: plan.path.clone(), password: plan.password.clone() };
            return Ok(Self::Ocpp { mix, first, stations, head, text: Vec::new() });
        }
        Ok(Self::Echo)
    }

    /// The first words of a connection.
    pub(crate) fn hello(&self, index: usize, out: &mut Vec<u8>) -> Login {
        match self {
            Self::Echo => return Login::Ready,
            Self::Ykc { first, piles, .. } => {
                if let Some(pile) = piles.get(index - first) {
                    out.extend_from_slice(&ykc::login_frame(pile.id));
                }
            }
            Self::Ocpp { first, stations, head, .. } => {
                if let Some(station) = stations.get(index - first) {
                    let nonce = (index as u128).to_le_bytes();
                    let password = head.password.as_deref();
                    out.extend(ws::upgrade_request(&head.host, &head.path, &station.identity, password, nonce));
                }
            }
        }
        Login::More
    }

    /// Reads on during the login: (bytes eaten, where it is now).
    pub(crate) fn login(&mut self, index: usize, input: &[u8], out: &mut Vec<u8>) -> (usize, Login) {
        match self {
            Self::Echo => (0, Login::Ready),
            Self::Ykc { .. } => {
                let seen = ykc::read(input, out);
                let login = match (seen.logged_in, seen.refused) {
                    (1.., _) => Login::Ready,
                    (0, 1..) => Login::Refused,
                    (0, 0) => Login::More,
                };
                (seen.consumed, login)
            }
            Self::Ocpp { first, stations, .. } => {
                stations.get_mut(index - *first).map_or((0, Login::Refused), |station| boot(station, input, out))
            }
        }
    }

    /// Appends one cycle; `cuts` gets the end of each message.
    pub(crate) fn cycle(&mut self, index: usize, out: &mut Vec<u8>, cuts: &mut Vec<usize>) {
        match self {
            Self::Echo => {
                out.extend_from_slice(&[0x55; ECHO_LEN]);
                cuts.push(out.len());
            }
            Self::Ykc { mix, first, piles } => {
                let Some(pile) = piles.get_mut(index - *first) else { return };
                let real_times = match mix {
                    Mix::YkcRealTime => 1,
                    Mix::YkcOneToFour => 4,
                    _ => 0,
                };
                for _ in 0..real_times {
                    (pile.seq, pile.energy_e4) = (pile.seq.wrapping_add(1), pile.energy_e4.wrapping_add(1));
                    ykc::push_real_time(pile.id, pile.seq, pile.energy_e4, out);
                    cuts.push(out.len());
                }
                if *mix == Mix::YkcRecord {
                    (pile.seq, pile.records) = (pile.seq.wrapping_add(1), pile.records.wrapping_add(1));
                    ykc::push_record(pile.id, pile.seq, pile.records, out);
                    cuts.push(out.len());
                } else if *mix != Mix::YkcRealTime {
                    pile.seq = pile.seq.wrapping_add(1);
                    ykc::push_heartbeat(pile.id, pile.seq, out);
                    cuts.push(out.len());
                }
            }
            Self::Ocpp { mix, first, stations, text, .. } => {
                let Some(station) = stations.get_mut(index - *first) else { return };
                station.calls = station.calls.wrapping_add(1);
                text.clear();
                write_call(*mix, index, station.calls, text);
                ws::write_frame(out, ws::TEXT, text, MASK);
                cuts.push(out.len());
            }
        }
    }

    /// Reads whole messages; replies (pongs, time syncs) go to `out`.
    pub(crate) fn answers(&self, input: &[u8], out: &mut Vec<u8>) -> Answers {
        match self {
            Self::Echo => {
                let whole = input.len() / ECHO_LEN;
                Answers { consumed: whole * ECHO_LEN, answers: whole as u64, ..Answers::default() }
            }
            Self::Ykc { .. } => {
                let seen = ykc::read(input, out);
                // A connection waits for the one or for the other.
                let answers = seen.heartbeats + seen.records;
                Answers { consumed: seen.consumed, answers, errors: seen.bad, lost: false }
            }
            Self::Ocpp { .. } => texts(input, out, |answers, text| match text.get(..3) {
                Some(b"[3,") => answers.answers += 1,
                // A refused message is answered as well, but not as it should be.
                Some(b"[4,") => {
                    answers.answers += 1;
                    answers.errors += 1;
                }
                // Orders of the platform are none of a load generator's business.
                _ => {}
            }),
        }
    }
}

fn boot(station: &mut Station, input: &[u8], out: &mut Vec<u8>) -> (usize, Login) {
    let mut consumed = 0;
    if !station.upgraded {
        match ws::upgrade_answer(input) {
            ws::Upgrade::More => return (0, Login::More),
            ws::Upgrade::Refused(_) => return (0, Login::Refused),
            ws::Upgrade::Done(len) => consumed = len,
        }
        station.upgraded = true;
        let boot = br#"[2,"boot","BootNotification",{"chargePointVendor":"EVGate","chargePointModel":"Load"}]"#;
        ws::write_frame(out, ws::TEXT, boot, MASK);
    }
    let mut login = Login::More;
    let seen = texts(input.get(consumed..).unwrap_or_default(), out, |_, text| {
        if text.starts_with(b"[3,") {
            let accepted = text.windows(10).any(|w| w == b"\"Accepted\"");
            login = if accepted { Login::Ready } else { Login::Refused };
        }
    });
    (consumed + seen.consumed, if seen.lost { Login::Refused } else { login })
}

/// Walks over WebSocket frames; pings are answered.
fn texts(input: &[u8], out: &mut Vec<u8>, mut text: impl FnMut(&mut Answers, &[u8])) -> Answers {
    let mut answers = Answers::default();
    while let Some(rest) = input.get(answers.consumed..).filter(|rest| !rest.is_empty()) {
        match ws::read_frame(rest) {
            ws::Read::More => break,
            ws::Read::Bad => {
                answers.lost = true;
                break;
            }
            ws::Read::Frame(frame) => {
                answers.consumed += frame.consumed;
                match frame.opcode {
                    ws::PING => ws::write_frame(out, ws::PONG, frame.payload, MASK),
                    ws::CLOSE => answers.lost = true,
                    ws::TEXT => text(&mut answers, frame.payload),
                    _ => {}
                }
            }
        }
    }
    answers
}

fn write_call(mix: Mix, index: usize, call: u32, out: &mut Vec<u8>) {
    // Writing into memory cannot fail.
    let _infallible = match mix {
        Mix::OcppStatus => write!(
            out,
            r#"[2,"{call:08x}","StatusNotification",{{"connectorId":1,"errorCode":"NoError","info":"load test","status":"Charging","timestamp":"2025-11-24T16:00:00.000Z","vendorId":"EVGate","vendorErrorCode":"0"}}]"#
        ),
        Mix::OcppMeterValues | Mix::OcppBillableMeterValues => write_meter_values(mix, index, call, out),
        _ => write!(out, r#"[2,"{call:08x}","Heartbeat",{{}}]"#),
    };
}

/// A MeterValues call of exactly 650 bytes: five readings, and a message id that is as long as is still needed (at most 36).
fn write_meter_values(mix: Mix, index: usize, call: u32, out: &mut Vec<u8>) -> std::io::Result<()> {
    let mut payload = Vec::with_capacity(METER_VALUES_LEN);
    write!(payload, r#"{{"connectorId":1,"#)?;
    if mix == Mix::OcppBillableMeterValues {
        write!(payload, r#""transactionId":{},"#, 1_000_000 + index)?;
    }
    write!(payload, r#""meterValue":[{{"timestamp":"2025-11-24T16:00:00.000Z","sampledValue":["#)?;
    let energy = 1_000_000 + call % 8_000_000;
    write!(
        payload,
        r#"{{"value":"{energy}","context":"Sample.Periodic","measurand":"Energy.Active.Import.Register","unit":"Wh"}}"#
    )?;
    for (value, measurand, place, unit) in [
        ("62310.500", "Power.Active.Import", r#""location":"Outlet","#, "W"),
        ("402.10", "Voltage", r#""location":"Outlet","#, "V"),
        ("155.2", "Current.Import", r#""location":"Outlet","#, "A"),
        ("57", "SoC", "", "Percent"),
    ] {
        write!(
            payload,
            r#",{{"value":"{value}","context":"Sample.Periodic","measurand":"{measurand}",{place}"unit":"{unit}"}}"#
        )?;
    }
    payload.extend_from_slice(b"]}]}");
    let envelope = r#"[2,"","MeterValues",]"#.len();
    let id_len = METER_VALUES_LEN.saturating_sub(envelope + payload.len()).clamp(8, 36);
    write!(out, r#"[2,"{call:0id_len$x}","MeterValues","#)?;
    out.extend_from_slice(&payload);
    out.push(b']');
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn dialect(mix: Mix) -> Dialect {
        let plan = Plan::new("127.0.0.1:1".parse().unwrap(), mix, 3);
        Dialect::new(&plan, 0..3).unwrap()
    }

    #[test]
    fn meter_values_have_650_bytes_and_are_json() {
        for mix in [Mix::OcppMeterValues, Mix::OcppBillableMeterValues] {
            for (index, call) in [(0, 1), (9_999, 7_999_999), (2, u32::MAX)] {
                let mut text = Vec::new();
                write_call(mix, index, call, &mut text);
                assert_eq!(text.len(), METER_VALUES_LEN, "{}", String::from_utf8_lossy(&text));
                let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
                assert!(json[1].as_str().unwrap().len() <= 36);
                assert_eq!(json[3].get("transactionId").is_some(), mix == Mix::OcppBillableMeterValues);
            }
        }
    }

    #[test]
    fn one_to_four_is_five_writes_with_right_checksums() {
        let mut dialect = dialect(Mix::YkcOneToFour);
        let (mut out, mut cuts) = (Vec::new(), Vec::new());
        dialect.cycle(1, &mut out, &mut cuts);
        assert_eq!(cuts, [68, 136, 204, 272, 289]);
        let mut replies = Vec::new();
        let seen = ykc::read(&out, &mut replies);
        assert_eq!((seen.consumed, seen.bad), (289, 0));
    }

    #[test]
    fn an_ocpp_login_is_upgrade_then_boot() {
        let mut dialect = dialect(Mix::OcppHeartbeat);
        let mut out = Vec::new();
        assert_eq!(dialect.hello(2, &mut out), Login::More);
        assert!(out.starts_with(b"GET /ocpp/LOAD-000003 HTTP/1.1\r\n"));
        let answer = b"HTTP/1.1 101 OK\r\nSec-WebSocket-Protocol: ocpp1.6\r\n\r\n";
        out.clear();
        assert_eq!(dialect.login(2, answer, &mut out), (answer.len(), Login::More));
        assert!(!out.is_empty(), "the boot goes out");
        let text = br#"[3,"boot",{"status":"Accepted"}]"#;
        let mut frame = vec![0x81, u8::try_from(text.len()).unwrap()];
        frame.extend_from_slice(text);
        assert_eq!(dialect.login(2, &frame, &mut out), (frame.len(), Login::Ready));
        out.clear();
        let seen = dialect.answers(&[&frame[..], &[0x89, 1, b'x'], &[0x81, 9]].concat(), &mut out);
        assert_eq!((seen.answers, seen.consumed, seen.lost), (1, frame.len() + 3, false));
        assert_eq!(out[0], 0x8A, "a ping is answered");
    }
}
