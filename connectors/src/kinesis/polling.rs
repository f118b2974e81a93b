//! Asks a shard for records, five times a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_kinesis::types::Record;
use tokio::time::sleep_until;
use watershed_clients::aws::{Connection, Refusal};

use super::client;
use super::feed::Batch;
use super::pace::{Limits, Pace};
use super::place::Point;
use crate::error::SourceError;
use crate::source::SplitId;

/// Reads one shard by iterators.
#[derive(Debug)]
pub(super) struct Polling {
    connection: Arc<Connection>,
    shard: SplitId,
    /// Where the next iterator would stand: behind everything that was fetched.
    point: Point,
    iterator: Option<String>,
    pace: Pace,
    /// It was said that the service refuses some reads.
    told: bool,
}

impl Polling {
    pub(super) fn new(connection: Arc<Connection>, shard: SplitId, point: Point, limits: Limits) -> Self {
        Self { connection, shard, point, iterator: None, pace: Pace::new(limits, Instant::now()), told: false }
    }

    /// The next batch; it may be empty.
    pub(super) async fn fetch(&mut self) -> Result<Batch, SourceError> {
        loop {
            sleep_until(self.pace.due().into()).await;
            let began = Instant::now();
            let iterator = match self.iterator.take() {
                Some(iterator) => iterator,
                None => match client::iterator(&self.connection, &self.shard, &self.point).await {
                    Ok(Some(iterator)) => iterator,
                    Ok(None) => return Ok(Batch { ended: true, ..Batch::default() }),
                    Err(Refusal::Throttled) => {
                        self.refused();
                        continue;
                    }
                    Err(Refusal::Missing) => return missing(&self.connection, &self.shard).await,
                    Err(Refusal::Invalid(why)) => return Err(invalid(&self.shard, &self.point, &why)),
                    Err(refusal) => return Err(self.connection.call("GetShardIterator").error(refusal).into()),
                },
            };
            match client::records(&self.connection, &iterator, None).await {
                Ok(answer) => {
                    self.pace.answered(began, answer.records().iter().map(size).sum());
                    if let Some(last) = answer.records().last() {
                        self.point = Point::After(last.sequence_number().into());
                    }
                    self.iterator = answer.next_shard_iterator;
                    let behind = answer.millis_behind_latest.and_then(|millis| u64::try_from(millis).ok());
                    return Ok(Batch {
                        records: answer.records,
                        behind: behind.map(Duration::from_millis),
                        ended: self.iterator.is_none(),
                    });
                }
                Err(Refusal::Throttled) => {
                    self.iterator = Some(iterator);
                    self.refused();
                }
                Err(Refusal::Expired) => {
                    tracing::debug!(shard = %self.shard, "the iterator has expired; asking for another");
                    self.pace.answered(began, 0);
                }
                Err(Refusal::Missing) => return missing(&self.connection, &self.shard).await,
                Err(refusal) => return Err(self.connection.call("GetRecords").error(refusal).into()),
            }
        }
    }

    /// Waits longer, and says so the first time.
    fn refused(&mut self) {
        self.pace.refused(Instant::now(), rand::random_range(0.5..1.0));
        if !std::mem::replace(&mut self.told, true) {
            tracing::info!(shard = %self.shard, "throttled by the service: reading slower; other readers share this shard's quota");
        }
    }
}

/// The shard is not there: gone with its last record, or with the stream.
pub(super) async fn missing(connection: &Connection, shard: &SplitId) -> Result<Batch, SourceError> {
    if client::shards(connection).await?.iter().any(|listed| listed.id == *shard) {
        return Err(SourceError::retry(format!("shard {shard}"), "it is listed, but cannot be read"));
    }
    tracing::warn!(%shard, "the shard has outlived the stream's retention; what was not read of it is lost");
    Ok(Batch { ended: true, ..Batch::default() })
}

/// A point that the service does not take.
pub(super) fn invalid(shard: &SplitId, point: &Point, why: &str) -> SourceError {
    match point {
        // Clocks differ; and a start may lie ahead by intention.
        Point::Moment(_) => {
            SourceError::retry(format!("shard {shard}: the moment to start at has not come there"), why)
        }
        Point::Horizon => SourceError::config(format!("shard {shard} cannot be read: {why}")),
        Point::At(_) | Point::After(_) => SourceError::config(format!(
            "shard {shard} does not know the checkpoint's sequence number: the stream was deleted and made anew; start \
             with --reset-state to read it from the start ({why})"
        )),
    }
}

/// What a record counts for in the shard's quota.
fn size(record: &Record) -> usize {
    record.data().as_ref().len() + record.partition_key().len()
}
