//! Texts and the message they are, or why they are none: `vectors/ocpp/envelope.json`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use codecs::ocpp::{Envelope, EnvelopeErrorKind, MessageId, scan_envelope, write_error, write_result_raw};
use serde_json::{Value, json};

fn cases() -> Vec<Value> {
    serde_json::from_str(include_str!("vectors/ocpp/envelope.json")).unwrap()
}

fn seen(text: &str, checked: bool) -> Value {
    let scanned = scan_envelope(text).and_then(|envelope| match checked {
        true => envelope.check().map(|()| envelope),
        false => Ok(envelope),
    });
    match scanned {
        Ok(envelope) => message(&envelope),
        Err(error) => {
            let mut seen = json!({ "error": error.kind.label() });
            if let Some(id) = &error.id {
                seen["id"] = json!(id.as_str());
            }
            seen
        }
    }
}

fn message(envelope: &Envelope<'_>) -> Value {
    let mut seen = json!({ "id": envelope.id().as_str(), "payload": envelope.payload() });
    let kind = match envelope {
        Envelope::Call { .. } => "call",
        Envelope::CallResult { .. } => "result",
        Envelope::CallError { .. } => "error",
        Envelope::CallResultError { .. } => "result_error",
        Envelope::Send { .. } => "send",
    };
    seen["type"] = json!(kind);
    if envelope.id().is_number() {
        seen["number"] = json!(true);
    }
    match envelope {
        Envelope::Call { action, .. } | Envelope::Send { action, .. } => {
            seen["action"] = json!(action.as_str());
            if !action.is_borrowed() {
                seen["borrowed"] = json!(false);
            }
        }
        Envelope::CallError { code, description, .. } | Envelope::CallResultError { code, description, .. } => {
            seen["code"] = json!(code.label());
            seen["description"] = json!(description.as_str());
        }
        Envelope::CallResult { .. } => {}
    }
    seen
}

#[test]
fn every_vector_is_read_as_it_says() {
    for case in cases() {
        let mut expect = case["expect"].clone();
        let checked = expect.as_object_mut().unwrap().remove("checked").is_some();
        let text = case["text"].as_str().unwrap();
        assert_eq!(seen(text, checked), expect, "{}: {text}", case["name"]);
    }
}

#[test]
fn every_error_has_a_vector() {
    for kind in EnvelopeErrorKind::ALL {
        assert!(cases().iter().any(|case| case["expect"]["error"] == kind.label()), "{kind:?}");
    }
}

#[test]
fn a_payload_that_only_the_check_refuses_passes_the_scan() {
    for case in cases().iter().filter(|case| case["expect"]["checked"] == true) {
        assert!(scan_envelope(case["text"].as_str().unwrap()).is_ok(), "{}", case["name"]);
    }
}

#[test]
fn no_prefix_of_a_message_is_a_message() {
    for case in cases() {
        let text = case["text"].as_str().unwrap();
        if case["expect"]["error"].is_string() {
            continue;
        }
        let end = text.trim_end_matches([' ', '\t', '\r', '\n']).len();
        for cut in (0..end).filter(|cut| text.is_char_boundary(*cut)) {
            let part = &text[..cut];
            let whole = scan_envelope(part).is_ok_and(|envelope| envelope.check().is_ok());
            assert!(!whole, "{}: {part}", case["name"]);
        }
    }
}

#[test]
fn ids_are_echoed_as_they_came() {
    for (text, expect) in [
        (r#"[2,"a\"b","Heartbeat",{}]"#, r#"[3,"a\"b",{}]"#),
        (r#"[2,"a\/b","Heartbeat",{}]"#, r#"[3,"a/b",{}]"#),
        (r#"[2,17,"Heartbeat",{}]"#, "[3,17,{}]"),
        (r#"[2,"17","Heartbeat",{}]"#, r#"[3,"17",{}]"#),
        (r#"[2,-0,"Heartbeat",{}]"#, "[3,-0,{}]"),
    ] {
        let id = scan_envelope(text).unwrap().id().clone().into_owned();
        let mut out = Vec::new();
        write_result_raw(&mut out, &id, "{}");
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }
}

#[test]
fn a_refusal_is_spelt_as_ocpp_16_spells_it() {
    let refuse = |kind: EnvelopeErrorKind| {
        let mut out = Vec::new();
        write_error(&mut out, &MessageId::new("1"), &kind.error_code(), "why \"so\"");
        String::from_utf8(out).unwrap()
    };
    assert_eq!(refuse(EnvelopeErrorKind::Arity), r#"[4,"1","FormationViolation","why \"so\"",{}]"#);
    assert_eq!(refuse(EnvelopeErrorKind::ActionTooLong), r#"[4,"1","NotImplemented","why \"so\"",{}]"#);
}

#[test]
fn a_description_is_cut_at_255_characters() {
    let mut out = Vec::new();
    write_error(&mut out, &MessageId::new("1"), &codecs::ocpp::ErrorCode::GenericError, &"桩".repeat(300));
    let text = String::from_utf8(out).unwrap();
    let Envelope::CallError { description, .. } = scan_envelope(&text).unwrap() else { panic!("{text}") };
    assert_eq!(description.chars().count(), 255);
}

#[test]
fn only_a_call_with_an_id_is_answered() {
    let answer = |text: &str| scan_envelope(text).unwrap_err().answer_to().map(|id| id.as_str().to_owned());
    assert_eq!(answer(r#"[2,"1","Heartbeat"]"#).as_deref(), Some("1"));
    assert_eq!(answer(r#"[2,"1",5,{}]"#).as_deref(), Some("1"));
    assert_eq!(answer(r#"[2,"","Heartbeat",{}]"#), None);
    assert_eq!(answer(r#"[3,"1"]"#), None);
    assert_eq!(answer(r#"[4,"1"]"#), None);
    assert_eq!(answer(r#"[7,"1",{}]"#), None);
    let checked = |text: &str| scan_envelope(text).unwrap().check().unwrap_err().answer_to().is_some();
    assert!(checked(r#"[2,"1","Heartbeat",{},{}]"#));
    assert!(!checked(r#"[3,"1",{},{}]"#));
}
