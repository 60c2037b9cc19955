//! Pages: a limit and an opaque cursor that is only good for the filters it was made with.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::problem::Problem;
use crate::tariff::parse_instant;

const LIMIT: u32 = 50;
const LIMIT_MAX: u32 = 200;

/// Parameters of a list without filters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    pub limit: Option<u32>,
    pub cursor: Option<String>,
}

/// Rows of a page.
pub(super) fn limit(asked: Option<u32>) -> Result<i64, Problem> {
    match asked.unwrap_or(LIMIT) {
        limit @ 1..=LIMIT_MAX => Ok(i64::from(limit)),
        _ => Err(Problem::bad_request("bad_query", format!("limit is 1 to {LIMIT_MAX}"))),
    }
}

/// An instant among the filters, UTC ms.
pub(super) fn instant(name: &str, text: Option<String>, default: i64) -> Result<i64, Problem> {
    text.map_or(Ok(default), |text| {
        parse_instant(&text).map_err(|error| Problem::bad_request("bad_query", format!("{name} {error}")))
    })
}

/// Hash of the filters, so that a cursor cannot be carried over to another list.
pub(super) fn filters(filters: &impl std::fmt::Debug) -> String {
    let hash = Sha256::digest(format!("{filters:?}").as_bytes());
    hex::encode(hash.get(..6).unwrap_or_default())
}

/// Where the page begins; `None` without a cursor.
pub(super) fn decode<T: DeserializeOwned>(cursor: Option<&str>, filters: &str) -> Result<Option<T>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let bad = || Problem::bad_request("bad_cursor", "the cursor is not one of this list with these filters");
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad())?;
    let (of, place): (String, Value) = serde_json::from_slice(&bytes).map_err(|_| bad())?;
    if of != filters || place.to_string().contains("\\u0000") {
        return Err(bad());
    }
    serde_json::from_value(place).map(Some).map_err(|_| bad())
}

/// `{items, next_cursor}`; one row more than `limit` was read to learn whether there is a next page.
pub(super) fn page<R, P: Serialize>(
    mut rows: Vec<R>,
    limit: i64,
    filters: &str,
    place: impl Fn(&R) -> P,
    item: impl Fn(&R) -> Value,
) -> Value {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|last| {
        // Strings and numbers only: cannot fail to serialise.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&(filters, place(last))).unwrap_or_default())
    });
    json!({ "items": rows.iter().map(item).collect::<Vec<_>>(), "next_cursor": next })
}
