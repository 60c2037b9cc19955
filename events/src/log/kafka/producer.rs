//! The producer: one record per event, confirmations on librdkafka's polling thread, a new client when the old one is beyond help.

use std::{
    mem,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext, Message,
    config::RDKafkaLogLevel,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    message::{Header, Headers, OwnedHeaders},
    producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer},
};

use super::client::{self, Vitals};
use crate::{
    clock::Clock,
    log::{Ack, Append, AppendError, KafkaConfig, LogError, Position},
    topic::Topic,
};

type Client = ThreadedProducer<Deliveries>;

/// Rides through librdkafka with the record.
#[derive(Debug)]
pub(super) struct Waiting {
    ack: Ack,
    topic: Topic,
}

/// Bytes of records that a batch holds at most (`batch.size`), unless the configuration says otherwise.
const BATCH_BYTES: usize = 1_000_000;

pub(super) struct Deliveries {
    vitals: Arc<Vitals>,
    /// Of this client's batches.
    batch_max: usize,
    /// Of the batches that the brokers take, as far as is known.
    batch_wanted: Arc<AtomicUsize>,
}

impl Deliveries {
    /// What became of a record of so many bytes, and what that says about the brokers.
    fn failed(&self, error: &KafkaError, topic: Topic, bytes: usize) -> LogError {
        use RDKafkaErrorCode::{MessageBatchTooLarge, MessageSizeTooLarge};
        if matches!(error.rdkafka_error_code(), Some(MessageSizeTooLarge | MessageBatchTooLarge)) {
            self.vitals.well(); // they answer, and take other records
            let refused = self.refused(bytes);
            if refused == LogError::TooLarge {
                tracing::error!(%topic, bytes, "the brokers refuse a record as too large");
            }
            return refused;
        }
        let failed = client::log_error(error);
        if failed != LogError::Closed {
            self.vitals.degrade(failed.to_string());
        }
        failed
    }

    /// Brokers judge a whole batch by the limit that they have for records. librdkafka fails all that is in it; a record as large as a
    /// batch may be was alone in it.
    fn refused(&self, bytes: usize) -> LogError {
        if bytes >= self.batch_max {
            return LogError::TooLarge;
        }
        self.batch_wanted.fetch_min(self.batch_max / 2, Ordering::Relaxed);
        LogError::Backend(format!("the brokers take no batch of {} bytes: smaller ones follow", self.batch_max))
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        client::log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.vitals.degrade(format!("{error}: {reason}"));
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Waiting>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiting: Box<Waiting>) {
        let outcome = match result {
            Ok(message) => {
                self.vitals.confirmed_at_ms.store(Clock::REAL.now_ms(), Ordering::Relaxed);
                self.vitals.well();
                Ok(Position { topic: waiting.topic, partition: message.partition(), offset: message.offset() })
            }
            Err((error, message)) => {
                if !matches!(&waiting.ack, Ack::Notify { sink, .. } if sink.keeps()) {
                    self.vitals.lost.count(waiting.topic);
                }
                Err(self.failed(error, waiting.topic, bytes(message)))
            }
        };
        if let Ack::Notify { sink, token } = &waiting.ack {
            sink.acked(*token, outcome);
        }
    }
}

fn bytes(message: &impl Message) -> usize {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    let headers = headers.map(|header| header.key.len() + header.value.map_or(0, <[u8]>::len));
    message.key().map_or(0, <[u8]>::len) + message.payload().map_or(0, <[u8]>::len) + headers.sum::<usize>()
}

pub(super) struct Producer {
    properties: ClientConfig,
    client: RwLock<Arc<Client>>,
    vitals: Arc<Vitals>,
    record_max: usize,
    batch_wanted: Arc<AtomicUsize>,
}

