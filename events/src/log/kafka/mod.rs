//! The log on Apache Kafka, through librdkafka: acks=all, idempotent, lz4, keyed by charger.
//!
//! - A queue that is full is answered with [`AppendError::Full`]; what is in it is memory and dies with the process. Money waits
//!   for its ack, so that whoever sent it keeps it.
//! - A record that the brokers do not confirm within `message_timeout_ms` fails with [`LogError::Timeout`].
//! - The partition is murmur2 of the key, as with the Java client; a record without a key goes anywhere.
//! - Consumers commit by hand. Each event is seen at least once.

mod around;
mod client;
mod consumer;
mod inbox;
mod producer;
mod topics;

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::future::BoxFuture;

use self::{
    client::{Names, Vitals},
    consumer::{KafkaReader, Leaving},
    producer::Producer,
    topics::Creating,
};
use super::{
    Ack, Append, AppendError, Around, EventLog, Health, KafkaConfig, LogError, OpenError, Position, Start, Subscription,
};
use crate::topic::Topic;

/// How long a log that is dropped waits for what it still holds.
const GOODBYE: Duration = Duration::from_secs(5);

/// See the module.
pub struct KafkaLog {
    config: KafkaConfig,
    names: Arc<Names>,
    producer: Arc<Producer>,
    vitals: Arc<Vitals>,
    leaving: Arc<Leaving>,
    _creating: Option<Creating>,
}

impl fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaLog").field("config", &self.config).finish_non_exhaustive()
    }
}

impl KafkaLog {
    /// Makes the producer and, if asked, the topics. Waits for the brokers at most ten seconds; not reaching them is no error.
    ///
    /// # Errors
    /// A property that librdkafka does not know or take.
    pub fn open(config: &KafkaConfig) -> Result<Self, OpenError> {
        let vitals = Arc::new(Vitals::default());
        let producer = Arc::new(Producer::new(config, Arc::clone(&vitals))?);
        let creating = if config.create_topics { Some(topics::create(config)?) } else { None };
        let names = Names::new(&config.topic_prefix);
        Ok(Self { config: config.clone(), names, producer, vitals, leaving: Arc::default(), _creating: creating })
    }
}

impl EventLog for KafkaLog {
    fn append(&self, record: Append<'_>, ack: Ack) -> Result<(), AppendError> {
        self.producer.append(self.names.topic(record.topic), record, ack)
    }

    fn subscribe(&self, group: &str, topics: &[Topic]) -> Result<Box<dyn Subscription>, LogError> {
        Ok(Box::new(KafkaReader::of_group(&self.config, &self.names, &self.leaving, group, topics, None)?))
    }

    fn subscribe_from(
        &self,
        group: &str,
        topics: &[Topic],
        stored: &[Position],
    ) -> Result<Box<dyn Subscription>, LogError> {
        Ok(Box::new(KafkaReader::of_group(&self.config, &self.names, &self.leaving, group, topics, Some(stored))?))
    }

    fn around<'a>(&'a self, positions: &'a [Position]) -> BoxFuture<'a, Result<Vec<(Position, Around)>, LogError>> {
        let (config, names, positions) = (self.config.clone(), Arc::clone(&self.names), positions.to_vec());
        Box::pin(async move {
            match tokio::task::spawn_blocking(move || around::around(&config, &names, &positions)).await {
                Ok(outcome) => outcome,
                Err(error) => Err(LogError::Backend(error.to_string())),
            }
        })
    }

    fn tail(&self, topics: &[Topic], start: Start) -> Result<Box<dyn Subscription>, LogError> {
        Ok(Box::new(KafkaReader::tail(&self.config, &self.names, &self.leaving, topics, start)?))
    }

    /// Also waits for what is appended while it waits: under a stream that does not end it may run to its limit.
    fn flush(&self, within: Duration) -> BoxFuture<'_, Result<(), LogError>> {
        let producer = Arc::clone(&self.producer);
        Box::pin(async move {
            match tokio::task::spawn_blocking(move || producer.flush(within)).await {
                Ok(outcome) => outcome,
                Err(error) => Err(LogError::Backend(error.to_string())),
            }
        })
    }

    fn health(&self) -> Health {
        Health {
            backend: "kafka",
            queued: self.producer.queued(),
            confirmed_at_ms: self.vitals.confirmed_at_ms.load(Ordering::Relaxed),
            degraded: self.vitals.degraded(),
            lost: self.vitals.lost.total(),
            spool: None,
        }
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        let _ = self.producer.flush(GOODBYE); // what is not confirmed by now fails, and its acks say so
        self.leaving.wait(GOODBYE);
    }
}
