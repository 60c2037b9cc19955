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

/// Any JSON, small.
fn json_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<String>().prop_map(|text| quote(&text, &[])),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(",")));
        let object = inner.prop_map(|value| format!("{{\"a\":{value},\"a\":{value}}}"));
        prop_oneof![list, object]
    })
}

/// A JSON number: sign, digits in front of the point, digits behind it, exponent.
#[derive(Clone, Debug)]
struct Numeral {
    negative: bool,
    front: String,
    behind: String,
    exponent: Option<i32>,
}

impl Numeral {
    fn text(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        let point = if self.behind.is_empty() { "" } else { "." };
        let exponent = self.exponent.map(|exponent| format!("e{exponent}")).unwrap_or_default();
        format!("{sign}{}{point}{}{exponent}", self.front, self.behind)
    }

    /// Its digits, and how many of them (perhaps below none, or beyond the last) stand in front of the point × 10^`places`.
    fn digits(&self, places: i32) -> (String, i32) {
        let digits = format!("{}{}", self.front, self.behind);
        (digits, i32::try_from(self.front.len()).unwrap() + self.exponent.unwrap_or(0) + places)
    }

    fn is_whole(&self) -> bool {
        let (digits, point) = self.digits(0);
        digits.char_indices().all(|(at, digit)| digit == '0' || i32::try_from(at).unwrap() < point)
    }
}

/// Numbers of any size and length, with their rounding edges: a 4 or a 5, and nines, or noughts and a last 1, behind it.
fn numeral() -> impl Strategy<Value = Numeral> {
    let front = prop_oneof![Just("0".to_owned()), "[1-9][0-9]{0,8}", "[1-9][0-9]{0,45}", "[1-9]0{0,45}"];
    let behind = prop_oneof![
        Just(String::new()),
        "[0-9]{1,6}",
        "[0-9]{0,5}[45]",
        "[0-9]{0,5}4[9]{10,50}",
        "[0-9]{0,5}50{10,50}1?",
        "0{1,60}[0-9]{1,3}",
    ];
    let exponent = prop_oneof![4 => Just(None), 2 => (-6..6).prop_map(Some), 2 => (-70..70).prop_map(Some), 1 => (-20_000..20_000).prop_map(Some)];
    (any::<bool>(), front, behind, exponent).prop_map(|(negative, front, behind, exponent)| Numeral {
        negative,
        front,
        behind,
        exponent,
    })
}

