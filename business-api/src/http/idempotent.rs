//! Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07): the same request twice is one effect and one answer.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::Value;

use super::{
    extract::{Caller, IdempotencyKey},
    problem::Problem,
};
use crate::store::{
    Store, Tx,
    idempotency::{Kept, RequestKey},
};

/// How long an answer is kept, ms.
pub(crate) const KEPT_MS: i64 = 24 * 3_600_000;

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A finished request.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub location: Option<String>,
    pub body: Value,
}

impl Answer {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if let Some(location) = self.location.and_then(|location| HeaderValue::from_str(&location).ok()) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

/// One request with its key.
#[derive(Debug)]
pub(super) struct Once<'a> {
    pub caller: &'a Caller,
    pub path: &'a str,
    pub key: &'a IdempotencyKey,
    /// Of the canonical body.
    pub body_hash: &'a str,
    pub now_ms: i64,
}

impl Once<'_> {
    fn request(&self) -> RequestKey<'_> {
        RequestKey { client: &self.caller.client, method: "POST", path: self.path, key: &self.key.0 }
    }

    /// The answer of an earlier request with this key, if there was one.
    pub async fn earlier(&self, tx: &mut Tx) -> Result<Option<Response>, Problem> {
        let Some(kept) = tx.kept_answer(self.caller.tenant, self.request()).await? else { return Ok(None) };
        if kept.body_hash != self.body_hash {
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "this Idempotency-Key came with another body before",
            ));
        }
        let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body: Value = serde_json::from_str(&kept.body).unwrap_or_default();
        let mut response = if status.is_success() {
            Answer { status, location: kept.location, body }.into_response()
        } else {
            Problem::replayed(status, &body).into_response()
        };
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        Ok(Some(response))
    }

    /// Commits what was done together with the answer. A refusal is kept too, without what may have been done before it.
    pub async fn finish(
        &self,
        store: &Store,
        mut tx: Tx,
        outcome: Result<Answer, Problem>,
    ) -> Result<Response, Problem> {
        let kept = |status: StatusCode, location: Option<String>, body: &Value| Kept {
            body_hash: self.body_hash.to_owned(),
            status: status.as_u16(),
            location,
            body: body.to_string(),
        };
        match outcome {
            Ok(answer) => {
                let kept = kept(answer.status, answer.location.clone(), &answer.body);
                self.keep(&mut tx, &kept).await?;
                tx.commit().await?;
                Ok(answer.into_response())
            }
            Err(problem) if problem.status.is_client_error() => {
                drop(tx);
                let mut tx = store.write(self.caller.tenant).await?;
                self.keep(&mut tx, &kept(problem.status, None, &problem.body())).await?;
                tx.commit().await?;
                Err(problem)
            }
            Err(problem) => Err(problem),
        }
    }

    async fn keep(&self, tx: &mut Tx, kept: &Kept) -> Result<(), Problem> {
        match tx.keep_answer(self.caller.tenant, self.request(), kept, self.now_ms).await {
            Ok(()) => Ok(()),
            Err(error) if error.is_unique_violation() => Err(Problem::conflict(
                "idempotency_key_in_progress",
                "a request with this Idempotency-Key is being carried out",
            )),
            Err(error) => Err(error.into()),
        }
    }
}
