//! What the brokers hold around positions that a reader has kept, asked with a consumer of its own that joins no group.

use std::{collections::BTreeMap, time::Instant};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
};

use super::{
    client::{self, Names, Quiet},
    consumer::{self, ASK, LOOK},
};
use crate::{
    log::{Around, KafkaConfig, LogError, Position},
    topic::Topic,
};

/// Blocks; at most some ten seconds per topic.
pub(super) fn around(
    config: &KafkaConfig,
    names: &Names,
    positions: &[Position],
) -> Result<Vec<(Position, Around)>, LogError> {
    let mut by_topic: BTreeMap<Topic, Vec<Position>> = BTreeMap::new();
    for position in positions {
        by_topic.entry(position.topic).or_default().push(*position);
    }
    let mut found = Vec::with_capacity(positions.len());
    for (topic, positions) in by_topic {
        let mut properties = consumer::properties(config);
        // Never joined: librdkafka only wants a name. One record per partition is all that is wanted.
        properties.set("group.id", names.group("around", topic)).set("queued.max.messages.kbytes", "1024");
        let of_topic = properties
            .create_with_context(Quiet)
            .and_then(|client| Look { client: &client, name: names.topic(topic), topic }.around(positions));
        found.extend(of_topic.map_err(|error| client::log_error(&error))?);
    }
    Ok(found)
}

struct Look<'a> {
    client: &'a BaseConsumer<Quiet>,
    name: &'a str,
    topic: Topic,
}

impl Look<'_> {
    fn around(&self, positions: Vec<Position>) -> KafkaResult<Vec<(Position, Around)>> {
        let partitions = consumer::partitions_of(self.client, self.name)?;
        let mut found = Vec::with_capacity(positions.len());
        for position in positions.into_iter().filter(|position| partitions.contains(&position.partition)) {
            let (first, next) = self.client.fetch_watermarks(self.name, position.partition, ASK)?;
            found.push((position, Around { first, next, record: None }));
        }
        self.fetch(&mut found)?;
        Ok(found)
    }

    /// The records at the positions that lie within what is kept.
    fn fetch(&self, found: &mut [(Position, Around)]) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        for (position, around) in &*found {
            if (around.first..around.next).contains(&position.offset) {
                list.add_partition_offset(self.name, position.partition, Offset::Offset(position.offset))?;
            }
        }
        let mut missing = list.count();
        self.client.assign(&list)?;
        let deadline = Instant::now() + ASK;
        while missing > 0 {
            if Instant::now() > deadline {
                return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
            }
            let answered = match self.client.poll(LOOK) {
                Some(Ok(message)) => {
                    let record = consumer::record(&message, self.topic);
                    let of = found.iter_mut().find(|(position, _)| *position == record.position);
                    if let Some((_, around)) = of {
                        around.record = Some(record);
                    }
                    message.partition()
                }
                // What is there is not a record.
                Some(Err(KafkaError::PartitionEOF(partition))) => partition,
                Some(Err(error)) => {
                    tracing::debug!(topic = self.name, %error, "Kafka consumer");
                    continue;
                }
                None => continue,
            };
            // The first answer of a partition is all of it.
            if list.find_partition(self.name, answered).is_some_and(|element| element.offset() != Offset::End) {
                missing -= 1;
                list.set_partition_offset(self.name, answered, Offset::End)?;
                let mut done = TopicPartitionList::new();
                done.add_partition(self.name, answered);
                self.client.pause(&done)?;
            }
        }
        Ok(())
    }
}
