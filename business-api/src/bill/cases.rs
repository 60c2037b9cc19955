//! Bills of cases in a file: the shape of `tests/vectors/billing-vectors.json`, with or without `expect`. For audits, with no
//! service: what comes out per case is exactly what stands there under `expect`.
//!
//! Decimals are strings, fen are integers, instants are RFC 3339 with offset. A field that is not known inside `tariff`,
//! `session` or `options` is an error: an option that nobody reads would make a wrong bill.

mod read;

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::input::{Options, Session};
use super::result::{Bill, BillError, Segment};
use crate::tariff::{Tariff, TariffError, instant_text};

/// One case of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its id; "#3" for the third of the file where it has none, "B01 (#3)" where another has the same.
    pub id: String,
    /// Its title, empty where the file has none.
    pub title: String,
    /// The tariff.
    pub tariff: Tariff,
    /// The session.
    pub session: Session,
    /// The options.
    pub options: Options,
    /// What the file expects.
    pub expect: Option<Value>,
}

/// What is wrong with a file of cases.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CasesError {
    /// No JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// No list of cases in it.
    #[error("`cases` is not a list")]
    NoCases,
    /// A field of a case.
    #[error("case {case}: {field} {problem}")]
    Field {
        /// Id of the case.
        case: String,
        /// Path of the field, "session.samples[2].kwh"; empty for the case itself.
        field: String,
        /// What is wrong with it.
        problem: Problem,
    },
    /// A case that cannot be rated.
    #[error("case {case}: {error}")]
    Bill {
        /// Id of the case.
        case: String,
        /// Why.
        error: BillError,
    },
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It has to be there.
    #[error("is missing")]
    Missing,
    /// Nobody reads it.
    #[error("is not a field of this file")]
    Unknown,
    /// Another JSON type.
    #[error("is not {0}")]
    NotA(&'static str),
    /// An integer that does not fit.
    #[error("is out of range")]
    OutOfRange,
    /// A text that says no decimal, date, time, instant, kind or policy.
    #[error("{text:?} {why}")]
    Text {
        /// What was there.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// Periods that do not make a day.
    #[error("is no day table: {0}")]
    Table(crate::tariff::TableError),
    /// Versions that do not make a tariff.
    #[error("is no tariff: {0}")]
    Tariff(TariffError),
}

/// Reads a file of cases.
///
/// # Errors
/// [`CasesError`], naming the case and the field.
pub fn read(text: &str) -> Result<Vec<Case>, CasesError> {
    let file: Value = serde_json::from_str(text).map_err(|error| CasesError::NotJson(error.to_string()))?;
    let cases = file.get("cases").and_then(Value::as_array).ok_or(CasesError::NoCases)?;
    cases.iter().zip(names(cases)).map(|(case, name)| read::case(&name, case)).collect()
}

/// What each case is called, in messages too: people count from 1, and no two have the same name.
fn names(cases: &[Value]) -> Vec<String> {
    let id = |case: &Value| match case.get("id") {
        Some(Value::String(id)) if !id.is_empty() => Some(id.clone()),
        Some(Value::Number(id)) => Some(id.to_string()),
        _ => None,
    };
    let numbered = |index: usize| format!("#{}", index + 1);
    let names: Vec<String> =
        cases.iter().enumerate().map(|(index, case)| id(case).unwrap_or_else(|| numbered(index))).collect();
    let mut times: HashMap<&str, usize> = HashMap::new();
    for name in &names {
        *times.entry(name).or_default() += 1;
    }
    let apart = |(index, name): (usize, &String)| match times.get(name.as_str()) {
        Some(2..) if *name != numbered(index) => format!("{name} ({})", numbered(index)),
        _ => name.clone(),
    };
    names.iter().enumerate().map(apart).collect()
}

/// Rates a case: the object that stands under `expect`.
///
/// # Errors
/// [`CasesError::Bill`].
pub fn figures(case: &Case) -> Result<Value, CasesError> {
    let bill = super::rate(&case.tariff, &case.session, &case.options);
    bill.map(|bill| expect_of(&bill)).map_err(|error| CasesError::Bill { case: case.id.clone(), error })
}

/// Reads and rates a file: `{"cases": [{"id", "expect"}, ...]}` in the order of the file.
///
/// # Errors
/// The first [`CasesError`].
pub fn rerate(text: &str) -> Result<Value, CasesError> {
    let mut rated = Vec::new();
    for case in read(text)? {
        rated.push(json!({ "id": case.id, "expect": figures(&case)? }));
    }
    Ok(json!({ "cases": rated }))
}

/// A bill in the form of `expect`. Keys about the charger's amount are there only where it stated one, times of a segment only
/// where it has some.
#[must_use]
pub fn expect_of(bill: &Bill) -> Value {
    let mut expect = json!({
        "source": bill.source,
        "energy_kwh": bill.energy.to_string(),
        "billed_kwh": bill.billed.to_string(),
        "segments": bill.segments.iter().map(segment_of).collect::<Vec<_>>(),
        "elec_yuan4": bill.electricity.to_string(),
        "service_yuan4": bill.service.to_string(),
        "electricity_fen": bill.electricity_fen,
        "service_fen": bill.service_fen,
        "service_discount_fen": bill.service_discount_fen,
        "min_topup_fen": bill.min_topup_fen,
        "coupon_fen": bill.coupon_fen,
        "occupancy_minutes": bill.occupancy_minutes,
        "occupancy_fen": bill.occupancy_fen,
        "total_fen": bill.total_fen,
        "flags": bill.flags,
    });
    if let (Some(comparison), Some(expect)) = (bill.comparison, expect.as_object_mut()) {
        expect.insert("charger_amount_fen".to_owned(), json!(comparison.charger));
        expect.insert("amount_diff_fen".to_owned(), json!(comparison.diff));
        expect.insert("verdict".to_owned(), json!(comparison.verdict));
    }
    expect
}

fn segment_of(segment: &Segment) -> Value {
    let mut object = Map::new();
    for (key, at_ms) in [("from", segment.from_ms), ("to", segment.to_ms)] {
        if let Some(at_ms) = at_ms {
            object.insert(key.to_owned(), json!(instant_text(at_ms)));
        }
    }
    object.insert("type".to_owned(), json!(segment.kind));
    for (key, text) in [
        ("kwh", segment.energy.to_string()),
        ("billed_kwh", segment.billed.to_string()),
        ("elec_yuan4", segment.electricity.to_string()),
        ("service_yuan4", segment.service.to_string()),
    ] {
        object.insert(key.to_owned(), json!(text));
    }
    Value::Object(object)
}
