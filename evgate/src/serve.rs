//! `evgate serve`, `gateway`, `api`: the parts started in order, and closed in the order of the flow: chargers first, then
//! what eats their events, the log last.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use events::{
    clock::Clock,
    log::{EventLog, LogConfig},
};
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{ConfigArgs, ServeArgs},
    config::{Config, Parts},
    exit::{Exit, Failure, OrExit as _, Outcome},
    open_files, registry_cmd, shutdown,
    telemetry::{self, Render},
};

/// What is still on its way when everything is closed gets this long to become durable.
const FLUSH_WITHIN: Duration = Duration::from_secs(10);

/// Loads and checks the configuration.
///
/// # Errors
/// Exit 64, naming the key; 66 when the file cannot be read.
pub fn load(args: &ConfigArgs, data: Option<&Path>, parts: Parts) -> Result<Config, Failure> {
    let mut config = Config::load(args.config.as_deref(), std::env::vars()).map_err(|error| {
        let exit = if matches!(error, crate::config::ConfigError::Read { .. }) { Exit::NoInput } else { Exit::Usage };
        Failure::new(exit, error)
    })?;
    if let Some(folder) = data {
        config.keep_data_in(folder);
    }
    config.validate(parts).or_exit(Exit::Usage)?;
    Ok(config)
}

/// `--check`: the configuration is loaded and valid by now.
fn checked() -> Outcome {
    println!("the configuration is valid");
    Ok(Exit::Ok)
}

/// Runs `evgate serve`.
///
/// # Errors
/// What kept it from starting, or which part died.
pub fn serve(args: &ServeArgs) -> Outcome {
    let config = load(&args.config, args.data.as_deref(), Parts::Serve)?;
    if args.config.check {
        return checked();
    }
    run(&config, Parts::Serve, args.registry.as_deref())
}

/// Runs `evgate gateway` or `evgate api`.
///
/// # Errors
/// As [`serve`].
pub fn one_part(args: &ConfigArgs, parts: Parts) -> Outcome {
    let config = load(args, None, parts)?;
    if args.check {
        return checked();
    }
    run(&config, parts, None)
}

fn run(config: &Config, parts: Parts, registry: Option<&Path>) -> Outcome {
    config.telemetry.init_logging();
    let render = telemetry::init_metrics().or_exit(Exit::Internal)?;
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let shutdown = shutdown::on_signal().context("signal handlers").or_exit(Exit::Internal)?;
        let running = Running::start(config, parts, registry, render, shutdown.clone()).await?;
        running.say_where();
        running.until_closed(&shutdown).await
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// The runtime of everything but the gateway's shards, which have their own.
///
/// # Errors
/// When threads cannot be started.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("evgate")
        .build()
        .context("cannot start the runtime")
        .or_exit(Exit::Internal)
}

/// The running parts of one process.
#[derive(Debug)]
pub struct Running {
    /// The event log, for whoever wants to read it back.
    pub log: Arc<dyn EventLog>,
    /// The charger side, if it runs here.
    pub gateway: Option<gateway::Gateway>,
    /// The business side, if it runs here.
    pub api: Option<business_api::Api>,
    /// Stops the API after the gateway has drained into the log.
    stop_api: CancellationToken,
}

impl Running {
    /// Opens the log and starts the parts: the API first, since the gateway waits for the registry that the API publishes.
    ///
    /// # Errors
    /// The part that could not start, with the exit code that says who must act.
    pub async fn start(
        config: &Config,
        parts: Parts,
        registry: Option<&Path>,
        render: Render,
        shutdown: CancellationToken,
    ) -> Result<Self, Failure> {
        make_folders(config, parts)?;
        let mut config = config.clone();
        if let Some(files) = open_files::raise() {
            open_files::fit(&mut config, parts, files);
        }
        // Only chargers are answered from a spool; the API's database keeps what the log does not take.
        let open = if parts == Parts::Api { events::log::open } else { events::log::open_spooled };
        let log = open(&config.log).context("cannot open the event log").or_exit(Exit::Unavailable)?;
        let clock = Clock::from(&config.clock);
        let stop_api = CancellationToken::new();
        let mut running = Self { log, gateway: None, api: None, stop_api };
        if parts != Parts::Gateway {
            if let Some(file) = registry {
                let store = business_api::Store::open(&config.api.database_url)
                    .await
                    .context("cannot open the database")
                    .or_exit(Exit::Unavailable)?;
                let report = registry_cmd::apply(&store, file, false, clock).await?;
                tracing::info!(file = %file.display(), changes = report.changes.len(), unchanged = report.unchanged, "registry applied");
                store.close().await;
            }
            let api = business_api::start(
                config.api.clone(),
                Arc::clone(&running.log),
                clock,
                Some(Arc::clone(&render)),
                running.stop_api.clone(),
            )
            .await
            .context("cannot start the API")
            .or_exit(Exit::Unavailable)?;
            running.api = Some(api);
        }
        if parts != Parts::Api {
            let started =
                gateway::start(config.gateway.clone(), Arc::clone(&running.log), clock, render, shutdown).await;
            match started {
                Ok(gateway) => running.gateway = Some(gateway),
                Err(error) => {
                    running.stop_api.cancel();
                    return Err(Failure::new(Exit::Unavailable, anyhow!(error).context("cannot start the gateway")));
                }
            }
        }
        Ok(running)
    }

