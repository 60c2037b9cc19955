//! Which log, where, and within which limits. Every key has a default that is right for a small site.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    EventLog, LogError,
    embedded::EmbeddedLog,
    kafka::KafkaLog,
    spooled::{self, SpooledLog},
};
use crate::topic::Topic;

/// `kind = "embedded"` or `kind = "kafka"`, and that backend's own keys beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum LogConfig {
    Embedded(EmbeddedConfig),
    Kafka(KafkaConfig),
}

impl Default for LogConfig {
    fn default() -> Self {
        Self::Embedded(EmbeddedConfig::default())
    }
}

/// The log in one SQLite file: for one process that writes, on one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddedConfig {
    /// The file. SQLite puts `-wal` and `-shm` beside it, the log `.writer` and `.groups/`.
    pub path: PathBuf,
    /// Records taken and not yet durable, at most; more are answered with `AppendError::Full`.
    pub queue_records: usize,
    /// The same in KiB.
    pub queue_kbytes: usize,
    /// The largest record (key, payload and headers) in KiB; larger ones are answered with `AppendError::TooLarge`.
    pub record_kbytes_max: usize,
    /// Milliseconds that records gather whose confirmation nobody waits for, so that telemetry costs fewer syncs; 0 = none.
    pub linger_ms: u64,
    /// What the file may hold in MiB. At the limit appends are refused (`LogError::DiskFull`) until space is free again:
    /// nothing that a group has not read is deleted for space.
    pub disk_mbytes_max: u64,
    /// How long a deleted key of a compacted topic stays visible as deleted, in seconds.
    pub tombstone_seconds: u64,
    /// Seconds between two rounds of deleting what need not be kept.
    pub housekeeping_seconds: u64,
    /// How much of a topic is kept, by topic name; topics that are not named keep the default.
    pub keep: BTreeMap<String, Keep>,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::from("data/events.db"),
            queue_records: 65_536,
            queue_kbytes: 32_768,
            record_kbytes_max: 1024,
            linger_ms: 10,
            disk_mbytes_max: 8192,
            tombstone_seconds: 86_400,
            housekeeping_seconds: 60,
            keep: BTreeMap::new(),
        }
    }
}

/// How much of a topic is kept. What a group has not read yet is kept in any case; compacted topics keep the last record per key
/// for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keep {
    /// Hours; 0 = no limit by age.
    pub hours: u64,
    /// MiB; 0 = no limit by size.
    pub mbytes: u64,
}

impl Keep {
    /// What is kept of a topic unless the configuration says otherwise.
    #[must_use]
    pub const fn default_of(topic: Topic) -> Self {
        match topic {
            Topic::Device | Topic::Order => Self { hours: 30 * 24, mbytes: 0 },
            Topic::Telemetry => Self { hours: 3 * 24, mbytes: 2048 },
            Topic::Command => Self { hours: 7 * 24, mbytes: 256 },
            Topic::Raw => Self { hours: 24, mbytes: 1024 },
            Topic::Session | Topic::Registry => Self { hours: 0, mbytes: 0 },
            Topic::DeviceDlq | Topic::TelemetryDlq | Topic::CommandDlq => Self { hours: 90 * 24, mbytes: 512 },
        }
    }
}

