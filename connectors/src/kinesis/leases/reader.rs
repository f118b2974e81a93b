//! A reader that stops as soon as its shard is wanted, or was taken, by another daemon.

use async_trait::async_trait;

use super::checkpoint::Checkpoint;
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
        let status = self.inner.read(records, limits).await?;
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
        let last = *position == self.inner.position();
        match self.over {
            Some(ReadStatus::Ended) if last => self.hold.durable(Some(Checkpoint::ShardEnd), true),
            over => self.hold.durable(checkpoint_of(position), last && over.is_some()),
        }
        Ok(())
    }

    fn promise(&self) -> Option<i64> {
        self.inner.promise()
    }

    fn lag(&self) -> Lag {
        self.inner.lag()
    }
}

fn checkpoint_of(position: &Position) -> Option<Checkpoint> {
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
