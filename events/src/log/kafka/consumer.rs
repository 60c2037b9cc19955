//! Readers: per topic one consumer with one thread of its own, which fetches into an inbox that the subscriber empties.
//!
//! librdkafka's calls block, so that they stay off tokio's threads. One consumer per topic (and one consumer group per group and
//! topic), because a partition's end is reported without the name of its topic.

use std::{
    ffi::CString,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use rdkafka::{
    ClientConfig, ClientContext, Message, Offset, TopicPartitionList,
    bindings::rd_kafka_get_watermark_offsets,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers},
    metadata::MetadataPartition,
    types::RDKafkaRespErr,
};
use tokio::time::Instant;

use super::{
    client::{self, Names},
    inbox::{Begins, Inbox},
};
use crate::{
    log::{Batch, KafkaConfig, LogError, Position, Record, Start, Subscription},
    topic::Topic,
};

/// How long a thread sleeps at most before it looks whether it should end.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// Records fetched before the subscriber is woken.
const BURST: usize = 256;
pub(super) const ASK: Duration = Duration::from_secs(10);

type Client = BaseConsumer<Assignments>;

/// Follows who owns what.
pub(super) struct Assignments {
    inbox: Arc<Inbox>,
    topic: Topic,
}

impl ClientContext for Assignments {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        client::log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(topic = %self.topic, %error, reason, "Kafka consumer");
    }
}

impl ConsumerContext for Assignments {
    fn rebalance(&self, client: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let cooperative = matches!(client.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let outcome = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.begin(list);
                if cooperative { client.incremental_assign(list) } else { client.assign(list) }
            }
            _ => {
                if what != RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS {
                    tracing::warn!(topic = %self.topic, error = ?what, "Kafka consumer group");
                }
                self.inbox.revoke(self.topic, partitions(list).into_iter());
                if cooperative { client.incremental_unassign(list) } else { client.unassign() }
            }
        };
        if let Err(error) = outcome {
            self.inbox.fail(client::log_error(&error));
        }
    }
}

impl Assignments {
    /// Where partitions that are now ours are read from: what the reader says about itself, or what the group committed.
    fn begin(&self, list: &mut TopicPartitionList) {
        let begins = self.inbox.assign(self.topic, partitions(list).into_iter());
        for (mut element, begin) in list.elements().into_iter().zip(begins) {
            let offset = match begin {
                Begins::Committed => continue,
                Begins::First => Offset::Beginning,
                Begins::At(offset) => Offset::Offset(offset),
            };
            if let Err(error) = element.set_offset(offset) {
                self.inbox.fail(client::log_error(&error));
            }
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(|element| element.partition()).collect()
}

/// Threads whose subscription is gone and which still have to leave their group.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    count: Mutex<usize>,
    left: Condvar,
}

impl Leaving {
    pub fn wait(&self, at_most: Duration) {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        // Time is up: the broker will miss them after the session time-out.
        drop(self.left.wait_timeout_while(count, at_most, |count| *count > 0));
    }

    fn add(&self, threads: usize) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += threads;
    }

    fn one_left(&self) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count = count.saturating_sub(1);
        self.left.notify_all();
    }
}

pub(super) struct KafkaReader {
    inbox: Arc<Inbox>,
    leaving: Arc<Leaving>,
    topics: Vec<Topic>,
    names: Arc<Names>,
    /// Empty for a tail: nothing to commit.
    clients: Vec<(Topic, Arc<Client>)>,
    threads: usize,
    /// Made by `subscribe_from`.
    of_own_positions: bool,
    /// What the last batch said about the end.
    at_end: bool,
}

