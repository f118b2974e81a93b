//! A lane: one thread that takes chunks of records from decode to pane, alone.
//!
//! Lanes share nothing per event; of a split, whose chunks may come to several of them, they share its turns (`turns`). What they hand to pipelines goes over bounded channels, so that a slow sink stops
//! them, and they in turn the readers. Messages of a lane arrive in order: what it says after a chunk comes after it.
//! A barrier is looked for between two chunks, ahead of those that wait: what waits is not part of the epoch, and is read
//! again after a crash.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::ScalarBuffer;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use watershed_connectors::{Position, Records};

use super::barrier::Barrier;
use super::clock::{Besides, PipelineClock};
use super::coordinator::CoordinatorMessage;
use super::cut::LaneCut;
use super::error::RunError;
use super::feed::{Chunk, Fed};
use super::intake::{Intake, LaneSource};
use super::ledger::Ledger;
use super::split::LaneSplit;
use super::step::Step;
use super::tally::{Tallies, Tally};
use super::turns::{DecodedChunk, News, Next, Said};
use super::way::Load;
use super::world::World;
use crate::checkpoint::Budget;
use crate::decode::Registered;
use crate::plan::{CutWindow, PlannedBranch};
use crate::rows::Rows;
use crate::watermark::SplitWatermark;
use crate::window::{PaneGrid, PanePart, PaneRows, PaneStore};

/// What a lane is told.
pub(crate) enum LaneMessage {
    /// Records.
    Chunk(Box<ReadChunk>),
    /// Something else of a split, which has this turn.
    News(Arc<LaneSplit>, u64, News),
    /// Hand over what pipeline `pipeline` holds up to `through`.
    Seal { pipeline: usize, through: i64 },
    /// Look after the barrier.
    Wake,
}

/// Records of a split as they were read.
pub(crate) struct ReadChunk {
    pub(crate) split: Arc<LaneSplit>,
    pub(crate) turn: u64,
    pub(crate) records: Records,
    /// The registered schemas that they name.
    pub(crate) schemas: Registered,
    /// The position behind them.
    pub(crate) position: Position,
    /// Event time before which nothing is to come, where the source can tell.
    pub(crate) promise: Option<i64>,
    pub(crate) permit: OwnedSemaphorePermit,
}

/// What a lane tells a pipeline.
pub(crate) enum LaneOutput {
    /// A watermark may have moved.
    Progress,
    /// Rows of a pipeline without windows.
    Rows { batch: RecordBatch, permit: Arc<OwnedSemaphorePermit> },
    /// Rows on their way into a session.
    Session(Box<SessionRows>),
    /// Late rows, as the source's rows.
    Late(RecordBatch),
    /// Panes by cut, handed over before their time as they take too much memory.
    Panes(Vec<(usize, PanePart, PaneRows)>),
    /// The answer to [`LaneMessage::Seal`]: panes by cut.
    Sealed(Vec<(usize, PanePart, PaneRows)>),
    /// The lane ends an epoch here: all its panes by cut.
    Barrier(Barrier, Vec<(usize, PanePart, PaneRows)>),
}

/// What a pipeline is told.
pub(crate) enum PipelineMessage {
    /// By a lane.
    Lane(usize, LaneOutput),
    /// No more records will come.
    Drained,
    /// The epoch is durable: show what it prepared.
    Publish,
    /// The last epoch is published.
    End,
}

/// Rows for a session window.
pub(crate) struct SessionRows {
    pub(crate) cut: usize,
    pub(crate) branch: usize,
    pub(crate) rows: Rows,
    pub(crate) times: ScalarBuffer<i64>,
    /// The pipeline's watermark before each row.
    pub(crate) watermarks: Vec<i64>,
    pub(crate) keys: Vec<ArrayRef>,
    pub(crate) ledger: Arc<Ledger>,
    /// The source's rows, where late ones are wanted.
    pub(crate) source_rows: Option<RecordBatch>,
    /// Freed when the rows are in their session.
    pub(crate) _permit: Arc<OwnedSemaphorePermit>,
}

/// What a pipeline is to a lane.
#[derive(Clone)]
pub(crate) struct LanePipeline {
    pub(crate) lane: usize,
    pub(crate) name: Arc<str>,
    pub(crate) sender: mpsc::Sender<PipelineMessage>,
    pub(crate) clock: Arc<PipelineClock>,
    pub(crate) allowed_lateness: i64,
    /// True if late rows go to a sink.
    pub(crate) wants_late: bool,
}

impl LanePipeline {
    /// Blocks while the pipeline is behind.
    pub(super) fn send(&self, output: LaneOutput) -> Result<(), Closed> {
        self.sender.blocking_send(PipelineMessage::Lane(self.lane, output)).map_err(|_| Closed)
    }
}

