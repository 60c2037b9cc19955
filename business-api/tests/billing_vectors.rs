//! Every stated value of the worked cases, and what the reader of such files says about a wrong one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use business_api::bill::cases::{self, CasesError, Problem};
use events::units::DecimalError;
use serde_json::{Value, json};

const B01_B08: &str = include_str!("vectors/billing-vectors.json");
const B09_B13: &str = include_str!("vectors/billing-vectors-b09-b13.json");

fn sorted_flags(mut figures: Value) -> Value {
    let flags = figures["flags"].as_array_mut().expect("flags");
    flags.sort_by_key(ToString::to_string);
    figures
}

#[test]
fn every_case_gives_every_stated_value() {
    let mut ids = Vec::new();
    for file in [B01_B08, B09_B13] {
        for case in cases::read(file).unwrap() {
            let expect = case.expect.clone().expect("expect");
            let figures = cases::figures(&case).unwrap();
            assert_eq!(sorted_flags(figures), sorted_flags(expect), "{} {}", case.id, case.title);
            ids.push(case.id);
        }
    }
    let all: Vec<String> = (1..=13).map(|number| format!("B{number:02}")).collect();
    assert_eq!(ids, all);
}

#[test]
fn a_file_is_rerated_with_and_without_expect() {
    let with: Value = serde_json::from_str(B01_B08).unwrap();
    let mut without = with.clone();
    for case in without["cases"].as_array_mut().unwrap() {
        case.as_object_mut().unwrap().remove("expect");
    }
    let rated = cases::rerate(&without.to_string()).unwrap();
    for (rated, case) in rated["cases"].as_array().unwrap().iter().zip(with["cases"].as_array().unwrap()) {
        assert_eq!(rated["id"], case["id"]);
        assert_eq!(rated["expect"], case["expect"]);
    }
}

/// The first case with one field set, as a file.
fn with(pointer: &str, value: Value) -> String {
    let mut file: Value = serde_json::from_str(B01_B08).unwrap();
    let case = &mut file["cases"][0];
    case["session"]["samples"] = json!([{ "t": "2025-11-11T08:20:00+08:00", "kwh": "1.0000" }]);
    case["options"] = json!({ "occupancy": { "fen_per_min": 1, "free_windows": [["23:00", "07:00"]] } });
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = case.pointer_mut(parent).expect(pointer);
    match (parent, value) {
        (Value::Object(object), Value::Null) => drop(object.remove(key)),
        (parent, value) => match key.parse::<usize>() {
            Ok(index) => parent[index] = value,
            Err(_) => parent[key] = value,
        },
    }
    file.to_string()
}

fn problem(pointer: &str, value: Value) -> (String, Problem) {
    match cases::read(&with(pointer, value)) {
        Err(CasesError::Field { case, field, problem }) => {
            assert_eq!(case, "B01");
            (field, problem)
        }
        other => panic!("{pointer}: {other:?}"),
    }
}

#[test]
fn a_wrong_field_is_named() {
    for (pointer, value, field, wrong) in [
        ("/session/energy_kwh", Value::Null, "session.energy_kwh", Problem::Missing),
        ("/session/energy_kwh", json!(20), "session.energy_kwh", Problem::NotA("a string")),
        ("/session/energy_kwh", json!(20.5), "session.energy_kwh", Problem::NotA("a string")),
        ("/session/enregy_kwh", json!("1"), "session.enregy_kwh", Problem::Unknown),
        ("/session/clock_skew_s", json!(1.0), "session.clock_skew_s", Problem::NotA("an integer")),
        ("/session/clock_skew_s", json!(u64::MAX), "session.clock_skew_s", Problem::OutOfRange),
        ("/session/clock_skew_s", json!(i64::MAX), "session.clock_skew_s", Problem::OutOfRange),
        ("/session/samples/0/kw", json!("1"), "session.samples[0].kw", Problem::Unknown),
        ("/options/coupon", json!(5), "options.coupon", Problem::Unknown),
        ("/options/coupon_fen", json!("5"), "options.coupon_fen", Problem::NotA("an integer")),
        ("/options/loss_percent", json!(-1), "options.loss_percent", Problem::OutOfRange),
        ("/options/occupancy/fen_per_min", Value::Null, "options.occupancy.fen_per_min", Problem::Missing),
        (
            "/options/occupancy/free_windows/0",
            json!(["23:00"]),
            "options.occupancy.free_windows[0]",
            Problem::NotA("a pair of times"),
        ),
        ("/tariff/versions/0/periods/3/typ", json!("flat"), "tariff.versions[0].periods[3].typ", Problem::Unknown),
        ("/tariff", Value::Null, "tariff", Problem::Missing),
    ] {
        assert_eq!(problem(pointer, value), (field.to_owned(), wrong), "{pointer}");
    }
}

#[test]
fn a_wrong_text_is_quoted() {
    for (pointer, text) in [
        ("/session/energy_kwh", "20.00001"),
        ("/session/energy_kwh", "2e1"),
        ("/session/start", "2025-11-11T08:10:00"),
        ("/session/start", "2025-02-29T08:10:00+08:00"),
        ("/session/samples/0/t", "08:20"),
        ("/options/price_policy", "cheapest"),
        ("/options/service_discount_rate", "0.85001"),
        ("/options/service_discount_rate", "-0.5"),
        ("/tariff/versions/0/effective_from", "2025-13-01"),
    ] {
        match problem(pointer, json!(text)) {
            (_, Problem::Text { text: said, .. }) => assert_eq!(said, text),
            other => panic!("{pointer}: {other:?}"),
        }
    }
    let price = problem("/tariff/versions/0/periods/2/elec", json!("1.054701"));
    let (field, Problem::Table(why)) = price else { panic!("{price:?}") };
    assert_eq!(field, "tariff.versions[0].periods");
    let too_many = DecimalError::TooManyDecimals { max: 5 };
    assert!(why.to_string().contains("period 2") && why.to_string().contains(&too_many.to_string()), "{why}");
}

#[test]
fn every_case_has_a_name_of_its_own_counted_from_one() {
    let case: Value = serde_json::from_str::<Value>(B01_B08).unwrap()["cases"][0].take();
    let named = |id: Value| {
        let mut case = case.clone();
        case["id"] = id;
        case
    };
    let ids = [json!(null), json!("B01"), json!("B01"), json!(""), json!(7), json!("#1")];
    let file = json!({ "cases": ids.map(named) }).to_string();
    let names: Vec<String> = cases::read(&file).unwrap().into_iter().map(|case| case.id).collect();
    assert_eq!(names, ["#1", "B01 (#2)", "B01 (#3)", "#4", "7", "#1 (#6)"]);
}

#[test]
fn a_file_that_is_none_is_refused() {
    assert!(matches!(cases::read("{"), Err(CasesError::NotJson(_))));
    assert_eq!(cases::read("{}"), Err(CasesError::NoCases));
    assert_eq!(cases::read(r#"{"cases": []}"#), Ok(Vec::new()));
    let Err(CasesError::Field { case, problem, .. }) = cases::read(r#"{"cases": [1]}"#) else { panic!() };
    assert_eq!((case.as_str(), problem), ("#1", Problem::NotA("an object")));
    let dated = with("/session/start", json!("1999-01-01T00:00:00+08:00"));
    assert!(matches!(cases::rerate(&dated), Err(CasesError::Bill { .. })));
}
