//! Every captured, simulated and documented frame of `vectors/ykc/frames.json`: verdict of the framing, and the fields
//! by name and value. `vectors/ykc/reference.json` holds frames made from the specification for types without a good
//! captured one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use codecs::error::{FrameError, Reason};
use codecs::ykc::{self, CrcOrder, Frame, LengthRule, Message, Scan, ScanOptions};
use serde::Deserialize;
use serde_json::{Map, Value, json};

const STRICT: ScanOptions = ScanOptions { ignore_crc: false, at_end: false };
const NO_CRC: ScanOptions = ScanOptions { ignore_crc: true, at_end: false };

#[derive(Deserialize)]
struct Vector {
    name: String,
    hex: String,
    valid_crc: bool,
    crc_order: Option<String>,
    quirk: Option<String>,
    decoded: Map<String, Value>,
}

fn vectors(file: &str) -> Vec<Vector> {
    serde_json::from_str(file).expect("a vectors file")
}

fn all() -> Vec<Vector> {
    vectors(include_str!("vectors/ykc/frames.json"))
}

fn reference() -> Vec<Vector> {
    vectors(include_str!("vectors/ykc/reference.json"))
}

fn bytes(vector: &Vector) -> Vec<u8> {
    hex::decode(&vector.hex).expect("hex")
}

fn whole(raw: &[u8]) -> Frame<'_> {
    Frame::whole(raw).expect("long enough for a frame")
}

/// Types whose body has a field table here.
fn is_read(kind: u8) -> bool {
    let longest = [0; ykc::BODY_MAX];
    !matches!(Message::parse(kind, &longest), Ok(Message::Unknown(_)))
}

#[test]
fn every_required_type_is_read() {
    let required = [
        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x09, 0x0A, 0x12, 0x13, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x3B, 0x40,
        0x41, 0x42, 0x51, 0x52, 0x55, 0x56, 0x57, 0x58, 0x91, 0x92,
    ];
    let all = all();
    for kind in required {
        assert!(is_read(kind), "{kind:#04x}");
        assert!(all.iter().any(|vector| bytes(vector)[5] == kind), "no vector of {kind:#04x}");
    }
}

/// The framing agrees with the stated verdict about checksum and length.
#[test]
fn frames_are_accepted_or_refused_as_stated() {
    let all = all();
    assert_eq!(all.len(), 82);
    for vector in &all {
        let name = &vector.name;
        let raw = bytes(vector);
        let length_is_wrong = vector.quirk.as_deref().is_some_and(|quirk| quirk.starts_with("length"));
        let verdict = ykc::scan(&raw, STRICT);
        if !vector.valid_crc {
            // Samples of the document: layout right, checksum stale; a wrong length on top ends elsewhere.
            assert!(!matches!(verdict, Scan::Frame { .. }), "{name}: {verdict:?}");
            if !length_is_wrong {
                let bad_crc = matches!(verdict, Scan::Skip { consumed: 1, error: FrameError::BadCrc { .. } });
                assert!(bad_crc, "{name}: {verdict:?}");
                let Scan::Frame { frame, consumed } = ykc::scan(&raw, NO_CRC) else { panic!("{name}") };
                assert_eq!((consumed, frame.crc_order), (raw.len(), CrcOrder::Wrong), "{name}");
            }
            continue;
        }
        let Scan::Frame { frame, consumed } = verdict else { panic!("{name}: {verdict:?}") };
        assert_eq!(consumed, raw.len(), "{name}");
        let order = if vector.crc_order.as_deref() == Some("BE") { CrcOrder::HighFirst } else { CrcOrder::LowFirst };
        assert_eq!(frame.crc_order, order, "{name}");
        let rule = if length_is_wrong { LengthRule::BodyOnly } else { LengthRule::Standard };
        assert_eq!(frame.length_rule, rule, "{name}");
        assert_eq!(frame, whole(&raw), "{name}");
        assert_eq!(frame.raw, raw, "{name}");
    }
}

/// Field by field, and no field more: `describe` gives `decoded`.
#[test]
fn bodies_decode_to_the_stated_values() {
    let mut read = 0;
    for vector in all().iter().filter(|vector| vector.quirk.is_none()) {
        let raw = bytes(vector);
        let frame = whole(&raw);
        let described = ykc::describe(&frame);
        if is_read(frame.kind) {
            assert_eq!(described, Value::Object(vector.decoded.clone()), "{}", vector.name);
            read += 1;
        } else {
            for name in ["frame_type", "length", "seq_bytes", "encrypt", "body_len"] {
                assert_eq!(described[name], vector.decoded[name], "{}: {name}", vector.name);
            }
            assert_eq!(described["body"], hex::encode(frame.body), "{}", vector.name);
        }
    }
    assert_eq!(read, 48);
}

