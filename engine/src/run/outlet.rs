//! The sinks of one pipeline, written and committed together, epoch by epoch.
//!
//! The one idea: rows are gathered into batches, which are numbered, and kept until no sink needs them any more. A sink puts
//! them into files in its own time; what is in no finished file when an epoch ends goes into the state, and is written to the
//! sink again after a crash.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use futures::TryStreamExt;
use futures::stream::FuturesOrdered;
use watershed_sinks::{Flush, Held, Prepared, SinkError};

use super::board::{Board, SinkView};
use super::error::RunError;
use super::gathered::Gathered;
use super::line::{Again, Line, NamedSink};
use super::setup::Setup;
use super::sweeping::Sweeping;
use super::world::World;
use crate::checkpoint::{Behind, Block, Budget, OutletState, Piece, is_out_of_room};

/// Pause before a failed commit is tried again, doubled each time.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A pipeline that could not commit for this long stops.
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_secs(600);

/// Bytes that a sink which was down is given at a time, in the flow: what takes milliseconds.
const CAUGHT_UP_AT_A_TIME: usize = 4 << 20;
/// Where it takes longer, no batch is begun after so long.
const CAUGHT_UP_FOR: Duration = Duration::from_millis(10);
/// What may lie between the last epoch and the first that is free at a place: see `recover`.
const MOST_AHEAD: u64 = 3;

/// Where a pipeline's rows leave.
#[derive(Debug)]
pub(crate) struct Outlet {
    pipeline: Arc<str>,
    schema: SchemaRef,
    lines: Vec<Line>,
    /// Rows that are in no batch yet; none if a sink shows them as they come.
    gathered: Option<Gathered>,
    /// Number of the next batch.
    next: u64,
    /// Batches that some sink may need, by number.
    rows: BTreeMap<u64, Kept>,
    /// Sinks with a standby.
    pairs: Vec<Pair>,
    /// The last epoch that ended here.
    epoch: u64,
    /// Whether it was told that the local disk has no room.
    told_of_disk: bool,
    budget: Arc<Budget>,
    board: Arc<Board>,
    world: World,
}

/// A sink and its standby, by their indices.
#[derive(Debug)]
struct Pair {
    sink: usize,
    standby: usize,
    after: Duration,
    /// Numbers of the batches from which on the standby takes the rows, the sink again, and so on.
    turns: Vec<u64>,
}

impl Pair {
    /// True if the rows of this batch are the standby's.
    fn is_standbys(&self, number: u64) -> bool {
        self.turns.iter().filter(|turn| **turn <= number).count() % 2 == 1
    }
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
    pub(crate) turns: BTreeMap<String, Vec<u64>>,
    pub(crate) rows: BTreeMap<u64, Kept>,
    /// By sink.
    pub(crate) encoded: BTreeMap<String, BTreeMap<u64, Kept>>,
}

/// What the places of sinks say when they are opened.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The first epoch that is free at each of those that answer.
    pub(crate) free: u64,
    /// The first that does not, in the order of the region file, and why.
    pub(crate) silent: Option<(String, String)>,
}

impl Opened {
    /// Before any place is asked.
    pub(crate) fn nothing() -> Self {
        Self { free: 1, silent: None }
    }

    /// What these places say and those.
    pub(crate) fn and(self, others: Self) -> Self {
        Self { free: self.free.max(others.free), silent: self.silent.or(others.silent) }
    }
}

