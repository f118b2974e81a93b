//! The sinks of one pipeline, written and committed together, epoch by epoch.
//!
//! The one idea: batches are numbered, and kept until no sink needs them any more. A sink puts them into files in its own
//! time; what is in no finished file when an epoch ends goes into the state, and is written to the sink again after a
//! crash.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use watershed_sinks::{Flush, Held, Prepared, SinkError};

use super::board::{Board, SinkView};
use super::error::RunError;
use super::line::{Line, NamedSink};
use super::retention::Expiring;
use super::setup::Setup;
use super::world::World;
use crate::checkpoint::{Behind, Block, Budget, OutletState, Piece};

/// Pause before a failed commit is tried again, doubled each time.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A pipeline that could not commit for this long stops.
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_secs(600);

/// Bytes that a sink which was down is given at a time, beside the flow: what takes milliseconds.
const CAUGHT_UP_AT_A_TIME: usize = 4 << 20;
/// What may lie between the last epoch and the first that is free at a place: see `recover`.
const MOST_AHEAD: u64 = 3;

/// Where a pipeline's rows leave.
#[derive(Debug)]
pub(crate) struct Outlet {
    pipeline: Arc<str>,
    schema: SchemaRef,
    lines: Vec<Line>,
    /// Number of the next batch.
    next: u64,
    /// Batches that some sink may need, by number.
    rows: BTreeMap<u64, Kept>,
    /// The last epoch that ended here.
    epoch: u64,
    budget: Arc<Budget>,
    board: Arc<Board>,
    world: World,
}

/// State on its way into the manifest.
#[derive(Debug, Clone)]
pub(crate) enum Kept {
    /// At hand; maybe stored, too.
    Block(Arc<Block>),
    /// Stored by an earlier epoch.
    Piece(Piece),
}

/// What an outlet adds to an epoch.
#[derive(Debug, Default)]
pub(crate) struct OutletCut {
    pub(crate) next: u64,
    pub(crate) prepared: BTreeMap<String, Prepared>,
    pub(crate) held: BTreeMap<String, Held>,
    pub(crate) behind: BTreeMap<String, Behind>,
    pub(crate) rows: BTreeMap<u64, Kept>,
}

/// What the places of sinks say when they are opened.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    /// The first epoch that is free at each of those that answer.
    pub(crate) free: u64,
    /// One that does not.
    pub(crate) silent: Option<String>,
}

impl Outlet {
    /// Opens the sinks, and adds to `opened` what their places say.
    pub(crate) async fn open(
        pipeline: Arc<str>,
        schema: SchemaRef,
        sinks: Vec<NamedSink>,
        budget: Arc<Budget>,
        setup: &Setup,
        opened: &mut Opened,
    ) -> Result<Self, RunError> {
        let (board, world) = (setup.board.clone(), setup.world.clone());
        let mut lines = Vec::with_capacity(sinks.len());
        for sink in sinks {
            let line = Line::open(pipeline.clone(), sink, world.clone()).await;
            let (line, free) = line.map_err(|error| RunError::Sink { pipeline: pipeline.to_string(), error })?;
            match free {
                Some(free) => opened.free = opened.free.max(free),
                None => opened.silent = Some(line.name.clone()),
            }
            lines.push(line);
        }
        Ok(Self { pipeline, schema, lines, next: 0, rows: BTreeMap::new(), epoch: 0, budget, board, world })
    }

    /// What removes old rows, by sink.
    pub(super) fn retentions(&self) -> impl Iterator<Item = Expiring> {
        self.lines.iter().filter_map(|line| {
            let (pipeline, sink, retention) = (self.pipeline.clone(), line.name.clone(), line.retention()?);
            Some(Expiring { pipeline, sink, retention })
        })
    }

    /// Shows once more what the last epoch prepared.
    pub(crate) async fn publish_again(&mut self, state: &OutletState) -> Result<u64, RunError> {
        for line in &mut self.lines {
            if let Some(prepared) = state.prepared.get(&line.name) {
                line.prepared_before(prepared);
            }
        }
        self.publish_what(|error| matches!(error, SinkError::Retry { .. })).await
    }