impl KafkaReader {
    pub fn of_group(
        config: &KafkaConfig,
        names: &Arc<Names>,
        leaving: &Arc<Leaving>,
        group: &str,
        topics: &[Topic],
        stored: Option<&[Position]>,
    ) -> Result<Self, LogError> {
        let mut reader = Self::empty(names, leaving, topics);
        if let Some(stored) = stored {
            reader.inbox.stands(stored);
        }
        reader.of_own_positions = stored.is_some();
        for topic in topics {
            let mut properties = properties(config);
            properties.set("group.id", names.group(group, *topic));
            let client = reader.client(&properties, *topic)?;
            client.subscribe(&[names.topic(*topic)]).map_err(|error| client::log_error(&error))?;
            reader.clients.push((*topic, Arc::clone(&client)));
            reader.spawn(client, *topic, None)?;
        }
        Ok(reader)
    }

    pub fn tail(
        config: &KafkaConfig,
        names: &Arc<Names>,
        leaving: &Arc<Leaving>,
        topics: &[Topic],
        start: Start,
    ) -> Result<Self, LogError> {
        let mut reader = Self::empty(names, leaving, topics);
        for topic in topics {
            let mut properties = properties(config);
            // Never joined: librdkafka only wants a name.
            properties.set("group.id", names.group("tail", *topic));
            let client = reader.client(&properties, *topic)?;
            // "From now on" is decided now; any other beginning can be found whenever the brokers answer.
            let start = if start == Start::End {
                let list =
                    beginnings(&client, names.topic(*topic), start).map_err(|error| client::log_error(&error))?;
                Begin::Known(list)
            } else {
                Begin::Find(start)
            };
            reader.spawn(client, *topic, Some(start))?;
        }
        Ok(reader)
    }

    fn empty(names: &Arc<Names>, leaving: &Arc<Leaving>, topics: &[Topic]) -> Self {
        Self {
            inbox: Arc::default(),
            leaving: Arc::clone(leaving),
            topics: topics.to_vec(),
            names: Arc::clone(names),
            clients: Vec::new(),
            threads: 0,
            of_own_positions: false,
            at_end: false,
        }
    }

    fn client(&self, properties: &ClientConfig, topic: Topic) -> Result<Arc<Client>, LogError> {
        let context = Assignments { inbox: Arc::clone(&self.inbox), topic };
        properties.create_with_context(context).map(Arc::new).map_err(|error| client::log_error(&error))
    }

    fn spawn(&mut self, client: Arc<Client>, topic: Topic, begin: Option<Begin>) -> Result<(), LogError> {
        let fetch = Fetch { client, inbox: Arc::clone(&self.inbox), name: self.names.topic(topic).to_owned(), topic };
        let leaving = Arc::clone(&self.leaving);
        let run = move || {
            fetch.run(begin);
            drop(fetch); // leaves the group, unless a commit is still under way
            leaving.one_left();
        };
        thread::Builder::new()
            .name(format!("kafka-{topic}"))
            .spawn(run)
            .map_err(|error| LogError::Backend(error.to_string()))?;
        self.threads += 1;
        Ok(())
    }

    async fn poll_until(&mut self, max: usize, deadline: Instant) -> Result<Batch, LogError> {
        let inbox = Arc::clone(&self.inbox);
        loop {
            let news = inbox.news.notified();
            let mut news = std::pin::pin!(news);
            news.as_mut().enable();
            let batch = inbox.take(max, &self.topics)?;
            let reached = batch.at_end && !self.at_end;
            if !batch.records.is_empty() || reached || Instant::now() >= deadline {
                self.at_end = batch.at_end;
                return Ok(batch);
            }
            let _ = tokio::time::timeout_at(deadline, news).await; // news or the time: look again
        }
    }

