//! Hands out the records of one shard, in order.
//!
//! A batch is taken apart one record of Kinesis at a time: a plain one is a record, an aggregate is opened into many. The
//! place moves with each record handed out, so that it is right between any two, inside an aggregate too.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_kinesis::types::Record;
use tokio::time::{Instant, timeout_at};

use super::aggregate::{Aggregate, Opened, open};
use super::feed::{Batch, Feed, Way};
use super::place::Place;
use super::shards::Shards;
use crate::error::SourceError;
use crate::metadata::{MetadataValue, Wanted};
use crate::records::Records;
use crate::source::{Lag, Position, ReadLimits, ReadStatus, Reader, SplitId};

/// An aggregate that is handed out record by record.
struct Packet {
    record: Record,
    aggregate: Aggregate,
    /// Its next record.
    next: usize,
}

/// Reads one shard.
pub(super) struct ShardReader {
    shard: SplitId,
    shards: Arc<Shards>,
    wanted: Arc<Wanted>,
    feed: Feed,
    place: Place,
    /// What was fetched and not handed out yet.
    batch: VecDeque<Record>,
    packet: Option<Packet>,
    behind: Option<Duration>,
    /// The batch is the last.
    ended: bool,
    /// A failure that came after records that had to be handed out first.
    failed: Option<SourceError>,
}

impl ShardReader {
    pub(super) fn new(shard: SplitId, shards: Arc<Shards>, wanted: Arc<Wanted>, way: Way, place: Place) -> Self {
        Self {
            shard,
            shards,
            wanted,
            feed: Feed::Idle(way),
            place,
            batch: VecDeque::new(),
            packet: None,
            behind: None,
            ended: false,
            failed: None,
        }
    }

    /// Hands out what was fetched, until `limit`; false if there is more of it.
    fn hand_out(&mut self, records: &mut Records, limit: usize) -> bool {
        loop {
            if self.packet.is_none() {
                let Some(record) = self.batch.pop_front() else { return true };
                if records.byte_len() >= limit {
                    self.batch.push_front(record);
                    return false;
                }
                match open(&record) {
                    Opened::Plain => self.hand_out_plain(&record, records),
                    Opened::Aggregate(aggregate) => {
                        let next = self.place.handed_out_of(record.sequence_number());
                        self.packet = Some(Packet { record, aggregate, next });
                    }
                }
            }
            if let Some(mut packet) = self.packet.take()
                && !self.hand_out_packed(&mut packet, records, limit)
            {
                self.packet = Some(packet);
                return false;
            }
        }
    }

    fn hand_out_plain(&mut self, record: &Record, records: &mut Records) {
        let sequence = record.sequence_number();
        if self.place.handed_out_of(sequence) > 0 {
            return;
        }
        records.push(record.data().as_ref(), self.place.records);
        let shard = &self.shard;
        records.describe(&self.wanted, |column| match column {
            0 => MetadataValue::Text(shard.as_str()),
            1 => MetadataValue::Text(sequence),
            2 => MetadataValue::Text(record.partition_key()),
            _ => arrival(record),
        });
        self.place.sequence = Some(sequence.into());
        self.place.sub = None;
        self.place.records += 1;
    }

    /// Hands out the records of an aggregate, until `limit`; false if there is more of it.
    fn hand_out_packed(&mut self, packet: &mut Packet, records: &mut Records, limit: usize) -> bool {
        let sequence = packet.record.sequence_number();
        while let Some(packed) = packet.aggregate.records.get(packet.next) {
            if records.byte_len() >= limit {
                return false;
            }
            records.push(&packed.data, self.place.records);
            if !self.wanted.is_empty() {
                let offset = format!("{sequence}:{}", packet.next);
                let (shard, key) = (&self.shard, packet.aggregate.key(packed));
                records.describe(&self.wanted, |column| match column {
                    0 => MetadataValue::Text(shard.as_str()),
                    1 => MetadataValue::Text(&offset),
                    2 => MetadataValue::Text(key),
                    _ => arrival(&packet.record),
                });
            }
            if self.place.sequence.as_deref() != Some(sequence) {
                self.place.sequence = Some(sequence.into());
            }
            // No aggregate holds four thousand million records.
            self.place.sub = u32::try_from(packet.next).ok();
            packet.next += 1;
            self.place.records += 1;
        }
        true
    }

    fn take(&mut self, batch: Batch) {
        self.batch = batch.records.into();
        self.behind = batch.behind;
        self.ended = batch.ended;
    }
}

fn arrival(record: &Record) -> MetadataValue<'static> {
    let micros = |at: &aws_sdk_kinesis::primitives::DateTime| {
        at.secs().checked_mul(1_000_000)?.checked_add(i64::from(at.subsec_nanos() / 1_000))
    };
    record.approximate_arrival_timestamp().and_then(micros).map_or(MetadataValue::Null, MetadataValue::Time)
}

#[async_trait]
impl Reader for ShardReader {
    async fn read(&mut self, records: &mut Records, limits: ReadLimits) -> Result<ReadStatus, SourceError> {
        if self.failed.is_some() && !records.is_empty() {
            return Ok(ReadStatus::More);
        }
        if let Some(failure) = self.failed.take() {
            return Err(failure);
        }
        let (held, limit) = (records.count(), records.byte_len().saturating_add(limits.bytes.max(1)));
        let deadline = Instant::now().checked_add(limits.wait);
        loop {
            if !self.hand_out(records, limit) {
                return Ok(ReadStatus::More);
            }
            if self.ended {
                self.shards.drained(&self.shard);
                return Ok(ReadStatus::Ended);
            }
            if records.count() > held {
                return Ok(ReadStatus::More);
            }
            let fetched = match deadline {
                // Waited in vain: that the end was reached cannot be said, as nobody has looked.
                Some(deadline) => match timeout_at(deadline, self.feed.next()).await {
                    Ok(fetched) => fetched,
                    Err(_) => return Ok(ReadStatus::More),
                },
                None => self.feed.next().await,
            };
            match fetched {
                Ok(batch) => {
                    let end = batch.records.is_empty() && batch.behind == Some(Duration::ZERO) && !batch.ended;
                    self.take(batch);
                    if end {
                        return Ok(ReadStatus::CaughtUp);
                    }
                }
                Err(failure) if !records.is_empty() => {
                    self.failed = Some(failure);
                    return Ok(ReadStatus::More);
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    fn position(&self) -> Position {
        self.place.position()
    }

    async fn acknowledge(&mut self, _position: &Position) -> Result<(), SourceError> {
        Ok(())
    }

    fn lag(&self) -> Lag {
        Lag { records: None, behind: self.behind }
    }
}
