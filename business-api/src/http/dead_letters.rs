//! Dead letters: what could not be applied or read, giving events back, and leaving letters alone.

use axum::{Json, extract::State as AxumState, http::StatusCode, response::Response};
use serde::Deserialize;
use serde_json::Value;

use super::{
    State, cursor,
    extract::{Caller, IdempotencyKey, InBody, InPath, InQuery},
    idempotent::{Answer, Once},
    problem::Problem,
};
use crate::{
    dead_letters::{self, DismissError, RedriveError, head_json, whole_json},
    store::{
        Tx,
        dead_letters::{LetterFilter, WholeLetter},
    },
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    limit: Option<u32>,
    cursor: Option<String>,
    topic: Option<String>,
    reason: Option<String>,
    charger: Option<String>,
    redriven: Option<bool>,
    dismissed: Option<bool>,
    from: Option<String>,
    to: Option<String>,
}

pub(super) async fn list(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InQuery(query): InQuery<ListQuery>,
) -> Result<Json<Value>, Problem> {
    let limit = cursor::limit(query.limit)?;
    let filter = LetterFilter {
        topic: query.topic.unwrap_or_default(),
        reason: query.reason.unwrap_or_default(),
        charger: query.charger.unwrap_or_default(),
        redriven: query.redriven,
        dismissed: query.dismissed,
        from_ms: cursor::instant("from", query.from, i64::MIN)?,
        to_ms: cursor::instant("to", query.to, i64::MAX)?,
    };
    let filters = cursor::filters(&filter);
    let after: Option<(i64, i64, String)> = cursor::decode(query.cursor.as_deref(), &filters)?;
    let (at_ms, offset, id) = after.unwrap_or((i64::MAX, i64::MAX, String::new()));
    let mut tx = state.store.read(caller.tenant).await?;
    let rows = tx.dead_letters(caller.tenant, &filter, (at_ms, offset, &id), limit + 1).await?;
    Ok(Json(cursor::page(
        rows,
        limit,
        &filters,
        |letter| (letter.appended_at_ms, letter.offset, letter.id.clone()),
        head_json,
    )))
}

pub(super) async fn one(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath(id): InPath<String>,
) -> Result<Json<Value>, Problem> {
    let mut tx = state.store.read(caller.tenant).await?;
    Ok(Json(whole_json(&load(&mut tx, &caller, &id).await?)))
}

async fn load(tx: &mut Tx, caller: &Caller, id: &str) -> Result<WholeLetter, Problem> {
    tx.dead_letter(caller.tenant, id).await?.ok_or_else(unknown)
}

fn unknown() -> Problem {
    Problem::not_found("dead letter")
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Also when it was redriven before.
    #[serde(default)]
    force: bool,
}

pub(super) async fn redrive(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath(id): InPath<String>,
    key: IdempotencyKey,
    body: InBody<Asked>,
) -> Result<Response, Problem> {
    let mut tx = state.store.write(caller.tenant).await?;
    // First of all: a refusal is kept with the key, and one for another tenant's id is not to be.
    load(&mut tx, &caller, &id).await?;
    let path = format!("/v1/dead-letters/{id}/redrive");
    let now_ms = state.clock.now_ms();
    let once = Once { caller: &caller, path: &path, key: &key, body_hash: &body.hash, now_ms };
    if let Some(earlier) = once.earlier(&mut tx).await? {
        return Ok(earlier);
    }
    let by = format!("api:{}", caller.client);
    let outcome = match dead_letters::redrive(&mut tx, caller.tenant, &id, &by, body.value.force, now_ms).await {
        Ok(()) => {
            let body = whole_json(&load(&mut tx, &caller, &id).await?);
            Ok(Answer { status: StatusCode::ACCEPTED, location: Some(format!("/v1/dead-letters/{id}")), body })
        }
        Err(error) => Err(refused(error)),
    };
    let queued = outcome.is_ok();
    let response = once.finish(&state.store, tx, outcome).await?;
    if queued {
        state.metrics.letters_redriven.increment(1);
        state.bell.ring();
    }
    Ok(response)
}

fn refused(error: RedriveError) -> Problem {
    match error {
        RedriveError::Db(error) => error.into(),
        RedriveError::Unknown => unknown(),
        RedriveError::NoEvent => Problem::conflict("holds_no_event", RedriveError::NoEvent.to_string()),
        RedriveError::Before => {
            Problem::conflict("redriven_before", "it was redriven before; `\"force\": true` does it again")
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dismissal {
    because: String,
}

pub(super) async fn dismiss(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath(id): InPath<String>,
    key: IdempotencyKey,
    body: InBody<Dismissal>,
) -> Result<Response, Problem> {
    let mut tx = state.store.write(caller.tenant).await?;
    load(&mut tx, &caller, &id).await?; // first of all, as above
    let path = format!("/v1/dead-letters/{id}/dismiss");
    let now_ms = state.clock.now_ms();
    let once = Once { caller: &caller, path: &path, key: &key, body_hash: &body.hash, now_ms };
    if let Some(earlier) = once.earlier(&mut tx).await? {
        return Ok(earlier);
    }
    let by = format!("api:{}", caller.client);
    let outcome = match dead_letters::dismiss(&mut tx, caller.tenant, &id, &by, &body.value.because, now_ms).await {
        Ok(()) => {
            let body = whole_json(&load(&mut tx, &caller, &id).await?);
            Ok(Answer { status: StatusCode::OK, location: None, body })
        }
        Err(DismissError::Db(error)) => Err(error.into()),
        Err(DismissError::Unknown) => Err(unknown()),
        Err(error @ DismissError::NoReason) => Err(Problem::field("invalid_value", "/because", error.to_string())),
        Err(error @ DismissError::Before) => Err(Problem::conflict("dismissed_before", error.to_string())),
    };
    once.finish(&state.store, tx, outcome).await
}
