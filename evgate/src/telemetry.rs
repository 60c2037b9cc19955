//! Logs to stderr, metrics to the Prometheus recorder that the admin listener and the API render from.

use std::{fmt, io::IsTerminal, sync::Arc, time::Duration};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// `[telemetry]`: what the process says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// `text` for people, `json` (one object a line) for collectors. Always stderr.
    pub log_format: LogFormat,
    /// A tracing filter: `info`, or `info,gateway=debug`. `RUST_LOG` wins over it.
    pub log_filter: String,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { log_format: LogFormat::Text, log_filter: "info".into() }
    }
}

impl TelemetryConfig {
    /// # Errors
    /// When the filter does not parse.
    pub fn validate(&self) -> Result<(), String> {
        EnvFilter::try_new(&self.log_filter)
            .map(|_| ())
            .map_err(|error| format!("telemetry.log_filter: {:?}: {error}", self.log_filter))
    }

    /// Starts logging. A second call (in tests) changes nothing.
    pub fn init_logging(&self) {
        let filter = EnvFilter::try_from_default_env()
            .or_else(|_| EnvFilter::try_new(&self.log_filter))
            .unwrap_or_else(|_| EnvFilter::new("info"));
        let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        // Err: a subscriber is there already, which is all we want.
        let _ = match self.log_format {
            LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
            LogFormat::Json => builder.json().flatten_event(true).try_init(),
        };
    }
}

/// Renders the Prometheus text of everything measured so far.
pub type Render = Arc<dyn Fn() -> String + Send + Sync>;

/// Bounds of every histogram in seconds whose catalogue names none: 50 us (an answer from memory) to 30 s (an answer after an outage).
const SECONDS: [f64; 15] =
    [0.000_05, 0.000_2, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
/// Bounds of every other histogram (bytes, records, frames a batch).
const COUNTS: [f64; 10] = [1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0];
/// An unscraped histogram keeps 16.5 bytes a sample for ever; upkeep folds the samples into their buckets.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The recorder could not be made or installed.
#[derive(Debug)]
pub struct MetricsError(String);

impl fmt::Display for MetricsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metrics: {}", self.0)
    }
}

impl std::error::Error for MetricsError {}

/// Installs the process's recorder and keeps it folded, scraped or not. Call once, before any part describes its metrics.
///
/// # Errors
/// When a recorder is installed already.
pub fn init_metrics() -> Result<Render, MetricsError> {
    let invalid = |error: metrics_exporter_prometheus::BuildError| MetricsError(error.to_string());
    let mut builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
        .and_then(|builder| builder.set_buckets(&COUNTS))
        .map_err(invalid)?;
    for metric in gateway::telemetry::catalogue().iter().filter(|metric| !metric.buckets.is_empty()) {
        builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.into()), metric.buckets).map_err(invalid)?;
    }
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|error| MetricsError(error.to_string()))?;
    let upkeep = handle.clone();
    std::thread::Builder::new()
        .name("metrics-upkeep".into())
        .spawn(move || {
            loop {
                std::thread::sleep(UPKEEP_EVERY);
                upkeep.run_upkeep();
            }
        })
        .map_err(|error| MetricsError(error.to_string()))?;
    Ok(Arc::new(move || handle.render()))
}