impl Outlet {
    /// Opens the sinks, side by side, and gives what their places say.
    pub(crate) async fn open(
        pipeline: Arc<str>,
        schema: SchemaRef,
        sinks: Vec<NamedSink>,
        budget: Arc<Budget>,
        setup: &Setup,
    ) -> Result<(Self, Opened), RunError> {
        let (board, world) = (setup.board.clone(), setup.world.clone());
        let open = |sink| Line::open(pipeline.clone(), schema.clone(), sink, world.clone(), &setup.stop);
        let opening = sinks.into_iter().map(open);
        let opening = in_order(opening).await;
        let opening = opening.map_err(|error| RunError::Sink { pipeline: pipeline.to_string(), error })?;
        let mut lines = Vec::with_capacity(opening.len());
        let mut opened = Opened::nothing();
        for (line, free) in opening {
            match free {
                Some(free) => opened.free = opened.free.max(free),
                None => {
                    let why = line.trouble().map_or_else(|| "no answer".to_string(), SinkError::to_string);
                    opened.silent.get_or_insert((line.name.clone(), why));
                }
            }
            lines.push(line);
        }
        let pair = |(sink, line): (usize, &Line)| {
            let named = line.standby.as_ref()?;
            let standby = lines.iter().position(|line| line.name == named.sink)?;
            Some(Pair { sink, standby, after: named.after, turns: Vec::new() })
        };
        let pairs = lines.iter().enumerate().filter_map(pair).collect();
        let gathered = lines.iter().all(Line::keeps).then(Gathered::default);
        let outlet = Self {
            pipeline,
            schema,
            lines,
            gathered,
            next: 0,
            rows: BTreeMap::new(),
            pairs,
            epoch: 0,
            told_of_disk: false,
            budget,
            board,
            world,
        };
        Ok((outlet, opened))
    }