    async fn commit_positions(&mut self, positions: &[Position]) -> Result<(), LogError> {
        if self.clients.is_empty() {
            return Ok(());
        }
        let upto = self.inbox.committable(positions);
        for (topic, client) in &self.clients {
            let mut list = TopicPartitionList::new();
            for ((of, partition), offset) in &upto {
                if of == topic {
                    list.add_partition_offset(self.names.topic(*topic), *partition, Offset::Offset(offset + 1))
                        .map_err(|error| client::log_error(&error))?;
                }
            }
            if list.count() == 0 {
                continue;
            }
            let client = Arc::clone(client);
            let commit = tokio::task::spawn_blocking(move || client.commit(&list, CommitMode::Sync));
            match tokio::time::timeout(ASK, commit).await {
                Err(_) => return Err(LogError::Timeout),
                Ok(Err(error)) => return Err(LogError::Backend(error.to_string())),
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => match error.rdkafka_error_code() {
                    // Taken away meanwhile: its next owner sees those records again.
                    Some(
                        RDKafkaErrorCode::IllegalGeneration
                        | RDKafkaErrorCode::UnknownMemberId
                        | RDKafkaErrorCode::RebalanceInProgress
                        | RDKafkaErrorCode::FencedInstanceId
                        | RDKafkaErrorCode::AssignmentLost,
                    ) => tracing::debug!(%topic, %error, "commit passed over"),
                    _ => return Err(client::log_error(&error)),
                },
            }
        }
        self.inbox.committed(&upto);
        Ok(())
    }
}

impl Subscription for KafkaReader {
    fn poll(&mut self, max: usize, wait: Duration) -> BoxFuture<'_, Result<Batch, LogError>> {
        let deadline = Instant::now() + wait;
        Box::pin(self.poll_until(max.max(1), deadline))
    }

    fn commit<'a>(&'a mut self, positions: &'a [Position]) -> BoxFuture<'a, Result<(), LogError>> {
        Box::pin(self.commit_positions(positions))
    }

    fn stands(&mut self, stored: &[Position]) {
        if self.of_own_positions {
            self.inbox.stands(stored);
        }
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        self.leaving.add(self.threads);
        self.clients.clear();
        self.inbox.close();
    }
}

pub(super) fn properties(config: &KafkaConfig) -> ClientConfig {
    let mut properties = client::properties(config, &Default::default());
    properties
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "true")
        .set("session.timeout.ms", config.session_timeout_ms.to_string())
        .set("heartbeat.interval.ms", (config.session_timeout_ms / 4).max(1).to_string())
        // Also how long it takes until the end of a quiet partition is known.
        .set("fetch.wait.max.ms", "100")
        .set("queued.min.messages", "10000")
        .set("queued.max.messages.kbytes", "16384")
        // A topic that does not exist yet is looked for so often.
        .set("topic.metadata.refresh.interval.ms", "10000")
        .set("topic.metadata.propagation.max.ms", "1000");
    for (key, value) in &config.consumer_options {
        properties.set(key, value);
    }
    properties
}

enum Begin {
    Known(TopicPartitionList),
    Find(Start),
}

/// The partitions of a topic that is there.
pub(super) fn partitions_of<C: ConsumerContext>(client: &BaseConsumer<C>, name: &str) -> KafkaResult<Vec<i32>> {
    let metadata = client.fetch_metadata(Some(name), ASK)?;
    let topic = metadata.topics().iter().find(|topic| topic.name() == name);
    let unknown = KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition);
    let topic = topic.filter(|topic| topic.error().is_none() && !topic.partitions().is_empty()).ok_or(unknown)?;
    Ok(topic.partitions().iter().map(MetadataPartition::id).collect())
}

/// Where each partition of a topic is read from.
fn beginnings(client: &Client, name: &str, start: Start) -> KafkaResult<TopicPartitionList> {
    let partitions = partitions_of(client, name)?;
    let mut list = TopicPartitionList::new();
    for partition in &partitions {
        let offset = match start {
            Start::Beginning => Offset::Beginning,
            // The end as a number: "the end" would be looked up when fetching begins, and miss what comes in between.
            Start::End | Start::At(_) => Offset::Offset(client.fetch_watermarks(name, *partition, ASK)?.1),
        };
        list.add_partition_offset(name, *partition, offset)?;
    }
    if let Start::At(at_ms) = start {
        let mut times = TopicPartitionList::new();
        for partition in &partitions {
            times.add_partition_offset(name, *partition, Offset::Offset(at_ms.max(0)))?;
        }
        for found in client.offsets_for_times(times, ASK)?.elements() {
            found.error()?;
            if let Offset::Offset(offset) = found.offset() {
                list.set_partition_offset(name, found.partition(), Offset::Offset(offset))?;
            }
        }
    }
    Ok(list)
}

