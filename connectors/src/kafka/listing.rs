//! Asks the brokers what there is: topics, partitions, and where they begin.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{IsError, KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::advice;
use super::client::{Client, Context};
use super::settings::KafkaSettings;
use super::topics::{self, Topic, Topics, near};
use crate::error::SourceError;
use crate::source::SplitId;
use crate::start::Start;

/// One try; after it we look whether we were turned away, which librdkafka does not take for an answer.
const TRY: Duration = Duration::from_secs(1);
/// All tries.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long topics may be unknown before that is believed: a broker that has just started knows none.
const DOUBT: Duration = Duration::from_secs(2);
/// How long brokers may take to look up offsets.
const OFFSETS_TIMEOUT: Duration = Duration::from_secs(10);

/// The topics that are read, with what is wrong with each. At least those that are named.
pub(super) async fn topics(client: &Client, settings: &KafkaSettings) -> Result<Vec<Topic>, SourceError> {
    let wanted = settings.topics.clone();
    retried(client, settings, move |consumer| list(consumer, &wanted)).await
}

/// As [`topics`], and every named topic must be there.
pub(super) async fn topics_that_exist(client: &Client, settings: &KafkaSettings) -> Result<Vec<Topic>, SourceError> {
    let begun = Instant::now();
    loop {
        let found = topics(client, settings).await?;
        let missing = |topic: &&Topic| topic.error == Some(RDKafkaErrorCode::UnknownTopicOrPartition);
        match found.iter().find(missing) {
            Some(_) if begun.elapsed() < DOUBT => tokio::time::sleep(TRY).await,
            Some(topic) => {
                let all =
                    retried(client, settings, |consumer| consumer.fetch_metadata(None, TRY).map(|all| read(&all)));
                let all = all.await.unwrap_or_default();
                let others = all.iter().filter(|other| other.error.is_none() && other.name != topic.name);
                let near = near(&topic.name, others.map(|other| other.name.as_str()));
                return Err(SourceError::config(advice::unknown_topic(&topic.name, &near)));
            }
            None => {
                for topic in &found {
                    if let Some(code) = topic.error {
                        return Err(advice::topic(&topic.name, code));
                    }
                }
                return Ok(found);
            }
        }
    }
}

/// Where each of `splits` begins.
pub(super) async fn beginnings(
    client: &Client,
    settings: &KafkaSettings,
    splits: Vec<(SplitId, Start)>,
) -> Result<Vec<(SplitId, i64)>, SourceError> {
    let mut groups: BTreeMap<i64, Vec<SplitId>> = BTreeMap::new();
    for (split, start) in splits {
        groups.entry(query(start)).or_default().push(split);
    }
    let mut found = Vec::new();
    for (query, splits) in groups {
        let offsets = look_up(client, settings, &splits, query).await?;
        // There is no record at or after that moment: the next one will be.
        let (later, known): (Vec<_>, Vec<_>) = offsets.into_iter().partition(|(_, offset)| *offset < 0);
        found.extend(known);
        if !later.is_empty() {
            let later: Vec<SplitId> = later.into_iter().map(|(split, _)| split).collect();
            found.extend(look_up(client, settings, &later, LATEST).await?);
        }
    }
    Ok(found)
}

/// What Kafka's protocol takes for a time to look up.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

fn query(start: Start) -> i64 {
    match start {
        Start::Earliest => EARLIEST,
        Start::Latest => LATEST,
        Start::At(moment) => millis(moment),
    }
}

/// The first whole millisecond at or after `moment`.
fn millis(moment: DateTime<Utc>) -> i64 {
    let whole = moment.timestamp_millis();
    (whole + i64::from(!moment.timestamp_subsec_nanos().is_multiple_of(1_000_000))).max(0)
}

async fn look_up(
    client: &Client,
    settings: &KafkaSettings,
    splits: &[SplitId],
    query: i64,
) -> Result<Vec<(SplitId, i64)>, SourceError> {
    let mut list = TopicPartitionList::with_capacity(splits.len());
    for split in splits {
        let (topic, partition) = topics::parse(split)?;
        let added = list.add_partition_offset(topic, partition, Offset::from_raw(query));
        added.map_err(|error| SourceError::retry("looking up offsets", error))?;
    }
    let found = client.ask(move |consumer| -> KafkaResult<Vec<(SplitId, i64)>> {
        let found = consumer.offsets_for_times(list, OFFSETS_TIMEOUT)?;
        let read = |one: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            one.error()?;
            Ok((topics::split(one.topic(), one.partition()), one.offset().to_raw().unwrap_or(LATEST)))
        };
        found.elements().into_iter().map(read).collect()
    });
    found.await?.map_err(|error| failed(client, settings, "looking up where partitions begin", &error))
}

/// Asks until there is an answer, or a reason why there is none.
async fn retried<T: Send + 'static>(
    client: &Client,
    settings: &KafkaSettings,
    ask: impl Fn(&BaseConsumer<Context>) -> KafkaResult<T> + Clone + Send + 'static,
) -> Result<T, SourceError> {
    let begun = Instant::now();
    loop {
        let error = match client.ask(ask.clone()).await? {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if client.context().health.refused().is_some() || begun.elapsed() >= PATIENCE {
            return Err(failed(client, settings, "asking which partitions there are", &error));
        }
    }
}

fn failed(client: &Client, settings: &KafkaSettings, what: &str, error: &KafkaError) -> SourceError {
    let health = &client.context().health;
    if let Some(trouble) = health.refused() {
        return SourceError::config(advice::connection(&trouble, settings));
    }
    let cause = health.last().map_or_else(|| error.to_string(), |trouble| advice::connection(&trouble, settings));
    SourceError::retry(format!("kafka at {}: {what}", settings.brokers), cause)
}

fn list(consumer: &BaseConsumer<Context>, wanted: &Topics) -> KafkaResult<Vec<Topic>> {
    match wanted {
        Topics::Named(names) => {
            let mut topics = Vec::with_capacity(names.len());
            for name in names {
                let found = read(&consumer.fetch_metadata(Some(name), TRY)?);
                topics.extend(found.into_iter().filter(|topic| topic.name == *name));
            }
            Ok(topics)
        }
        Topics::Matching(_) => {
            let all = read(&consumer.fetch_metadata(None, TRY)?);
            Ok(all.into_iter().filter(|topic| wanted.contains(&topic.name)).collect())
        }
    }
}

fn read(metadata: &rdkafka::metadata::Metadata) -> Vec<Topic> {
    let topic = |topic: &rdkafka::metadata::MetadataTopic| Topic {
        name: topic.name().to_owned(),
        partitions: topic.partitions().len() as i32,
        error: topic.error().filter(IsError::is_error).map(RDKafkaErrorCode::from),
    };
    metadata.topics().iter().map(topic).collect()
}
