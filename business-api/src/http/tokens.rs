//! Tokens of the registry: cards, VINs, idTags.

use axum::{Json, extract::State as AxumState, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    State, cursor, edit,
    extract::{Caller, InBody, InPatch, InPath, InQuery},
    problem::Problem,
    text,
};
use crate::{
    registry::{self, TokenEntry, Which},
    store::{TenantId, Tx, tokens::Token},
};

pub(super) async fn list(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InQuery(query): InQuery<cursor::PageQuery>,
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
    let found = stored(&mut tx, caller.tenant, &uid).await?.ok_or_else(|| Problem::not_found("token"))?;
    Ok(Json(token(&found)))
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

/// A token as a client writes it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenBody {
    uid: String,
    kind: String,
    #[serde(default = "accepted")]
    status: String,
    #[serde(default)]
    balance_fen: i64,
    /// RFC 3339; none = never.
    #[serde(default)]
    expires_at: Option<String>,
    #[serde(default)]
    logical_card: Option<String>,
    #[serde(default)]
    parent: Option<String>,
    /// Who pays; none = the token itself.
    #[serde(default)]
    account: Option<String>,
}

fn accepted() -> String {
    "accepted".to_owned()
}

impl TokenBody {
    fn of(token: Token) -> Self {
        Self {
            uid: token.uid,
            kind: token.kind,
            status: token.status,
            balance_fen: token.balance_fen,
            expires_at: text::at(token.expires_at_ms),
            logical_card: Some(token.logical_card).filter(|card| !card.is_empty()),
            parent: Some(token.parent).filter(|parent| !parent.is_empty()),
            account: Some(token.account),
        }
    }

    fn entry(self, tenant: TenantId) -> TokenEntry {
        TokenEntry {
            tenant: tenant.0,
            uid: self.uid,
            kind: self.kind,
            status: self.status,
            balance_fen: self.balance_fen,
            expires_at: self.expires_at,
            logical_card: self.logical_card.unwrap_or_default(),
            parent: self.parent.unwrap_or_default(),
            account: self.account.unwrap_or_default(),
        }
    }
}

async fn stored(tx: &mut Tx, tenant: TenantId, uid: &str) -> Result<Option<Token>, Problem> {
    Ok(tx.token(tenant, uid).await?)
}

pub(super) async fn create(
    caller: Caller,
    AxumState(state): AxumState<State>,
    body: InBody<TokenBody>,
) -> Result<Response, Problem> {
    let tenant = caller.tenant;
    let mut tx = edit::begin(&state, &caller).await?;
    let put = registry::put_token(&mut tx, tenant, Which::New, body.value.entry(tenant)).await;
    let uid = put.map_err(|error| edit::refused(error, "token", &[]))?;
    let stored = stored(&mut tx, tenant, &uid).await?.ok_or_else(Problem::internal)?;
    edit::commit(&state, tx).await?;
    Ok(edit::created(&format!("/v1/tokens/{}", edit::segment(&uid)), token(&stored)))
}

pub(super) async fn change(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath(uid): InPath<String>,
    InPatch(patch): InPatch,
) -> Result<Json<Value>, Problem> {
    let tenant = caller.tenant;
    let mut tx = edit::begin(&state, &caller).await?;
    let current = stored(&mut tx, tenant, &uid).await?.ok_or_else(|| Problem::not_found("token"))?;
    let kind = current.kind.clone();
    let wanted = edit::merged(&TokenBody::of(current), patch)?.entry(tenant);
    if wanted.kind != kind {
        return Err(Problem::field("invalid_value", "/kind", "cannot be changed"));
    }
    let put = registry::put_token(&mut tx, tenant, Which::Stored(&uid), wanted).await;
    put.map_err(|error| edit::refused(error, "token", &[]))?;
    let stored = stored(&mut tx, tenant, &uid).await?.ok_or_else(Problem::internal)?;
    edit::commit(&state, tx).await?;
    Ok(Json(token(&stored)))
}

pub(super) async fn remove(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath(uid): InPath<String>,
) -> Result<StatusCode, Problem> {
    let mut tx = edit::begin(&state, &caller).await?;
    let gone = registry::remove_token(&mut tx, caller.tenant, &uid).await;
    gone.map_err(|error| edit::refused(error, "token", &[]))?;
    edit::removed(&state, tx).await
}