/// The log on Apache Kafka or anything that speaks its protocol (2.1 and newer).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConfig {
    /// `host:port,host:port`.
    pub brokers: String,
    /// Put before every topic and group name.
    pub topic_prefix: String,
    /// Create topics that do not exist. Off where somebody else owns them.
    pub create_topics: bool,
    /// Partitions of a topic that is created. Not changed later: the order per key would break.
    pub partitions: i32,
    /// Copies of a topic that is created; with 3 and more, two must be in sync for a confirmation (`min.insync.replicas`).
    pub replication: i32,
    /// How long the producer waits for a batch to fill. 20 ms cost the money path 20 ms and save half of the requests.
    pub linger_ms: u32,
    /// What the producer may hold in memory, in KiB; more is answered with `AppendError::Full`.
    pub queue_kbytes: u32,
    /// The same in records.
    pub queue_records: u32,
    /// A record that the brokers have not confirmed after this time has failed (`LogError::Timeout`). Longer than an election of
    /// leaders or a rolling restart, so that those lose no telemetry; money is kept by the charger meanwhile. A record that timed
    /// out may still have been written: consumers see each event at least once. With the spool nothing times out: records stay in
    /// the queue, in order, until it is full.
    pub message_timeout_ms: u32,
    /// The largest record in KiB. Brokers have a limit of their own, 1 MiB unless changed.
    pub record_kbytes_max: u32,
    /// A member of a group that is silent for so long is dead, and its partitions go to the others.
    pub session_timeout_ms: u32,
    /// How much of a topic is kept when it is created, by topic name; topics that are not named keep the default.
    pub keep: BTreeMap<String, Keep>,
    /// The spool of a gateway; the API has none.
    pub spool: SpoolConfig,
    /// Any property of librdkafka for every client: `security.protocol`, `sasl.mechanisms`, `sasl.username`, `sasl.password`,
    /// `ssl.ca.location`, .. TLS and SCRAM need the build feature `kafka-tls`.
    pub options: BTreeMap<String, String>,
    /// Properties for producers only.
    pub producer_options: BTreeMap<String, String>,
    /// Properties for consumers only, for example `group.instance.id`.
    pub consumer_options: BTreeMap<String, String>,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            brokers: "127.0.0.1:9092".to_owned(),
            topic_prefix: String::new(),
            create_topics: true,
            partitions: 12,
            replication: 1,
            linger_ms: 20,
            queue_kbytes: 65_536,
            queue_records: 200_000,
            message_timeout_ms: 120_000,
            record_kbytes_max: 900,
            session_timeout_ms: 10_000,
            keep: BTreeMap::new(),
            spool: SpoolConfig::default(),
            options: BTreeMap::new(),
            producer_options: BTreeMap::new(),
            consumer_options: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for KafkaConfig {
    /// Without the values of the options: passwords are among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("topic_prefix", &self.topic_prefix)
            .field("create_topics", &self.create_topics)
            .field("partitions", &self.partitions)
            .field("replication", &self.replication)
            .field("linger_ms", &self.linger_ms)
            .field("queue_kbytes", &self.queue_kbytes)
            .field("queue_records", &self.queue_records)
            .field("message_timeout_ms", &self.message_timeout_ms)
            .field("record_kbytes_max", &self.record_kbytes_max)
            .field("session_timeout_ms", &self.session_timeout_ms)
            .field("keep", &self.keep)
            .field("spool", &self.spool)
            .field("options", &self.options.keys())
            .field("producer_options", &self.producer_options.keys())
            .field("consumer_options", &self.consumer_options.keys())
            .finish()
    }
}

/// The disk of a gateway, used for what must not be lost while Kafka does not confirm in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpoolConfig {
    /// Off: money waits for Kafka alone, and its chargers are not answered while that is away.
    pub enabled: bool,
    /// The folder. It survives the process (a volume), and one process uses it at a time.
    pub path: PathBuf,
    /// What the spool may hold in MiB. At the limit nothing is lost and nothing is answered: chargers keep their records.
    pub mbytes_max: u64,
    /// What Kafka has not confirmed after this time goes to the spool, in milliseconds.
    pub after_ms: u64,
    /// Records that wait for the spool's disk, at most; more are answered with `AppendError::Full`.
    pub queue_records: usize,
    /// The same in KiB.
    pub queue_kbytes: usize,
}

impl Default for SpoolConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            path: PathBuf::from("data/spool"),
            mbytes_max: 4096,
            after_ms: 1000,
            queue_records: 65_536,
            queue_kbytes: 32_768,
        }
    }
}

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A configuration key, and what is wrong with it.
    #[error("{key}: {why}")]
    Config { key: String, why: String },
    /// One process writes; it has the lock `<path>.writer`.
    #[error("{} is being written by another process", .path.display())]
    InUse { path: PathBuf },
    /// A newer release wrote the file.
    #[error("{} has format {found}, this release knows {known}", .path.display())]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{}: {source}", .path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: {source}", .path.display())]
    Sqlite { path: PathBuf, source: rusqlite::Error },
    #[error("the spool {}: {error}", .path.display())]
    Spool { path: PathBuf, error: LogError },
    #[error("Kafka client: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
}

