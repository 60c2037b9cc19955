//! Work items: what a person has to look at, and closing one.

use axum::{Json, extract::State as AxumState, http::StatusCode, response::Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    State, cursor,
    extract::{Caller, IdempotencyKey, InBody, InPath, InQuery},
    idempotent::{Answer, Once},
    problem::Problem,
    text,
};
use crate::{
    dead_letters::{BECAUSE_MAX, is_reason},
    order::WorkItem,
    store::{
        Tx,
        work_items::{Closed, StoredItem, WorkItemFilter},
    },
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    limit: Option<u32>,
    cursor: Option<String>,
    open: Option<bool>,
    kind: Option<String>,
    order_no: Option<String>,
    charger: Option<String>,
}

pub(super) async fn list(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InQuery(query): InQuery<ListQuery>,
) -> Result<Json<Value>, Problem> {
    let limit = cursor::limit(query.limit)?;
    if let Some(kind) = &query.kind
        && !WorkItem::ALL.iter().any(|known| known.code() == kind)
    {
        return Err(Problem::bad_request("bad_query", "kind is not one of a work item"));
    }
    let filter = WorkItemFilter {
        open: query.open,
        kind: query.kind.unwrap_or_default(),
        order_no: query.order_no.unwrap_or_default(),
        charger: query.charger.unwrap_or_default(),
    };
    let filters = cursor::filters(&filter);
    let after: Option<(i64, String)> = cursor::decode(query.cursor.as_deref(), &filters)?;
    let (opened_at_ms, id) = after.unwrap_or((i64::MAX, String::new()));
    let mut tx = state.store.read(caller.tenant).await?;
    let rows = tx.work_items(caller.tenant, &filter, (opened_at_ms, &id), limit + 1).await?;
    Ok(Json(cursor::page(rows, limit, &filters, |item| (item.opened_at_ms, item.id.clone()), body_of)))
}

pub(super) async fn one(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath(id): InPath<String>,
) -> Result<Json<Value>, Problem> {
    let mut tx = state.store.read(caller.tenant).await?;
    Ok(Json(body_of(&load(&mut tx, &caller, &id).await?)))
}

async fn load(tx: &mut Tx, caller: &Caller, id: &str) -> Result<StoredItem, Problem> {
    tx.work_item(caller.tenant, id).await?.ok_or_else(|| Problem::not_found("work item"))
}

fn body_of(item: &StoredItem) -> Value {
    json!({
        "work_item": item.id,
        "kind": item.kind,
        "order_no": item.order_no,
        "charger": item.charger,
        "detail": item.detail,
        "opened_at": text::at(item.opened_at_ms),
        "closed": item.closed.as_ref().map(|closed| json!({
            "at": text::at(closed.at_ms),
            "by": closed.by,
            "because": closed.because,
        })),
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Close {
    because: String,
}

/// It moves no money: what a person decided about the order was done there.
pub(super) async fn close(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath(id): InPath<String>,
    key: IdempotencyKey,
    body: InBody<Close>,
) -> Result<Response, Problem> {
    let mut tx = state.store.write(caller.tenant).await?;
    // First of all: a refusal is kept with the key, and one for another tenant's id is not to be.
    load(&mut tx, &caller, &id).await?;
    let path = format!("/v1/work-items/{id}/close");
    let now_ms = state.clock.now_ms();
    let once = Once { caller: &caller, path: &path, key: &key, body_hash: &body.hash, now_ms };
    if let Some(earlier) = once.earlier(&mut tx).await? {
        return Ok(earlier);
    }
    let closed = Closed { at_ms: now_ms, by: format!("api:{}", caller.client), because: body.value.because };
    let outcome = close_in(&mut tx, &caller, &id, &closed).await;
    once.finish(&state.store, tx, outcome).await
}

async fn close_in(tx: &mut Tx, caller: &Caller, id: &str, closed: &Closed) -> Result<Answer, Problem> {
    if !is_reason(&closed.because) {
        let detail = format!("has 1 to {BECAUSE_MAX} printable characters");
        return Err(Problem::field("invalid_value", "/because", detail));
    }
    if !tx.close_work_item(caller.tenant, id, closed).await? {
        return Err(Problem::conflict("closed_before", "it was closed before"));
    }
    Ok(Answer { status: StatusCode::OK, location: None, body: body_of(&load(tx, caller, id).await?) })
}
