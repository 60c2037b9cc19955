//! Puts the parts together: database, consumer, outbox, HTTP listener.

use std::{fmt, net::SocketAddr, sync::Arc};

use events::{clock::Clock, log::EventLog};
use futures::{FutureExt as _, StreamExt as _};
use listener::serve_http;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, ConfigError},
    consume::{Consumer, Letters, Settings},
    housekeeping, http,
    metrics::Metrics,
    outbox::{self, Bell},
    status::Status,
    store::{OpenError, Store},
    work::Rules,
};

/// Real time, ms.
const SAMPLES_BEHIND_MS: i64 = 300;

/// Renders `/metrics`, where a recorder is installed by the binary.
pub type Render = Arc<dyn Fn() -> String + Send + Sync>;

/// Why the API did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
}

/// A part that everything shares ended, so the process should.
#[derive(Debug, thiserror::Error)]
#[error("{part} ended: {why}")]
pub struct RunError {
    pub part: &'static str,
    pub why: String,
}

/// A running API.
pub struct Api {
    /// Where HTTP is served (the port that was bound when the configured one was 0).
    pub addr: SocketAddr,
    /// The database, for embedded callers (demo, tests).
    pub store: Store,
    /// Ends after the shutdown token was cancelled, or when a shared part failed.
    pub join: JoinHandle<Result<(), RunError>>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("addr", &self.addr).finish_non_exhaustive()
    }
}

/// Opens the database, binds the port, starts consumer and outbox publisher.
///
/// # Errors
/// When the configuration, the database or the port cannot be used.
pub async fn start(
    config: Config,
    log: Arc<dyn EventLog>,
    clock: Clock,
    render: Option<Render>,
    shutdown: CancellationToken,
) -> Result<Api, StartError> {
    config.validate()?;
    let store = Store::open_with(&config.database_url, config.postgres_connections).await?;
    let listener = TcpListener::bind(config.listen).await.map_err(|error| StartError::Listen(config.listen, error))?;
    let addr = listener.local_addr().map_err(|error| StartError::Listen(config.listen, error))?;
    let status = Status::default();
    let metrics = Arc::new(Metrics::register());
    let bell = Bell::default();
    let settings = Settings {
        group: config.group.clone(),
        rules: Rules::of(&config).into(),
        samples_behind_ms: SAMPLES_BEHIND_MS.saturating_mul(i64::from(clock.factor.max(1))),
        metrics: Arc::clone(&metrics),
    };
    let consumer = Consumer {
        store: store.clone(),
        log: Arc::clone(&log),
        clock,
        settings: Arc::new(settings),
        batch: config.batch,
        bell: bell.clone(),
        part: status.part("consumer"),
        history: status.part("history"),
    };
    let letters = Letters {
        store: store.clone(),
        log: Arc::clone(&log),
        group: format!("{}-dead-letters", config.group),
        metrics: Arc::clone(&metrics),
        part: status.part("dead_letters"),
    };
    let publisher =
        outbox::run(store.clone(), log, bell.clone(), Arc::clone(&metrics), status.part("outbox"), shutdown.clone());
    let keeper =
        housekeeping::run(store.clone(), clock, Arc::clone(&metrics), status.part("database"), shutdown.clone());
    let state = http::State { store: store.clone(), clock, config: Arc::new(config), bell, status, metrics, render };
    let (limits, meters) = (state.config.limits.http(), state.metrics.connections());
    let router = http::router(state);
    let parts = [
        ("consumer", tokio::spawn(consumer.run(shutdown.clone()))),
        ("dead letters", tokio::spawn(letters.run(shutdown.clone()))),
        ("outbox", tokio::spawn(publisher)),
        ("housekeeping", tokio::spawn(keeper)),
    ];
    let server =
        tokio::spawn(serve_http("api", listener, limits, meters, router, http::Dressed::new, shutdown.clone()));
    let join = tokio::spawn(supervise(parts, server, shutdown, store.clone()));
    Ok(Api { addr, store, join })
}

/// Ends when all parts have ended. A part that ends before it is told to takes the others with it: half an API that looks
/// whole helps nobody.
async fn supervise(
    parts: [(&'static str, JoinHandle<()>); 4],
    server: JoinHandle<()>,
    shutdown: CancellationToken,
    store: Store,
) -> Result<(), RunError> {
    let mut result = Ok(());
    let mut ended: futures::stream::FuturesUnordered<_> = parts
        .into_iter()
        .map(|(part, task)| async move { (part, task.await.map_err(|error| error.to_string())) }.boxed())
        .collect();
    ended.push(async move { ("http", server.await.map_err(|error| error.to_string())) }.boxed());
    while let Some((part, outcome)) = ended.next().await {
        let early = !shutdown.is_cancelled();
        if let Some(why) = outcome.err().or_else(|| early.then(|| "it ended by itself".to_owned()))
            && result.is_ok()
        {
            result = Err(RunError { part, why });
        }
        shutdown.cancel();
    }
    store.close().await;
    result
}
