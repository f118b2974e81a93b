//! Has a shard's records pushed: enhanced fan-out.
//!
//! A subscription lives five minutes at most. The next begins behind the last record of the one before, so nothing is
//! missed or repeated. There is one subscription for each shard and consumer: a second takes it over from the first.
//!
//! | the end of a shard | is known by |
//! |---|---|
//! | its last event | the child shards that it names |
//! | without that event | a subscription that began when the shard was listed as closed, and has caught up: what is closed takes no more records |
//!
//! A subscription that began before says nothing by being caught up: its events may be older than the shard's last record.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardOutput;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{
    ConsumerStatus, ShardIteratorType, StartingPosition, SubscribeToShardEvent, SubscribeToShardEventStream,
};
use tokio::time::{sleep, sleep_until};
use watershed_clients::aws::{Connection, Refusal};

use super::feed::Batch;
use super::pace::{Limits, Pace};
use super::place::Point;
use super::polling::{invalid, missing};
use super::shards::Shards;
use crate::error::SourceError;
use crate::source::SplitId;

/// How often a new consumer is looked at until it is active, and how often in all: five minutes.
const REGISTERING: Duration = Duration::from_secs(1);
const LOOKS: usize = 300;

/// Reads one shard by subscriptions.
#[derive(Debug)]
pub(super) struct FanOut {
    connection: Arc<Connection>,
    shards: Arc<Shards>,
    consumer: Arc<str>,
    shard: SplitId,
    /// Where the next subscription begins.
    point: Point,
    subscription: Option<SubscribeToShardOutput>,
    /// The shard was listed as closed when the subscription began.
    closed: bool,
    pace: Pace,
    /// It was said that somebody else subscribes.
    told: bool,
}

impl FanOut {
    pub(super) fn new(
        connection: Arc<Connection>,
        shards: Arc<Shards>,
        consumer: Arc<str>,
        shard: SplitId,
        point: Point,
        limits: Limits,
    ) -> Self {
        let pace = Pace::new(limits, Instant::now());
        Self { connection, shards, consumer, shard, point, subscription: None, closed: false, pace, told: false }
    }

    /// The next batch; it may be empty.
    pub(super) async fn fetch(&mut self) -> Result<Batch, SourceError> {
        loop {
            let mut subscription = match self.subscription.take() {
                Some(subscription) => subscription,
                None => match self.subscribe().await {
                    Ok(subscription) => subscription,
                    Err(Refusal::Throttled | Refusal::InUse) => {
                        self.refused();
                        continue;
                    }
                    Err(Refusal::Missing) => return self.missing().await,
                    Err(Refusal::Invalid(why)) => return Err(invalid(&self.shard, &self.point, &why)),
                    Err(refusal) => return Err(self.connection.call("SubscribeToShard").error(refusal).into()),
                },
            };
            match subscription.event_stream.recv().await {
                Ok(Some(SubscribeToShardEventStream::SubscribeToShardEvent(event))) => {
                    let batch = self.take(event);
                    let caught_up = batch.records.is_empty() && batch.behind == Some(Duration::ZERO);
                    if !batch.ended && caught_up && !self.closed && self.shards.closed(&self.shard) {
                        tracing::debug!(shard = %self.shard, "the shard is closed; subscribing again, to see its end");
                        continue;
                    }
                    self.subscription = Some(subscription);
                    return Ok(Batch { ended: batch.ended || caught_up && self.closed, ..batch });
                }
                // A kind of event that is not known yet carries no records.
                Ok(Some(_)) => self.subscription = Some(subscription),
                // Five minutes are over.
                Ok(None) => tracing::debug!(shard = %self.shard, "the subscription has ended; subscribing again"),
                Err(error) => match self.pushed(&error) {
                    // Another subscription has taken this one's place.
                    Refusal::Throttled | Refusal::InUse => self.refused(),
                    Refusal::Missing => return self.missing().await,
                    refusal => return Err(self.connection.call("SubscribeToShard").error(refusal).into()),
                },
            }
        }
    }

    async fn subscribe(&mut self) -> Result<SubscribeToShardOutput, Refusal> {
        sleep_until(self.pace.due().into()).await;
        let began = Instant::now();
        self.closed = self.shards.closed(&self.shard);
        let position = StartingPosition::builder();
        let position = match &self.point {
            Point::Horizon => position.r#type(ShardIteratorType::TrimHorizon),
            Point::Moment(millis) => {
                position.r#type(ShardIteratorType::AtTimestamp).timestamp(DateTime::from_millis(*millis))
            }
            Point::At(sequence) => position.r#type(ShardIteratorType::AtSequenceNumber).sequence_number(&**sequence),
            Point::After(sequence) => {
                position.r#type(ShardIteratorType::AfterSequenceNumber).sequence_number(&**sequence)
            }
        };
        let position = position.build().map_err(|error| Refusal::Invalid(error.to_string()))?;
        let request = self.connection.once.subscribe_to_shard().consumer_arn(&*self.consumer);
        let request = request.shard_id(self.shard.as_str()).starting_position(position);
        match request.send().await {
            Ok(answer) => {
                self.pace.begun(began);
                Ok(answer)
            }
            Err(error) => Err(self.connection.call("SubscribeToShard").refusal(&error)),
        }
    }

    /// Sorts an error that came as an event: the client gives those no code.
    fn pushed<R: 'static>(&self, error: &SdkError<SubscribeToShardEventStreamError, R>) -> Refusal
    where
        SdkError<SubscribeToShardEventStreamError, R>: Error + ProvideErrorMetadata,
    {
        let call = self.connection.call("SubscribeToShard");
        match error.as_service_error().and_then(exception) {
            Some(name) => call.sort(name, error.message().unwrap_or("no reason given")),
            None => call.refusal(error),
        }
    }

