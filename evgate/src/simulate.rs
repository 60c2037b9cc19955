//! `evgate simulate`: chargers that behave like real ones, against any gateway.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, anyhow};
use clap::Args;
use simulator::{Fleet, FleetConfig, SessionPlan, SimClock};
use tokio::time::Instant;

use crate::{
    config::Config,
    duration,
    exit::{Exit, Failure, OrExit as _, Outcome},
    fleet_registry::FleetRegistry,
    serve, shutdown,
};

/// `evgate simulate`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct SimulateArgs {
    /// The registry file that the platform knows: its chargers, tokens and tariffs are simulated
    #[arg(long, value_name = "FILE", default_value = "docs/examples/registry.toml")]
    pub registry: PathBuf,
    /// Whose chargers
    #[arg(long, default_value_t = 1001)]
    pub tenant: i64,
    /// How many YKC chargers, at most those of the registry
    #[arg(long, value_name = "N", default_value_t = usize::MAX, hide_default_value = true)]
    pub ykc: usize,
    /// How many OCPP 1.6 chargers, at most those of the registry
    #[arg(long, value_name = "N", default_value_t = usize::MAX, hide_default_value = true)]
    pub ocpp: usize,
    /// The gateway's YKC listener
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9100")]
    pub ykc_address: String,
    /// The gateway's OCPP listener
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9180")]
    pub ocpp_address: String,
    /// Sessions that each charger starts by itself; 0: only the platform starts
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub sessions: u32,
    /// End after this time even if sessions are left, e.g. 60s, 5m; with --sessions 0 the only end but Ctrl-C
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
    pub run_for: Option<Duration>,
    /// Everything random follows from this number
    #[arg(long, default_value_t = 1001)]
    pub seed: u64,
    /// Faults per charger at most: cut messages, split writes, broken copies, garbage, repeated records
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub faults: u32,
    /// The platform's configuration; only its [clock] is used, which chargers and platform must share
    #[arg(long, short, value_name = "FILE", env = "EVGATE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Write what the chargers believe (one object a session) to this file
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
}

const HELP: &str = "\
Examples:
  evgate serve --registry docs/examples/registry.toml &
  evgate simulate --sessions 3
  evgate simulate --ykc 5 --ocpp 0 --sessions 0 --for 10m      wait for starts by POST /v1/orders
  evgate simulate --faults 20 --seed 7 --ledger ledger.json

Ends when every session of the plan is over and its record confirmed, after --for, or at Ctrl-C; running sessions are
then stopped at the charger and their records still delivered. Exit 1: a record was not confirmed.
A faster clock: EVGATE__CLOCK__FACTOR=60 with EVGATE__CLOCK__ORIGIN_MS and EVGATE__CLOCK__REAL_ORIGIN_MS, all three the same
for the platform and the simulator.
";

/// How long records may still be delivered after the end.
const SETTLE_WITHIN: Duration = Duration::from_secs(60);

/// Of 1000 writes, how many suffer each fault while a charger has faults left.
const FAULT_PER_MILLE: u16 = 20;

impl SimulateArgs {
    fn fleet(&self) -> Result<FleetConfig, Failure> {
        let registry = FleetRegistry::read(&self.registry).or_exit(Exit::Data)?;
        let config = Config::load(self.config.as_deref(), std::env::vars()).or_exit(Exit::Usage)?;
        config.clock.validate().or_exit(Exit::Usage)?;
        let chargers =
            registry.select(self.tenant, Some((self.ykc, &self.ykc_address)), Some((self.ocpp, &self.ocpp_address)));
        if chargers.is_empty() {
            let error = anyhow!("{} holds no charger of tenant {}", self.registry.display(), self.tenant);
            return Err(Failure::new(Exit::Data, error));
        }
        let clock = SimClock {
            origin_ms: config.clock.origin_ms,
            real_origin_ms: config.clock.real_origin_ms,
            factor: config.clock.factor,
        };
        let faults = simulator::FaultPlan {
            most: self.faults,
            drop_mid_message_per_mille: FAULT_PER_MILLE,
            split_write_per_mille: FAULT_PER_MILLE,
            broken_copy_per_mille: FAULT_PER_MILLE,
            duplicate_record_per_mille: FAULT_PER_MILLE,
            garbage_per_mille: FAULT_PER_MILLE,
        };
        let plan =
            SessionPlan { sessions: self.sessions, starts: registry.starts_of(self.tenant), ..SessionPlan::default() };
        Ok(FleetConfig {
            seed: self.seed,
            clock,
            plan,
            faults,
            tariffs: registry.tariffs,
            chargers,
            ..FleetConfig::default()
        })
    }
}

/// Runs the subcommand.
///
/// # Errors
/// Exit 64 or 65 for what is wrong with arguments or registry.
pub fn run(args: &SimulateArgs) -> Outcome {
    let config = args.fleet()?;
    serve::runtime()?.block_on(async {
        let stop = shutdown::on_signal().context("signal handlers").or_exit(Exit::Internal)?;
        let fleet = Fleet::start(&config).or_exit(Exit::Usage)?;
        let far = Duration::from_secs(30 * 365 * 86_400);
        let deadline = Instant::now() + args.run_for.unwrap_or(far);
        let mut every = tokio::time::interval(Duration::from_secs(5));
        // Without a plan there is nothing to wait for but time and Ctrl-C.
        let planned = args.sessions > 0;
        {
            let done = fleet.wait_done(deadline);
            tokio::pin!(done);
            loop {
                tokio::select! {
                    _ = &mut done, if planned => break,
                    () = tokio::time::sleep_until(deadline) => break,
                    () = stop.cancelled() => break,
                    _ = every.tick() => println!("{}", line(&fleet.progress())),
                }
            }
        }
        let outcome = fleet.stop(Instant::now() + SETTLE_WITHIN).await;
        println!("{}", line(&outcome.progress));
        if let Some(file) = &args.ledger {
            let text = serde_json::to_string_pretty(&outcome.ledger).or_exit(Exit::Internal)?;
            std::fs::write(file, text).with_context(|| file.display().to_string()).or_exit(Exit::Unavailable)?;
        }
        let lost = outcome.ledger.sessions.iter().filter(|session| !session.acknowledged).count();
        let (electricity, service) = outcome.ledger.expected_fen();
        println!(
            "{} sessions, {}.{:04} kWh, {lost} records not confirmed, {} chargers not settled; by the chargers' own reckoning {} fen",
            outcome.ledger.sessions.len(),
            outcome.ledger.energy_e4() / 10_000,
            outcome.ledger.energy_e4() % 10_000,
            outcome.unsettled,
            electricity + service,
        );
        Ok(if lost == 0 && outcome.unsettled == 0 { Exit::Ok } else { Exit::Failed })
    })
}

fn line(progress: &simulator::Progress) -> String {
    format!(
        "online {} · accepted {} · charging {} · started {} · ended {} · confirmed {} · refused {} · {}.{:04} kWh · retries {} · reconnects {}",
        progress.online,
        progress.accepted,
        progress.charging,
        progress.sessions_started,
        progress.sessions_done,
        progress.records_acknowledged,
        progress.starts_refused,
        progress.energy_e4 / 10_000,
        progress.energy_e4 % 10_000,
        progress.retries,
        progress.reconnects,
    )
}
