//! The platform of a trial: its processes, kept running by somebody who starts again what has ended.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use events::{
    clock::Clock,
    log::{EmbeddedConfig, EventLog, KafkaConfig, LogConfig},
};
use tokio::{sync::Mutex, task::AbortHandle};

use crate::{
    charger_line::{ChargerLine, Target},
    common::{Addresses, BEFORE_SEVEN_MS, FOUR_PRICES, Process, registry},
    plan::{Form, Plan},
    services::Services,
};

/// The platform's clock and the chargers': four minutes in a second.
pub const FACTOR: u32 = 240;
/// Time-outs of the protocols, which are in real time, are this much shorter than in life, on both sides alike.
pub const SHORTER: u64 = 20;

/// A process and whoever keeps it running.
pub struct Kept {
    process: Arc<Mutex<Process>>,
    ready: SocketAddr,
    keeper: AbortHandle,
}

impl Kept {
    fn new(process: Process, ready: SocketAddr) -> Self {
        let process = Arc::new(Mutex::new(process));
        let kept = Arc::clone(&process);
        let keeper = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let mut process = kept.lock().await;
                if process.has_ended() {
                    process.again();
                }
            }
        });
        Self { process, ready, keeper: keeper.abort_handle() }
    }

    /// SIGKILL, and started again after `down`.
    pub async fn kill(&self, down: Duration) {
        let mut process = self.process.lock().await;
        if !process.has_ended() {
            process.kill9();
        }
        tokio::time::sleep(down).await;
        process.again();
    }

    /// SIGSTOP, and SIGCONT after `lasting`.
    pub async fn freeze(&self, lasting: Duration) {
        let mut process = self.process.lock().await;
        if process.has_ended() {
            return process.again();
        }
        process.signal("STOP");
        tokio::time::sleep(lasting).await;
        process.signal("CONT");
    }

    /// Sends a signal by its name, such as `STOP`; nobody looks after what it does.
    pub async fn signal(&self, name: &str) {
        self.process.lock().await.signal(name);
    }

    /// SIGTERM, and started again when it has ended; returns its exit code and how long its goodbye took.
    pub async fn restart(&self) -> (i32, Duration) {
        let mut process = Arc::clone(&self.process).lock_owned().await;
        tokio::task::spawn_blocking(move || {
            let began = std::time::Instant::now();
            let code = process.terminate(Duration::from_secs(60));
            let took = began.elapsed();
            process.again();
            (code, took)
        })
        .await
        .unwrap()
    }

    /// Waits until it serves.
    pub async fn ready(&self) {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build().unwrap();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            let answer = http.get(format!("http://{}/readyz", self.ready)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "not ready in time:\n{}", self.said().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The sum over all labels of a counter or gauge, in whole numbers.
    pub async fn metric(&self, name: &str) -> u64 {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
        let answer = http.get(format!("http://{}/metrics", self.ready)).send().await.unwrap();
        let text = answer.text().await.unwrap();
        let of = |line: &str| {
            let rest = line.strip_prefix(name)?;
            let value = rest.starts_with([' ', '{']).then(|| rest.rsplit_once(' ').unwrap().1)?;
            Some(value.split('.').next().unwrap().parse::<u64>().unwrap())
        };
        let values: Vec<u64> = text.lines().filter_map(of).collect();
        assert!(!values.is_empty(), "there is no metric {name}");
        values.iter().sum()
    }

    /// SIGTERM; returns its exit code.
    pub async fn terminate(&self) -> i32 {
        self.keeper.abort();
        let mut process = self.process.clone().lock_owned().await;
        if process.has_ended() {
            return -1;
        }
        tokio::task::spawn_blocking(move || process.terminate(Duration::from_secs(60))).await.unwrap()
    }

    /// The end of what it said.
    pub async fn said(&self) -> String {
        self.process.lock().await.said()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// Everything that a trial needs of the platform.
pub struct Stand {
    /// Two in the cluster form.
    pub gateways: Vec<Kept>,
    /// Where each of them listens.
    pub targets: Vec<Target>,
    /// In the embedded form part of the gateway's process.
    pub api: Option<Kept>,
    pub services: Option<Services>,
    pub chargers: ChargerLine,
    pub clock: Clock,
    pub registry: PathBuf,
    pub client: evgate::platform::Platform,
    log: LogConfig,
    /// Of this trial; each gateway of the cluster form runs in its own below, by the name of its node.
    pub folder: tempfile::TempDir,
}

/// What a test wants otherwise than a trial.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Run the gateway's process under this program.
    pub under: Vec<String>,
    /// More environment.
    pub env: Vec<(&'static str, String)>,
    /// See [`ChargerLine::open`].
    pub readable: bool,
}

impl Stand {
    pub async fn start(plan: &Plan, wishes: &Wishes) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("registry.toml");
        std::fs::write(&file, registry(plan.ykc, plan.ocpp, &FOUR_PRICES)).unwrap();
        let clock = Clock::starting_at(BEFORE_SEVEN_MS, FACTOR);
        match plan.form {
            Form::Embedded => Self::embedded(folder, file, clock, wishes).await,
            Form::Cluster => Self::cluster(plan, folder, file, clock, wishes).await,
        }
    }

    async fn embedded(folder: tempfile::TempDir, file: PathBuf, clock: Clock, wishes: &Wishes) -> Self {
        let addresses = Addresses::free();
        // In folders of their own: a test may spoil the disk of one of them.
        let (log, database) = (folder.path().join("data/log"), folder.path().join("data/database"));
        let log = EmbeddedConfig { path: log.join("events.db"), ..EmbeddedConfig::default() };
        std::fs::create_dir_all(&database).unwrap();
        let mut env = environment(&addresses, clock);
        env.extend([
            ("EVGATE__LOG__PATH", log.path.display().to_string()),
            ("EVGATE__API__DATABASE_URL", format!("sqlite:{}", database.join("evgate.db").display())),
        ]);
        env.extend(wishes.env.iter().cloned());
        let args = ["serve", "--registry", file.to_str().unwrap()];
        let serve = Kept::new(Process::start_under(folder.path(), &wishes.under, &args, &env), addresses.admin);
        serve.ready().await;
        let target = target(&addresses);
        Self {
            gateways: vec![serve],
            targets: vec![target],
            api: None,
            services: None,
            chargers: ChargerLine::open(target, wishes.readable).await,
            clock,
            registry: file,
            client: addresses.platform(),
            log: LogConfig::Embedded(log),
            folder,
        }
    }

    async fn cluster(plan: &Plan, folder: tempfile::TempDir, file: PathBuf, clock: Clock, wishes: &Wishes) -> Self {
        let name = format!("crash{:x}_{}", std::process::id(), plan.seed);
        let services = Services::open(&name).await;
        let nodes = [Addresses::free(), Addresses::free()];
        let of = |addresses: &Addresses, over_line: bool| {
            let mut env = environment(addresses, clock);
            let brokers = if over_line { &services.brokers_over_line } else { &services.brokers };
            env.extend([
                ("EVGATE__LOG__KIND", "kafka".to_owned()),
                ("EVGATE__LOG__BROKERS", brokers.clone()),
                ("EVGATE__LOG__TOPIC_PREFIX", format!("{name}.")),
                ("EVGATE__LOG__PARTITIONS", "2".to_owned()),
                ("EVGATE__LOG__SESSION_TIMEOUT_MS", "2000".to_owned()),
                ("EVGATE__LOG__OPTIONS__RECONNECT.BACKOFF.MAX.MS", (10_000 / SHORTER).to_string()),
                ("EVGATE__API__DATABASE_URL", services.database_url.clone()),
            ]);
            env.extend(wishes.env.iter().cloned());
            env
        };
        let api_env = of(&nodes[0], plan.api_over_line);
        let args = ["registry", "apply", file.to_str().unwrap()];
        let mut apply = Process::start(folder.path(), &args, &api_env);
        // Waiting blocks a thread, and the lines that it needs run on these here.
        tokio::task::spawn_blocking(move || apply.wait_for_success(Duration::from_secs(60))).await.unwrap();
        let api = Kept::new(Process::start(folder.path(), &["api"], &api_env), nodes[0].api);
        let gateways = [("a", nodes[0]), ("b", nodes[1])].map(|(node, addresses)| {
            let mut env = of(&addresses, true);
            env.extend([
                ("EVGATE__GATEWAY__NODE", node.to_owned()),
                ("EVGATE__LOG__SPOOL__ENABLED", plan.spool.to_string()),
                ("EVGATE__LOG__SPOOL__AFTER_MS", (1_000 / SHORTER).to_string()),
            ]);
            // As on two machines: what a gateway keeps on its disk is its own.
            let own = folder.path().join(node);
            std::fs::create_dir(&own).unwrap();
            Kept::new(Process::start_under(&own, &wishes.under, &["gateway"], &env), addresses.admin)
        });
        api.ready().await;
        for gateway in &gateways {
            gateway.ready().await;
        }
        let log = KafkaConfig {
            brokers: services.brokers.clone(),
            topic_prefix: format!("{name}."),
            partitions: 2,
            ..KafkaConfig::default()
        };
        let targets = nodes.map(|addresses| target(&addresses));
        Self {
            gateways: gateways.into(),
            targets: targets.into(),
            api: Some(api),
            services: Some(services),
            chargers: ChargerLine::open(targets[0], wishes.readable).await,
            clock,
            registry: file,
            client: nodes[0].platform(),
            log: LogConfig::Kafka(log),
            folder,
        }
    }

    /// Every process that serves, again or still.
    pub async fn all_ready(&self) {
        for kept in self.gateways.iter().chain(&self.api) {
            kept.ready().await;
        }
    }

    /// The log, for who reads it or writes to it besides.
    pub fn open_log(&self) -> Arc<dyn EventLog> {
        events::log::open(&self.log).unwrap()
    }

    /// Ends all processes well and opens the log to be read; what did not end with 0 is told.
    pub async fn end(&self) -> (Arc<dyn EventLog>, Vec<String>) {
        let mut complaints = Vec::new();
        for kept in self.gateways.iter().chain(&self.api) {
            let code = kept.terminate().await;
            if code != 0 {
                complaints.push(format!("a process left with {code} on SIGTERM:\n{}", kept.said().await));
            }
        }
        (self.open_log(), complaints)
    }
}

fn target(addresses: &Addresses) -> Target {
    Target { ykc: addresses.ykc, ocpp: addresses.ocpp }
}

/// Time-outs in the proportions of life: real ones divided by [`SHORTER`], those on the platform's clock made to match.
fn environment(addresses: &Addresses, clock: Clock) -> Vec<(&'static str, String)> {
    let mut env = addresses.env(clock);
    let on_platform_clock = |ms: u64| (ms / SHORTER * u64::from(FACTOR)).to_string();
    env.extend([
        ("EVGATE__GATEWAY__SHARDS", "2".to_owned()),
        ("EVGATE__GATEWAY__SWEEP_MS", "20".to_owned()),
        ("EVGATE__GATEWAY__MONEY__ACK_MS", (20_000 / SHORTER).to_string()),
        ("EVGATE__GATEWAY__YKC__SILENCE_MS", (90_000 / SHORTER).to_string()),
        ("EVGATE__GATEWAY__YKC__RECORD_WAIT_MS", (600_000 / SHORTER).to_string()),
        ("EVGATE__GATEWAY__OCPP__SILENCE_MS", (120_000 / SHORTER).to_string()),
        ("EVGATE__GATEWAY__OCPP__PING_AFTER_MS", (45_000 / SHORTER).to_string()),
        ("EVGATE__API__ORDERS__START_MS", on_platform_clock(90_000)),
        ("EVGATE__API__ORDERS__RECORD_LATE_MS", on_platform_clock(30_000)),
        ("EVGATE__API__ORDERS__RECORD_MISSING_MS", on_platform_clock(600_000)),
    ]);
    env
}