    /// What looks after the files of each sink.
    pub(super) fn sweeping(&mut self) -> impl Iterator<Item = Sweeping> {
        let pipeline = self.pipeline.clone();
        self.lines.iter_mut().filter_map(move |line| {
            let upkeep = line.upkeep()?;
            Some(Sweeping { pipeline: pipeline.clone(), sink: line.name.clone(), upkeep })
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

    /// Takes the rows up again that no finished file held, as of the end of `epoch`; `encoded` are those that sinks had
    /// encoded, by their names.
    pub(crate) async fn restore(
        &mut self,
        epoch: u64,
        state: &OutletState,
        mut rows: BTreeMap<u64, Arc<Block>>,
        mut encoded: BTreeMap<String, BTreeMap<u64, Arc<Block>>>,
    ) -> Result<(), RunError> {
        (self.epoch, self.next) = (epoch, state.next);
        for pair in &mut self.pairs {
            pair.turns = state.turns.get(&self.lines[pair.sink].name).cloned().unwrap_or_default();
        }
        for index in 0..self.lines.len() {
            let line = &mut self.lines[index];
            let (held, behind) = (state.held.get(&line.name), state.behind.get(&line.name));
            line.restore(state.next, held, behind, encoded.remove(&line.name).unwrap_or_default());
            let Some(held) = held else { continue };
            let end = behind.map_or(state.next, |behind| behind.from);
            let again = again(&self.pairs, index, held.first..end, |number| rows.get(&number))?;
            line.resume(again).await.map_err(|error| broken(&self.pipeline, error))?;
            line.count(&self.budget);
        }
        let spills = self.spills();
        for line in self.lines.iter_mut().filter(|_| !spills) {
            let pieces = state.encoded.get(&line.name).into_iter().flatten();
            line.encoded = pieces.map(|(number, piece)| (*number, Kept::Piece(piece.clone()))).collect();
        }
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

    /// Takes rows for every sink, which has them at once if one shows them as they come, and else when the epoch ends at the
    /// latest; gives their number.
    pub(crate) async fn write(&mut self, batch: RecordBatch) -> Result<u64, RunError> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(0);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let (_, columns, _) = batch.into_parts();
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .and_then(|batch| match &mut self.gathered {
                Some(gathered) => gathered.add(batch, &self.budget),
                None => Ok(Some(batch)),
            })
            .map_err(|error| RunError::query(&self.pipeline, &error.into()))?;
        if let Some(batch) = batch {
            self.hand_out(batch).await?;
        }
        Ok(rows as u64)
    }

    /// Hands the next batch to every sink.
    async fn hand_out(&mut self, batch: RecordBatch) -> Result<(), RunError> {
        self.make_room().await?;
        let bytes = batch.get_array_memory_size() as u64;
        for (index, line) in self.lines.iter_mut().enumerate() {
            let gives = gives(&self.pairs, index, self.next);
            if line.takes(self.next) {
                let batch = if gives { batch.clone() } else { batch.slice(0, 0) };
                line.write(batch).await.map_err(|error| broken(&self.pipeline, error))?;
                line.count(&self.budget);
            }
            if gives && !line.takes(self.next + 1) {
                line.bytes += bytes;
            }
        }
        if self.lines.iter().any(Line::keeps) {
            self.rows.insert(self.next, Kept::Block(Block::new(batch, &self.budget)));
        }
        self.next += 1;
        Ok(())
    }

    /// Tries sinks that are down, and gives those that are back some of what they lack.
    pub(crate) async fn tend(&mut self) -> Result<(), RunError> {
        if !self.spills() {
            return Ok(());
        }
        for index in 0..self.lines.len() {
            let back = self.lines[index].harvest();
            self.is_back(index, back)?;
            self.try_again(index)?;
            self.catch_up(index, CAUGHT_UP_AT_A_TIME, CAUGHT_UP_FOR).await?;
        }
        self.show();
        Ok(())
    }

    fn try_again(&mut self, index: usize) -> Result<(), RunError> {
        let Some(range) = self.lines[index].due() else { return Ok(()) };
        let at_hand = |number| self.rows.get(&number)?.block();
        let again = again(&self.pairs, index, range, at_hand)?;
        self.lines[index].try_again(again);
        Ok(())
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

    /// Gives a sink that is behind about so many bytes of what it lacks, for about so long.
    async fn catch_up(&mut self, index: usize, bytes: usize, time: Duration) -> Result<(), RunError> {
        let line = &mut self.lines[index];
        let environment = &self.world.environment;
        let begun = environment.elapsed();
        let mut given = 0;
        while given < bytes
            && environment.elapsed().saturating_sub(begun) <= time
            && let Some(number) = line.wants(self.next)
        {
            if !gives(&self.pairs, index, number) {
                let nothing = RecordBatch::new_empty(self.schema.clone());
                line.write(nothing).await.map_err(|error| broken(&self.pipeline, error))?;
                continue;
            }
            let block = self.rows.get(&number).and_then(Kept::block).ok_or(RunError::Lost("spilled rows"))?;
            let batch = block.batch().map_err(|error| RunError::query(&self.pipeline, &error))?;
            line.write(batch).await.map_err(|error| broken(&self.pipeline, error))?;
            given += block.bytes();
            if !line.is_down() {
                line.bytes = line.bytes.saturating_sub(block.bytes() as u64);
            }
        }
        line.count(&self.budget);
        if line.takes(self.next) {
            line.has_all();
        }
        Ok(())
    }

    /// True if the next batch is for a sink for which no more rows may wait, and nobody will take them in its place.
    fn has_no_room(&self, index: usize) -> bool {
        let line = &self.lines[index];
        // At the end of the epoch: see `take_turns`.
        let taken_over = |pair: &Pair| pair.sink == index && line.is_down() && !self.lines[pair.standby].is_down();
        line.is_full() && gives(&self.pairs, index, self.next) && !self.pairs.iter().any(taken_over)
    }

    /// Waits for a sink that is down, where no more rows may wait for it.
    async fn make_room(&mut self) -> Result<(), RunError> {
        for index in 0..self.lines.len() {
            let begun = self.world.environment.elapsed();
            while self.has_no_room(index) {
                let line = &mut self.lines[index];
                let waited = self.world.environment.elapsed() - begun;
                if !line.is_down() {
                    self.catch_up(index, CAUGHT_UP_AT_A_TIME, CAUGHT_UP_FOR).await?;
                } else if waited >= GIVE_UP_AFTER {
                    tracing::error!(pipeline = %self.pipeline, sink = %line.name, "down for too long, and spill_limit is full");
                    return Err(broken(&self.pipeline, line.take_trouble()));
                } else {
                    let pause = line.until_tried();
                    self.show();
                    self.world.environment.sleep(pause).await;
                    self.try_again(index)?;
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
        self.lines[index].hurry();
        self.try_again(index)?;
        if self.lines[index].is_tried() {
            let back = self.lines[index].await_attempt(spill.after).await;
            self.is_back(index, back)?;
        }
        self.catch_up(index, usize::MAX, Duration::MAX).await?;
        let line = &self.lines[index];
        if line.is_down() {
            let (pipeline, sink, bytes) = (&self.pipeline, &line.name, line.bytes);
            tracing::warn!(%pipeline, %sink, bytes, "the sink is still down: its rows stay in the state for the next run");
        }
        Ok(())
    }

    /// Hands over to standbys, and back: from the next batch on.
    fn take_turns(&mut self) {
        for Pair { sink, standby, after, turns } in &mut self.pairs {
            let (line, other) = (&self.lines[*sink], &self.lines[*standby]);
            let (pipeline, sink, standby) = (&self.pipeline, &line.name, &other.name);
            let for_long = line.down_for().is_some_and(|down| down >= *after || line.has_no_room());
            let over = for_long && !other.is_down();
            match turns.len() % 2 {
                0 if over => {
                    tracing::warn!(%pipeline, %sink, %standby, "the sink is down for too long: its standby takes over");
                    turns.push(self.next);
                }
                1 if line.takes(self.next) => {
                    tracing::info!(%pipeline, %sink, %standby, "the sink is back: its standby hands back");
                    turns.push(self.next);
                }
                _ => {}
            }
        }
    }

    /// Ends an epoch: makes what is due durable, and says what else must be kept.
    pub(crate) async fn cut(&mut self, epoch: u64, flush: Flush) -> Result<OutletCut, RunError> {
        self.epoch = epoch;
        let gathered = self.gathered.as_mut().map_or(Ok(None), Gathered::take);
        if let Some(batch) = gathered.map_err(|error| RunError::query(&self.pipeline, &error.into()))? {
            self.hand_out(batch).await?;
        }
        self.take_turns();
        let mut cut = OutletCut { next: self.next, ..OutletCut::default() };
        let mut needed = self.next;
        for index in 0..self.lines.len() {
            if flush == Flush::All {
                self.finish(index).await?;
            }
            let line = &mut self.lines[index];
            line.prepare(epoch, flush, &self.budget).await.map_err(|error| broken(&self.pipeline, error))?;
            line.count(&self.budget);
            needed = needed.min(line.needs());
            cut.held.extend(line.held.clone().map(|held| (line.name.clone(), held)));
            cut.behind.extend(line.behind(self.next).map(|behind| (line.name.clone(), behind)));
            cut.prepared.extend(line.to_show().map(|prepared| (line.name.clone(), prepared.clone())));
        }
        self.rows = self.rows.split_off(&needed);
        cut.turns = self.forget(needed);
        self.let_go()?;
        self.weigh();
        cut.rows = self.rows.clone();
        let encoded = self.lines.iter().filter(|line| !line.encoded.is_empty());
        cut.encoded = encoded.map(|line| (line.name.clone(), line.encoded.clone())).collect();
        Ok(cut)
    }

    /// Moves what is stored out of memory. Where the disk has no room it stays there, is tried again when the next epoch ends, and
    /// counts in `memory`, beyond which sources wait.
    fn let_go(&mut self) -> Result<(), RunError> {
        let spills = self.spills();
        let mut no_room = None;
        let mut freed = 0;
        let encoded = self.lines.iter_mut().flat_map(|line| line.encoded.values_mut());
        for kept in self.rows.values_mut().chain(encoded) {
            let Kept::Block(block) = kept else { continue };
            let Some(piece) = block.stored() else { continue };
            if !spills {
                *kept = Kept::Piece(piece.clone());
                continue;
            }
            match block.spill() {
                Ok(bytes) => freed += bytes,
                Err(error) if is_out_of_room(&error) => {
                    no_room = Some(error);
                    break;
                }
                Err(error) => return Err(RunError::query(&self.pipeline, &error)),
            }
        }
        match no_room {
            Some(error) if !self.told_of_disk => {
                tracing::warn!(pipeline = %self.pipeline, %error, "rows that wait for a sink stay in memory");
                self.told_of_disk = true;
            }
            None if freed > 0 && self.told_of_disk => {
                tracing::info!(pipeline = %self.pipeline, "rows that wait for a sink are spilled again");
                self.told_of_disk = false;
            }
            _ => {}
        }
        Ok(())
    }

    /// Lets go of batches in the middle that no sink needs any more, and of turns before `needed`. Gives the others, by sink.
    fn forget(&mut self, needed: u64) -> BTreeMap<String, Vec<u64>> {
        if !self.pairs.is_empty() {
            let (lines, pairs) = (&self.lines, &self.pairs);
            let needs = |number, (index, line): (usize, &Line)| line.needs() <= number && gives(pairs, index, number);
            self.rows.retain(|&number, _| lines.iter().enumerate().any(|line| needs(number, line)));
        }
        for pair in &mut self.pairs {
            while pair.turns.get(1).is_some_and(|back| *back <= needed) {
                pair.turns.drain(..2);
            }
        }
        let turned = self.pairs.iter().filter(|pair| !pair.turns.is_empty());
        turned.map(|pair| (self.lines[pair.sink].name.clone(), pair.turns.clone())).collect()
    }

    /// Counts what waits for each sink.
    fn weigh(&mut self) {
        for (index, line) in self.lines.iter_mut().enumerate().filter(|(_, line)| line.spill.is_some()) {
            let waiting = self.rows.range(line.waits_from()..);
            let waiting = waiting.filter(|(number, _)| gives(&self.pairs, index, **number));
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
        self.publish_what(may_be_mended).await
    }

    async fn publish_what(&mut self, may_pass: fn(&SinkError) -> bool) -> Result<u64, RunError> {
        let mut files = 0;
        for line in &mut self.lines {
            // A sink that may be down when a run starts may be so for any reason.
            let may_pass: fn(&SinkError) -> bool = if line.spill.is_some() { may_be_mended } else { may_pass };
            files += line.publish(may_pass).await.map_err(|error| broken(&self.pipeline, error))?;
        }
        Ok(files)
    }

    /// True if a sink that is down has not shown all that was prepared.
    pub(crate) fn owes(&self) -> bool {
        self.lines.iter().any(Line::owes)
    }
}

/// Waits for all side by side, since each may be silent for long. Gives what comes of them in their order; if some fail, the error
/// of the first in that order.
pub(super) async fn in_order<T, E>(
    waiting: impl IntoIterator<Item = impl Future<Output = Result<T, E>>>,
) -> Result<Vec<T>, E> {
    waiting.into_iter().collect::<FuturesOrdered<_>>().try_collect().await
}

impl Kept {
    /// The rows, if they are at hand.
    pub(super) fn block(&self) -> Option<&Arc<Block>> {
        match self {
            Self::Block(block) => Some(block),
            Self::Piece(_) => None,
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Block(block) => block.bytes() as u64,
            Self::Piece(piece) => piece.length,
        }
    }
}

/// True if the sink of this index gets the rows of a batch; else it gets none of them.
fn gives(pairs: &[Pair], index: usize, number: u64) -> bool {
    pairs.iter().all(|pair| match pair.is_standbys(number) {
        true => pair.sink != index,
        false => pair.standby != index,
    })
}

/// The batches of a range that a sink gets again.
fn again<'b>(
    pairs: &[Pair],
    index: usize,
    range: Range<u64>,
    kept: impl Fn(u64) -> Option<&'b Arc<Block>>,
) -> Result<Vec<Again>, RunError> {
    let again = |number| match (gives(pairs, index, number), kept(number)) {
        (false, _) => Ok((number, None)),
        (true, Some(block)) => Ok((number, Some(block.clone()))),
        (true, None) => Err(RunError::Lost("rows of a sink")),
    };
    range.map(again).collect()
}

/// True for trouble that passes by itself, or by what somebody does outside of the run.
fn may_be_mended(error: &SinkError) -> bool {
    matches!(error, SinkError::Retry { .. } | SinkError::Config { .. })
}

/// Trouble after the sink was opened: whatever its kind, it came while running.
fn broken(pipeline: &Arc<str>, error: SinkError) -> RunError {
    RunError::Write { pipeline: pipeline.to_string(), error }
}
