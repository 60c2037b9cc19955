//! Properties that hold for any input: round trips, and no panic on arbitrary bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "ocpp_actions/mod.rs"]
mod actions;

use codecs::ocpp::{
    Envelope, Int, MessageId, MeterWh, Payload, Timestamp, scale_decimal, scan_envelope, v16, write_call,
    write_call_raw, write_result,
};
use proptest::prelude::*;

/// `text` as a JSON string, some characters escaped for no reason.
fn quote(text: &str, escapes: &[bool]) -> String {
    let mut out = String::from('"');
    for (at, char) in text.chars().enumerate() {
        let code = u32::from(char);
        let forced = matches!(char, '"' | '\\') || code < 0x20;
        if forced || (code < 0x1_0000 && escapes.get(at).copied().unwrap_or_default()) {
            out.push_str(&format!("\\u{code:04X}"));
        } else {
            out.push(char);
        }
    }
    out.push('"');
    out
}

fn blanks() -> impl Strategy<Value = String> {
    proptest::string::string_regex("[ \t\r\n]{0,3}").unwrap()
}

fn short_text() -> impl Strategy<Value = String> {
    any::<String>()
        .prop_map(|text| text.chars().take(16).collect::<String>())
        .prop_filter("not empty", |t| !t.is_empty())
}

/// Texts that are nearly messages: the pieces of messages in any order.
fn shards() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just(",".to_owned()),
        Just(":".to_owned()),
        Just("\"".to_owned()),
        Just("\\".to_owned()),
        Just("2".to_owned()),
        Just("4".to_owned()),
        Just("\"id\"".to_owned()),
        Just("\"MeterValues\"".to_owned()),
        Just("\"connectorId\"".to_owned()),
        Just("\"sampledValue\"".to_owned()),
        Just("null".to_owned()),
        Just("-1e9".to_owned()),
        Just(" ".to_owned()),
        Just("\\u00".to_owned()),
        Just("桩".to_owned()),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn exercise(text: &str) {
    if let Ok(envelope) = scan_envelope(text) {
        let _ = envelope.check();
        for schema in actions::NAMES {
            let _ = actions::read(schema, envelope.payload());
        }
    }
    for schema in actions::NAMES {
        let _ = actions::read(schema, text);
    }
    let _ = Timestamp::from_text(text.into()).utc_ms();
    let _ = scale_decimal(text, 4);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_call_is_found_whatever_its_blanks_and_escapes(
        id in short_text(), action in short_text(), escapes in prop::collection::vec(any::<bool>(), 32),
        data in any::<String>(), gaps in prop::collection::vec(blanks(), 9),
    ) {
        let payload = format!("{{\"data\":{}}}", quote(&data, &escapes));
        let text = format!(
            "{}[{}2{},{}{}{},{}{}{},{payload}{}]",
            gaps[0], gaps[1], gaps[2], gaps[3], quote(&id, &escapes), gaps[4], gaps[5], quote(&action, &escapes),
            gaps[6], gaps[7],
        );
        let envelope = scan_envelope(&text).unwrap();
        prop_assert_eq!(envelope.check(), Ok(()));
        let Envelope::Call { id: read_id, action: read_action, payload: read_payload } = envelope else {
            panic!("no call: {text}")
        };
        prop_assert_eq!(read_id.as_str(), id.as_str());
        prop_assert_eq!(read_action.as_str(), action.as_str());
        prop_assert_eq!(read_payload, payload.as_str());
    }

    #[test]
    fn what_is_written_is_read_again(
        id in short_text(), connector in any::<i64>(), tag in "[ -~]{0,20}", meter in -1_000_000_000i64..1_000_000_000,
        ms in 0i64..4_102_444_800_000, reservation in any::<Option<i64>>(),
    ) {
        let sent = v16::start_transaction::Request {
            connector_id: Int::from(connector),
            id_tag: tag.as_str().into(),
            meter_start: MeterWh::from_wh(meter),
            reservation_id: reservation.map(Int::from),
            timestamp: Timestamp::from_ms(ms),
        };
        let mut out = Vec::new();
        write_call(&mut out, &id, "StartTransaction", &sent).unwrap();
        let text = String::from_utf8(out).unwrap();
        let Envelope::Call { id: read_id, payload, .. } = scan_envelope(&text).unwrap() else { panic!("no call") };
        prop_assert_eq!(read_id.as_str(), id.as_str());
        let read = v16::start_transaction::Request::parse(payload).unwrap();
        prop_assert!(read.deviations().is_empty());
        prop_assert_eq!(read.timestamp.utc_ms(), Some(ms));
        prop_assert_eq!(read.meter_start.energy_e4(), meter * 10);
        prop_assert_eq!(
            (read.connector_id, &*read.id_tag, read.reservation_id), (sent.connector_id, &*tag, sent.reservation_id)
        );
        // And the answer finds its way back.
        let mut out = Vec::new();
        write_result(&mut out, &read_id, &v16::heartbeat::Response { current_time: Timestamp::from_ms(ms) }).unwrap();
        let text = String::from_utf8(out).unwrap();
        let answer = scan_envelope(&text).unwrap();
        prop_assert_eq!(answer.id(), &MessageId::new(id.as_str()));
    }

    #[test]
    fn raw_payloads_are_passed_on_untouched(id in short_text(), data in any::<String>()) {
        let payload = serde_json::json!({ "data": data }).to_string();
        let mut out = Vec::new();
        write_call_raw(&mut out, &id, "DataTransfer", &payload);
        let text = String::from_utf8(out).unwrap();
        prop_assert_eq!(scan_envelope(&text).unwrap().payload(), payload.as_str());
    }

    #[test]
    fn arbitrary_text_does_not_panic(text in any::<String>()) {
        exercise(&text);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        exercise(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn pieces_of_messages_do_not_panic(text in shards()) {
        exercise(&text);
    }

    #[test]
    fn a_damaged_message_does_not_panic(at in 0usize..650, byte in any::<u8>(), cut in 0usize..700) {
        let mut bytes = include_str!("vectors/ocpp/meter_values_650.json").trim_end().as_bytes().to_vec();
        bytes[at.min(648)] = byte;
        bytes.truncate(cut);
        exercise(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn scaling_agrees_with_whole_number_arithmetic(whole in -1_000_000_000i64..1_000_000_000, places in 0u32..6) {
        // whole / 10^places, written out, must scale back to whole.
        let factor = 10i64.pow(places);
        let sign = if whole < 0 { "-" } else { "" };
        let (front, behind) = (whole.abs() / factor, whole.abs() % factor);
        let width = usize::try_from(places).unwrap();
        let text = if width == 0 { format!("{sign}{front}") } else { format!("{sign}{front}.{behind:0width$}") };
        prop_assert_eq!(scale_decimal(&text, i32::try_from(places).unwrap()), Ok(whole));
        // One place less: rounded half away from zero.
        if places > 0 {
            let expect = (whole.abs() + 5) / 10 * whole.signum();
            prop_assert_eq!(scale_decimal(&text, i32::try_from(places).unwrap() - 1), Ok(expect));
        }
    }
}