/// One reader of a source's rows: a branch of a pipeline.
pub(crate) struct Tap {
    pub(crate) pipeline: usize,
    pub(crate) cut: usize,
    pub(crate) branch_number: usize,
    pub(crate) branch: PlannedBranch,
    /// The branch's columns, by index into the decoded batch.
    pub(crate) columns: Vec<usize>,
    pub(crate) kind: TapKind,
}

pub(crate) enum TapKind {
    Rows,
    Grid(PaneGrid),
    Session,
}

impl TapKind {
    pub(crate) fn of(window: Option<&CutWindow>) -> Self {
        match window {
            None => Self::Rows,
            Some(CutWindow::Grid(grid)) => Self::Grid(*grid),
            Some(CutWindow::Session { .. }) => Self::Session,
        }
    }
}

/// One lane.
pub(crate) struct Lane {
    pub(crate) number: usize,
    /// How many there are.
    pub(crate) lanes: usize,
    pub(crate) inbox: mpsc::UnboundedReceiver<LaneMessage>,
    pub(crate) load: Load,
    pub(crate) sources: Vec<LaneSource>,
    pub(crate) pipelines: Vec<LanePipeline>,
    pub(crate) stores: BTreeMap<(usize, usize), PaneStore>,
    /// Those whose epochs this lane ends, by number.
    pub(crate) splits: BTreeMap<usize, Arc<LaneSplit>>,
    pub(crate) barrier: watch::Receiver<Barrier>,
    /// The last round that the lane has ended.
    pub(crate) ended: u64,
    pub(crate) tallies: Arc<Tallies>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) coordinator: mpsc::UnboundedSender<CoordinatorMessage>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) world: World,
}

/// A closed channel: whoever was at the other end has ended, and with it the run.
pub(super) struct Closed;

pub(super) enum Stopped {
    Closed,
    Failed(RunError),
}

impl From<RunError> for Stopped {
    fn from(error: RunError) -> Self {
        Self::Failed(error)
    }
}

