//! Reads one partition: drains the queue that librdkafka fills, and waits by its bell.
//!
//! The one idea: messages come in batches, so a read takes what is there without a task switch, and only waits where there
//! is nothing. All that changes the position happens between two waits: a dropped read loses nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::consumer::Consumer;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::client::{Client, Context};
use super::lost::{Lost, decide};
use super::progress::{Cell, SILENCE};
use super::settings::{KafkaSettings, STATISTICS};
use super::topics;
use crate::error::SourceError;
use crate::metadata::Wanted;
use crate::records::Records;
use crate::source::{Lag, Position, ReadLimits, ReadStatus, Reader, SplitId};

/// How long a broker may take to say which records it has.
const RANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Messages of one read: those without a payload take no bytes, and yet must not hold up a lane for ever.
const MOST_MESSAGES: usize = 1 << 16;

/// A partition that is being fetched. Drop ends that.
struct Assigned {
    client: Arc<Client>,
    topic: String,
    partition: i32,
    cell: Arc<Cell>,
}

/// Reads one partition.
pub(super) struct KafkaReader {
    // First: its bell must be silent before the partition goes.
    queue: PartitionQueue<Context>,
    bell: Arc<Notify>,
    assigned: Assigned,
    split: SplitId,
    settings: Arc<KafkaSettings>,
    wanted: Wanted,
    /// The next offset.
    next: i64,
    /// Since when the end of the partition is all that was found.
    at_end: Option<Instant>,
    /// Before the queue was looked into: all that the partition held then was in it.
    searched: Option<Instant>,
    /// What keeps the partition from being read.
    trouble: Option<RDKafkaErrorCode>,
}

impl KafkaReader {
    /// Begins to fetch `split` at `offset`.
    pub(super) fn open(
        client: Arc<Client>,
        settings: Arc<KafkaSettings>,
        wanted: Wanted,
        split: &SplitId,
        offset: i64,
    ) -> Result<Self, SourceError> {
        let (topic, partition) = topics::parse(split)?;
        let queue = client.consumer().split_partition_queue(topic, partition);
        let mut queue = queue.ok_or_else(|| SourceError::retry(format!("split {split}"), "it has no queue"))?;
        let bell = Arc::new(Notify::new());
        let ring = bell.clone();
        queue.set_nonempty_callback(move || ring.notify_one());
        client.assign(topic, partition, offset)?;
        let cell = client.context().progress.watch(topic, partition);
        let assigned = Assigned { client, topic: topic.to_owned(), partition, cell };
        let split = split.clone();
        Ok(Self {
            queue,
            bell,
            assigned,
            split,
            settings,
            wanted,
            next: offset,
            at_end: None,
            searched: None,
            trouble: None,
        })
    }