    /// Takes the rows up again that no finished file held, as of the end of `epoch`.
    pub(crate) async fn restore(
        &mut self,
        epoch: u64,
        state: &OutletState,
        mut rows: BTreeMap<u64, Arc<Block>>,
    ) -> Result<(), RunError> {
        (self.epoch, self.next) = (epoch, state.next);
        for line in &mut self.lines {
            let (held, behind) = (state.held.get(&line.name), state.behind.get(&line.name));
            line.restore(state.next, held, behind);
            let Some(held) = held else { continue };
            let end = behind.map_or(state.next, |behind| behind.from);
            let again = rows.range(held.first..end).map(|(number, block)| (*number, block.clone())).collect();
            line.resume(again).await.map_err(|error| broken(&self.pipeline, error))?;
        }
        let spills = self.spills();
        for (&number, piece) in &state.rows {
            if let Some(block) = rows.remove(&number) {
                self.rows.insert(number, if spills { Kept::Block(block) } else { Kept::Piece(piece.clone()) });
            }
        }
        self.weigh();
        Ok(())
    }

    /// True if some sink may be down while others go on.
    fn spills(&self) -> bool {
        self.lines.iter().any(|line| line.spill.is_some())
    }

    /// Hands rows to every sink; gives their number.
    pub(crate) async fn write(&mut self, batch: RecordBatch) -> Result<u64, RunError> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(0);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let (_, columns, _) = batch.into_parts();
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error| RunError::query(&self.pipeline, &error.into()))?;
        self.make_room().await?;
        let bytes = batch.get_array_memory_size() as u64;
        for line in &mut self.lines {
            if line.takes(self.next) {
                line.write(batch.clone()).await.map_err(|error| broken(&self.pipeline, error))?;
            }
            if !line.takes(self.next + 1) {
                line.bytes += bytes;
            }
        }
        if self.lines.iter().any(Line::keeps) {
            self.rows.insert(self.next, Kept::Block(Block::new(batch, &self.budget)));
        }
        self.next += 1;
        Ok(rows as u64)
    }

    /// Tries sinks that are down, and gives those that are back some of what they lack.
    pub(crate) async fn tend(&mut self) -> Result<(), RunError> {
        if !self.spills() {
            return Ok(());
        }
        for index in 0..self.lines.len() {
            let back = self.lines[index].harvest();
            self.is_back(index, back)?;
            self.try_again(index);
            self.catch_up(index, CAUGHT_UP_AT_A_TIME).await?;
        }
        self.show();
        Ok(())
    }

    fn try_again(&mut self, index: usize) {
        let rows = &self.rows;
        self.lines[index].try_again(|range| at_hand(rows, range));
    }

    /// A place that is back must not have seen later epochs than this run has.
    fn is_back(&self, index: usize, back: Result<Option<u64>, SinkError>) -> Result<(), RunError> {
        match back.map_err(|error| broken(&self.pipeline, error))? {
            Some(free) if free > self.epoch + MOST_AHEAD => Err(RunError::State(format!(
                "pipeline `{}`: sink `{}` is back and holds files of epoch {}, but this run is at epoch {}: its state is \
                 older than that lake, and going on would write rows twice; restore the newer state, or begin anew with \
                 --reset-state",
                self.pipeline,
                self.lines[index].name,
                free - 1,
                self.epoch
            ))),
            _ => Ok(()),
        }
    }

    /// Gives a sink that is behind about so many bytes of what it lacks.
    async fn catch_up(&mut self, index: usize, bytes: usize) -> Result<(), RunError> {
        let line = &mut self.lines[index];
        let mut given = 0;
        while given < bytes
            && let Some(number) = line.wants(self.next)
        {
            let Some(Kept::Block(block)) = self.rows.get(&number) else { return Err(RunError::Lost("spilled rows")) };
            let batch = block.batch().map_err(|error| RunError::query(&self.pipeline, &error))?;
            line.write(batch).await.map_err(|error| broken(&self.pipeline, error))?;
            given += block.bytes();
            if !line.is_down() {
                line.bytes = line.bytes.saturating_sub(block.bytes() as u64);
            }
        }
        if line.takes(self.next) {
            line.has_all();
        }
        Ok(())
    }

    /// Waits for a sink that is down, where no more rows may wait for it.
    async fn make_room(&mut self) -> Result<(), RunError> {
        for index in 0..self.lines.len() {
            let begun = self.world.environment.elapsed();
            while self.lines[index].is_full() {
                let line = &mut self.lines[index];
                let waited = self.world.environment.elapsed() - begun;
                if !line.is_down() {
                    self.catch_up(index, CAUGHT_UP_AT_A_TIME).await?;
                } else if waited >= GIVE_UP_AFTER {
                    tracing::error!(pipeline = %self.pipeline, sink = %line.name, "down for too long, and spill_limit is full");
                    return Err(broken(&self.pipeline, line.take_trouble()));
                } else {
                    let pause = line.until_tried();
                    self.show();
                    self.world.environment.sleep(pause).await;
                    self.try_again(index);
                    let back = self.lines[index].await_attempt(GIVE_UP_AFTER).await;
                    self.is_back(index, back)?;
                }
            }
        }
        Ok(())
    }

    /// At the end of a run: gives a sink what it lacks, if it answers by now.
    async fn finish(&mut self, index: usize) -> Result<(), RunError> {
        let Some(spill) = self.lines[index].spill else { return Ok(()) };
        self.try_again(index);
        if self.lines[index].is_tried() {
            let back = self.lines[index].await_attempt(spill.after).await;
            self.is_back(index, back)?;
        }
        self.catch_up(index, usize::MAX).await?;
        let line = &self.lines[index];
        if line.is_down() {
            let (pipeline, sink, bytes) = (&self.pipeline, &line.name, line.bytes);
            tracing::warn!(%pipeline, %sink, bytes, "the sink is still down: its rows stay in the state for the next run");
        }
        Ok(())
    }

    /// Ends an epoch: makes what is due durable, and says what else must be kept.
    pub(crate) async fn cut(&mut self, epoch: u64, flush: Flush) -> Result<OutletCut, RunError> {
        self.epoch = epoch;
        let mut cut = OutletCut { next: self.next, ..OutletCut::default() };
        let mut needed = self.next;
        for index in 0..self.lines.len() {
            if flush == Flush::All {
                self.finish(index).await?;
            }
            let line = &mut self.lines[index];
            line.prepare(epoch, flush).await.map_err(|error| broken(&self.pipeline, error))?;
            needed = needed.min(line.needs());
            cut.held.extend(line.held.clone().map(|held| (line.name.clone(), held)));
            cut.behind.extend(line.behind(self.next).map(|behind| (line.name.clone(), behind)));
            cut.prepared.extend(line.to_show().map(|prepared| (line.name.clone(), prepared.clone())));
        }
        self.rows = self.rows.split_off(&needed);
        let spills = self.spills();
        for kept in self.rows.values_mut() {
            // What is stored needs no memory any more.
            if let Kept::Block(block) = kept
                && let Some(piece) = block.stored()
            {
                if spills {
                    block.spill().map_err(|error| RunError::query(&self.pipeline, &error))?;
                } else {
                    *kept = Kept::Piece(piece.clone());
                }
            }
        }
        self.weigh();
        cut.rows = self.rows.clone();
        Ok(cut)
    }

    /// Counts what waits for each sink.
    fn weigh(&mut self) {
        for line in self.lines.iter_mut().filter(|line| line.spill.is_some()) {
            let waiting = self.rows.range(line.waits_from()..);
            line.bytes = waiting.map(|(_, kept)| kept.bytes()).sum();
        }
        self.show();
    }

    fn show(&self) {
        for line in self.lines.iter().filter(|line| line.spill.is_some()) {
            let view = SinkView { down: line.is_down(), spilled: line.bytes };
            self.board.sink(&self.pipeline, &line.name, view);
        }
    }

    /// Shows what the epoch prepared, now that it is durable. Gives the number of files shown.
    ///
    /// What only the user can mend ends a start at once. Later the same place has worked, and somebody may be about to mend it:
    /// a permission that was taken by mistake, credentials that have run out.
    pub(crate) async fn publish(&mut self) -> Result<u64, RunError> {
        self.publish_what(|error| matches!(error, SinkError::Retry { .. } | SinkError::Config { .. })).await
    }

    async fn publish_what(&mut self, may_pass: fn(&SinkError) -> bool) -> Result<u64, RunError> {
        let mut files = 0;
        for line in &mut self.lines {
            files += line.publish(may_pass).await.map_err(|error| broken(&self.pipeline, error))?;
        }
        Ok(files)
    }

    /// True if a sink that is down has not shown all that was prepared.
    pub(crate) fn owes(&self) -> bool {
        self.lines.iter().any(Line::owes)
    }
}

impl Kept {
    fn bytes(&self) -> u64 {
        match self {
            Self::Block(block) => block.bytes() as u64,
            Self::Piece(piece) => piece.length,
        }
    }
}

/// The batches of a range of numbers; where a sink may be down, all that are kept are at hand.
fn at_hand(rows: &BTreeMap<u64, Kept>, range: Range<u64>) -> Vec<(u64, Arc<Block>)> {
    let at_hand = |(number, kept): (&u64, &Kept)| match kept {
        Kept::Block(block) => Some((*number, block.clone())),
        Kept::Piece(_) => None,
    };
    rows.range(range).filter_map(at_hand).collect()
}

/// Trouble after the sink was opened: whatever its kind, it came while running.
fn broken(pipeline: &Arc<str>, error: SinkError) -> RunError {
    RunError::Write { pipeline: pipeline.to_string(), error }
}
