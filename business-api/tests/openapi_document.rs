//! The document and the router name the same routes, and the document is whole. That answers keep to it, every other test checks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use business_api::order::{ExceptionCode, WorkItem};
use serde_json::Value;

fn document() -> Value {
    serde_json::from_str(include_str!("../openapi.json")).unwrap()
}

#[test]
fn every_route_is_documented_and_every_documented_route_exists() {
    let document = document();
    let documented: BTreeSet<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(documented, business_api::http::paths().into_iter().collect());
}

#[test]
fn every_operation_is_whole() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let about = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().expect(&about).to_owned()), "{about}");
            assert!(operation["summary"].is_string() && operation["tags"][0].is_string(), "{about}");
            let named: BTreeSet<String> = operation["parameters"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| format!("{{{}}}", parameter["name"].as_str().unwrap()))
                .collect();
            let in_path: BTreeSet<String> =
                path.split('/').filter(|part| part.starts_with('{')).map(str::to_owned).collect();
            assert_eq!(named, in_path, "{about}");
            if path.starts_with("/v1/") {
                for status in ["400", "401", "404", "500", "503"] {
                    assert!(operation["responses"][status].is_object(), "{about} {status}");
                }
            }
        }
    }
}

#[test]
fn every_reason_to_hold_an_order_is_documented_wherever_one_is_named() {
    let document = document();
    let codes: BTreeSet<&str> = ExceptionCode::ALL.iter().map(|code| code.name()).collect();
    let kinds: BTreeSet<&str> = WorkItem::ALL.iter().map(|item| item.code()).collect();
    assert_eq!(kinds, codes.iter().copied().chain(["record_conflict"]).collect());
    let mut enums = Vec::new();
    collect_enums(&document, &mut enums);
    let about_holds: Vec<_> = enums.into_iter().filter(|names| names.contains("offline_timeout")).collect();
    assert_eq!(about_holds.len(), 4, "{about_holds:?}");
    for names in about_holds {
        assert!(names == codes || names == kinds, "{names:?}");
    }
}

fn collect_enums<'a>(value: &'a Value, found: &mut Vec<BTreeSet<&'a str>>) {
    if let Some(names) = value["enum"].as_array() {
        found.push(names.iter().filter_map(Value::as_str).collect());
    }
    match value {
        Value::Object(members) => members.values().for_each(|member| collect_enums(member, found)),
        Value::Array(items) => items.iter().for_each(|item| collect_enums(item, found)),
        _ => {}
    }
}

#[test]
fn every_list_has_pages() {
    let document = document();
    let mut lists = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let operation = &item["get"];
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
        if schema.as_str().is_some_and(|name| name.ends_with("Page")) {
            let parameters = operation["parameters"].as_array().unwrap();
            let named = |name: &str| parameters.iter().any(|parameter| parameter["name"] == name);
            assert!(named("limit") && named("cursor"), "{path}");
            lists += 1;
        }
    }
    assert!(lists >= 10, "{lists}");
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_compiles() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(to)) = map.get("$ref") {
                    found.insert(to.clone());
                }
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20);
    for reference in &found {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        let schema =
            serde_json::json!({ "$ref": format!("#/components/schemas/{name}"), "components": document["components"] });
        jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
        let used = format!("#/components/schemas/{name}");
        assert!(found.contains(&used), "{name} is used nowhere");
    }
}