/// The numeral × 10^`places` as one does it on paper: move the point, look at the next digit, carry. `None`: no `i64`.
fn schoolbook(spelt: &Numeral, places: i32) -> Option<i64> {
    let (digits, point) = spelt.digits(places);
    let digit =
        |at: i32| usize::try_from(at).ok().and_then(|at| digits.as_bytes().get(at)).map_or(0, |byte| byte - b'0');
    if digits.bytes().all(|digit| digit == b'0') || point < 0 {
        return Some(0);
    }
    let mut magnitude = 0i128;
    for at in 0..point {
        magnitude = magnitude.checked_mul(10)?.checked_add(i128::from(digit(at)))?;
    }
    magnitude += i128::from(digit(point) >= 5);
    i64::try_from(if spelt.negative { -magnitude } else { magnitude }).ok()
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

    #[test]
    fn energies_are_read_exactly_from_any_spelling(spelt in numeral(), quoted in any::<bool>()) {
        let exact = schoolbook(&spelt, 1);
        let value = if quoted { format!("\"{}\"", spelt.text()) } else { spelt.text() };

        let stop = format!(r#"{{"transactionId":7,"meterStop":{value},"timestamp":"2026-11-21T10:08:09Z"}}"#);
        let read = v16::stop_transaction::Request::parse(&stop).ok().map(|stop| stop.meter_stop.energy_e4());
        prop_assert_eq!(read, exact, "meterStop {}", value);
        let start = format!(
            r#"{{"connectorId":1,"idTag":"T","meterStart":{value},"timestamp":"2026-11-21T10:08:09Z"}}"#
        );
        let read = v16::start_transaction::Request::parse(&start).ok().map(|start| start.meter_start.energy_e4());
        prop_assert_eq!(read, exact, "meterStart {}", value);

        for (unit, places) in [("Wh", 1), ("kWh", 4)] {
            let values = format!(
                r#"{{"connectorId":1,"meterValue":[{{"timestamp":"2026-11-21T10:08:09Z","sampledValue":[{{"value":{value},"unit":"{unit}"}}]}}]}}"#
            );
            let read = v16::meter_values::Request::parse(&values).unwrap();
            prop_assert_eq!(
                read.meter_value[0].energy_import_register_e4(), schoolbook(&spelt, places), "{} {}", value, unit
            );
            prop_assert_eq!(read.meter_value[0].sampled_value[0].value.as_str(), spelt.text());
        }
    }

    #[test]
    fn an_integer_is_that_integer_or_refused(spelt in numeral()) {
        let stop = format!(
            r#"{{"transactionId":{},"meterStop":1,"timestamp":"2026-11-21T10:08:09Z"}}"#, spelt.text()
        );
        let read = v16::stop_transaction::Request::parse(&stop).ok().map(|stop| stop.transaction_id.get());
        // Whole: ten times as large is exactly ten times as large.
        let whole = schoolbook(&spelt, 0).filter(|_| spelt.is_whole());
        prop_assert_eq!(read, whole);
    }

    #[test]
    fn what_is_written_without_escapes_is_read_without_a_copy(
        id in "[a-zA-Z0-9-]{1,36}", tag in "[a-zA-Z0-9 ]{1,20}", info in proptest::option::of("[a-zA-Z0-9 ]{0,50}"),
    ) {
        let mut out = Vec::new();
        let sent = v16::status_notification::Request {
            connector_id: 1.into(),
            error_code: v16::status_notification::ChargePointErrorCode::NoError,
            info: info.as_deref().map(Into::into),
            status: v16::status_notification::ChargePointStatus::Charging,
            timestamp: None,
            vendor_id: Some(tag.as_str().into()),
            vendor_error_code: None,
        };
        write_call(&mut out, &id, "StatusNotification", &sent).unwrap();
        let text = String::from_utf8(out).unwrap();
        let Envelope::Call { action, payload, .. } = scan_envelope(&text).unwrap() else { panic!("no call") };
        prop_assert!(action.is_borrowed());
        let read = v16::status_notification::Request::parse(payload).unwrap();
        prop_assert_eq!(&read, &sent);
        prop_assert!(read.info.as_ref().is_none_or(codecs::ocpp::Text::is_borrowed));
        prop_assert!(read.vendor_id.as_ref().is_some_and(codecs::ocpp::Text::is_borrowed));
    }

    #[test]
    fn unknown_members_change_nothing_and_known_ones_come_once(
        name in "[a-z]{1,12}x", value in json_value(), twice in 0usize..4,
    ) {
        let members = [
            r#""connectorId":1"#, r#""idTag":"T""#, r#""meterStart":10"#, r#""timestamp":"2026-11-21T10:08:09Z""#,
        ];
        let plain = format!("{{{}}}", members.join(","));
        let expected = v16::start_transaction::Request::parse(&plain).unwrap();
        // In front, between and behind.
        for at in 0..=members.len() {
            let mut more: Vec<String> = members.iter().map(|member| (*member).to_owned()).collect();
            more.insert(at, format!("{}:{value}", quote(&name, &[true])));
            let text = format!("{{{}}}", more.join(","));
            let read = v16::start_transaction::Request::parse(&text).unwrap();
            prop_assert_eq!(&read, &expected);
            prop_assert!(read.deviations().is_empty());
        }
        // Nobody knows which of two is meant: refused, never one of them taken.
        let text = format!("{{{},{}}}", members.join(","), members[twice]);
        let error = v16::start_transaction::Request::parse(&text).unwrap_err();
        prop_assert_eq!(error.kind, codecs::ocpp::PayloadErrorKind::DuplicateField);
    }

    #[test]
    fn half_a_surrogate_is_no_text_anywhere(unit in 0xd800u32..0xe000, tail in "[a-z]{0,4}") {
        let broken = format!("\"\\u{unit:04x}{tail}\"");
        for text in [format!("[2,{broken},\"Heartbeat\",{{}}]"), format!("[2,\"1\",{broken},{{}}]")] {
            prop_assert!(scan_envelope(&text).is_err());
        }
        for payload in [
            format!(r#"{{"idTag":{broken}}}"#),
            format!(r#"{{"idTag":"T","x":{broken}}}"#),
        ] {
            // In a member that nobody reads it may pass unseen; where it is read it is refused as broken JSON.
            if let Err(error) = v16::authorize::Request::parse(&payload) {
                prop_assert_eq!(error.kind, codecs::ocpp::PayloadErrorKind::Syntax);
            } else {
                prop_assert!(payload.contains("\"x\""));
            }
        }
        let meter = format!(
            r#"{{"connectorId":1,"meterValue":[{{"timestamp":"2026-11-21T10:08:09Z","sampledValue":[{{"value":{broken}}}]}}]}}"#
        );
        let error = v16::meter_values::Request::parse(&meter).unwrap_err();
        prop_assert_eq!(error.kind, codecs::ocpp::PayloadErrorKind::Syntax);
    }

    #[test]
    fn nesting_is_refused_beyond_its_limit_wherever_it_is(depth in 1usize..400, objects in any::<bool>()) {
        let (open, close) = if objects { ("{\"a\":", "}") } else { ("[", "]") };
        let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
        let text = format!("[2,\"1\",\"DataTransfer\",{deep}]");
        let envelope = scan_envelope(&text).unwrap();
        prop_assert_eq!(envelope.check().is_ok(), depth <= codecs::ocpp::DEPTH_MAX);
        // Typed readers skip what they do not know, and have an end too.
        let payload = format!(r#"{{"idTag":"T","x":{deep}}}"#);
        if let Err(error) = v16::authorize::Request::parse(&payload) {
            prop_assert_eq!(error.kind, codecs::ocpp::PayloadErrorKind::TooDeep);
            prop_assert!(depth > codecs::ocpp::DEPTH_MAX);
        }
    }
}
