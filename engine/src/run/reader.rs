//! Drives one reader: takes memory from the budget, reads, and hands chunks to the split's lane.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, watch};
use watershed_connectors::{Position, ReadLimits, ReadStatus, Reader, Records, Source, SourceError};

use super::error::RunError;
use super::lane::{LaneMessage, LaneSplit};

/// Payload bytes of a chunk: some thousand events, so that what is paid per chunk is small per event, and small enough to
/// stay in a core's cache from decode to pane.
pub const CHUNK_BYTES: usize = 1 << 20;
/// How long a reader may sit silent before the driver looks after idleness and shutdown.
const WAIT: Duration = Duration::from_millis(50);
/// Pauses between attempts to reach a source again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Everything a reader's driver needs.
pub(crate) struct Driver {
    pub(crate) source_name: Arc<str>,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) split: Arc<LaneSplit>,
    pub(crate) lane: mpsc::UnboundedSender<LaneMessage>,
    /// Bytes that may be in flight.
    pub(crate) budget: Arc<Semaphore>,
    /// How many readers of this source may be open at once.
    pub(crate) open: Option<Arc<Semaphore>>,
    /// Payload bytes of a chunk.
    pub(crate) chunk_bytes: usize,
    pub(crate) linger: Duration,
    pub(crate) idle_after: Duration,
    pub(crate) stop: watch::Receiver<bool>,
}

impl Driver {
    /// Reads until the split ends or the run stops.
    pub(crate) async fn run(mut self) -> Result<(), RunError> {
        let open = self.open.clone();
        let _open = match &open {
            // The semaphore is never closed.
            Some(open) => open.acquire().await.ok(),
            None => None,
        };
        let mut position: Option<Position> = None;
        let mut pause = FIRST_PAUSE;
        let mut failing = false;
        loop {
            if *self.stop.borrow() {
                return Ok(());
            }
            let outcome = match self.source.open(&self.split.id, position.as_ref()).await {
                Ok(mut reader) => {
                    if failing {
                        tracing::info!(source = %self.source_name, split = %self.split.id, "reached again");
                        failing = false;
                    }
                    let outcome = self.drain(reader.as_mut(), &mut pause).await;
                    position = Some(reader.position());
                    outcome
                }
                Err(error) => Err(error),
            };
            match outcome {
                Ok(()) => return Ok(()),
                Err(error @ SourceError::Retry { .. }) => {
                    if !failing {
                        tracing::warn!(source = %self.source_name, split = %self.split.id, %error, "trying again");
                        failing = true;
                    }
                    // Jitter, so that many readers do not come back at the same instant.
                    let jittered = pause.mul_f64(rand::random_range(0.5..1.0));
                    let _ = tokio::time::timeout(jittered, stopped(&mut self.stop)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => {
                    return Err(RunError::Source { source_name: self.source_name.to_string(), error });
                }
            }
        }
    }

    async fn drain(&mut self, reader: &mut dyn Reader, pause: &mut Duration) -> Result<(), SourceError> {
        let mut silent_since = Instant::now();
        let mut idle = false;
        loop {
            // The semaphore is never closed; without a permit there is nothing left to do.
            let Ok(mut permit) = self.budget.clone().acquire_many_owned(self.chunk_bytes as u32).await else {
                return Ok(());
            };
            let mut records = Records::default();
            let mut stop = self.stop.clone();
            let status = tokio::select! {
                biased;
                _ = stopped(&mut stop) => return Ok(()),
                status = self.fill(reader, &mut records) => status?,
            };
            if !records.is_empty() {
                *pause = FIRST_PAUSE;
                silent_since = Instant::now();
                idle = false;
                let surplus = self.chunk_bytes.saturating_sub(records.byte_len());
                drop(permit.split(surplus));
                let chunk = LaneMessage::Chunk { split: self.split.clone(), records, permit };
                if self.lane.send(chunk).is_err() {
                    return Ok(());
                }
            }
            match status {
                ReadStatus::Ended => {
                    let _ = self.lane.send(LaneMessage::Ended(self.split.clone()));
                    return Ok(());
                }
                ReadStatus::CaughtUp if !idle && silent_since.elapsed() >= self.idle_after => {
                    idle = true;
                    let _ = self.lane.send(LaneMessage::Idle(self.split.clone()));
                }
                ReadStatus::CaughtUp | ReadStatus::More => {}
            }
        }
    }

    /// Reads a chunk; a small one waits up to `linger` for more.
    async fn fill(&self, reader: &mut dyn Reader, records: &mut Records) -> Result<ReadStatus, SourceError> {
        let mut status = reader.read(records, ReadLimits { bytes: self.chunk_bytes, wait: WAIT }).await?;
        if records.is_empty() {
            return Ok(status);
        }
        // What trickles in is worth a short wait, once: chunks get fuller, and no record waits longer than this.
        if status == ReadStatus::CaughtUp && records.byte_len() < self.chunk_bytes / 2 {
            tokio::time::sleep(self.linger).await;
            let bytes = self.chunk_bytes - records.byte_len();
            status = reader.read(records, ReadLimits { bytes, wait: Duration::ZERO }).await?;
        }
        Ok(status)
    }
}

/// Waits until the run stops.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The sender outlives every reader; were it gone, the run would be over as well.
    let _ = stop.wait_for(|stop| *stop).await;
}
