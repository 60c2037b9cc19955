//! What all changes of the registry share: merge patches, refusals as problems, answers of creation and removal.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    State,
    extract::{self, Caller},
    problem::{FieldError, Problem},
};
use crate::{registry::EditError, store::Tx};

/// A resource's own names of members that are called otherwise in the registry file.
pub(super) type Names = &'static [(&'static str, &'static str)];

/// The resource after a merge patch (RFC 7396): a null takes a member away, which leaves its default, if it has one.
pub(super) fn merged<T: Serialize + DeserializeOwned>(current: &T, patch: Map<String, Value>) -> Result<T, Problem> {
    let mut value = serde_json::to_value(current).map_err(|_| Problem::internal())?;
    merge(&mut value, Value::Object(patch));
    extract::parse(value)
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(members) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            members.remove(&name);
        } else {
            merge(members.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// Why the registry was not changed, in the words of REST.
pub(super) fn refused(error: EditError, what: &str, names: Names) -> Problem {
    match error {
        EditError::Database(error) => error.into(),
        EditError::Missing => Problem::not_found(what),
        EditError::Exists => Problem::conflict("already_exists", format!("this id of a {what} is taken")),
        EditError::InUse(code, detail) => Problem::conflict(code, detail),
        EditError::Invalid(problems) => {
            let errors: Vec<FieldError> = problems
                .into_iter()
                .map(|problem| FieldError { pointer: pointer(&problem.key, names), detail: problem.what })
                .collect();
            let detail = errors.first().map(|error| error.detail.clone()).unwrap_or_default();
            let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_value", detail);
            Problem { errors, ..problem }
        }
    }
}

/// `versions[0].version` as a JSON Pointer, by the resource's own names.
fn pointer(key: &str, names: Names) -> String {
    let mut pointer = String::new();
    for part in key.split(['.', '[', ']']).filter(|part| !part.is_empty()) {
        let name = names.iter().find(|(file, _)| *file == part).map_or(part, |(_, own)| own);
        pointer.push('/');
        pointer.push_str(name);
    }
    pointer
}

/// 201 with the new resource and where it is.
pub(super) fn created(location: &str, body: Value) -> Response {
    let mut response = (StatusCode::CREATED, Json(body)).into_response();
    locate(&mut response, location);
    response
}

pub(super) fn locate(response: &mut Response, location: &str) {
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
}

/// Makes the change durable and wakes the publisher.
pub(super) async fn commit(state: &State, tx: Tx) -> Result<(), Problem> {
    tx.commit().await?;
    state.bell.ring();
    Ok(())
}

/// Commits a removal.
pub(super) async fn removed(state: &State, tx: Tx) -> Result<StatusCode, Problem> {
    commit(state, tx).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A transaction that alone changes the caller's registry.
pub(super) async fn begin(state: &State, caller: &Caller) -> Result<Tx, Problem> {
    let mut tx = state.store.write(caller.tenant).await?;
    tx.lock_registry(caller.tenant).await?;
    Ok(tx)
}

/// A part of a path, percent-encoded.
pub(super) fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
