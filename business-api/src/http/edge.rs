//! What every request passes on its way in and out: correlation id, time limit, panics, and problem details for the errors that
//! no handler made (unknown route, wrong method).

use std::{panic::AssertUnwindSafe, time::Duration};

use axum::{
    extract::{Request, State as AxumState},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures::FutureExt as _;

use super::{State, extract::Trace, problem::Problem, text};

pub(super) async fn edge(AxumState(state): AxumState<State>, mut request: Request, next: Next) -> Response {
    let started = std::time::Instant::now();
    let trace = Trace::of(request.headers());
    let path = request.uri().path().to_owned();
    request.extensions_mut().insert(trace.clone());
    let limit = Duration::from_millis(state.config.request_timeout_ms);
    let answer = tokio::time::timeout(limit, AssertUnwindSafe(next.run(request)).catch_unwind()).await;
    let response = match answer {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            state.metrics.http_panics.increment(1);
            tracing::error!(%path, correlation_id = %trace.correlation_id, "a handler panicked");
            Problem::internal().into_response()
        }
        Err(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", "the request took too long").into_response(),
    };
    state.metrics.http_done(response.status(), started.elapsed());
    dress(response, &path, &trace)
}

/// Adds the correlation id, and turns every error without a body of ours into problem details.
fn dress(mut response: Response, path: &str, trace: &Trace) -> Response {
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        let problem = response.extensions_mut().remove::<Problem>().unwrap_or_else(|| bare(status));
        let about = [("instance", path.into()), ("correlation_id", trace.correlation_id.as_str().into())];
        let body = text::with(problem.body(), about);
        let kept = [header::ALLOW, header::RETRY_AFTER, header::WWW_AUTHENTICATE]
            .map(|name| response.headers().get(&name).cloned().map(|value| (name, value)));
        let mut dressed = (status, body.to_string()).into_response();
        dressed.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        dressed.headers_mut().extend(kept.into_iter().flatten());
        if response.headers().contains_key("idempotency-replayed") {
            dressed.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
        }
        response = dressed;
    }
    if let Ok(value) = HeaderValue::from_str(&trace.correlation_id) {
        response.headers_mut().insert("x-correlation-id", value);
    }
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

pub(super) fn bare(status: StatusCode) -> Problem {
    match status {
        StatusCode::NOT_FOUND => Problem::not_found("resource"),
        StatusCode::METHOD_NOT_ALLOWED => {
            Problem::new(status, "method_not_allowed", "this resource has no such method")
        }
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(status, "too_large", "the body is larger than this API takes"),
        _ if status.is_client_error() => Problem::new(status, "bad_request", "the request cannot be understood"),
        _ => Problem::new(status, "internal", "the request could not be carried out"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use axum::{Router, body::to_bytes, http::Request, middleware, routing::get};
    use tower::ServiceExt as _;

    use super::{State, edge};
    use crate::{Config, Store};

    async fn answer(path: &'static str) -> (u16, serde_json::Value) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", folder.path().join("edge.db").display())).await.unwrap();
        let state = State {
            store,
            clock: events::clock::Clock::REAL,
            config: Arc::new(Config { request_timeout_ms: 100, ..Config::default() }),
            bell: crate::outbox::Bell::default(),
            status: crate::status::Status::default(),
            metrics: Arc::new(crate::metrics::Metrics::register()),
            render: None,
        };
        let router: Router = Router::new()
            .route(
                "/panics",
                get(|| async { if path.is_empty() { "never" } else { panic!("a secret of the handler") } }),
            )
            .route("/sleeps", get(|| async { tokio::time::sleep(Duration::from_secs(60)).await }))
            .layer(middleware::from_fn_with_state(state.clone(), edge))
            .with_state(state);
        let response = router.oneshot(Request::get(path).body(axum::body::Body::empty()).unwrap()).await.unwrap();
        assert!(response.headers().contains_key("x-correlation-id"));
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&to_bytes(response.into_body(), 10_000).await.unwrap()).unwrap())
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_that_tells_nothing() {
        let (status, body) = answer("/panics").await;
        assert_eq!((status, body["code"].as_str()), (500, Some("internal")));
        assert!(!body.to_string().contains("secret"), "{body}");
    }

    #[tokio::test]
    async fn a_handler_that_takes_too_long_is_a_503() {
        let (status, body) = answer("/sleeps").await;
        assert_eq!((status, body["code"].as_str()), (503, Some("timeout")));
    }
}
