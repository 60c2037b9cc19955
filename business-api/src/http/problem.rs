//! Problem details (RFC 9457): the one shape of every error that leaves this API.

use std::borrow::Cow;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use super::text;
use crate::store::DbError;

/// An error as the client sees it. Never carries SQL, a stack or another tenant's data.
#[derive(Clone, Debug)]
pub struct Problem {
    pub status: StatusCode,
    /// Machine-readable, snake_case; also the last part of `type`.
    pub code: Cow<'static, str>,
    pub detail: String,
    pub errors: Vec<FieldError>,
}

/// What is wrong with one member of the request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FieldError {
    /// JSON Pointer into the body, or `?name` of a query parameter.
    pub pointer: String,
    pub detail: String,
}

impl Problem {
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code: Cow::Borrowed(code), detail: detail.into(), errors: Vec::new() }
    }

    /// 422 about one member of the body.
    #[must_use]
    pub fn field(code: &'static str, pointer: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let errors = vec![FieldError { pointer: pointer.to_owned(), detail: detail.clone() }];
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, code: Cow::Borrowed(code), detail, errors }
    }

    #[must_use]
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    #[must_use]
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// Unknown, or another tenant's: the answer is the same, so that nobody learns which.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
    }

    #[must_use]
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the request could not be carried out")
    }

    /// One that was answered before, from its stored body.
    #[must_use]
    pub fn replayed(status: StatusCode, body: &serde_json::Value) -> Self {
        let text = |name: &str| body.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let errors = body.get("errors").cloned().unwrap_or_default();
        Self {
            status,
            code: Cow::Owned(text("code")),
            detail: text("detail"),
            errors: serde_json::from_value(errors).unwrap_or_default(),
        }
    }

    /// The body of the answer; `instance` and `correlation_id` are added where the request is known (`edge`).
    #[must_use]
    pub fn body(&self) -> serde_json::Value {
        let body = serde_json::json!({
            "type": format!("urn:evgate:problem:{}", self.code),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        if self.errors.is_empty() { body } else { text::with(body, [("errors", serde_json::json!(self.errors))]) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // The edge adds instance and correlation id to the body; this says that it may.
        response.extensions_mut().insert(self);
        response
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        if matches!(error, DbError::Changed(_)) {
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, "changed_meanwhile", "try again");
        }
        if error.is_transient() {
            tracing::warn!(%error, "database away");
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", "try again later");
        }
        tracing::error!(%error, "database refused a statement");
        Self::internal()
    }
}
