//! HTTP/1.1 for a few peers that need not be trusted: so many connections and no more, and none that only waits.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::{Counter, Gauge};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use crate::{
    accept::{AcceptErrors, Seldom},
    paced::{Paced, Requests},
};

/// What the peers of an HTTP listener may use. How long an answer may take to be made is for its routes to say.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// Open connections; more are closed at once.
    pub connections: usize,
    /// From the first byte of a request (of the first one: from accept) to the end of its head.
    pub head: Duration,
    /// From an answer to the end of the next request's head.
    pub idle: Duration,
    /// A peer that takes nothing of an answer for this long is closed.
    pub write: Duration,
}

/// What an HTTP listener tells of its connections.
#[derive(Clone, Debug)]
pub struct HttpMeters {
    /// Open now.
    pub open: Gauge,
    /// Closed because there were too many.
    pub refused: Counter,
    /// Closed because the peer was silent or too slow.
    pub timed_out: Counter,
    /// Errors of `accept`.
    pub accept_errors: Counter,
}

/// Serves `router` until `stop`; then what has begun is answered, and it ends with the last connection. `dress` wraps each stream.
pub async fn serve_http<Io>(
    name: &'static str,
    listener: TcpListener,
    limits: HttpLimits,
    meters: HttpMeters,
    router: Router,
    dress: fn(TcpStream) -> Io,
    stop: CancellationToken,
) where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let places = Arc::new(Semaphore::new(limits.connections));
    let errors = AcceptErrors::new(name, meters.accept_errors.clone());
    let crowded = Seldom::new();
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tokio::time::sleep(errors.pause(&error)).await;
                continue;
            }
        };
        errors.none();
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            meters.refused.increment(1);
            if let Some(unsaid) = crowded.may_say() {
                tracing::warn!(
                    listener = name,
                    limit = limits.connections,
                    unsaid,
                    "too many connections; closing more"
                );
            }
            continue;
        };
        let served = one(dress(stream), limits, router.clone(), stop.clone());
        let meters = meters.clone();
        connections.spawn(async move {
            let _open = Open::of(&meters.open);
            if !served.await {
                meters.timed_out.increment(1);
            }
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Counts as open until dropped, also when a handler panics.
struct Open(Gauge);

impl Open {
    fn of(gauge: &Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Serves one connection to its end; false: a time-out ended it.
async fn one<Io>(stream: Io, limits: HttpLimits, router: Router, stop: CancellationToken) -> bool
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let requests = Arc::new(Requests::default());
    let stream = TokioIo::new(Paced::new(stream, limits, Arc::clone(&requests)));
    let service = service_fn(|request: hyper::Request<Incoming>| {
        requests.begin();
        let (router, requests) = (router.clone(), Arc::clone(&requests));
        async move {
            let response = router.oneshot(request.map(Body::new)).await;
            requests.end();
            Ok::<_, Infallible>(response.unwrap_or_else(|never| match never {}))
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.idle);
    let mut connection = pin!(http.serve_connection(stream, service));
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    !requests.timed_out() && !served.is_err_and(|error| error.is_timeout())
}
