//! The one configuration: a TOML file, then environment overrides, then one whole, valid struct before a port is bound.

mod environment;

use std::path::{Path, PathBuf};

use events::{
    clock::Clock,
    log::{EmbeddedConfig, KafkaConfig, LogConfig},
};
use serde::{Deserialize, Serialize};

use crate::telemetry::TelemetryConfig;

/// Everything an operator can set. `docs/evgate.toml` is an example that holds every key with its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where events become durable.
    pub log: LogConfig,
    /// The charger side.
    pub gateway: gateway::Config,
    /// The business side.
    pub api: business_api::Config,
    /// The platform's clock.
    pub clock: ClockConfig,
    /// Logs.
    pub telemetry: TelemetryConfig,
}

/// `[clock]`: the platform's clock; leave it alone in production. A demo or a test runs it faster, and then every process of
/// the platform needs the same three numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClockConfig {
    /// Platform milliseconds per real millisecond, 1..=3600.
    pub factor: u32,
    /// What the platform's clock showed at `real_origin_ms`, UTC ms.
    pub origin_ms: i64,
    /// A moment of real time, UTC ms.
    pub real_origin_ms: i64,
}

impl ClockConfig {
    /// Checks that the clock can run.
    ///
    /// # Errors
    /// The key that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let invalid = |text: String| Err(ConfigError::Invalid(text));
        if !(1..=3_600).contains(&self.factor) {
            return invalid("clock.factor: must be 1..=3600".into());
        }
        for (key, ms) in [("origin_ms", self.origin_ms), ("real_origin_ms", self.real_origin_ms)] {
            if !(0..=YEAR_2100_MS).contains(&ms) {
                return invalid(format!("clock.{key}: must be 0..={YEAR_2100_MS} (the year 2100)"));
            }
        }
        if self.factor > 1 && self.real_origin_ms == 0 {
            return invalid(
                "clock.real_origin_ms: a faster clock needs it and origin_ms, or it would have run fast since 1970"
                    .into(),
            );
        }
        Ok(())
    }
}

impl Default for ClockConfig {
    fn default() -> Self {
        Self::from(Clock::REAL)
    }
}

impl From<Clock> for ClockConfig {
    fn from(clock: Clock) -> Self {
        Self { factor: clock.factor, origin_ms: clock.origin_ms, real_origin_ms: clock.real_origin_ms }
    }
}

impl From<&ClockConfig> for Clock {
    fn from(config: &ClockConfig) -> Self {
        Self { origin_ms: config.origin_ms, real_origin_ms: config.real_origin_ms, factor: config.factor }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {error}", .file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is not TOML, or holds an unknown key or a value of the wrong type. The text has line and key.
    #[error("{}: {error}", .file.display())]
    Parse {
        /// Which.
        file: PathBuf,
        /// Where and why.
        error: Box<toml::de::Error>,
    },
    /// A variable that names no key, or has a value of the wrong type.
    #[error("environment variable {name}: {problem}")]
    Environment {
        /// The variable.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A value that cannot be; the text begins with the key.
    #[error("{0}")]
    Invalid(String),
}

/// Which parts a subcommand starts, and so which sections must make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// Gateway and API in one process.
    Serve,
    /// Only the gateway.
    Gateway,
    /// Only the API.
    Api,
}

/// The frames of YKC have two digits for the year.
const YEAR_2100_MS: i64 = 4_102_444_800_000;

impl Config {
    /// Reads the file (none: defaults), applies the environment, and checks nothing yet.
    ///
    /// # Errors
    /// What is wrong, with file and line, or the variable.
    pub fn load(file: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let mut table = toml::Table::new();
        if let Some(file) = file {
            let text =
                std::fs::read_to_string(file).map_err(|error| ConfigError::Read { file: file.to_path_buf(), error })?;
            let parse = |error| ConfigError::Parse { file: file.to_path_buf(), error: Box::new(error) };
            // Typed once from the text: these errors show the line.
            table = toml::from_str(&text).map_err(parse)?;
            log_keys(&table).map_err(|problem| ConfigError::Invalid(format!("{}: {problem}", file.display())))?;
            if !lacks_kind(&table) {
                toml::from_str::<Self>(&text).map_err(parse)?;
            }
        }
        environment::apply(&mut table, environment)?;
        say_which_log(&mut table);
        Self::deserialize(table).map_err(|error| ConfigError::Invalid(error.to_string()))
    }