impl Producer {
    pub fn new(config: &KafkaConfig, vitals: Arc<Vitals>) -> KafkaResult<Self> {
        let record_max = config.record_kbytes_max as usize * 1024;
        let mut properties = client::properties(config, &Default::default());
        properties
            .set("enable.idempotence", "true") // with it: acks=all, retries without end, order kept over retries
            .set("acks", "all")
            .set("compression.type", "lz4")
            // The Java client's partitioner: other programs that write or join on the same keys find the same partition.
            .set("partitioner", "murmur2_random")
            .set("linger.ms", config.linger_ms.to_string())
            .set("queue.buffering.max.kbytes", config.queue_kbytes.to_string())
            .set("queue.buffering.max.messages", config.queue_records.to_string())
            .set("message.timeout.ms", config.message_timeout_ms.to_string())
            .set("request.timeout.ms", "10000") // a broker that hangs is given up long before the record is
            .set("message.max.bytes", (record_max + 32_768).to_string());
        for (key, value) in &config.producer_options {
            properties.set(key, value);
        }
        let batch_max = properties.get("batch.size").and_then(|set| set.parse().ok()).unwrap_or(BATCH_BYTES);
        let batch_wanted = Arc::new(AtomicUsize::new(batch_max));
        let client = create(&properties, &vitals, &batch_wanted)?;
        Ok(Self { properties, client: RwLock::new(Arc::new(client)), vitals, record_max, batch_wanted })
    }

    pub fn client(&self) -> Arc<Client> {
        Arc::clone(&self.client.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn append(&self, name: &str, record: Append<'_>, ack: Ack) -> Result<(), AppendError> {
        let headers_len = record.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        if record.key.len() + record.payload.map_or(0, <[u8]>::len) + headers_len > self.record_max {
            return Err(AppendError::TooLarge);
        }
        let mut out = BaseRecord::<[u8], [u8], _>::with_opaque_to(name, Box::new(Waiting { ack, topic: record.topic }))
            .key(record.key);
        if let Some(payload) = record.payload {
            out = out.payload(payload);
        }
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            let add = |headers: OwnedHeaders, (key, value): &(&str, &[u8])| {
                headers.insert(Header { key, value: Some(*value) })
            };
            out = out.headers(record.headers.iter().fold(headers, add));
        }
        let mut client = self.client.read().unwrap_or_else(PoisonError::into_inner);
        if client.client().context().batch_max > self.batch_wanted.load(Ordering::Relaxed) {
            drop(client);
            self.renew();
            client = self.client.read().unwrap_or_else(PoisonError::into_inner);
        }
        let sent = client.send(out);
        drop(client);
        let Err((error, out)) = sent else { return Ok(()) };
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => Err(AppendError::Full),
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => Err(AppendError::TooLarge),
            Some(RDKafkaErrorCode::Fatal) => {
                self.renew();
                let sent = self.client.read().unwrap_or_else(PoisonError::into_inner).send(out);
                sent.map_err(|_| AppendError::Full)
            }
            // The topic is not there, or the client cannot take it for now: as with a full queue, later may be better.
            _ => {
                self.vitals.degrade(format!("{name}: {error}"));
                Err(AppendError::Full)
            }
        }
    }

    /// A new client, when the old one is beyond help: an idempotent producer that has lost its sequence takes nothing any more, and
    /// batches that are too large for the brokers stay so. What it still holds fails, and is heard of by its acks; a new one goes on.
    fn renew(&self) {
        let mut client = self.client.write().unwrap_or_else(PoisonError::into_inner);
        let wanted = self.batch_wanted.load(Ordering::Relaxed);
        if let Some((code, reason)) = client.client().fatal_error() {
            tracing::error!(%code, reason, "Kafka producer failed for good, starting a new one");
        } else if client.client().context().batch_max > wanted {
            let (before, now) = (client.client().context().batch_max, wanted);
            tracing::warn!(before, now, "the brokers refuse batches as too large: smaller ones from now on");
        } else {
            return; // somebody else has renewed it
        }
        match create(&self.properties, &self.vitals, &self.batch_wanted) {
            Ok(new) => {
                let old = mem::replace(&mut *client, Arc::new(new));
                // Dropping it waits for its thread.
                thread::spawn(move || drop(old));
            }
            Err(error) => self.vitals.degrade(error.to_string()),
        }
    }

