//! What producers and consumers have in common: properties, the view of the connection, librdkafka's own log.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
};

use crate::{
    clock::Clock,
    log::{KafkaConfig, LogError, lost::Lost},
};

/// How the log is, as callbacks have told.
#[derive(Debug, Default)]
pub(super) struct Vitals {
    pub confirmed_at_ms: AtomicI64,
    ill: AtomicBool,
    degraded: Mutex<Option<(i64, String)>>,
    /// Records that were taken and then failed.
    pub lost: Lost,
}

impl Vitals {
    pub fn well(&self) {
        if self.ill.swap(false, Ordering::Relaxed) {
            *self.degraded.lock().unwrap_or_else(PoisonError::into_inner) = None;
            tracing::info!("Kafka confirms again");
        }
    }

    pub fn degrade(&self, why: String) {
        let mut degraded = self.degraded.lock().unwrap_or_else(PoisonError::into_inner);
        let since = degraded.as_ref().map_or_else(|| Clock::REAL.now_ms(), |(since, _)| *since);
        if degraded.is_none() {
            tracing::warn!(%why, "Kafka does not confirm");
        }
        *degraded = Some((since, why));
        self.ill.store(true, Ordering::Relaxed);
    }

    pub fn degraded(&self) -> Option<(i64, String)> {
        self.degraded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// librdkafka's log lines: its "info" tells of every reconnect, which nobody needs by default.
pub(super) fn log_line(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(target: "librdkafka", facility, "{line}");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{line}"),
        _ => tracing::debug!(target: "librdkafka", facility, "{line}"),
    }
}

/// For clients that nothing is heard of but what they answer.
#[derive(Debug)]
pub(super) struct Quiet;

impl ConsumerContext for Quiet {}

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka client");
    }
}

pub(super) fn properties(config: &KafkaConfig, more: &BTreeMap<String, String>) -> ClientConfig {
    let mut properties = ClientConfig::new();
    properties
        .set("bootstrap.servers", &config.brokers)
        .set("client.id", "evgate")
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.max.ms", "2000")
        .set("allow.auto.create.topics", "false")
        .set_log_level(RDKafkaLogLevel::Warning);
    for (key, value) in config.options.iter().chain(more) {
        properties.set(key, value);
    }
    properties
}

/// Names of topics and groups with the prefix, made once.
#[derive(Debug)]
pub(super) struct Names {
    prefix: String,
    topics: Vec<String>,
}

impl Names {
    pub fn new(prefix: &str) -> Arc<Self> {
        let topics = crate::topic::Topic::ALL.iter().map(|topic| format!("{prefix}{topic}")).collect();
        Arc::new(Self { prefix: prefix.to_owned(), topics })
    }

    pub fn topic(&self, topic: crate::topic::Topic) -> &str {
        self.topics.get(topic.index()).map_or(topic.name(), String::as_str)
    }

    /// A group of ours is one consumer group per topic.
    pub fn group(&self, group: &str, topic: crate::topic::Topic) -> String {
        format!("{}{group}.{topic}", self.prefix)
    }
}

pub(super) fn log_error(error: &KafkaError) -> LogError {
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::MessageTimedOut
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::TimedOutQueue
            | RDKafkaErrorCode::WaitingForCoordinator,
        ) => LogError::Timeout,
        Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => LogError::Closed,
        _ => LogError::Backend(error.to_string()),
    }
}
