//! The rig: gateway, controllable log, clients.

pub mod command;
pub mod log;
pub mod ocpp;
pub mod registry;
pub mod steps;
pub mod ykc;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use events::{
    clock::Clock,
    log::EventLog,
    prost::Message as _,
    proto::{Envelope, envelope::Body},
    topic::Topic,
};
use gateway::{Clocks, Config, Gateway};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

pub use self::log::MemoryLog;

/// No step of a test may take longer.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct Rig {
    pub log: Arc<MemoryLog>,
    pub gateway: Gateway,
    pub stop: CancellationToken,
}

/// Quick time-outs, one shard, free ports.
pub fn quick() -> Config {
    let mut config = Config { node: "test-node".into(), shards: 1, sweep_ms: 20, ..Config::default() };
    config.ykc.listen = ([127, 0, 0, 1], 0).into();
    config.ocpp.listen = ([127, 0, 0, 1], 0).into();
    config.admin.listen = ([127, 0, 0, 1], 0).into();
    config.drain.delay_ms = 0;
    config.drain.spread_ms = 0;
    config.drain.deadline_ms = 5_000;
    config.money.retry_ms = 5;
    config
}

impl Rig {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let log = Arc::new(MemoryLog::default());
        registry::fill(&log);
        Self::over(log, change).await
    }

    pub async fn over(log: Arc<MemoryLog>, change: impl FnOnce(&mut Config)) -> Self {
        Self::at(log, Clock::REAL, 0, change).await
    }

    /// Another gateway over a log, with a clock that is ahead (of which it makes epochs).
    pub async fn node(log: Arc<MemoryLog>, name: &str, ahead_ms: i64) -> Self {
        Self::at(log, Clock::REAL, ahead_ms, |config| name.clone_into(&mut config.node)).await
    }

    /// A gateway by another clock.
    pub async fn clocked(log: Arc<MemoryLog>, platform: Clock) -> Self {
        Self::at(log, platform, 0, |_| {}).await
    }

    async fn at(log: Arc<MemoryLog>, platform: Clock, ahead_ms: i64, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = quick();
        change(&mut config);
        let stop = CancellationToken::new();
        let (log_of, render) = (Arc::clone(&log) as Arc<dyn EventLog>, rendered());
        let clocks = Clocks { platform, epochs: Clock { origin_ms: ahead_ms, ..Clock::REAL } };
        let gateway = gateway::start(config, log_of, clocks, render, stop.clone());
        let gateway = tokio::time::timeout(PATIENCE, gateway).await.unwrap().unwrap();
        Self { log, gateway, stop }
    }

    pub async fn ykc(&self) -> ykc::Client {
        ykc::Client::connect(self.gateway.ykc_addr.unwrap()).await
    }

    /// A pile that is logged in.
    pub async fn pile(&self, id: &str) -> ykc::Client {
        let mut client = self.ykc().await;
        client.log_in(id).await;
        client
    }

    pub async fn station(&self, id: &str) -> ocpp::Client {
        ocpp::Client::connect(self.gateway.ocpp_addr.unwrap(), id).await
    }

    pub fn envelopes(&self, topic: Topic) -> Vec<Envelope> {
        self.log.payloads(topic).iter().map(|bytes| Envelope::decode(&bytes[..]).unwrap()).collect()
    }

    /// Waits for an event that `pick` takes.
    pub async fn event<T>(&self, topic: Topic, pick: impl Fn(&Envelope, &Body) -> Option<T>) -> T {
        eventually(|| self.envelopes(topic).iter().find_map(|envelope| pick(envelope, envelope.body.as_ref()?))).await
    }

    pub async fn drained(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.gateway.join).await.unwrap().unwrap().unwrap();
    }
}

/// Looks until there is something.
pub async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(tokio::time::Instant::now() < until, "it did not happen in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What `/metrics` says, with the tests' recorder installed.
pub fn rendered() -> gateway::Render {
    recorder();
    Arc::new(|| recorder().render())
}

fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let handle = PrometheusBuilder::new().install_recorder().unwrap();
        gateway::telemetry::describe();
        handle
    })
}

/// A counter's value; the sum over series that contain all of `labels`. Tests share the process: compare before and after.
pub fn counter(name: &str, labels: &[&str]) -> f64 {
    recorder()
        .render()
        .lines()
        .filter(|line| line.starts_with(name) && line[name.len()..].starts_with(['{', ' ']))
        .filter(|line| labels.iter().all(|label| line.contains(label)))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}
