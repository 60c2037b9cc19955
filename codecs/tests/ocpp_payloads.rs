//! Payloads of deviating stations, energies, actions: `vectors/ocpp/{payloads,samples}.json`, `actions-1.6.csv`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "ocpp_actions/mod.rs"]
mod actions;

use codecs::ocpp::{
    Deviation, PayloadErrorKind,
    v16::{Action, CallRefusal, CsmsCall, SampledValue, Sender, StationCall},
};
use serde_json::Value;

fn cases() -> Vec<Value> {
    serde_json::from_str(include_str!("vectors/ocpp/payloads.json")).unwrap()
}

#[test]
fn every_vector_is_read_as_it_says() {
    for case in cases() {
        let payload = case["payload"].as_str().unwrap();
        let read = actions::read(case["action"].as_str().unwrap(), payload);
        let name = &case["name"];
        match (read, case["error"].as_str()) {
            (Ok(read), None) => {
                assert_eq!(read.written, case["written"], "{name}");
                let mut labels: Vec<&str> = read.deviations.iter().map(Deviation::label).collect();
                let mut expect: Vec<&str> =
                    case["deviations"].as_array().unwrap().iter().map(|label| label.as_str().unwrap()).collect();
                labels.sort_unstable();
                expect.sort_unstable();
                assert_eq!(labels, expect, "{name}");
                assert_eq!(read.strict.is_ok(), expect.is_empty(), "{name}: only what conforms is sent");
            }
            (Err(error), Some(expect)) => assert_eq!(error.kind.label(), expect, "{name}: {error}"),
            (Ok(read), Some(expect)) => panic!("{name}: {expect} expected, read {}", read.written),
            (Err(error), None) => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn every_deviation_and_every_error_has_a_vector() {
    let cases = cases();
    for deviation in Deviation::ALL {
        let has = |case: &Value| {
            case["deviations"].as_array().is_some_and(|labels| labels.iter().any(|label| label == deviation.label()))
        };
        assert!(cases.iter().any(has), "{deviation:?}");
    }
    for kind in PayloadErrorKind::ALL {
        // A typed payload of OCPP 1.6 core nests too little to reach the limit: `check_value` does.
        if kind != PayloadErrorKind::TooDeep {
            assert!(cases.iter().any(|case| case["error"] == kind.label()), "{kind:?}");
        }
    }
}

#[test]
fn a_payload_error_has_the_code_of_its_kind() {
    let code = |payload: &str| match StationCall::parse("Authorize", payload) {
        Err(refusal) => refusal.error_code().as_v16().to_owned(),
        Ok(call) => panic!("{call:?}"),
    };
    assert_eq!(code("{"), "FormationViolation");
    assert_eq!(code("[]"), "FormationViolation");
    assert_eq!(code("{}"), "OccurenceConstraintViolation");
    assert_eq!(code(r#"{"idTag":{}}"#), "TypeConstraintViolation");
    assert_eq!(code(&format!(r#"{{"idTag":"{}"}}"#, "x".repeat(2_000))), "PropertyConstraintViolation");
}

#[test]
fn an_error_does_not_repeat_a_long_input() {
    let payload = format!(r#"{{"connectorId":"{}"}}"#, "桩".repeat(10_000));
    let Err(CallRefusal::BadPayload(_, error)) = StationCall::parse("StartTransaction", &payload) else {
        panic!("was read")
    };
    assert!(error.detail.len() < 210, "{}", error.detail.len());
}

#[test]
fn energies_are_exact() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("vectors/ocpp/samples.json")).unwrap();
    for case in cases {
        let text = case["sample"].to_string();
        let sample: SampledValue<'_> = serde_json::from_str(&text).unwrap();
        assert_eq!(sample.energy_e4(), case["energy_e4"].as_i64(), "{}", case["name"]);
        if let Some(places) = case["places"].as_i64() {
            let places = i32::try_from(places).unwrap();
            assert_eq!(sample.scaled(places), case["scaled"].as_i64(), "{}", case["name"]);
            assert_eq!(sample.base_unit_scaled(places), case["base"].as_i64(), "{}", case["name"]);
        }
    }
}

#[test]
fn the_register_is_the_total_at_the_outlet() {
    let register = |samples: &str| {
        let text = format!(r#"{{"timestamp":"2026-11-21T10:08:09Z","sampledValue":[{samples}]}}"#);
        let value: codecs::ocpp::v16::MeterValue<'_> = serde_json::from_str(&text).unwrap();
        value.energy_import_register_e4()
    };
    let total = r#"{"value":"3"}"#;
    let phase = r#"{"value":"1","phase":"L1"}"#;
    let inlet = r#"{"value":"9","location":"Inlet"}"#;
    let signed = r#"{"value":"abc","format":"SignedData"}"#;
    let power = r#"{"value":"7","measurand":"Power.Active.Import","unit":"W"}"#;
    assert_eq!(register(&[power, signed, phase, inlet, total].join(",")), Some(30));
    assert_eq!(register(&[phase, inlet].join(",")), Some(90));
    assert_eq!(register(phase), None, "phases are never added up");
    assert_eq!(register(""), None);
}

#[test]
fn the_actions_are_those_of_the_specification() {
    let mut rows = include_str!("vectors/ocpp/actions-1.6.csv").lines();
    assert_eq!(rows.next(), Some("version,action,sent_by,message,part"));
    let expect: Vec<(&str, Sender)> = rows
        .map(|row| {
            let fields: Vec<&str> = row.split(',').collect();
            let sender = match fields[2] {
                "station" => Sender::Station,
                "csms" => Sender::Csms,
                "both" => Sender::Both,
                other => panic!("{other}"),
            };
            (fields[1], sender)
        })
        .collect();
    let ours: Vec<(&str, Sender)> = Action::ALL.iter().map(|action| (action.name(), action.sender())).collect();
    assert_eq!(ours, expect);
    for action in Action::ALL {
        assert_eq!(Action::from_name(action.name()), Some(*action));
    }
}

#[test]
fn unknown_foreign_and_unsupported_actions_are_told_apart() {
    let station = |action: &str| StationCall::parse(action, "{}").unwrap_err();
    let csms = |action: &str| CsmsCall::parse(action, "{}").unwrap_err();
    assert_eq!(station("Dance"), CallRefusal::UnknownAction);
    assert_eq!(station("heartbeat"), CallRefusal::UnknownAction);
    assert_eq!(station("Reset"), CallRefusal::UnknownAction, "of the other direction");
    assert_eq!(csms("Heartbeat"), CallRefusal::UnknownAction, "of the other direction");
    assert_eq!(station("SignCertificate"), CallRefusal::NotSupported(Action::SignCertificate));
    assert_eq!(csms("ReserveNow"), CallRefusal::NotSupported(Action::ReserveNow));
    assert_eq!(CallRefusal::UnknownAction.error_code().as_v16(), "NotImplemented");
    assert_eq!(CallRefusal::NotSupported(Action::ReserveNow).error_code().as_v16(), "NotSupported");
    for action in Action::ALL {
        let station = StationCall::parse(action.name(), "{}");
        assert_eq!(station == Err(CallRefusal::UnknownAction), !action.from_station(), "{action}");
        let csms = CsmsCall::parse(action.name(), "{}");
        assert_eq!(csms == Err(CallRefusal::UnknownAction), !action.from_csms(), "{action}");
    }
}
