//! Drives one reader: takes memory from the budget, reads, and hands chunks to a lane.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use watershed_connectors::{Position, ReadLimits, ReadStatus, Reader, Records, Source, SourceError, SplitId};

use super::attempts::Attempts;
use super::board::{Board, Gauge};
use super::error::RunError;
use super::lane::ReadChunk;
use super::schemas::Schemas;
use super::split::{Gone, LaneSplit};
use super::turns::News;
use super::way::Way;
use crate::checkpoint::Budget;

/// Payload bytes of a chunk: some thousand events, so that what is paid per chunk is small per event, and small enough to
/// stay in a core's cache from decode to pane.
pub const CHUNK_BYTES: usize = 1 << 20;
/// How long a reader may sit silent before the driver looks after idleness and shutdown.
const WAIT: Duration = Duration::from_millis(50);
/// How often a silent reader is asked whether it has moved: past the marks of transactions, say, which are no records.
const POSITION: Duration = Duration::from_secs(1);
/// How often a reader that waits for memory looks again, and after how long it says so.
const MEMORY_WAIT: Duration = Duration::from_millis(10);
const LONG_WAIT: Duration = Duration::from_secs(30);

/// What a driver wants of whoever looks for new splits.
#[derive(Debug)]
pub(super) enum Ask {
    /// Look now, and say when the new ones are on the clock.
    Look(oneshot::Sender<()>),
    /// The split went elsewhere, from this position on: if it is listed again, it is to be opened anew.
    Forget(SplitId, Position),
}

/// Why a driver has stopped reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The split has ended, or the run stops.
    Read,
    /// Another process reads on.
    Left,
}