impl LogConfig {
    /// Checks what can be checked without touching a file or a broker.
    ///
    /// # Errors
    /// The first key that is wrong.
    pub fn validate(&self) -> Result<(), OpenError> {
        match self {
            Self::Embedded(config) => {
                within("queue_records", config.queue_records as u64, 1..=RECORDS_MAX)?;
                within("queue_kbytes", config.queue_kbytes as u64, 1..=QUEUE_KBYTES_MAX)?;
                within("record_kbytes_max", config.record_kbytes_max as u64, 1..=RECORD_KBYTES_MAX)?;
                within("linger_ms", config.linger_ms, 0..=LINGER_MS_MAX)?;
                within("disk_mbytes_max", config.disk_mbytes_max, 1..=MBYTES_MAX)?;
                within("tombstone_seconds", config.tombstone_seconds, 0..=10 * 365 * 86_400)?;
                within("housekeeping_seconds", config.housekeeping_seconds, 1..=86_400)?;
                if config.path.file_name().is_none() {
                    return Err(wrong("path", "is not the path of a file"));
                }
                if config.record_kbytes_max > config.queue_kbytes {
                    return Err(wrong("record_kbytes_max", "is more than queue_kbytes"));
                }
                topics(&config.keep)
            }
            Self::Kafka(config) => {
                within("partitions", u64::try_from(config.partitions).unwrap_or(0), 1..=10_000)?;
                within("replication", u64::try_from(config.replication).unwrap_or(0), 1..=100)?;
                within("linger_ms", config.linger_ms.into(), 0..=LINGER_MS_MAX)?;
                // librdkafka counts the bytes in 31 bits.
                within("queue_kbytes", config.queue_kbytes.into(), 1..=2_097_151)?;
                within("queue_records", config.queue_records.into(), 1..=RECORDS_MAX)?;
                within("message_timeout_ms", config.message_timeout_ms.into(), 1..=86_400_000)?;
                within("record_kbytes_max", config.record_kbytes_max.into(), 1..=RECORD_KBYTES_MAX)?;
                within("session_timeout_ms", config.session_timeout_ms.into(), 1..=3_600_000)?;
                if config.brokers.trim().is_empty() {
                    return Err(wrong("brokers", "names no broker"));
                }
                if config.message_timeout_ms <= config.linger_ms {
                    return Err(wrong("message_timeout_ms", "must be more than linger_ms"));
                }
                if !config.topic_prefix.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c)) {
                    return Err(wrong("topic_prefix", "may hold letters, digits, '.', '_' and '-'"));
                }
                if config.spool.enabled {
                    config.spool.validate(config.record_kbytes_max)?;
                }
                topics(&config.keep)?;
                for (table, options) in [
                    ("options", &config.options),
                    ("producer_options", &config.producer_options),
                    ("consumer_options", &config.consumer_options),
                ] {
                    let needy = options.iter().find(|(name, value)| needs_tls(name, value));
                    if let Some((name, _)) = needy.filter(|_| !cfg!(feature = "kafka-tls")) {
                        return Err(wrong(
                            &format!("{table}.\"{name}\""),
                            "needs a build with TLS for Kafka: cargo build --release -p evgate --features kafka-tls",
                        ));
                    }
                }
                Ok(())
            }
        }
    }
}

/// Properties of librdkafka that only its build with OpenSSL has, or values of theirs.
fn needs_tls(name: &str, value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    match name {
        "security.protocol" => value.contains("ssl"),
        "sasl.mechanism" | "sasl.mechanisms" => value.contains("scram") || value.contains("oauthbearer"),
        "enable.ssl.certificate.verification" => true,
        _ => name.starts_with("ssl."),
    }
}

