//! `evgate demo`: the embedded form with demo data and simulated chargers, a live view, and at the end the question whether
//! everybody's books agree.

mod drivers;
mod exact;
pub mod log_book;
mod ports;
pub mod reconcile;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, anyhow};
use clap::Args;
use events::clock::Clock;
use simulator::{ChargerConfig, Fleet, FleetConfig, Protocol, SessionPlan, SimClock};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::{
    reconcile::{Books, Said, kwh, yuan},
    view::{Picture, View},
};
use crate::{
    config::{ClockConfig, Config, Parts},
    duration,
    exit::{Exit, Failure, OrExit as _, Outcome},
    fleet_registry::FleetRegistry,
    platform::{Order, Platform, by_state, e4},
    serve::{self, Running},
    shutdown, telemetry,
};

/// The demo's tenant.
const TENANT: i64 = 1001;
/// Chargers of each protocol that only start when `POST /v1/orders` says so.
const REMOTE_OF_EACH: usize = 4;
/// Sessions of AC and DC chargers, 0.0001 kWh: long enough to look at, short enough to see bills.
const ENERGY_AC: [u64; 2] = [10_000, 80_000];
const ENERGY_DC: [u64; 2] = [50_000, 350_000];
/// Up to here a charger is AC, W.
const AC_POWER_MAX: u32 = 22_000;
/// Time to deliver records after the last session, and to settle orders after that.
const DELIVER_WITHIN: Duration = Duration::from_secs(45);
const SETTLE_WITHIN: Duration = Duration::from_secs(60);

/// The registry of the demo, as shipped in docs/examples.
const REGISTRY: &str = include_str!("../../docs/examples/registry.toml");
const CHARGERS: &str = include_str!("../../docs/examples/chargers.csv");

/// `evgate demo`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct DemoArgs {
    /// End by itself after this time, e.g. 60s, 5m: in time no new sessions start, the rest is settled and compared
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
    pub run_for: Option<Duration>,
    /// Platform seconds per real second
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub factor: u32,
    /// How many YKC chargers
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub ykc: usize,
    /// How many OCPP 1.6 chargers
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub ocpp: usize,
    /// Keep event log, database and registry here, and go on where an earlier demo in this folder ended
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Everything random follows from this number
    #[arg(long, default_value_t = 1001)]
    pub seed: u64,
}

const HELP: &str = "\
Examples:
  evgate demo                      until Ctrl-C
  evgate demo --for 60s            ends by itself
  evgate demo --factor 10 --data /tmp/evgate-demo

Shows chargers online, sessions, energy, orders by state and money, and prints the URLs of the API and its docs.
At the end the chargers' own ledger, the records in the event log and the orders are compared session by session, to
0.0001 kWh and fen. Exit 0: they agree. Exit 1: they do not; every difference is listed.
YKC chargers whose tariff does not fit the YKC frame exactly take no part: they cannot reckon what the platform bills.

Ports 9100 (YKC), 9180 (OCPP), 8080 (API), 9190 (admin); where one is taken, a free one, which is printed.
";

