//! Reads one partition: takes events as they come, and says "caught up" only when a look has shown it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use azure_messaging_eventhubs::models::ReceivedEventData;
use chrono::{DateTime, Utc};
use tokio::sync::mpsc::error::TryRecvError;

use super::event;
use super::look::is_fresh;
use super::mirror::Mirror;
use super::place::Place;
use super::receive::Receiving;
use crate::error::SourceError;
use crate::metadata::Wanted;
use crate::records::Records;
use crate::source::{Lag, Position, ReadLimits, ReadStatus, Reader, SplitId};

/// Events come one by one: a few are waited for rather than handed out singly. Far below what the engine allows a record to wait.
const GATHER: Duration = Duration::from_millis(1);
/// A read of so many bytes is not worth waiting for more.
const GATHERED: usize = 64 << 10;

/// A partition that is being read.
pub(super) struct EventHubsReader {
    pub(super) split: SplitId,
    pub(super) place: Place,
    pub(super) receiving: Receiving,
    pub(super) wanted: Wanted,
    pub(super) mirror: Option<Arc<Mirror>>,
    /// When the last event was enqueued, in milliseconds since the Unix epoch.
    pub(super) enqueued: Option<i64>,
}

impl EventHubsReader {
    /// Hands one event out.
    fn take(&mut self, event: &ReceivedEventData, records: &mut Records) -> Result<(), SourceError> {
        let Some(sequence) = event.sequence_number() else {
            return Err(self.broken("an event came without a sequence number"));
        };
        if self.place.sequence().is_some_and(|last| sequence <= last) {
            // Its receiver was attached anew, from where it once began.
            return Err(self.broken("the client went back to where it began"));
        }
        event::push(records, event, sequence, self.split.as_str(), &self.wanted);
        self.enqueued = event.enqueued_time().map(|time| DateTime::<Utc>::from(time).timestamp_millis());
        self.place = Place::Behind { sequence, offset: event.offset().clone() };
        Ok(())
    }

    /// Takes what is there already, up to the limit; false if it met the limit.
    fn take_ready(&mut self, records: &mut Records, full: usize) -> Result<bool, SourceError> {
        while records.byte_len() < full {
            match self.receiving.events.try_recv() {
                Ok(Ok(event)) => self.take(&event, records)?,
                Ok(Err(error)) => return Err(error),
                Err(TryRecvError::Empty) => return Ok(true),
                Err(TryRecvError::Disconnected) => return Err(self.broken("the connection is gone")),
            }
        }
        Ok(false)
    }

    /// Waits for one event.
    async fn take_next(&mut self, records: &mut Records) -> Result<(), SourceError> {
        match self.receiving.events.recv().await {
            Some(Ok(event)) => self.take(&event, records),
            Some(Err(error)) => Err(error),
            None => Err(self.broken("the connection is gone")),
        }
    }

    fn broken(&self, why: &str) -> SourceError {
        SourceError::retry(format!("partition {}", self.split), why.to_string())
    }

    fn is_caught_up(&self) -> bool {
        let look = *self.receiving.look.borrow();
        self.place.is_at_end(look.extent) && is_fresh(self.receiving.pause, look.asked.elapsed())
    }
}

#[async_trait]
impl Reader for EventHubsReader {
    async fn read(&mut self, records: &mut Records, limits: ReadLimits) -> Result<ReadStatus, SourceError> {
        let (held, count) = (records.byte_len(), records.count());
        let full = held.saturating_add(limits.bytes.max(1)).min(Records::MAX_BYTES);
        let mut emptied = self.take_ready(records, full)?;
        if emptied && records.count() == count {
            // The wait ends, or an event comes; dropping either loses nothing.
            let deadline = Instant::now() + limits.wait;
            if let Ok(taken) = tokio::time::timeout_at(deadline.into(), self.take_next(records)).await {
                taken?;
                emptied = self.take_ready(records, full)?;
            }
        }
        if emptied && records.count() > count && !limits.wait.is_zero() {
            let deadline = Instant::now() + GATHER;
            while emptied && records.byte_len() < full.min(held + GATHERED) {
                match tokio::time::timeout_at(deadline.into(), self.take_next(records)).await {
                    Ok(taken) => taken?,
                    Err(_) => break,
                }
                emptied = self.take_ready(records, full)?;
            }
        }
        Ok(if emptied && self.is_caught_up() { ReadStatus::CaughtUp } else { ReadStatus::More })
    }

    fn position(&self) -> Position {
        self.place.position()
    }

    async fn acknowledge(&mut self, position: &Position) -> Result<(), SourceError> {
        if let Some(mirror) = &self.mirror {
            mirror.note(&self.split, &Place::restore(&self.split, position)?);
        }
        Ok(())
    }

    fn lag(&self) -> Lag {
        let extent = self.receiving.look.borrow().extent;
        let records = self.place.lag(extent);
        let behind = match (records, self.enqueued, extent.enqueued) {
            (Some(0), _, _) => Some(Duration::ZERO),
            (_, Some(here), Some(end)) => Some(Duration::from_millis(u64::try_from(end - here).unwrap_or_default())),
            _ => None,
        };
        Lag { records, behind }
    }
}