    fn take(&mut self, event: SubscribeToShardEvent) -> Batch {
        self.pace.eased();
        if let Some(last) = event.records.last() {
            self.point = Point::After(last.sequence_number().into());
        }
        // It goes on where nothing is written, too; without one the shard has ended.
        let continues = !event.continuation_sequence_number.is_empty();
        if continues {
            self.point = Point::After(event.continuation_sequence_number.as_str().into());
        }
        let ended = event.child_shards.is_some_and(|children| !children.is_empty());
        let behind = u64::try_from(event.millis_behind_latest).ok().map(Duration::from_millis);
        Batch { records: event.records, behind, ended }
    }

    /// The shard is not there, or the consumer.
    async fn missing(&self) -> Result<Batch, SourceError> {
        let answer = describe_by_arn(&self.connection, &self.consumer).await;
        match answer {
            Err(Refusal::Missing) => Err(SourceError::config(format!(
                "consumer {} was deregistered while it was used: start again to register it",
                self.consumer
            ))),
            _ => missing(&self.connection, &self.shard).await,
        }
    }

    /// Waits longer, and says so the first time.
    fn refused(&mut self) {
        self.pace.refused(Instant::now(), rand::random_range(0.5..1.0));
        if !std::mem::replace(&mut self.told, true) {
            tracing::info!(
                shard = %self.shard, consumer = %self.consumer,
                "the consumer is subscribed to this shard already; waiting for it. Give each daemon a consumer of its own"
            );
        }
    }
}

/// The name of an error that came as an event.
fn exception(error: &SubscribeToShardEventStreamError) -> Option<&'static str> {
    Some(match error {
        SubscribeToShardEventStreamError::ResourceNotFoundException(_) => "ResourceNotFoundException",
        SubscribeToShardEventStreamError::ResourceInUseException(_) => "ResourceInUseException",
        SubscribeToShardEventStreamError::KmsDisabledException(_) => "KMSDisabledException",
        SubscribeToShardEventStreamError::KmsInvalidStateException(_) => "KMSInvalidStateException",
        SubscribeToShardEventStreamError::KmsAccessDeniedException(_) => "KMSAccessDeniedException",
        SubscribeToShardEventStreamError::KmsNotFoundException(_) => "KMSNotFoundException",
        SubscribeToShardEventStreamError::KmsOptInRequired(_) => "KMSOptInRequired",
        SubscribeToShardEventStreamError::KmsThrottlingException(_) => "KMSThrottlingException",
        SubscribeToShardEventStreamError::InternalFailureException(_) => "InternalFailureException",
        _ => return None,
    })
}

/// ARN of the consumer called `name`, registered if it is missing, and ready.
pub(super) async fn consumer(connection: &Connection, name: &str) -> Result<Arc<str>, SourceError> {
    for _ in 0..LOOKS {
        match find_consumer(connection, name).await? {
            Some((arn, ConsumerStatus::Active)) => return Ok(arn.into()),
            Some(_) => {}
            None => {
                let stream = stream_arn(connection).await?;
                let request = connection.patient.register_stream_consumer().stream_arn(stream).consumer_name(name);
                match request.send().await {
                    Ok(_) => tracing::info!(consumer = name, stream = %connection.stream.name, "registered a consumer"),
                    Err(error) => {
                        let call = connection.call("RegisterStreamConsumer");
                        match call.refusal(&error) {
                            // Another daemon was quicker.
                            Refusal::InUse => {}
                            Refusal::Throttled if error.code() == Some("LimitExceededException") => {
                                return Err(SourceError::config(format!(
                                    "stream {} has as many consumers as it may: deregister one, or name one of them",
                                    connection.stream.name
                                )));
                            }
                            refusal => {
                                return Err(connection.stream_error("RegisterStreamConsumer", refusal).await.into());
                            }
                        }
                    }
                }
            }
        }
        sleep(REGISTERING).await;
    }
    Err(SourceError::retry(format!("consumer {name}"), "it does not become active"))
}

/// ARN and state of the consumer called `name`, if there is one.
pub(super) async fn find_consumer(
    connection: &Connection,
    name: &str,
) -> Result<Option<(String, ConsumerStatus)>, SourceError> {
    let stream = stream_arn(connection).await?;
    let request = connection.patient.describe_stream_consumer().stream_arn(stream).consumer_name(name);
    match request.send().await {
        Ok(answer) => Ok(answer.consumer_description.map(|found| (found.consumer_arn, found.consumer_status))),
        Err(error) => match connection.call("DescribeStreamConsumer").refusal(&error) {
            Refusal::Missing => Ok(None),
            refusal => Err(connection.call("DescribeStreamConsumer").error(refusal).into()),
        },
    }
}

async fn describe_by_arn(connection: &Connection, arn: &str) -> Result<(), Refusal> {
    let request = connection.patient.describe_stream_consumer().consumer_arn(arn);
    let answer = request.send().await;
    answer.map(drop).map_err(|error| connection.call("DescribeStreamConsumer").refusal(&error))
}

/// The stream's ARN, which consumers are registered under.
async fn stream_arn(connection: &Connection) -> Result<String, SourceError> {
    if let Some(arn) = &connection.stream.arn {
        return Ok(arn.clone());
    }
    let answer = match connection.summary().await {
        Ok(answer) => answer,
        Err(refusal) => return Err(connection.stream_error("DescribeStreamSummary", refusal).await.into()),
    };
    let arn = answer.stream_description_summary.map(|summary| summary.stream_arn);
    arn.ok_or_else(|| SourceError::retry(format!("stream {}", connection.stream.name), "it has no ARN"))
}
