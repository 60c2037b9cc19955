//! The operator's listener: `/livez`, `/readyz`, `/status`, `/metrics`. None of them asks the log or the business side: chargers
//! are served while those are away.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use events::log::SpoolHealth;
use serde_json::json;

use crate::{
    Render,
    shard::Shared,
    status::{Part, real_ms},
};

/// A shard that has not turned for this long hangs.
const TURN_MAX: Duration = Duration::from_secs(10);

/// What the handlers see.
pub(crate) struct Admin {
    pub shared: Arc<Shared>,
    pub render: Render,
    pub registry: Arc<Part>,
    pub commands: Arc<Part>,
    pub claims: Arc<Part>,
    pub listening: AtomicBool,
    pub started_ms: i64,
}

pub(crate) fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .route("/metrics", get(metrics))
        .fallback(nothing_here)
        .method_not_allowed_fallback(only_get)
        .with_state(admin)
}

impl Admin {
    /// Shards that hang.
    fn hanging(&self) -> usize {
        if !self.listening.load(Ordering::Acquire) {
            return 0;
        }
        let limit = i64::try_from(TURN_MAX.as_millis()).unwrap_or(i64::MAX);
        let now = real_ms();
        self.shared.turns.iter().filter(|turn| now - turn.load(Ordering::Relaxed) > limit).count()
    }
}

/// Plain text, as what is here.
async fn nothing_here() -> impl IntoResponse {
    (StatusCode::NOT_FOUND, "here are /livez, /readyz, /status and /metrics\n")
}

async fn only_get() -> impl IntoResponse {
    (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n")
}

async fn livez(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    match admin.hanging() {
        0 => (StatusCode::OK, "shards turn\n".to_owned()),
        hanging => (StatusCode::SERVICE_UNAVAILABLE, format!("{hanging} shards do not turn\n")),
    }
}

async fn readyz(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    if !admin.shared.replica.loaded() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the registry replica is not loaded yet\n");
    }
    if !admin.listening.load(Ordering::Acquire) {
        return (StatusCode::SERVICE_UNAVAILABLE, "the listeners are closed\n");
    }
    (StatusCode::OK, "ready\n")
}

async fn status(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    let shared = &admin.shared;
    let health = shared.log.health();
    let log = match &health.degraded {
        None => json!({"ok": true, "since_ms": admin.started_ms, "why": ""}),
        Some((since, why)) => json!({"ok": false, "since_ms": since, "why": why}),
    };
    let spool = health.spool.as_ref().map(|spool| {
        json!({
            "records": spool.records,
            "bytes": spool.bytes,
            "oldest_at_ms": spool.oldest_at_ms,
            "left_behind": spool.left_behind,
            "spooled": spool.spooled,
            "drained": spool.drained,
            "refused": spool.refused,
            "log_away": spool.log_away,
        })
    });
    let spool_part = health.spool.as_ref().map(spool_part);
    let hanging = admin.hanging();
    let [chargers, tokens, tariffs] = shared.replica.sizes();
    Json(json!({
        "node": shared.config.node,
        "started_ms": admin.started_ms,
        "draining": shared.draining.load(Ordering::Relaxed),
        "listening": admin.listening.load(Ordering::Acquire),
        "connections": shared.admission.count(),
        "connections_limit": shared.config.limits.connections,
        "sessions": shared.live.len(),
        "registry": {"chargers": chargers, "tokens": tokens, "tariffs": tariffs},
        "log": {
            "backend": health.backend,
            "queued": health.queued,
            "confirmed_at_ms": health.confirmed_at_ms,
            "lost": health.lost,
        },
        "spool": spool,
        "parts": {
            "log": log,
            "spool": spool_part,
            "registry": admin.registry.state(),
            "commands": admin.commands.state(),
            "claims": admin.claims.state(),
            "shards": {
                "ok": hanging == 0,
                "since_ms": admin.started_ms,
                "why": if hanging == 0 { String::new() } else { format!("{hanging} do not turn") },
            },
        },
    }))
}

/// The spool as a part: it is well when it is empty, and has set nothing aside.
fn spool_part(spool: &SpoolHealth) -> serde_json::Value {
    match (&spool.failing, spool.records) {
        (Some((since, why)), _) => json!({"ok": false, "since_ms": since, "why": format!("cannot write: {why}")}),
        (None, 0) if spool.refused > 0 => {
            let why = format!("{} records are larger than the log takes: they are set aside", spool.refused);
            json!({"ok": false, "since_ms": 0, "why": why})
        }
        (None, 0) => json!({"ok": true, "since_ms": 0, "why": ""}),
        (None, records) => {
            let why = format!("{records} records wait for the log");
            json!({"ok": false, "since_ms": spool.oldest_at_ms, "why": why})
        }
    }
}

async fn metrics(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    let shared = &admin.shared;
    for (gauge, size) in shared.metrics.registry.iter().zip(shared.replica.sizes()) {
        gauge.set(f64::from(u32::try_from(size).unwrap_or(u32::MAX)));
    }
    let health = shared.log.health();
    shared.metrics.log_failing.set(f64::from(u8::from(health.degraded.is_some())));
    if let Some(spool) = health.spool {
        shared.metrics.spool(&spool, real_ms());
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (admin.render)())
}
