//! Tries everything that a run will need, and reads nothing.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{Client, Context};
use super::settings::KafkaSettings;
use super::topics::Topic;
use super::{advice, listing};
use crate::error::SourceError;

/// How long the brokers may take for each answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often a queue is looked at.
const TICK: Duration = Duration::from_millis(100);

/// What was found, in words.
pub(super) async fn probe(client: &Client, settings: &KafkaSettings) -> Result<String, SourceError> {
    let topics = listing::topics_that_exist(client, settings).await?;
    if topics.is_empty() {
        return Ok(format!("kafka at {}: no topic matches `topic_pattern` yet", settings.brokers));
    }
    for topic in topics.iter().filter(|topic| topic.partitions > 0) {
        fetch(client, topic).await?;
    }
    if let Some(group) = &settings.group {
        committed(client, group, &topics[0].name).await?;
    }
    let partitions: i32 = topics.iter().map(|topic| topic.partitions).sum();
    let (brokers, count) = (&settings.brokers, topics.len());
    Ok(format!("kafka at {brokers}: {count} topics with {partitions} partitions can be read"))
}

/// Fetches at the end of a topic's first partition: the one request that needs READ.
async fn fetch(client: &Client, topic: &Topic) -> Result<(), SourceError> {
    let queue = client.consumer().split_partition_queue(&topic.name, 0);
    let name = topic.name.clone();
    let ended = client.ask(move |consumer| consumer.fetch_watermarks(&name, 0, TIMEOUT)).await?;
    let (_, end) = ended.map_err(|error| refused(&topic.name, &error))?;
    client.assign(&topic.name, 0, end)?;
    let tried = client
        .ask(move |_| {
            let begun = Instant::now();
            while begun.elapsed() < TIMEOUT {
                match queue.as_ref().and_then(|queue| queue.poll(TICK)) {
                    Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                    Some(Err(error)) => return Err(error),
                    None => {}
                }
            }
            Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))
        })
        .await;
    client.unassign(&topic.name, 0);
    tried?.map_err(|error| refused(&topic.name, &error))
}

/// Asks what the group has committed: the one request that needs the group.
async fn committed(client: &Client, group: &str, topic: &str) -> Result<(), SourceError> {
    let topic = topic.to_owned();
    let ask = move |consumer: &BaseConsumer<Context>| {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic, 0, Offset::Invalid)?;
        let found = consumer.committed_offsets(list, TIMEOUT)?;
        found.elements().iter().try_for_each(|one| one.error())
    };
    let asked = client.ask(ask).await?;
    asked.map_err(|error| advice::group(group, error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)))
}

fn refused(topic: &str, error: &KafkaError) -> SourceError {
    advice::topic(topic, error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail))
}
