//! Probes. Neither `/livez` nor `/readyz` asks database or log: `/status` says what is degraded, since when and why.

use axum::{
    Json,
    extract::State as AxumState,
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{State, problem::Problem};
use crate::tariff::instant_text;

pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// Ready as soon as it listens: without database or log it answers 503 to what needs them and serves the rest.
pub(super) async fn readyz() -> &'static str {
    "ok\n"
}

pub(super) async fn status(AxumState(state): AxumState<State>) -> Json<Value> {
    let parts = state.status.parts();
    let degraded = parts.values().any(|part| part.ill.is_some());
    let parts: serde_json::Map<String, Value> = parts
        .into_iter()
        .map(|(name, part)| {
            let ill = part.ill.map(|(since_ms, why)| json!({ "since": instant_text(since_ms), "why": why }));
            (name.to_owned(), json!({ "degraded": ill, "figures": part.figures }))
        })
        .collect();
    Json(json!({ "status": if degraded { "degraded" } else { "ok" }, "parts": parts }))
}

pub(super) async fn metrics(AxumState(state): AxumState<State>) -> Result<Response, Problem> {
    let render = state.render.as_ref().ok_or_else(|| Problem::not_found("resource"))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], render()).into_response())
}
