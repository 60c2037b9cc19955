//! Creates the topics that are missing, in the background for as long as the brokers cannot be reached.

use std::{
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

use futures::executor::block_on;
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::client::{self, Quiet};
use crate::{
    log::{KafkaConfig, Keep},
    topic::Topic,
};

const TRY: Duration = Duration::from_secs(8);
const AGAIN: Duration = Duration::from_secs(2);

/// Stops trying when dropped.
#[derive(Debug)]
pub(super) struct Creating(#[expect(dead_code, reason = "its drop is the message")] Sender<()>);

/// Returns when the topics are there, or after the first try failed; then it goes on trying.
pub(super) fn create(config: &KafkaConfig) -> Result<Creating, KafkaError> {
    let admin: AdminClient<Quiet> = client::properties(config, &Default::default()).create_with_context(Quiet)?;
    let config = config.clone();
    let (stop, stopped) = mpsc::channel::<()>();
    let (first, tried) = mpsc::channel();
    thread::Builder::new()
        .name("kafka-topics".to_owned())
        .spawn(move || until_done(&admin, &config, &stopped, &first))
        .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
    let _ = tried.recv_timeout(TRY + AGAIN); // not yet: appends and readers wait by themselves
    Ok(Creating(stop))
}

fn until_done(admin: &AdminClient<Quiet>, config: &KafkaConfig, stopped: &Receiver<()>, first: &Sender<()>) {
    loop {
        let outcome = create_all(admin, config);
        let _ = first.send(()); // Err: nobody waits any more
        match outcome {
            Ok(()) => return,
            Err(error) => tracing::warn!(error, "cannot create topics yet"),
        }
        if !matches!(stopped.recv_timeout(AGAIN), Err(RecvTimeoutError::Timeout)) {
            return;
        }
    }
}

fn create_all(admin: &AdminClient<Quiet>, config: &KafkaConfig) -> Result<(), String> {
    let specs: Vec<_> = Topic::ALL
        .into_iter()
        .map(|topic| (format!("{}{topic}", config.topic_prefix), settings(topic, config)))
        .collect();
    let topics: Vec<_> = specs
        .iter()
        .map(|(name, settings)| {
            let topic = NewTopic::new(name, config.partitions, TopicReplication::Fixed(config.replication));
            settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
        })
        .collect();
    let options = AdminOptions::new().request_timeout(Some(TRY)).operation_timeout(Some(TRY));
    let results = block_on(admin.create_topics(&topics, &options)).map_err(|error| error.to_string())?;
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => return Err(format!("{name}: {code}")),
        }
    }
    Ok(())
}

fn settings(topic: Topic, config: &KafkaConfig) -> Vec<(&'static str, String)> {
    // The log's clock stamps records, so that `Start::At` means the same for every producer.
    let mut settings = vec![("message.timestamp.type", "LogAppendTime".to_owned())];
    if config.replication >= 3 {
        settings.push(("min.insync.replicas", "2".to_owned()));
    }
    if topic.compacted() {
        settings.push(("cleanup.policy", "compact".to_owned()));
        return settings;
    }
    let keep = config.keep.get(topic.name()).copied().unwrap_or(Keep::default_of(topic));
    let limit =
        |value: u64, unit: u64| if value == 0 { "-1".to_owned() } else { (value.saturating_mul(unit)).to_string() };
    settings.push(("cleanup.policy", "delete".to_owned()));
    settings.push(("retention.ms", limit(keep.hours, 3_600_000)));
    // Kafka counts per partition.
    settings
        .push(("retention.bytes", limit(keep.mbytes / u64::try_from(config.partitions).unwrap_or(1).max(1), 1 << 20)));
    settings
}