/// Runs the subcommand.
///
/// # Errors
/// What kept it from starting, or which part died.
pub fn run(args: &DemoArgs) -> Outcome {
    let started = Instant::now();
    let folder = Folder::make(args.data.as_deref())?;
    let config = config(args, &folder)?;
    config.telemetry.init_logging();
    let render = telemetry::init_metrics().or_exit(Exit::Internal)?;
    let runtime = serve::runtime()?;
    let outcome = runtime.block_on(async {
        let interrupted = shutdown::on_signal().context("signal handlers").or_exit(Exit::Internal)?;
        let close = CancellationToken::new();
        let registry = folder.registry();
        let running = Running::start(&config, Parts::Serve, Some(&registry), render, close.clone()).await?;
        let demo = Demo::new(args, &config, &registry, &running, started)?;
        demo.say_where(&running, &folder);
        let verdict = demo.play(&running, &interrupted, args).await;
        folder.remember(Clock::from(&config.clock).now_ms());
        close.cancel();
        let closed = running.until_closed(&close).await?;
        verdict.map(|agreed| if agreed { closed } else { Exit::Failed })
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

fn config(args: &DemoArgs, folder: &Folder) -> Result<Config, Failure> {
    let mut config = Config::load(None, std::env::vars()).or_exit(Exit::Usage)?;
    config.keep_data_in(folder.path());
    config.clock = ClockConfig::from(Clock::starting_at(folder.platform_start_ms(), args.factor));
    if !std::env::vars().any(|(name, _)| name == "EVGATE__TELEMETRY__LOG_FILTER") {
        config.telemetry.log_filter = "warn".into();
    }
    for addr in [&mut config.gateway.ykc.listen, &mut config.gateway.ocpp.listen, &mut config.gateway.admin.listen] {
        *addr = ports::free(*addr);
    }
    config.api.listen = ports::free(config.api.listen);
    // A command's life is platform time: on a fast clock a minute of it would be over in a second.
    config.api.command_ttl_ms = config.api.command_ttl_ms.saturating_mul(i64::from(args.factor)).min(86_400_000);
    // Nobody else is behind this gateway: no balancer needs time, no charger has to be spread.
    config.gateway.drain.delay_ms = 0;
    config.gateway.drain.spread_ms = config.gateway.drain.spread_ms.min(500);
    config.validate(Parts::Serve).or_exit(Exit::Usage)?;
    Ok(config)
}

/// Where the demo's data is.
#[derive(Debug)]
enum Folder {
    Temporary(tempfile::TempDir),
    Kept(PathBuf),
}

impl Folder {
    fn make(kept: Option<&Path>) -> Result<Self, Failure> {
        let folder = match kept {
            Some(path) => {
                std::fs::create_dir_all(path).with_context(|| path.display().to_string()).or_exit(Exit::Unavailable)?;
                Self::Kept(path.to_path_buf())
            }
            None => {
                let made = tempfile::Builder::new().prefix("evgate-demo.").tempdir();
                Self::Temporary(made.context("temporary folder").or_exit(Exit::Unavailable)?)
            }
        };
        for (name, text) in [("registry.toml", REGISTRY), ("chargers.csv", CHARGERS)] {
            let file = folder.path().join(name);
            std::fs::write(&file, text).with_context(|| file.display().to_string()).or_exit(Exit::Unavailable)?;
        }
        Ok(folder)
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Kept(path) => path,
        }
    }

    fn registry(&self) -> PathBuf {
        self.path().join("registry.toml")
    }

    fn clock_file(&self) -> PathBuf {
        self.path().join("platform-time")
    }

    /// Now, or where an earlier demo's faster clock had come to, if that is later: time must not run backwards.
    fn platform_start_ms(&self) -> i64 {
        let text = std::fs::read_to_string(self.clock_file()).unwrap_or_default();
        let earlier = text.trim().parse::<i64>().unwrap_or(0);
        real_now_ms().max(earlier.saturating_add(1_000))
    }

    fn remember(&self, platform_ms: i64) {
        // Err: a temporary folder that is gone anyway, or a full disk that the log has complained about.
        let _ = std::fs::write(self.clock_file(), platform_ms.to_string());
    }
}

fn real_now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

struct Demo {
    started: Instant,
    /// Real time of the start: where this run's part of the log begins.
    from_real_ms: i64,
    /// Platform time of the start: where this run's orders begin.
    from: String,
    clock: Clock,
    platform: Platform,
    fleet: FleetConfig,
    remote: Vec<String>,
    seed: u64,
}

impl Demo {
    fn new(
        args: &DemoArgs,
        config: &Config,
        registry: &Path,
        running: &Running,
        started: Instant,
    ) -> Result<Self, Failure> {
        let mut known = FleetRegistry::read(registry).or_exit(Exit::Data)?;
        exact::keep_only(&mut known);
        let gateway = running.gateway.as_ref().ok_or_else(|| anyhow!("no gateway")).or_exit(Exit::Internal)?;
        let api = running.api.as_ref().ok_or_else(|| anyhow!("no API")).or_exit(Exit::Internal)?;
        let local = |addr: Option<std::net::SocketAddr>| addr.map(|addr| format!("127.0.0.1:{}", addr.port()));
        let (ykc, ocpp) = (local(gateway.ykc_addr), local(gateway.ocpp_addr));
        let mut chargers = known.select(
            TENANT,
            ykc.as_deref().map(|addr| (args.ykc, addr)),
            ocpp.as_deref().map(|addr| (args.ocpp, addr)),
        );
        let remote = plan(&mut chargers, &known);
        let key = known.keys.get(&TENANT).ok_or_else(|| anyhow!("the registry has no key of tenant {TENANT}"));
        let clock = Clock::from(&config.clock);
        Ok(Self {
            started,
            from_real_ms: real_now_ms(),
            from: rfc3339(clock.now_ms()),
            clock,
            platform: Platform::new(api.addr, key.or_exit(Exit::Data)?).or_exit(Exit::Internal)?,
            fleet: FleetConfig {
                seed: args.seed,
                clock: SimClock {
                    origin_ms: clock.origin_ms,
                    real_origin_ms: clock.real_origin_ms,
                    factor: clock.factor,
                },
                tariffs: known.tariffs,
                chargers,
                ..FleetConfig::default()
            },
            remote,
            seed: args.seed,
        })
    }

    fn say_where(&self, running: &Running, folder: &Folder) {
        println!(
            "EVGate demo: {} chargers of tenant {TENANT}, {} times as fast",
            self.fleet.chargers.len(),
            self.clock.factor
        );
        if let Some(api) = &running.api {
            println!("  API      http://{}/v1    key {}", api.addr, self.platform.key());
            println!("  docs     http://{}/docs", api.addr);
        }
        if let Some(gateway) = &running.gateway {
            println!("  admin    http://{}/status    /metrics", gateway.admin_addr);
            if let (Some(ykc), Some(ocpp)) = (gateway.ykc_addr, gateway.ocpp_addr) {
                println!("  chargers YKC {ykc}, OCPP ws://{ocpp}/ocpp/");
            }
        }
        println!("  data     {}", folder.path().display());
        println!();
    }

    /// Plays until the time is over or Ctrl-C, then winds down and compares. True: all books agree.
    async fn play(&self, running: &Running, interrupted: &CancellationToken, args: &DemoArgs) -> Result<bool, Failure> {
        let fleet = Fleet::start(&self.fleet).or_exit(Exit::Internal)?;
        let leave = CancellationToken::new();
        let drivers = drivers::start(&self.platform, &self.remote, self.seed, &leave);
        let mut view = View::new();
        let wind_down_at = args.run_for.map(|total| self.started + total - wind_down(total));
        let mut tick = tokio::time::interval(view.every());
        let mut dead = false;
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = interrupted.cancelled() => break,
                () = sleep_until(wind_down_at) => break,
            }
            if running.has_ended() {
                dead = true;
                break;
            }
            self.show(&mut view, fleet.progress(), "charging").await;
        }
        leave.cancel();
        drivers.wait().await;
        let last = fleet.progress();
        let stopping = fleet.stop(Instant::now() + DELIVER_WITHIN);
        tokio::pin!(stopping);
        let ended = loop {
            tokio::select! {
                ended = &mut stopping => break ended,
                _ = tick.tick() => self.show(&mut view, last, "stopping").await,
            }
        };
        if dead {
            return Err(Failure::new(Exit::Internal, anyhow!("a part of the platform ended; see the messages above")));
        }
        let orders = self.settled(&ended.ledger, &mut view, ended.progress).await?;
        let log = log_book::read(&running.log, TENANT as u64, self.from_real_ms)
            .await
            .context("cannot read the log back")
            .or_exit(Exit::Internal)?;
        Ok(summary(&ended, &books(&ended.ledger, &orders, log), &orders))
    }

    async fn show(&self, view: &mut View, progress: simulator::Progress, phase: &'static str) {
        // An API that does not answer is no reason to stop looking; the end will tell.
        let platform = self.platform.summary().await.unwrap_or_default();
        view.show(&Picture {
            elapsed: self.started.elapsed(),
            platform_time: local_time(self.clock.now_ms()),
            chargers: self.fleet.chargers.len(),
            progress,
            settled: (e4(&platform.energy_kwh).unwrap_or(0), platform.money_fen),
            orders: platform.orders,
            phase,
        });
    }

    /// Waits until every session of the ledger has a settled order, or for so long as that may take.
    async fn settled(
        &self,
        ledger: &simulator::Ledger,
        view: &mut View,
        progress: simulator::Progress,
    ) -> Result<Vec<Order>, Failure> {
        let deadline = Instant::now() + SETTLE_WITHIN;
        let sessions: BTreeSet<(&str, &str)> =
            ledger.sessions.iter().map(|entry| (entry.charger.as_str(), entry.session.as_str())).collect();
        loop {
            let orders =
                self.platform.orders(&self.from).await.context("cannot read the orders").or_exit(Exit::Internal)?;
            self.show(view, progress, "settling").await;
            let done: BTreeSet<(&str, &str)> = orders
                .iter()
                .filter(|order| order.is_settled())
                .filter_map(|order| Some((order.charger.as_str(), order.session.as_deref()?)))
                .collect();
            if sessions.is_subset(&done) || Instant::now() > deadline {
                return Ok(orders);
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

/// Gives every charger its plan; returns those that wait for the app.
fn plan(chargers: &mut [ChargerConfig], known: &FleetRegistry) -> Vec<String> {
    let starts = known.starts_of(TENANT);
    let mut remote = Vec::new();
    let mut left = BTreeMap::new();
    for charger in chargers.iter_mut() {
        let left = left.entry(charger.protocol == Protocol::Ykc).or_insert(REMOTE_OF_EACH);
        let waits_for_the_app = *left > 0;
        if waits_for_the_app {
            *left -= 1;
            remote.push(charger.id.clone());
        }
        charger.plan = Some(SessionPlan {
            sessions: if waits_for_the_app { 0 } else { u32::MAX },
            starts: starts.clone(),
            energy_e4: if charger.rated_power_w <= AC_POWER_MAX { ENERGY_AC } else { ENERGY_DC },
            ..SessionPlan::default()
        });
    }
    remote
}

/// How long before the end the last sessions are stopped.
fn wind_down(total: Duration) -> Duration {
    (total / 4).min(Duration::from_secs(10))
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn rfc3339(utc_ms: i64) -> String {
    let mut text = String::new();
    codecs::ocpp::write_rfc3339(&mut text, utc_ms);
    text
}

/// `2025-11-11 20:15` of UTC+8.
fn local_time(utc_ms: i64) -> String {
    let text = rfc3339(utc_ms.saturating_add(8 * 3_600_000));
    text.get(..16).unwrap_or_default().replace('T', " ")
}

fn books(ledger: &simulator::Ledger, orders: &[Order], log: BTreeMap<reconcile::Name, Said>) -> Books {
    let told = ledger.sessions.iter().map(|entry| {
        let fen = entry.expected.map(|expected| expected.electricity_fen + expected.service_fen);
        let energy_e4 = i64::try_from(entry.energy_e4).unwrap_or(i64::MAX);
        ((entry.charger.clone(), entry.session.clone()), Said { energy_e4, fen })
    });
    let ledger: BTreeMap<reconcile::Name, Said> = told.collect();
    let billed = orders.iter().filter(|order| order.is_settled()).filter_map(|order| {
        let name = (order.charger.clone(), order.session.clone()?);
        // A start that never reached its charger has a number and no session in the ledger.
        let never_reached = order.energy_e4().is_none() && !ledger.contains_key(&name);
        let (energy_e4, fen) = order.reckoned();
        (!never_reached).then_some((name, Said { energy_e4: energy_e4?, fen }))
    });
    let orders = billed.collect();
    Books { ledger, log, orders }
}

/// Prints the end of the story. True: all books agree.
fn summary(ended: &simulator::Outcome, books: &Books, orders: &[Order]) -> bool {
    let verdict = books.compare();
    let row = |name: &str, party: &BTreeMap<reconcile::Name, Said>, money: bool| {
        let (sessions, energy, fen) = Books::sum(party);
        let money = if money { yuan(fen) } else { "-".into() };
        println!("  {name:<22}{sessions:>9}{:>18}{money:>16}", kwh(energy));
    };
    println!();
    println!("  {:<22}{:>9}{:>18}{:>16}", "", "sessions", "kWh", "yuan");
    row("chargers' ledger", &books.ledger, true);
    row("event log", &books.log, false);
    row("orders", &books.orders, true);
    let states: Vec<String> = by_state(orders).iter().map(|(state, count)| format!("{count} {state}")).collect();
    println!("  orders by state: {}", states.join(", "));
    let undelivered = ended.ledger.sessions.iter().filter(|entry| !entry.acknowledged).count();
    let mut agreed = true;
    for (count, what) in
        [(undelivered, "records were not confirmed"), (ended.unsettled, "chargers did not come to rest")]
    {
        if count > 0 {
            agreed = false;
            println!("  {count} {what}");
        }
    }
    if verdict.sessions == 0 {
        agreed = false;
        println!("  no session took place");
    }
    for difference in &verdict.differences {
        agreed = false;
        println!("  DIFFERS  {difference}");
    }
    println!();
    println!("{}", if agreed { "ledger, log and orders agree" } else { "ledger, log and orders DO NOT agree" });
    agreed
}