    /// Checks every value of the sections that `parts` uses.
    ///
    /// # Errors
    /// The first key that cannot work.
    pub fn validate(&self, parts: Parts) -> Result<(), ConfigError> {
        let invalid = ConfigError::Invalid;
        self.telemetry.validate().map_err(invalid)?;
        self.log.validate().map_err(|error| invalid(format!("log.{error}")))?;
        self.clock.validate()?;
        if parts != Parts::Serve && matches!(self.log, LogConfig::Embedded(_)) {
            return Err(invalid(
                "log.kind: the embedded log belongs to one process; gateway and api apart need \"kafka\" (or use `evgate serve`)"
                    .into(),
            ));
        }
        if parts != Parts::Api {
            self.gateway.validate().map_err(|error| invalid(error.to_string()))?;
            self.log_takes_every_message()?;
        }
        if parts != Parts::Gateway {
            self.api.validate().map_err(|error| invalid(format!("api.{error}")))?;
        }
        if parts == Parts::Serve
            && let Some(key) = self.gateway.listens_on(self.api.listen)
        {
            return Err(invalid(format!("api.listen: {} is also gateway.{key}", self.api.listen)));
        }
        Ok(())
    }

    /// An event holds its message and what was read out of it. One that is too large for the log could never be answered.
    fn log_takes_every_message(&self) -> Result<(), ConfigError> {
        let record_kbytes = match &self.log {
            LogConfig::Embedded(log) => log.record_kbytes_max,
            LogConfig::Kafka(log) => usize::try_from(log.record_kbytes_max).unwrap_or(usize::MAX),
        };
        let message_bytes = self.gateway.limits.message_bytes;
        let least = (message_bytes + message_bytes * 3 / 4).div_ceil(1024);
        if record_kbytes < least {
            return Err(ConfigError::Invalid(format!(
                "log.record_kbytes_max: must be at least {least} with gateway.limits.message_bytes = {message_bytes}"
            )));
        }
        Ok(())
    }

    /// Puts event log and database into one folder.
    pub fn keep_data_in(&mut self, folder: &Path) {
        let path = folder.join("events.db");
        match &mut self.log {
            LogConfig::Embedded(embedded) => embedded.path = path,
            LogConfig::Kafka(_) => self.log = LogConfig::Embedded(EmbeddedConfig { path, ..EmbeddedConfig::default() }),
        }
        self.api.database_url = format!("sqlite:{}", folder.join("evgate.db").display());
    }
}

/// Reads `[log]` as what its kind says: serde reads a tagged section by way of a copy, whose errors name no key.
fn log_keys(table: &toml::Table) -> Result<(), String> {
    let Some(log) = table.get("log").and_then(toml::Value::as_table) else { return Ok(()) };
    let mut keys = log.clone();
    let read = match keys.remove("kind").as_ref().map(|kind| kind.as_str()) {
        None | Some(Some("embedded")) => EmbeddedConfig::deserialize(keys).err(),
        Some(Some("kafka")) => KafkaConfig::deserialize(keys).err(),
        Some(_) => None, // said by whoever reads the whole
    };
    read.map_or(Ok(()), |error| Err(format!("[log]: {}", error.to_string().trim_end())))
}

/// A `[log]` section that does not say of which kind it is.
fn lacks_kind(table: &toml::Table) -> bool {
    table.get("log").and_then(toml::Value::as_table).is_some_and(|log| !log.contains_key("kind"))
}

/// `[log]` without `kind` means the embedded one, as no `[log]` at all does.
fn say_which_log(table: &mut toml::Table) {
    if lacks_kind(table)
        && let Some(log) = table.get_mut("log").and_then(toml::Value::as_table_mut)
    {
        log.insert("kind".into(), "embedded".into());
    }
}
