//! Reads requests strictly: unknown members and parameters are refused, every refusal is a [`Problem`].

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;
use sha2::{Digest as _, Sha256};

use super::{State, json::Once, problem::Problem};
use crate::store::TenantId;

/// Who calls: from the bearer key, never from the request's own words.
#[derive(Clone, Debug)]
pub struct Caller {
    pub tenant: TenantId,
    /// Name of the key: the client in idempotency keys and timelines.
    pub client: String,
}

impl FromRequestParts<State> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let unauthorized = |detail: &str| Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail);
        let mut given = parts.headers.get_all(header::AUTHORIZATION).iter();
        let (first, None) = (given.next(), given.next()) else {
            return Err(Problem::bad_request("repeated_header", "a request has one Authorization header"));
        };
        let key = first
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, key)| key.trim())
            .filter(|key| !key.is_empty())
            .ok_or_else(|| unauthorized("a bearer key is required"))?;
        // The key has as much entropy as its hash: looked up by hash, so no comparison leaks its time.
        let hash = hex::encode(Sha256::digest(key.as_bytes()));
        let mut tx = state.store.read_platform().await?;
        let found = tx.client_of_key(&hash).await?;
        let (tenant, client) = found.ok_or_else(|| unauthorized("the bearer key is not known"))?;
        Ok(Self { tenant, client })
    }
}

/// Path parameters.
#[derive(Debug)]
pub struct InPath<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<State> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        // No id contains U+0000, and PostgreSQL takes none in a text.
        if parts.uri.path().contains("%00") {
            return Err(Problem::not_found("resource"));
        }
        Path::<T>::from_request_parts(parts, state)
            .await
            .map(|Path(value)| Self(value))
            .map_err(|_| Problem::not_found("resource"))
    }
}

/// Query parameters.
#[derive(Debug)]
pub struct InQuery<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<State> for InQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(Problem::bad_request("bad_query", "a parameter contains U+0000"));
        }
        Query::<T>::try_from_uri(&parts.uri)
            .map(|Query(value)| Self(value))
            .map_err(|error| Problem::bad_request("bad_query", error.body_text()))
    }
}

/// A JSON body, and the hash of its canonical form (keys sorted, no white space) for idempotency.
#[derive(Debug)]
pub struct InBody<T> {
    pub value: T,
    pub hash: String,
}

impl<T: DeserializeOwned> FromRequest<State> for InBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &State) -> Result<Self, Problem> {
        let json = json_body(request, state, &["application/json"]).await?;
        let hash = hex::encode(Sha256::digest(json.to_string().as_bytes()));
        Ok(Self { value: parse(json)?, hash })
    }
}

/// A JSON Merge Patch (RFC 7396) of an object.
#[derive(Debug)]
pub struct InPatch(pub Map<String, Value>);

impl FromRequest<State> for InPatch {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &State) -> Result<Self, Problem> {
        match json_body(request, state, &["application/merge-patch+json", "application/json"]).await? {
            Value::Object(patch) => Ok(Self(patch)),
            _ => Err(Problem::field("invalid_body", "", "a patch of a resource is an object")),
        }
    }
}

/// Reads a value strictly; says which member is wrong.
pub(super) fn parse<T: DeserializeOwned>(json: Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(json).map_err(|error| {
        let mut pointer = String::new();
        for segment in error.path() {
            match segment {
                Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
                Segment::Map { key } => pointer.push_str(&format!("/{}", escaped(key))),
                Segment::Enum { .. } | Segment::Unknown => {}
            }
        }
        Problem::field("invalid_body", &pointer, error.into_inner().to_string())
    })
}

/// A member's name in a JSON Pointer (RFC 6901).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

async fn json_body(request: Request, state: &State, kinds: &[&str]) -> Result<Value, Problem> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kinds.iter().any(|wanted| kind.eq_ignore_ascii_case(wanted)) {
        let detail = format!("the body must be {}", kinds.join(" or "));
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
    }
    let bytes = Bytes::from_request(request, state).await.map_err(|error: BytesRejection| {
        if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is larger than this API takes")
        } else {
            Problem::bad_request("unreadable_body", "the body could not be read")
        }
    })?;
    let Once(json) = serde_json::from_slice(&bytes).map_err(|error| {
        let code = if error.is_data() { "repeated_member" } else { "malformed_json" };
        Problem::bad_request(code, error.to_string())
    })?;
    if let Some(pointer) = nul_in(&json, &mut String::new()) {
        return Err(Problem::field("invalid_value", &pointer, "contains U+0000"));
    }
    Ok(json)
}

/// Pointer of a string that contains U+0000, which PostgreSQL cannot store.
fn nul_in(value: &Value, at: &mut String) -> Option<String> {
    let len = at.len();
    let within = |name: &str, value: &Value, at: &mut String| {
        at.push('/');
        at.push_str(&escaped(name));
        let found = nul_in(value, at);
        at.truncate(len);
        found
    };
    match value {
        Value::String(text) => text.contains('\0').then(|| at.clone()),
        Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| within(&index.to_string(), item, at)),
        Value::Object(members) => members
            .iter()
            .find_map(|(name, member)| if name.contains('\0') { Some(at.clone()) } else { within(name, member, at) }),
        _ => None,
    }
}

/// Correlation and trace of a request, made by the edge when the client sent none.
#[derive(Clone, Debug)]
pub struct Trace {
    pub correlation_id: String,
    /// W3C traceparent; empty when the client sent none that is valid.
    pub traceparent: String,
}

impl Trace {
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let correlation_id = text("x-correlation-id")
            .filter(|id| (1..=64).contains(&id.len()))
            .filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)))
            .map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned);
        let traceparent = text("traceparent").filter(|value| is_traceparent(value)).unwrap_or_default().to_owned();
        Self { correlation_id, traceparent }
    }
}

fn is_traceparent(value: &str) -> bool {
    let parts: Vec<&str> = value.split('-').collect();
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let [version, trace, span, flags] = parts[..] else { return false };
    version == "00"
        && hex(trace, 32)
        && hex(span, 16)
        && hex(flags, 2)
        && trace.bytes().any(|byte| byte != b'0')
        && span.bytes().any(|byte| byte != b'0')
}

impl FromRequestParts<State> for Trace {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self::of(&parts.headers)))
    }
}

/// The client's Idempotency-Key: a structured-field string, or bare.
#[derive(Clone, Debug)]
pub struct IdempotencyKey(pub String);

impl FromRequestParts<State> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all("idempotency-key").iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Problem::bad_request(
                "idempotency_key_required",
                "this request needs one Idempotency-Key header",
            ));
        };
        let text = value.to_str().unwrap_or_default().trim();
        let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
        if bare.is_empty() || bare.len() > 128 || bare.contains(['"', '\\']) {
            return Err(Problem::bad_request(
                "idempotency_key_invalid",
                "an Idempotency-Key has 1 to 128 printable characters",
            ));
        }
        Ok(Self(bare.to_owned()))
    }
}
