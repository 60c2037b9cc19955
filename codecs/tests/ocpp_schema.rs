//! What we send conforms to the official JSON schemas; what does not conform is named or refused.
//!
//! Conforming payloads of every core action are mutated, schema by schema, node by node: a field removed, renamed,
//! nulled, retyped, too long, an unknown word, a wrong time. Whatever is still read without a deviation must be valid
//! once written again; the strict writer refuses all else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "ocpp_actions/mod.rs"]
mod actions;

use std::{collections::BTreeMap, path::Path};

use codecs::ocpp::{Deviation, Deviations, v16};
use jsonschema::Validator;
use serde_json::{Value, json};

struct Schema {
    name: &'static str,
    value: Value,
    validator: Validator,
}

fn schemas() -> Vec<Schema> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/ocpp/schemas-1.6");
    let load = |name: &&'static str| {
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).expect(name);
        let value: Value = serde_json::from_str(&text).expect(name);
        let validator = jsonschema::options().should_validate_formats(true).build(&value).expect(name);
        Schema { name, value, validator }
    };
    actions::NAMES.iter().map(load).collect()
}

fn conforming() -> BTreeMap<String, Vec<Value>> {
    serde_json::from_str(include_str!("vectors/ocpp/conforming.json")).unwrap()
}

#[test]
fn the_validator_refuses_what_it_should() {
    let schemas = schemas();
    let start = schemas.iter().find(|schema| schema.name == "StartTransaction").unwrap();
    let good = json!({"connectorId": 1, "idTag": "T", "meterStart": 1, "timestamp": "2026-11-21T10:08:09.000Z"});
    assert!(start.validator.is_valid(&good));
    for (field, bad) in [("timestamp", json!("yesterday")), ("idTag", json!("t".repeat(21))), ("x", json!(1))] {
        let mut mutant = good.clone();
        mutant[field] = bad;
        assert!(!start.validator.is_valid(&mutant), "{field}");
    }
}

#[test]
fn conforming_payloads_pass_unchanged_in_both_directions() {
    let conforming = conforming();
    assert_eq!(conforming.len(), actions::NAMES.len());
    for schema in schemas() {
        for payload in &conforming[schema.name] {
            assert!(schema.validator.is_valid(payload), "{}: the vector itself: {payload}", schema.name);
            let read = actions::read(schema.name, &payload.to_string()).unwrap();
            assert!(read.deviations.is_empty(), "{}: {:?}: {payload}", schema.name, read.deviations);
            let strict = read.strict.unwrap();
            assert_eq!(&strict, payload, "{}", schema.name);
        }
    }
}

#[test]
fn the_vectors_use_every_property_of_every_schema() {
    fn unused(schema: &Value, instances: &[&Value], at: &str, missing: &mut Vec<String>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let values: Vec<&Value> = instances.iter().filter_map(|instance| instance.get(name)).collect();
            if values.is_empty() {
                missing.push(format!("{at}.{name}"));
            }
            unused(property, &values, &format!("{at}.{name}"), missing);
        }
        if schema["items"].is_object() {
            let items: Vec<&Value> = instances.iter().filter_map(|list| list.as_array()).flatten().collect();
            unused(&schema["items"], &items, at, missing);
        }
    }
    let conforming = conforming();
    let mut missing = Vec::new();
    for schema in schemas() {
        let instances: Vec<&Value> = conforming[schema.name].iter().collect();
        unused(&schema.value, &instances, schema.name, &mut missing);
    }
    assert_eq!(missing, Vec::<String>::new());
}

/// Every variant of `value` with one node changed.
fn mutants(value: &Value) -> Vec<Value> {
    let mut out = vec![json!(null), json!(7), json!(7.5), json!("7"), json!("Zzz"), json!(true), json!({}), json!([])];
    out.extend([json!("z".repeat(21)), json!("z".repeat(51)), json!("z".repeat(256)), json!("z".repeat(501))]);
    out.extend([json!("2026-11-21T10:08:09"), json!("2026-11-21T10:08:09+02"), json!("2026-11-21T12:08:09+02:00")]);
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let mut without = fields.clone();
                without.remove(name);
                out.push(Value::Object(without.clone()));
                without.insert(format!("{name}X"), field.clone());
                out.push(Value::Object(without));
                for mutant in mutants(field) {
                    let mut with = fields.clone();
                    with.insert(name.clone(), mutant);
                    out.push(Value::Object(with));
                }
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                let mut without = items.clone();
                without.remove(at);
                out.push(Value::Array(without));
                for mutant in mutants(item) {
                    let mut with = items.clone();
                    with[at] = mutant;
                    out.push(Value::Array(with));
                }
            }
        }
        _ => {}
    }
    out
}

#[test]
fn nothing_invalid_is_ever_written() {
    let (mut valid, mut tolerated, mut refused) = (0, 0, 0);
    let conforming = conforming();
    for schema in schemas() {
        for mutant in conforming[schema.name].iter().flat_map(mutants) {
            let Ok(read) = actions::read(schema.name, &mutant.to_string()) else {
                refused += 1;
                continue;
            };
            match read.strict {
                Ok(written) => {
                    valid += 1;
                    let errors: Vec<String> = schema.validator.iter_errors(&written).map(|e| e.to_string()).collect();
                    assert!(errors.is_empty(), "{}: {mutant} was written as {written}: {errors:?}", schema.name);
                }
                Err(_) => tolerated += 1,
            }
        }
    }
    // None of the three ways may be idle.
    assert!(valid > 400 && tolerated > 500 && refused > 500, "{valid} {tolerated} {refused}");
}