/// Records that a queue may hold at most: memory is counted in bytes, this only keeps the counting sane.
const RECORDS_MAX: u64 = 10_000_000;
/// 16 GiB.
const QUEUE_KBYTES_MAX: u64 = 16 << 20;
/// 64 MiB.
const RECORD_KBYTES_MAX: u64 = 64 << 10;
/// 16 TiB.
const MBYTES_MAX: u64 = 16 << 20;
/// A minute: telemetry that comes later is of no use.
const LINGER_MS_MAX: u64 = 60_000;
/// A charger waits some twenty seconds for its answer.
const AFTER_MS_MAX: u64 = 10_000;
/// A century.
const HOURS_MAX: u64 = 876_000;

impl SpoolConfig {
    fn validate(&self, record_kbytes_max: u32) -> Result<(), OpenError> {
        within("spool.mbytes_max", self.mbytes_max, 1..=MBYTES_MAX)?;
        within("spool.after_ms", self.after_ms, 1..=AFTER_MS_MAX)?;
        within("spool.queue_records", self.queue_records as u64, 1..=RECORDS_MAX)?;
        within("spool.queue_kbytes", self.queue_kbytes as u64, 1..=QUEUE_KBYTES_MAX)?;
        if self.path.as_os_str().is_empty() {
            return Err(wrong("spool.path", "is empty"));
        }
        if (self.queue_kbytes as u64) < u64::from(record_kbytes_max) {
            return Err(wrong("spool.queue_kbytes", "is less than record_kbytes_max"));
        }
        Ok(())
    }
}

/// Opens the log that the configuration names. May block for some seconds (disk, creation of topics): call it at start.
///
/// A Kafka that cannot be reached is no error: appends wait in the queue, readers wait, and `health` says so.
///
/// # Errors
/// A wrong configuration, a file that cannot be used, or one that another process writes.
pub fn open(config: &LogConfig) -> Result<Arc<dyn EventLog>, OpenError> {
    config.validate()?;
    Ok(match config {
        LogConfig::Embedded(embedded) => Arc::new(EmbeddedLog::open(embedded)?),
        LogConfig::Kafka(kafka) => Arc::new(KafkaLog::open(kafka)?),
    })
}

/// As [`open`], with a spool before Kafka unless it is switched off: for a process that serves chargers.
///
/// # Errors
/// As [`open`]; the spool's folder cannot be used, or another process uses it.
pub fn open_spooled(config: &LogConfig) -> Result<Arc<dyn EventLog>, OpenError> {
    let LogConfig::Kafka(kafka) = config else { return open(config) };
    if !kafka.spool.enabled {
        return open(config);
    }
    config.validate()?;
    // First the folder: what is wrong with it is said without waiting for brokers.
    let spool = spooled::Spool::open(&kafka.spool, kafka.record_kbytes_max as usize)?;
    // A time-out would take records out of the producer's order: one that ran out would come after a later one that did not.
    let kafka = KafkaConfig { message_timeout_ms: NO_TIMEOUT_MS, ..kafka.clone() };
    Ok(Arc::new(SpooledLog::open(Arc::new(KafkaLog::open(&kafka)?), spool)?))
}

/// The longest that librdkafka takes: 24 days.
const NO_TIMEOUT_MS: u32 = i32::MAX as u32;

fn wrong(key: &str, why: &str) -> OpenError {
    OpenError::Config { key: key.to_owned(), why: why.to_owned() }
}

fn within(key: &str, value: u64, range: RangeInclusive<u64>) -> Result<(), OpenError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(wrong(key, &format!("must be {}..={}", range.start(), range.end())))
}

fn topics(keep: &BTreeMap<String, Keep>) -> Result<(), OpenError> {
    match keep.keys().find(|name| Topic::from_name(name).is_none()) {
        Some(name) => Err(wrong(&format!("keep.{name}"), "is not a topic")),
        None => keep.iter().try_for_each(|(name, keep)| {
            within(&format!("keep.{name}.hours"), keep.hours, 0..=HOURS_MAX)?;
            within(&format!("keep.{name}.mbytes"), keep.mbytes, 0..=MBYTES_MAX)
        }),
    }
}
