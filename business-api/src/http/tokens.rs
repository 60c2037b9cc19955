//! Tokens of the registry: cards, VINs, idTags.

use axum::{Json, extract::State as AxumState};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    State, cursor,
    extract::{Caller, InPath, InQuery},
    problem::Problem,
    text,
};
use crate::store::registry::Token;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    limit: Option<u32>,
    cursor: Option<String>,
}

pub(super) async fn list(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InQuery(query): InQuery<ListQuery>,
) -> Result<Json<Value>, Problem> {
    let limit = cursor::limit(query.limit)?;
    let filters = cursor::filters(&"tokens");
    let after: Option<String> = cursor::decode(query.cursor.as_deref(), &filters)?;
    let mut tx = state.store.read(caller.tenant).await?;
    let rows = tx.tokens(caller.tenant, &after.unwrap_or_default(), limit + 1).await?;
    Ok(Json(cursor::page(rows, limit, &filters, |token| token.uid.clone(), token)))
}

pub(super) async fn one(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath(uid): InPath<String>,
) -> Result<Json<Value>, Problem> {
    let mut tx = state.store.read(caller.tenant).await?;
    let rows = tx.tokens_of(caller.tenant, &[uid]).await?;
    rows.first().map(|found| Json(token(found))).ok_or_else(|| Problem::not_found("token"))
}

fn token(token: &Token) -> Value {
    json!({
        "uid": token.uid,
        "kind": token.kind,
        "status": token.status,
        "balance_fen": token.balance_fen,
        "expires_at": text::at(token.expires_at_ms),
        "logical_card": Some(&token.logical_card).filter(|card| !card.is_empty()),
        "parent": Some(&token.parent).filter(|parent| !parent.is_empty()),
        "account": token.account,
    })
}