#[test]
fn whatever_the_schema_allows_is_read_without_deviation() {
    let conforming = conforming();
    let mut seen = 0;
    for schema in schemas() {
        for mutant in conforming[schema.name].iter().flat_map(mutants) {
            if !schema.validator.is_valid(&mutant) {
                continue;
            }
            seen += 1;
            let read = actions::read(schema.name, &mutant.to_string());
            match read {
                Ok(read) => {
                    // §7.31 wants one sample at least; this one schema forgot to say so.
                    let forgotten: Deviations = match schema.name {
                        "StopTransaction" => [Deviation::NoSamples].into_iter().collect(),
                        _ => Deviations::NONE,
                    };
                    let found = read.deviations;
                    assert!(found.is_empty() || found == forgotten, "{}: {found:?}: {mutant}", schema.name);
                }
                Err(error) => panic!("{}: {error}: {mutant}", schema.name),
            }
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn the_words_are_those_of_the_schemas() {
    fn collect(schema: &Value, name: &str, out: &mut BTreeMap<String, Vec<String>>) {
        if let Some(words) = schema["enum"].as_array() {
            let list = out.entry(name.to_owned()).or_default();
            list.extend(words.iter().map(|word| word.as_str().unwrap().to_owned()));
            list.sort();
            list.dedup();
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            collect(property, name, out);
        }
        if schema["items"].is_object() {
            collect(&schema["items"], name, out);
        }
    }
    macro_rules! words {
        ($($schema:literal $field:literal $type:ty),+ $(,)?) => {
            vec![$(($schema, $field, <$type>::ALL.iter().map(|word| word.as_str().to_owned()).collect::<Vec<_>>())),+]
        };
    }
    let ours: Vec<(&str, &str, Vec<String>)> = words![
        "AuthorizeResponse" "status" v16::AuthorizationStatus<'_>,
        "StartTransactionResponse" "status" v16::AuthorizationStatus<'_>,
        "StopTransactionResponse" "status" v16::AuthorizationStatus<'_>,
        "BootNotificationResponse" "status" v16::boot_notification::RegistrationStatus<'_>,
        "StatusNotification" "status" v16::status_notification::ChargePointStatus<'_>,
        "StatusNotification" "errorCode" v16::status_notification::ChargePointErrorCode<'_>,
        "StopTransaction" "reason" v16::stop_transaction::Reason<'_>,
        "MeterValues" "context" v16::ReadingContext<'_>,
        "MeterValues" "format" v16::ValueFormat<'_>,
        "MeterValues" "measurand" v16::Measurand<'_>,
        "MeterValues" "phase" v16::Phase<'_>,
        "MeterValues" "location" v16::Location<'_>,
        "MeterValues" "unit" v16::Unit<'_>,
        "DataTransferResponse" "status" v16::data_transfer::DataTransferStatus<'_>,
        "ChangeAvailability" "type" v16::change_availability::AvailabilityType<'_>,
        "ChangeAvailabilityResponse" "status" v16::change_availability::AvailabilityStatus<'_>,
        "ChangeConfigurationResponse" "status" v16::change_configuration::ConfigurationStatus<'_>,
        "ClearCacheResponse" "status" v16::clear_cache::ClearCacheStatus<'_>,
        "RemoteStartTransactionResponse" "status" v16::remote_start_transaction::RemoteStartStopStatus<'_>,
        "RemoteStopTransactionResponse" "status" v16::remote_stop_transaction::RemoteStopStatus<'_>,
        "RemoteStartTransaction" "chargingProfilePurpose" v16::ChargingProfilePurpose<'_>,
        "RemoteStartTransaction" "chargingProfileKind" v16::ChargingProfileKind<'_>,
        "RemoteStartTransaction" "recurrencyKind" v16::RecurrencyKind<'_>,
        "RemoteStartTransaction" "chargingRateUnit" v16::ChargingRateUnit<'_>,
        "Reset" "type" v16::reset::ResetType<'_>,
        "ResetResponse" "status" v16::reset::ResetStatus<'_>,
        "UnlockConnectorResponse" "status" v16::unlock_connector::UnlockStatus<'_>,
        "TriggerMessage" "requestedMessage" v16::trigger_message::MessageTrigger<'_>,
        "TriggerMessageResponse" "status" v16::trigger_message::TriggerMessageStatus<'_>,
    ];
    for schema in schemas() {
        let mut theirs = BTreeMap::new();
        collect(&schema.value, "", &mut theirs);
        for (field, words) in theirs {
            // The same types; `Hertz` is missing from this one schema.
            if schema.name == "StopTransaction" && field != "reason" {
                continue;
            }
            let found = ours.iter().find(|(name, ours, _)| *name == schema.name && *ours == field);
            let mut mine = found.unwrap_or_else(|| panic!("{}.{field} is not compared", schema.name)).2.clone();
            mine.sort();
            assert_eq!(mine, words, "{}.{field}", schema.name);
        }
    }
}