    /// A part has ended by itself.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.gateway.as_ref().is_some_and(|gateway| gateway.join.is_finished())
            || self.api.as_ref().is_some_and(|api| api.join.is_finished())
    }

    fn say_where(&self) {
        if let Some(gateway) = &self.gateway {
            if let Some(addr) = gateway.ykc_addr {
                tracing::info!(%addr, "YKC chargers");
            }
            if let Some(addr) = gateway.ocpp_addr {
                tracing::info!(%addr, "OCPP chargers");
            }
            tracing::info!(addr = %gateway.admin_addr, "admin: /status /metrics /livez /readyz");
        }
        if let Some(api) = &self.api {
            tracing::info!(addr = %api.addr, "API: /docs /v1");
        }
    }

    /// Waits for the shutdown token or for a part to die, then closes what is left in the order of the flow.
    ///
    /// # Errors
    /// Exit 70 naming the part that died.
    pub async fn until_closed(mut self, shutdown: &CancellationToken) -> Outcome {
        let mut died: Option<anyhow::Error> = None;
        let mut gateway = self.gateway.take().map(|gateway| gateway.join);
        let mut api = self.api.take().map(|api| api.join);
        tokio::select! {
            () = shutdown.cancelled() => {}
            ended = joined(&mut gateway) => {
                gateway = None;
                died = ended.err();
            }
            ended = joined(&mut api) => {
                api = None;
                died = Some(ended.err().unwrap_or_else(|| anyhow!("the API ended by itself")));
            }
        }
        if let Some(error) = &died {
            tracing::error!(error = format!("{error:#}"), "a shared part ended: closing the rest");
            shutdown.cancel();
        }
        if gateway.is_some() {
            let ended = joined(&mut gateway).await;
            died = died.or(ended.err());
        }
        self.stop_api.cancel();
        if api.is_some() {
            let ended = joined(&mut api).await;
            died = died.or(ended.err());
        }
        if let Err(error) = self.log.flush(FLUSH_WITHIN).await {
            // Nothing unconfirmed was answered, so nothing is lost by it.
            tracing::warn!(%error, "the log did not confirm everything before the end");
        }
        match died {
            Some(error) => Err(Failure::new(Exit::Internal, error)),
            None => Ok(Exit::Ok),
        }
    }
}

/// Waits for a part; for ever if there is none.
async fn joined<E>(join: &mut Option<tokio::task::JoinHandle<Result<(), E>>>) -> anyhow::Result<()>
where
    E: std::error::Error + Send + Sync + 'static,
{
    match join {
        Some(join) => join.await.context("a part panicked")?.map_err(anyhow::Error::from),
        None => std::future::pending().await,
    }
}

/// SQLite makes files, not folders.
fn make_folders(config: &Config, parts: Parts) -> Result<(), Failure> {
    let log = match &config.log {
        LogConfig::Embedded(embedded) => Some(embedded.path.as_path()),
        LogConfig::Kafka(_) => None,
    };
    let database = config.api.database_url.strip_prefix("sqlite:").map(Path::new).filter(|_| parts != Parts::Gateway);
    for folder in [log, database].into_iter().flatten().filter_map(Path::parent).filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string()).or_exit(Exit::Unavailable)?;
    }
    Ok(())
}
