//! How numbers and instants look in JSON.

use serde_json::Value;

use crate::tariff::instant_text;

/// `"12.3456"` of 0.0001 kWh or 0.0001 yuan.
pub(super) fn e4(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let size = value.unsigned_abs();
    format!("{sign}{}.{:04}", size / 10_000, size % 10_000)
}

/// RFC 3339 of an instant, null of none and of 0.
pub(super) fn at(at_ms: impl Into<Option<i64>>) -> Option<String> {
    at_ms.into().filter(|at_ms| *at_ms != 0).map(instant_text)
}

/// Adds members to an object.
pub(super) fn with(mut object: Value, members: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    if let Some(map) = object.as_object_mut() {
        map.extend(members.into_iter().map(|(name, value)| (name.to_owned(), value)));
    }
    object
}