impl From<Closed> for Stopped {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl Lane {
    /// Works until every sender of messages is gone.
    pub(crate) fn run(mut self) -> Result<(), RunError> {
        while let Some(message) = self.inbox.blocking_recv() {
            match self.handle(message) {
                Ok(()) => {}
                Err(Stopped::Closed) => return Ok(()),
                Err(Stopped::Failed(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes one message, after ending the epoch if that was asked for.
    pub(super) fn handle(&mut self, message: LaneMessage) -> Result<(), Stopped> {
        let wanted = *self.barrier.borrow();
        if wanted.round > self.ended {
            self.end_epoch(wanted)?;
        }
        match message {
            LaneMessage::Wake => Ok(()),
            LaneMessage::Chunk(read) => self.chunk(*read),
            LaneMessage::News(split, turn, news) => self.take(&split, turn, Said::News(news)),
            LaneMessage::Seal { pipeline, through } => {
                let mut sealed = Vec::new();
                for (&(_, cut), store) in self.stores.range_mut((pipeline, 0)..(pipeline + 1, 0)) {
                    sealed.extend(store.seal(through).into_iter().map(|(pane, rows)| (cut, pane, rows)));
                }
                Ok(self.pipelines[pipeline].send(LaneOutput::Sealed(sealed))?)
            }
        }
    }

    /// All panes of the lane, by pipeline and cut.
    fn take_panes(&mut self) -> Vec<Vec<(usize, PanePart, PaneRows)>> {
        let mut panes: Vec<Vec<_>> = self.pipelines.iter().map(|_| Vec::new()).collect();
        for (&(pipeline, cut), store) in &mut self.stores {
            panes[pipeline].extend(store.take_all().into_iter().map(|(part, rows)| (cut, part, rows)));
        }
        self.budget.set_active(self.number, 0);
        panes
    }

    /// Says what the hash tables take, and hands them over where that is too much: once frozen they can be spilled.
    fn weigh(&mut self) -> Result<(), Closed> {
        let Some(limit) = self.budget.limit() else { return Ok(()) };
        let bytes = self.stores.values().map(PaneStore::bytes).sum();
        self.budget.set_active(self.number, bytes);
        if bytes <= limit / (2 * self.lanes) {
            return Ok(());
        }
        for (number, panes) in self.take_panes().into_iter().enumerate() {
            self.pipelines[number].send(LaneOutput::Panes(panes))?;
        }
        Ok(())
    }

    /// Hands over everything this lane holds, and where its splits stand.
    fn end_epoch(&mut self, barrier: Barrier) -> Result<(), Stopped> {
        let begun = self.world.environment.elapsed();
        let panes = self.take_panes();
        for (pipeline, panes) in self.pipelines.iter().zip(panes) {
            pipeline.send(LaneOutput::Barrier(barrier, panes))?;
        }
        for source in &self.sources {
            source.dead_letters.end_epoch(self.number, barrier)?;
        }
        let mut splits = Vec::new();
        self.splits.retain(|_, split| {
            let mut order = split.turns.lock();
            if let Some(state) = order.end(barrier.round) {
                splits.push((split.source, split.id.clone(), state));
            }
            order.is_here()
        });
        self.ended = barrier.round;
        self.tally = self.tallies.of(barrier.round + 1);
        self.world.reach(Step::LaneCut);
        let pause_us = (self.world.environment.elapsed() - begun).as_micros() as u64;
        tracing::debug!(lane = self.number, epoch = barrier.epoch, pause_us, "epoch ended on the lane");
        self.coordinator.send(CoordinatorMessage::Lane(LaneCut { splits })).map_err(|_| Stopped::Closed)
    }

    /// Tells every pipeline that reads `source` to look at its watermark.
    fn progress(&self, source: usize) -> Result<(), Closed> {
        let mut told = None;
        for tap in self.sources[source].taps.iter() {
            if told != Some(tap.pipeline) {
                self.pipelines[tap.pipeline].send(LaneOutput::Progress)?;
                told = Some(tap.pipeline);
            }
        }
        Ok(())
    }

    fn chunk(&mut self, read: ReadChunk) -> Result<(), Stopped> {
        let ReadChunk { split, turn, records, schemas, position, promise, permit } = read;
        let source = &mut self.sources[split.source];
        let at = Intake { round: self.ended + 1, now: self.world.now_us(), elapsed: self.world.environment.elapsed() };
        source.decoder.learn(&schemas);
        let decoded = source.decode(&split, &records, at)?;
        let chunk = DecodedChunk { decoded, position, promise, permit };
        self.take(&split, turn, Said::Rows(Box::new(chunk)))?;
        self.load.done();
        Ok(())
    }

    /// Takes what is said of a split, and does what has its turn.
    fn take(&mut self, split: &Arc<LaneSplit>, turn: u64, said: Said) -> Result<(), Stopped> {
        if split.number % self.lanes == self.number {
            self.splits.insert(split.number, split.clone());
        }
        split.turns.lock().wait(turn, split, said);
        loop {
            let mut order = split.turns.lock();
            match order.next(self.ended) {
                Next::Nothing => return Ok(()),
                Next::EndEpoch => {
                    drop(order);
                    let wanted = *self.barrier.borrow();
                    self.end_epoch(wanted)?;
                }
                Next::Do(split, Said::News(news)) => {
                    let moves = order.hear(&split, self.sources[split.source].max_delay, news);
                    drop(order);
                    if moves {
                        self.progress(split.source)?;
                    }
                }
                Next::Do(split, Said::Rows(chunk)) => {
                    let source = &self.sources[split.source];
                    let (before, after) = order.advance(&split, source.max_delay, &chunk);
                    // Asked in the chunk's turn: later ones may show their watermark before this one's rows are in.
                    let besides = |tap: &Tap| self.pipelines[tap.pipeline].clock.besides(&split.clock);
                    let besides = source.taps.iter().map(besides).collect();
                    drop(order);
                    self.feed(&split, *chunk, before, after, besides)?;
                }
            }
        }
    }

    /// Takes a chunk that has had its turn into its panes. `besides` is what held then, by tap.
    fn feed(
        &mut self,
        split: &LaneSplit,
        chunk: DecodedChunk,
        before: SplitWatermark,
        after: i64,
        besides: Vec<Besides>,
    ) -> Result<(), Stopped> {
        let DecodedChunk { mut decoded, permit, .. } = chunk;
        let source = &self.sources[split.source];
        source.account(self.number, split, &mut decoded, &self.tally, self.world.now_us())?;
        let rows = decoded.batch.num_rows();
        let mut reads = vec![None; self.pipelines.len()];
        for tap in source.taps.iter() {
            reads[tap.pipeline] = Some(self.tally.pipelines[tap.pipeline].clone());
        }
        let ledger = Ledger::open(&self.tally.total, reads.into_iter(), rows);
        if rows > 0 {
            let chunk = Chunk { decoded: &decoded, before, after, ledger, permit: Arc::new(permit) };
            for (tap, besides) in source.taps.iter().zip(besides) {
                let pipeline = &self.pipelines[tap.pipeline];
                match chunk.feed(tap, pipeline, besides, self.stores.get_mut(&(tap.pipeline, tap.cut))) {
                    Ok(()) => {}
                    Err(Fed::Closed) => return Err(Stopped::Closed),
                    Err(Fed::Failed(error)) => return Err(RunError::query(&pipeline.name, &error).into()),
                }
            }
        }
        if let Some(times) = &decoded.times {
            split.clock.publish(after);
            if let Some(delays) = &source.delays {
                delays.record(times, self.world.now_us());
            }
        }
        if source.awaited {
            let awaited = CoordinatorMessage::Awaited { round: self.ended + 1 };
            self.coordinator.send(awaited).map_err(|_| Closed)?;
        }
        self.weigh()?;
        Ok(self.progress(split.source)?)
    }
}