/// Frames that break the specification, each with the verdict it must get.
#[test]
fn quirks_have_their_verdict() {
    let all = all();
    let quirks: Vec<&Vector> = all.iter().filter(|vector| vector.quirk.is_some()).collect();
    assert_eq!(quirks.len(), 15);
    for vector in quirks {
        let name = vector.name.as_str();
        let raw = bytes(vector);
        let frame = whole(&raw);
        let described = ykc::describe(&frame);
        for field in ["frame_type", "length", "seq_bytes", "encrypt", "body"] {
            assert_eq!(described[field], vector.decoded[field], "{name}: {field}");
        }
        let outcome = frame.message();
        match name {
            // L counts only the body, the checksum proves it: read as if L were right.
            "02_login_response_03" => {
                let Ok(Message::LoginAck(ack)) = outcome else { panic!("{outcome:?}") };
                assert_eq!((ack.pile().to_string().as_str(), ack.result()), ("20231212000010", ykc::LoginResult::Ok));
            }
            "04_heartbeat_response_02" => assert_eq!(described["pile_id"], "20231212000010"),
            "0a_billing_model_response_02" => assert_eq!(described["pile_id"], "20231212000010"),
            // L counts only the body *and* the body lacks the two bytes of the model number.
            "06_billing_model_check_response_03" => {
                let error = outcome.unwrap_err();
                assert_eq!((error.message, error.field, error.offset), ("model_check_ack", "model_no", 7));
                assert_eq!(error.reason, Reason::Short { need: 9, have: 8 });
            }
            // The logical card has 6 bytes instead of 8, so the end is missing.
            "32_start_authorisation_01" => {
                let error = outcome.unwrap_err();
                assert_eq!((error.field, error.offset), ("auth_ok", 36));
                assert_eq!(error.to_string(), "start_answer.auth_ok at body byte 36: needs 37 bytes of body, has 36");
            }
            // The control byte became four: the known part is read, the rest is kept.
            "92_reboot_01" => {
                let Ok(Message::Reboot(reboot)) = outcome else { panic!("{outcome:?}") };
                assert_eq!((reboot.when(), reboot.extra()), (ykc::RebootWhen::Other(0), &[0, 0, 1][..]));
            }
            // Types without a field table: kept as bytes.
            _ => assert!(matches!(outcome, Ok(Message::Unknown(unknown)) if unknown.body() == frame.body), "{name}"),
        }
    }
}

/// Reads, writes and gets the same bytes, for every frame with a right checksum.
#[test]
fn frames_survive_the_round_trip() {
    for vector in all().iter().filter(|vector| vector.valid_crc) {
        let raw = bytes(vector);
        let frame = whole(&raw);
        let Ok(message) = frame.message() else { continue };
        let style = ykc::FrameStyle { crc_order: frame.crc_order, length_rule: frame.length_rule, encryption: 0 };
        let mut out = Vec::new();
        ykc::encode_styled(frame.seq, &message, style, &mut out);
        assert_eq!(hex::encode(out), vector.hex, "{}", vector.name);
    }
}

#[test]
fn reference_frames_are_valid_and_mean_what_they_should() {
    let reference = reference();
    assert_eq!(reference.len(), 18);
    for vector in &reference {
        let raw = bytes(vector);
        let Scan::Frame { frame, consumed } = ykc::scan(&raw, STRICT) else { panic!("{}", vector.name) };
        assert_eq!((consumed, frame.crc_order), (raw.len(), CrcOrder::LowFirst), "{}", vector.name);
        let described = ykc::describe(&frame);
        for (field, value) in &vector.decoded {
            assert_eq!(described.get(field), Some(value), "{}: {field}", vector.name);
        }
    }
}

/// The human form names type, direction, unit and the meaning of a code.
#[test]
fn the_text_form_has_units_and_meanings() {
    let all = all();
    let by_name = |name: &str| all.iter().find(|vector| vector.name == name).expect("a vector");
    let raw = bytes(by_name("3b_transaction_record_06"));
    let text = ykc::describe_text(&whole(&raw));
    assert!(text.starts_with("0x3B transaction record (charger), sequence 077a, body 158 bytes\n"), "{text}");
    assert!(text.contains("  meter_end            133451.8530 kWh\n"), "{text}");
    assert!(text.contains("  stop_reason          65 (finished: SOC 100 %)\n"), "{text}");
    let raw = bytes(by_name("32_start_authorisation_01"));
    let text = ykc::describe_text(&whole(&raw));
    assert!(text.contains("start_answer.auth_ok at body byte 36"), "{text}");
    let raw = bytes(by_name("44_offline_card_sync_01"));
    assert!(ykc::describe_text(&whole(&raw)).contains("body                 20231212000010"));
}

/// A body with additions shows what the table covers, and the whole body.
#[test]
fn additions_do_not_hide_the_known_part() {
    let all = all();
    let vector = all.iter().find(|vector| vector.name == "13_real_time_data_04").expect("a vector");
    let raw = bytes(vector);
    let mut body = whole(&raw).body.to_vec();
    body.extend([1, 2, 3]);
    let unknown = ykc::Unknown::new(0x13, &body).unwrap();
    let mut out = Vec::new();
    ykc::encode([4, 0], &unknown, &mut out);
    let Scan::Frame { frame, .. } = ykc::scan(&out, STRICT) else { panic!("no frame") };
    let described = ykc::describe(&frame);
    assert_eq!(described["energy"], vector.decoded["energy"]);
    assert_eq!(described["body_len"], json!(63));
    assert_eq!(described["body"], hex::encode(&body));
}