    pub fn flush(&self, within: Duration) -> Result<(), LogError> {
        self.client().flush(within).map_err(|error| client::log_error(&error))
    }

    pub fn queued(&self) -> u64 {
        u64::try_from(self.client().in_flight_count()).unwrap_or(0)
    }
}

/// A client whose batches are as large as is wanted now.
fn create(properties: &ClientConfig, vitals: &Arc<Vitals>, batch_wanted: &Arc<AtomicUsize>) -> KafkaResult<Client> {
    let batch_max = batch_wanted.load(Ordering::Relaxed).max(1);
    let (vitals, batch_wanted) = (Arc::clone(vitals), Arc::clone(batch_wanted));
    let mut properties = properties.clone();
    properties.set("batch.size", batch_max.to_string()).create_with_context(Deliveries {
        vitals,
        batch_max,
        batch_wanted,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::{
        sync::mpsc::{self, Sender},
        time::Duration,
    };

    use rdkafka::{bindings::rd_kafka_test_fatal_error, producer::Producer as _, types::RDKafkaRespErr};

    use super::*;
    use crate::log::AckSink;

    struct Tell(Sender<(u64, Result<Position, LogError>)>);

    impl AckSink for Tell {
        fn acked(&self, token: u64, outcome: Result<Position, LogError>) {
            self.0.send((token, outcome)).unwrap();
        }
    }

    #[test]
    fn brokers_that_refuse_a_record_as_too_large_are_well() {
        let vitals: Arc<Vitals> = Arc::default();
        let batch_wanted = Arc::new(AtomicUsize::new(1000));
        let deliveries = Deliveries { vitals: Arc::clone(&vitals), batch_max: 1000, batch_wanted };
        let failed = |code, bytes| deliveries.failed(&KafkaError::MessageProduction(code), Topic::Device, bytes);
        assert_eq!(failed(RDKafkaErrorCode::MessageTimedOut, 10), LogError::Timeout);
        assert!(vitals.degraded().is_some());
        assert!(matches!(failed(RDKafkaErrorCode::MessageSizeTooLarge, 10), LogError::Backend(_)));
        assert_eq!(vitals.degraded(), None, "it was only the batch");
        assert_eq!(failed(RDKafkaErrorCode::MessageTimedOut, 10), LogError::Timeout);
        assert_eq!(failed(RDKafkaErrorCode::MessageSizeTooLarge, 2000), LogError::TooLarge);
        assert_eq!(vitals.degraded(), None);
    }

    #[test]
    fn a_producer_that_failed_for_good_is_replaced_and_what_it_held_is_heard_of() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let brokers = nobody.local_addr().unwrap().to_string();
        let config = KafkaConfig { brokers, message_timeout_ms: 600_000, ..KafkaConfig::default() };
        let vitals: Arc<Vitals> = Arc::default();
        let producer = Producer::new(&config, Arc::clone(&vitals)).unwrap();
        let (sender, outcomes) = mpsc::channel();
        let sink: Arc<dyn AckSink> = Arc::new(Tell(sender));
        let record = Append { topic: Topic::Device, key: b"k", payload: Some(b"v"), headers: &[] };
        let append = |token| producer.append("t", record, Ack::Notify { sink: Arc::clone(&sink), token });
        append(1).unwrap();
        let old = producer.client();
        // SAFETY: the client lives; the reason is a C string.
        let code = unsafe {
            let code = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
            rd_kafka_test_fatal_error(old.client().native_ptr(), code, c"a test".as_ptr())
        };
        assert_eq!(code, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
        append(2).unwrap();
        assert!(!Arc::ptr_eq(&old, &producer.client()));
        drop(old);
        let (token, outcome) = outcomes.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(token, 1);
        assert!(outcome.is_err());
        assert_eq!(vitals.lost.total(), 1, "counted, whether anybody waits or not");
        // The new one holds the second record, and says so when it ends.
        assert_eq!(producer.queued(), 1);
        drop(producer);
        assert_eq!(outcomes.recv_timeout(Duration::from_secs(20)).unwrap().0, 2);
    }
}
