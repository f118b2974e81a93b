//! A reader that stops as soon as its shard is wanted, or was taken, by another daemon.

use async_trait::async_trait;

use super::checkpoint::Checkpoint;
use super::worker::Then;
use super::{Hold, reckon};
use crate::error::SourceError;
use crate::kinesis::place::Place;
use crate::kinesis::reader::ShardReader;
use crate::records::Records;
use crate::source::{Lag, Position, ReadLimits, ReadStatus, Reader};

/// Reads a shard under a lease.
pub(crate) struct Leased {
    inner: ShardReader,
    hold: Hold,
    /// How reading ended, once it has.
    over: Option<ReadStatus>,
}

impl Leased {
    /// Reads by `inner` as long as `hold` lasts.
    pub(crate) fn new(inner: ShardReader, hold: Hold) -> Self {
        Self { inner, hold, over: None }
    }
}

#[async_trait]
impl Reader for Leased {
    async fn read(&mut self, records: &mut Records, limits: ReadLimits) -> Result<ReadStatus, SourceError> {
        if !self.hold.may_read() {
            self.over = Some(ReadStatus::Left);
            return Ok(ReadStatus::Left);
        }
        let held = records.count();
        let read = self.inner.read(records, limits).await;
        if records.count() > held {
            self.hold.handed_out();
        }
        let status = read?;
        if status == ReadStatus::Ended {
            self.hold.drained();
            self.over = Some(status);
        }
        Ok(status)
    }

    fn position(&self) -> Position {
        self.inner.position()
    }

    async fn acknowledge(&mut self, position: &Position) -> Result<(), SourceError> {
        self.inner.acknowledge(position).await?;
        let then = match self.over {
            _ if *position != self.inner.position() => Then::More,
            None => Then::Nothing,
            Some(_) => Then::Over,
        };
        let ended = then == Then::Over && self.over == Some(ReadStatus::Ended);
        self.hold.durable(if ended { Some(Checkpoint::ShardEnd) } else { checkpoint_of(position) }, then);
        Ok(())
    }

    fn promise(&self) -> Option<i64> {
        self.inner.promise()
    }

    fn lag(&self) -> Lag {
        self.inner.lag()
    }
}

pub(super) fn checkpoint_of(position: &Position) -> Option<Checkpoint> {
    reckon(&serde_json::from_value::<Place>(position.0.clone()).ok()?)
}

/// What opens in place of a shard that went elsewhere while it was being opened.
#[derive(Debug)]
pub(crate) struct Gone(pub(crate) Position);

#[async_trait]
impl Reader for Gone {
    async fn read(&mut self, _records: &mut Records, _limits: ReadLimits) -> Result<ReadStatus, SourceError> {
        Ok(ReadStatus::Left)
    }

    fn position(&self) -> Position {
        self.0.clone()
    }

    async fn acknowledge(&mut self, _position: &Position) -> Result<(), SourceError> {
        Ok(())
    }
}
