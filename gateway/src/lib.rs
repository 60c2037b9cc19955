//! Chargers on one side, the event log on the other.
//!
//! bytes → frame → message → session → event → log, and back: command topic → live-session registry → mailbox → session →
//! frame. A connection lives on the shard (thread) that accepted it; its session is sans-IO; a money message is answered
//! only after the log has confirmed it. `docs/sessions.md` tells the rules, `docs/metrics.md` the metrics.

mod accept;
mod admin;
mod claims;
mod command;
pub mod config;
mod conn;
pub mod publish;
pub mod registry;
pub mod session;
mod shard;
mod start;
pub mod status;
pub mod telemetry;
mod tls;
pub mod translate;

use std::{fmt, net::SocketAddr, sync::Arc};

use events::{clock::Clock, log::EventLog};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use config::{Config, ConfigError};

/// Renders the process's metrics for `/metrics`.
pub type Render = Arc<dyn Fn() -> String + Send + Sync>;

/// Why the gateway did not start, or ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A setting cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A port could not be bound, a certificate not read, a thread not started.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The log refused a subscription.
    #[error("the event log: {0}")]
    Log(#[from] events::log::LogError),
    /// A part that all sessions share ended by a defect.
    #[error("{0} ended unexpectedly")]
    Died(&'static str),
}

/// What a gateway takes for the time.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// The platform's clock: times in events and answers.
    pub platform: Clock,
    /// Real time: epochs are made of it, so it goes on where it was after a restart. Nodes' clocks need not agree.
    pub epochs: Clock,
}

impl From<Clock> for Clocks {
    fn from(platform: Clock) -> Self {
        Self { platform, epochs: Clock::REAL }
    }
}

/// A running gateway.
pub struct Gateway {
    /// Where YKC chargers connect; `None` if that listener is off.
    pub ykc_addr: Option<SocketAddr>,
    /// Where OCPP chargers connect; `None` if that listener is off.
    pub ocpp_addr: Option<SocketAddr>,
    /// Health, status, metrics.
    pub admin_addr: SocketAddr,
    /// Ends after the drain that `shutdown` begins.
    pub join: JoinHandle<Result<(), RunError>>,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("ykc", &self.ykc_addr).field("ocpp", &self.ocpp_addr).finish_non_exhaustive()
    }
}

/// Starts the gateway; returns when the registry replica is loaded and the listeners are open. The admin listener opens
/// first, so that `/readyz` can say "not yet".
///
/// # Errors
/// When a setting is wrong, a port is taken, or the log refuses to be read.
pub async fn start(
    config: Config,
    log: Arc<dyn EventLog>,
    clocks: impl Into<Clocks>,
    render: Render,
    shutdown: CancellationToken,
) -> Result<Gateway, RunError> {
    config.validate()?;
    start::start(config, log, clocks.into(), render, shutdown).await
}

/// Starts the gateway and returns when it has drained after `shutdown`.
///
/// # Errors
/// As [`start`], and when a shared part (shard, command follower, replica) died.
pub async fn run(
    config: Config,
    log: Arc<dyn EventLog>,
    clocks: impl Into<Clocks>,
    render: Render,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let gateway = start(config, log, clocks, render, shutdown).await?;
    gateway.join.await.unwrap_or(Err(RunError::Died("gateway")))
}