    /// Takes what is in the queue, up to `full` bytes of records. True if it was emptied.
    fn drain(&mut self, records: &mut Records, full: usize) -> bool {
        self.searched = self.assigned.cell.get().searched;
        let most = records.count() + MOST_MESSAGES;
        while records.byte_len() < full && records.count() < most {
            match self.queue.poll(Duration::ZERO) {
                None => return true,
                Some(Ok(message)) => {
                    if message.offset() >= self.next {
                        self.next = message.offset() + 1;
                        self.at_end = None;
                        take(&message, records, &self.wanted, &self.settings);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => self.at_end = Some(Instant::now()),
                Some(Err(error)) => {
                    self.trouble = Some(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail));
                    return true;
                }
            }
        }
        false
    }

    /// What an empty queue means: the end, if it was met and the broker still answers.
    fn status(&mut self) -> ReadStatus {
        let Some(met) = self.at_end else { return ReadStatus::More };
        let standing = self.assigned.cell.get();
        // Behind the last record there may be marks and aborted records, which never come. They count as read once the
        // brokers have said so after the end was met: what they said before may be of an earlier reader.
        let settled = standing.told.is_some_and(|told| told > met + 2 * STATISTICS);
        if let Some(drained) = standing.drained.filter(|_| settled) {
            self.next = self.next.max(drained);
        }
        let heard = standing.heard.map_or(met, |heard| heard.max(met));
        if heard.elapsed() < SILENCE { ReadStatus::CaughtUp } else { ReadStatus::More }
    }

    /// Says what is wrong, after mending what can be mended.
    async fn mend(&mut self, code: RDKafkaErrorCode) -> Result<(), SourceError> {
        match code {
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => self.go_on_where_possible().await,
            RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopic => {
                let what = format!("split {}: the topic has no such partition any more; was it deleted?", self.split);
                Err(SourceError::retry(what, code))
            }
            RDKafkaErrorCode::TopicAuthorizationFailed => {
                let what = format!("split {}: allow READ on topic {}", self.split, self.assigned.topic);
                Err(SourceError::retry(what, code))
            }
            RDKafkaErrorCode::MessageSizeTooLarge => Err(SourceError::config(format!(
                "split {}: the batch at offset {} is too large; raise `max_record_bytes` above the topic's \
                 max.message.bytes",
                self.split, self.next
            ))),
            code => Err(SourceError::retry(format!("split {} at offset {}", self.split, self.next), code)),
        }
    }

    /// The brokers do not have the next offset.
    async fn go_on_where_possible(&mut self) -> Result<(), SourceError> {
        let (topic, partition) = (self.assigned.topic.clone(), self.assigned.partition);
        let asked =
            self.assigned.client.ask(move |consumer| consumer.fetch_watermarks(&topic, partition, RANGE_TIMEOUT));
        let (first, end) = asked.await?.map_err(|error| {
            SourceError::retry(format!("split {}: asking which offsets there are", self.split), error)
        })?;
        match decide(&self.split, self.next, &(first..end), self.settings.on_lost) {
            Lost::Stop(error) => Err(error),
            Lost::Nothing => {
                let what = format!("split {}: offset {} of {first} to {end} was refused", self.split, self.next);
                Err(SourceError::retry(what, RDKafkaErrorCode::OffsetOutOfRange))
            }
            Lost::GoOn { at, lost } => {
                let (source, split, wanted) = (&self.settings.name, &self.split, self.next);
                tracing::error!(%source, %split, wanted, at, lost, "records were deleted before they were read; going on");
                self.next = at;
                // Reopened there by whoever drives the reader: nothing of what is in the queue is of use.
                Err(SourceError::retry(
                    format!("split {split}: goes on at offset {at}"),
                    RDKafkaErrorCode::OffsetOutOfRange,
                ))
            }
        }
    }
}

/// Takes one message.
fn take(message: &BorrowedMessage<'_>, records: &mut Records, wanted: &Wanted, settings: &KafkaSettings) {
    let position = message.offset().unsigned_abs();
    match message.payload() {
        None => records.skip(1),
        Some(payload) if payload.len() > settings.max_record_bytes => {
            let reason = format!("longer than {} bytes", settings.max_record_bytes);
            records.reject(payload, position, reason);
        }
        Some(payload) => {
            records.push(payload, position);
            records.describe(wanted, |place| settings.columns[place].of(message));
        }
    }
}

#[async_trait]
impl Reader for KafkaReader {
    async fn read(&mut self, records: &mut Records, limits: ReadLimits) -> Result<ReadStatus, SourceError> {
        let held = records.count();
        let full = records.byte_len() + limits.bytes;
        let until = Instant::now() + limits.wait;
        loop {
            if self.trouble.is_none() && !self.drain(records, full) {
                return Ok(ReadStatus::More);
            }
            if records.count() > held {
                return Ok(self.status());
            }
            if self.assigned.cell.get().strayed {
                self.trouble = Some(RDKafkaErrorCode::InProgress);
            }
            if let Some(code) = self.trouble {
                self.mend(code).await?;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // So that a caller who comes back at once leaves room for others.
                tokio::task::yield_now().await;
                return Ok(self.status());
            }
            // Run out or rung: both are looked into.
            let _ = timeout(left, self.bell.notified()).await;
        }
    }

    fn position(&self) -> Position {
        position(self.next)
    }

    fn searched(&self) -> Option<Instant> {
        self.searched
    }

    async fn acknowledge(&mut self, position: &Position) -> Result<(), SourceError> {
        let offset = offset(&self.split, position)?;
        self.assigned.client.commit(&self.assigned.topic, self.assigned.partition, offset);
        Ok(())
    }

    fn lag(&self) -> Lag {
        let behind = |end: i64| end.saturating_sub(self.next).max(0).unsigned_abs();
        Lag { records: self.assigned.cell.get().end.map(behind), behind: None }
    }
}

impl Drop for Assigned {
    fn drop(&mut self) {
        self.client.unassign(&self.topic, self.partition);
        self.client.context().progress.forget(&self.topic, self.partition, &self.cell);
    }
}

/// Before the record at `offset`.
pub(super) fn position(offset: i64) -> Position {
    Position(json!({ "offset": offset }))
}

/// The offset of a position.
pub(super) fn offset(split: &SplitId, position: &Position) -> Result<i64, SourceError> {
    position.0["offset"].as_i64().filter(|offset| *offset >= 0).ok_or_else(|| {
        SourceError::config(format!("split {split}: the checkpoint holds no offset; begin anew by --reset-state"))
    })
}