/// Everything a reader's driver needs.
pub(crate) struct Driver {
    pub(crate) source_name: Arc<str>,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) split: Arc<LaneSplit>,
    pub(crate) way: Way,
    /// Bytes that may be in flight.
    pub(crate) budget: Arc<Semaphore>,
    /// How many readers of this source may be open at once.
    pub(crate) open: Option<Arc<Semaphore>>,
    /// Payload bytes of a chunk.
    pub(crate) chunk_bytes: usize,
    pub(crate) linger: Duration,
    pub(crate) idle_after: Duration,
    /// Where the source can grow.
    pub(super) asks: Option<mpsc::UnboundedSender<Ask>>,
    /// Where records name their schemas by number: who knows these.
    pub(super) schemas: Option<Arc<Schemas>>,
    pub(crate) stop: watch::Receiver<bool>,
    /// What state takes of memory.
    pub(crate) memory: Arc<Budget>,
    pub(crate) board: Arc<Board>,
    /// Where the split's lag is shown, while it is read.
    pub(crate) gauge: Option<Gauge>,
    /// Told what is durable, where the source wants to know.
    pub(crate) acks: Option<watch::Receiver<Option<Position>>>,
    /// What was told last.
    pub(crate) told: Option<Position>,
    /// True once a record has been read.
    pub(crate) begun: bool,
    /// Let go of when the last record has been read: the end of reading is when nobody holds one.
    pub(crate) reading: Option<mpsc::Sender<()>>,
    /// Turns true when the last epoch is published.
    pub(crate) finished: watch::Receiver<bool>,
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
        self.gauge = Some(self.board.gauge(&self.source_name, &self.split.id));
        let mut position = self.split.restored.as_ref().and_then(|state| state.to.clone());
        let mut back = self.split.restored.as_ref().is_some_and(|state| state.left);
        let mut stop = self.stop.clone();
        let mut attempts = Attempts::new(&self.source_name, Some(&self.split.id));
        loop {
            // A split that another process is handing over may take its time to open.
            let opened = tokio::select! {
                biased;
                _ = stopped(&mut stop) => return Ok(()),
                opened = self.source.open(&self.split.id, position.as_ref()) => opened,
            };
            let outcome = match opened {
                Ok(mut reader) => {
                    let moved = position.as_ref() != Some(&reader.position()) || std::mem::take(&mut back);
                    if moved && !self.source.bounded() {
                        let _ = self.way.tell(&self.split, News::Opened(reader.position()));
                    }
                    let outcome = match self.drain(reader.as_mut(), &mut attempts).await {
                        Ok(end) => self.last_ack(reader.as_mut()).await.map(|()| end),
                        Err(error) => Err(error),
                    };
                    position = Some(reader.position());
                    outcome
                }
                Err(error) => Err(error),
            };
            match outcome {
                Ok(End::Left) => {
                    if let (Some(asks), Some(position)) = (&self.asks, position) {
                        // Whoever looks for new splits is gone only when the run stops.
                        let _ = asks.send(Ask::Forget(self.split.id.clone(), position));
                    }
                    return Ok(());
                }
                Ok(End::Read) => return Ok(()),
                Err(error @ SourceError::Retry { .. }) => attempts.failed(&error, &mut self.stop).await,
                Err(error) => {
                    return Err(RunError::Source { source_name: self.source_name.to_string(), error });
                }
            }
        }
    }

    async fn drain(&mut self, reader: &mut dyn Reader, attempts: &mut Attempts) -> Result<End, SourceError> {
        let mut silent_since = Instant::now();
        let mut idle = false;
        let mut looked = Instant::now();
        let mut told = reader.position();
        // True once the run stops and what the source has taken in is still to be read.
        let mut finishing = false;
        loop {
            self.wait_for_memory().await;
            // The semaphore is never closed; without a permit there is nothing left to do.
            let Ok(mut permit) = self.budget.clone().acquire_many_owned(self.chunk_bytes as u32).await else {
                return Ok(End::Read);
            };
            let mut records = Records::default();
            let mut stop = self.stop.clone();
            let read = {
                let mut read = pin!(self.fill(reader, &mut records));
                tokio::select! {
                    biased;
                    _ = stopped(&mut stop), if !finishing => {
                        if !self.source.stop() {
                            return Ok(End::Read);
                        }
                        finishing = true;
                        // Not dropped: what it has handed out already would be lost.
                        read.await
                    }
                    read = &mut read => read,
                }
            };
            let nothing = records.is_empty();
            match read {
                Err(error) if nothing => return Err(error),
                // Records that came before the error are behind the position at which the next reader begins.
                _ => attempts.succeeded(),
            }
            self.show(reader, !nothing);
            if !nothing {
                if !std::mem::replace(&mut self.begun, true) {
                    tracing::debug!(source = %self.source_name, split = %self.split.id, "first records");
                }
                attempts.progressed();
                silent_since = Instant::now();
                idle = false;
                let surplus = self.chunk_bytes.saturating_sub(records.byte_len());
                drop(permit.split(surplus));
                let schemas = match &self.schemas {
                    Some(schemas) => schemas.of(&records, &mut stop).await?,
                    None => Some(Vec::new()),
                };
                // Without them the run stops; what was read then is read again after it.
                let Some(schemas) = schemas else { return Ok(End::Read) };
                let position = reader.position();
                told.clone_from(&position);
                let promise = reader.promise();
                let (split, turn) = (self.split.clone(), self.split.turns.give());
                if self.way.chunk(ReadChunk { split, turn, records, schemas, position, promise, permit }).is_err() {
                    return Ok(End::Read);
                }
            }
            let status = read?;
            self.acknowledge(reader).await?;
            if nothing && looked.elapsed() >= POSITION {
                looked = Instant::now();
                self.tell_place(reader, &mut told);
            }
            match status {
                ReadStatus::Ended => {
                    if self.find_children().await {
                        let _ = self.way.tell(&self.split, News::Gone(Gone::Ended));
                    }
                    return Ok(End::Read);
                }
                ReadStatus::Left => {
                    let _ = self.way.tell(&self.split, News::Gone(Gone::Left));
                    return Ok(End::Left);
                }
                ReadStatus::CaughtUp if finishing && nothing => return Ok(End::Read),
                ReadStatus::CaughtUp if !idle && self.is_idle(reader, silent_since) => {
                    idle = true;
                    let _ = self.way.tell(&self.split, News::Idle);
                }
                ReadStatus::CaughtUp | ReadStatus::More => {}
            }
        }
    }

    /// True if the origin had nothing for long enough, as far as it is known to have been asked.
    fn is_idle(&self, reader: &dyn Reader, silent_since: Instant) -> bool {
        reader.searched().is_some_and(|until| until.saturating_duration_since(silent_since) >= self.idle_after)
    }

    /// Tells the lane where a silent reader stands, if it is not where it was told to be.
    fn tell_place(&self, reader: &dyn Reader, told: &mut Position) {
        let position = reader.position();
        if position != *told {
            told.clone_from(&position);
            let _ = self.way.tell(&self.split, News::Moved(position));
        }
    }

    /// Has what continues the split put on the clock before the split leaves it, so that no window closes in between. False if
    /// the run stops first: then the split is read to its end again.
    async fn find_children(&mut self) -> bool {
        let Some(asks) = &self.asks else { return true };
        let (done, found) = oneshot::channel();
        asks.send(Ask::Look(done)).is_ok() && found.await.is_ok()
    }

    /// Waits while state takes more than the budget and a quarter: it is on its way to the disk by then.
    async fn wait_for_memory(&mut self) {
        let Some(limit) = self.memory.limit() else { return };
        let mut waited = Duration::ZERO;
        while self.memory.used() > limit + limit / 4 && !*self.stop.borrow() {
            tokio::time::sleep(MEMORY_WAIT).await;
            waited += MEMORY_WAIT;
            if waited == LONG_WAIT {
                let (used, split) = (self.memory.used(), &self.split.id);
                tracing::warn!(source = %self.source_name, %split, used, limit, "waiting for memory; raise `memory`?");
            }
        }
    }

    /// Shows how far the reader is behind.
    fn show(&self, reader: &dyn Reader, moved: bool) {
        if let Some(gauge) = &self.gauge {
            gauge.set(reader.lag(), moved);
        }
    }

    /// Tells the origin what has become durable, and gives it.
    async fn acknowledge(&mut self, reader: &mut dyn Reader) -> Result<Option<Position>, SourceError> {
        let Some(acks) = &mut self.acks else { return Ok(None) };
        let Ok(true) = acks.has_changed() else { return Ok(None) };
        let position = acks.borrow_and_update().clone();
        if let Some(position) = &position {
            // One that does not hear it is opened anew, and then told again.
            reader.acknowledge(position).await.inspect_err(|_| acks.mark_changed())?;
            self.told = Some(position.clone());
        }
        Ok(position)
    }

    /// Reading is over; what later epochs make durable of it is still to be told.
    async fn last_ack(&mut self, reader: &mut dyn Reader) -> Result<(), SourceError> {
        self.reading = None;
        self.gauge = None;
        let Some(mut acks) = self.acks.clone() else { return Ok(()) };
        let mut finished = self.finished.clone();
        let end = reader.position();
        if self.told.as_ref() == Some(&end) {
            // Durable already; but the reader did not know then that it would be the end.
            return reader.acknowledge(&end).await;
        }
        loop {
            if self.acknowledge(reader).await?.is_some_and(|told| told == end) {
                return Ok(());
            }
            tokio::select! {
                biased;
                changed = acks.changed() => if changed.is_err() {
                    return Ok(());
                },
                // An error says that the run has failed: then there is nothing to tell.
                ended = async { finished.wait_for(|finished| *finished).await.is_ok() } => {
                    if ended {
                        self.acknowledge(reader).await?;
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Reads a chunk; a small one waits up to `linger` for more. With an error there may be records that came before it.
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