/// The thread of a topic.
struct Fetch {
    client: Arc<Client>,
    inbox: Arc<Inbox>,
    name: String,
    topic: Topic,
}

impl Fetch {
    fn run(&self, begin: Option<Begin>) {
        let assigned = match begin {
            None => true, // the group assigns
            Some(begin) => self.assign(begin),
        };
        if assigned {
            self.fetch();
        }
    }

    /// False when closed before the brokers answered.
    fn assign(&self, begin: Begin) -> bool {
        let start = match begin {
            Begin::Known(list) => return self.assigned(&list),
            Begin::Find(start) => start,
        };
        let mut said = false;
        loop {
            match beginnings(&self.client, &self.name, start) {
                Ok(list) => return self.assigned(&list),
                Err(error) if !said => {
                    said = true;
                    tracing::warn!(topic = self.name, %error, "cannot read yet");
                }
                Err(_) => {}
            }
            for _ in 0..5 {
                if self.inbox.wait_for_room(Duration::ZERO) == Some(false) {
                    return false;
                }
                thread::sleep(LOOK);
            }
        }
    }

    fn assigned(&self, list: &TopicPartitionList) -> bool {
        drop(self.inbox.assign(self.topic, partitions(list).into_iter()));
        if let Err(error) = self.client.assign(list) {
            self.inbox.fail(client::log_error(&error));
            return false;
        }
        true
    }

    fn fetch(&self) {
        let Ok(name) = CString::new(self.name.as_str()) else { return };
        loop {
            match self.inbox.wait_for_room(LOOK) {
                Some(true) => {}
                Some(false) => return,
                None => continue,
            }
            // Sleep until there is something, then take what is there before waking anybody.
            let mut wait = LOOK;
            for _ in 0..BURST {
                match self.client.poll(wait) {
                    Some(Ok(message)) => self.inbox.push(record(&message, self.topic)),
                    Some(Err(KafkaError::PartitionEOF(partition))) => self.inbox.ended(self.topic, partition),
                    Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                        self.inbox.fail(client::log_error(&error));
                        return;
                    }
                    // Temporary, as librdkafka sees it: it goes on by itself.
                    Some(Err(error)) => tracing::debug!(topic = self.name, %error, "Kafka consumer"),
                    None => break,
                }
                wait = Duration::ZERO;
            }
            self.inbox.compare(self.topic, |partition| cached_end(&self.client, &name, partition));
            self.inbox.news.notify_waiters();
        }
    }
}

/// The end of a partition as the last answer of its broker had it; asks nobody.
fn cached_end(client: &Client, name: &CString, partition: i32) -> Option<i64> {
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client lives as long as the borrow, the name ends with NUL, both results are valid for writing.
    let code = unsafe {
        rd_kafka_get_watermark_offsets(
            client.client().native_ptr(),
            name.as_ptr(),
            partition,
            &raw mut low,
            &raw mut high,
        )
    };
    (code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
}

pub(super) fn record(message: &BorrowedMessage<'_>, topic: Topic) -> Record {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        let one = |header: rdkafka::message::Header<'_, &[u8]>| {
            (header.key.to_owned(), Bytes::copy_from_slice(header.value.unwrap_or_default()))
        };
        headers.iter().map(one).collect()
    });
    Record {
        position: Position { topic, partition: message.partition(), offset: message.offset() },
        key: Bytes::copy_from_slice(message.key().unwrap_or_default()),
        payload: message.payload().map(Bytes::copy_from_slice),
        headers,
        appended_at_ms: message.timestamp().to_millis().unwrap_or(0),
    }
}
