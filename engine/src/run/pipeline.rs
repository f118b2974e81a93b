//! A pipeline's own task: follows its watermark, closes windows, runs the plan above them, and writes to the sinks.
//!
//! Closing is a handshake. The pipeline asks every lane to seal its panes up to an instant and goes on taking messages
//! until each has answered; since a lane's messages arrive in order, all rows before that instant are here by then.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::RecordBatch;
use datafusion::common::Result as DataFusionResult;
use datafusion::execution::context::SessionContext;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, collect};
use tokio::sync::{mpsc, watch};

use super::barrier::{Aligner, Barrier};
use super::clock::PipelineClock;
use super::coordinator::CoordinatorMessage;
use super::cut::{CutBlocks, PipelineCut};
use super::error::RunError;
use super::feed::late_rows;
use super::gaps::Gaps;
use super::lane::{LaneMessage, LaneOutput, PipelineMessage, SessionRows};
use super::outlet::Outlet;
use super::step::Step;
use super::tally::{Tallies, Tally};
use super::upkeep::{Compacting, merged};
use super::world::World;
use crate::checkpoint::{Block, Budget};
use crate::plan::{CutPlan, CutWindow, PlannedPipeline, Stage};
use crate::report::Counters;
use crate::watermark::{BEGINNING, END};
use crate::window::{PanePart, PaneRows, SessionState, SessionStore, Spans, WindowStore};

/// How often a pipeline looks at the clock, for streams that have fallen silent.
const CLOCK_TICK: Duration = Duration::from_millis(50);
/// A pass over open sessions may take this share of the time, at most.
const SESSION_SHARE: u32 = 10;

/// What a pipeline needs besides its plan.
pub(crate) struct PipelineParts {
    pub(crate) number: usize,
    pub(crate) clock: Arc<PipelineClock>,
    pub(crate) tallies: Arc<Tallies>,
    /// Counts of the epoch it is in.
    pub(crate) tally: Arc<Tally>,
    pub(crate) inbox: mpsc::Receiver<PipelineMessage>,
    pub(crate) lanes: Vec<mpsc::UnboundedSender<LaneMessage>>,
    pub(crate) coordinator: mpsc::UnboundedSender<CoordinatorMessage>,
    pub(crate) outlet: Outlet,
    pub(crate) late: Option<Outlet>,
    /// Where all splits are idle the watermark follows the clock less this, in microseconds; none: it stays.
    pub(crate) clock_delay: Option<i64>,
    /// The watermark, for whoever watches.
    pub(crate) watermark: watch::Sender<i64>,
    /// What the last checkpoint left: windows closed so far, and the state of each cut.
    pub(crate) restored: Option<RestoredPipeline>,
    /// Puts out only windows that lie wholly in this range of event time.
    pub(crate) only: Option<Range<i64>>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) world: World,
}

/// A pipeline's state out of a checkpoint.
pub(crate) struct RestoredPipeline {
    /// Windows that end at or before this have closed.
    pub(crate) closed_through: i64,
    /// End of the last window that was put out, where empty ones are put out as well.
    pub(crate) last_window: Option<i64>,
    pub(crate) cuts: Vec<RestoredCut>,
}

/// The state of one cut out of a checkpoint.
pub(crate) enum RestoredCut {
    Panes { closed_through: Option<i64>, panes: Vec<(PanePart, Vec<Arc<Block>>)> },
    Sessions(SessionState),
}

/// A running pipeline.
pub(crate) struct PipelineTask {
    pub(super) name: Arc<str>,
    pub(super) parts: PipelineParts,
    session: SessionContext,
    allowed_lateness: i64,
    pub(super) windows: Option<Windows>,
    aligner: Aligner<LaneOutput>,
    phase: Phase,
    seal: Option<Seal>,
    sealed_through: i64,
    /// The same, as the last checkpoint left it.
    restored_through: i64,
    next_session_pass: SystemTime,
    pub(super) compacting: Option<Compacting>,
}

/// A handshake under way.
struct Seal {
    through: i64,
    missing: usize,
    phase: Phase,
}

/// How far a pipeline is from its end. The readers may be done while lanes still have chunks to work on, so the end
/// takes two handshakes: after the first, every record is here; the second closes what the watermark then allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Records may come.
    Reading,
    /// The readers are done.
    Drained,
    /// The lanes are done as well.
    Complete,
    /// All windows that could close have closed.
    Done,
}

pub(super) struct Windows {
    cuts: Vec<CutPlan>,
    pub(super) stores: Vec<CutStore>,
    above: Arc<dyn ExecutionPlan>,
    one_at_a_time: bool,
    /// Where windows without rows are put out.
    gaps: Option<Gaps>,
}

pub(super) enum CutStore {
    Grid(WindowStore),
    Session(Box<SessionStore>),
}

impl PipelineTask {
    /// Sets a pipeline up, with the state that its last checkpoint left.
    pub(crate) fn new(plan: PlannedPipeline, mut parts: PipelineParts) -> Result<Self, RunError> {
        let failed = |error| RunError::query(&plan.name, &error);
        let restored = parts.restored.take();
        let sealed_through = restored.as_ref().map_or(BEGINNING, |restored| restored.closed_through);
        let windows = match plan.stage {
            Stage::Rows(_) => None,
            Stage::Windows { cuts, above, one_at_a_time } => {
                let last = restored.as_ref().and_then(|restored| restored.last_window);
                let gaps = match (plan.emit_empty, cuts.as_slice()) {
                    (true, [cut]) => Gaps::of(cut, one_at_a_time, last).map_err(failed)?,
                    _ => None,
                };
                let mut states = restored.into_iter().flat_map(|restored| restored.cuts);
                let stores = cuts
                    .iter()
                    .map(|cut| store(cut, plan.allowed_lateness, &parts.budget, states.next()))
                    .collect::<DataFusionResult<Vec<_>>>()
                    .map_err(failed)?;
                Some(Windows { cuts, stores, above, one_at_a_time, gaps })
            }
        };
        Ok(Self {
            name: plan.name,
            session: plan.session,
            allowed_lateness: plan.allowed_lateness,
            windows,
            aligner: Aligner::new(parts.lanes.len()),
            phase: Phase::Reading,
            seal: None,
            sealed_through,
            restored_through: sealed_through,
            next_session_pass: parts.world.environment.now(),
            compacting: None,
            parts,
        })
    }

    /// Runs until the last epoch is published.
    pub(crate) async fn run(mut self) -> Result<(), RunError> {
        let mut clock = tokio::time::interval(CLOCK_TICK);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = self.parts.inbox.recv() => match message {
                    None => return Err(RunError::Lost("a lane")),
                    Some(PipelineMessage::End) => return Ok(()),
                    Some(message) => self.handle(message).await?,
                },
                _ = clock.tick() => self.advance().await?,
                merged = merged(&mut self.compacting) => self.compacted(merged)?,
            }
        }
    }

    /// Takes one message, and does what has become possible by it.
    pub(super) async fn handle(&mut self, message: PipelineMessage) -> Result<(), RunError> {
        match message {
            PipelineMessage::Lane(lane, output) => {
                if let Some(output) = self.aligner.offer(lane, output) {
                    self.take(lane, output).await?;
                }
            }
            PipelineMessage::Drained => self.phase = Phase::Drained,
            PipelineMessage::Publish => self.publish().await?,
            PipelineMessage::End => {}
        }
        self.advance().await
    }

    /// Closes what every lane has sealed, and begins a handshake if windows could close.
    pub(super) async fn advance(&mut self) -> Result<(), RunError> {
        if self.seal.as_ref().is_some_and(|seal| seal.missing == 0)
            && let Some(seal) = self.seal.take()
        {
            self.close(seal.through).await?;
            self.sealed_through = self.sealed_through.max(seal.through);
            match seal.phase {
                Phase::Reading | Phase::Done => {}
                Phase::Drained => self.phase = Phase::Complete,
                Phase::Complete => {
                    self.phase = Phase::Done;
                    self.tell(CoordinatorMessage::Done)?;
                }
            }
        }
        self.parts.outlet.tend().await?;
        if let Some(late) = &mut self.parts.late {
            late.tend().await?;
        }
        self.relieve()?;
        self.maybe_seal()
    }

    async fn take(&mut self, lane: usize, output: LaneOutput) -> Result<(), RunError> {
        match output {
            LaneOutput::Progress => Ok(()),
            LaneOutput::Rows { batch, permit } => {
                self.write(batch).await?;
                drop(permit);
                Ok(())
            }
            LaneOutput::Late(batch) => match &mut self.parts.late {
                Some(late) => late.write(batch).await.map(drop),
                None => Ok(()),
            },
            LaneOutput::Session(rows) => self.session_rows(*rows).await,
            LaneOutput::Panes(panes) => self.add(panes),
            LaneOutput::Sealed(panes) => {
                self.add(panes)?;
                if let Some(seal) = &mut self.seal {
                    seal.missing -= 1;
                }
                Ok(())
            }
            LaneOutput::Barrier(barrier, panes) => {
                self.add(panes)?;
                if !self.aligner.pass(lane) {
                    return Ok(());
                }
                self.end_epoch(barrier).await?;
                self.start_compaction();
                for (lane, output) in self.aligner.release() {
                    if let Some(output) = self.aligner.offer(lane, output) {
                        Box::pin(self.take(lane, output)).await?;
                    }
                }
                Ok(())
            }
        }
    }

    fn add(&mut self, panes: Vec<(usize, PanePart, PaneRows)>) -> Result<(), RunError> {
        let Some(windows) = &mut self.windows else { return Ok(()) };
        for (cut, part, rows) in panes {
            if let CutStore::Grid(store) = &mut windows.stores[cut] {
                store.add(part, rows).map_err(|error| RunError::query(&self.name, &error))?;
            }
        }
        Ok(())
    }

    /// Every lane has passed the barrier: what is here now is the epoch.
    async fn end_epoch(&mut self, barrier: Barrier) -> Result<(), RunError> {
        let failed = |error| RunError::query(&self.name, &error);
        let mut cuts = Vec::new();
        let through = self.sealed_through;
        for store in self.windows.iter_mut().flat_map(|windows| &mut windows.stores) {
            cuts.push(match store {
                CutStore::Grid(store) => {
                    let panes = store.checkpoint().map_err(failed)?;
                    let closed_through = match through {
                        BEGINNING | END => store.emitted_through(),
                        through => Some(through),
                    };
                    CutBlocks::Panes { closed_through, panes }
                }
                CutStore::Session(store) => CutBlocks::Sessions(store.checkpoint().map_err(failed)?),
            });
        }
        let out = self.parts.outlet.cut(barrier.epoch, barrier.flush).await?;
        let late = match &mut self.parts.late {
            Some(late) => late.cut(barrier.epoch, barrier.flush).await?,
            None => Default::default(),
        };
        self.parts.tally = self.parts.tallies.of(barrier.round + 1);
        self.parts.world.reach(Step::Prepared);
        let cut = PipelineCut {
            pipeline: self.parts.number,
            closed_through: self.closed_through(),
            last_window: self.windows.as_ref().and_then(|windows| windows.gaps.as_ref()?.last()),
            open_windows: self.open_windows(),
            cuts,
            out,
            late,
        };
        self.tell(CoordinatorMessage::Pipeline(Box::new(cut)))
    }

    /// Up to where windows have closed: what a restored pipeline goes on from. At the end of all splits that is not the end
    /// of time, since new splits may come in a later run.
    fn closed_through(&self) -> Option<i64> {
        match self.sealed_through {
            BEGINNING => None,
            END => {
                let stores = self.windows.iter().flat_map(|windows| &windows.stores);
                let emitted = stores.filter_map(|store| match store {
                    CutStore::Grid(store) => store.emitted_through(),
                    CutStore::Session(store) => store.emitted_through(),
                });
                emitted.chain((self.restored_through != BEGINNING).then_some(self.restored_through)).max()
            }
            through => Some(through),
        }
    }

    async fn publish(&mut self) -> Result<(), RunError> {
        let files = self.parts.outlet.publish().await?;
        self.count(|counters| Counters::add(&counters.files, files));
        let mut owes = self.parts.outlet.owes();
        if let Some(late) = &mut self.parts.late {
            late.publish().await?;
            owes |= late.owes();
        }
        self.parts.world.reach(Step::PublishedOne);
        self.tell(CoordinatorMessage::Published { owes })
    }

    pub(super) fn tell(&self, message: CoordinatorMessage) -> Result<(), RunError> {
        self.parts.coordinator.send(message).map_err(|_| RunError::Lost("the coordinator"))
    }

    /// Adds to this pipeline's counts and to those of all.
    fn count(&self, add: impl Fn(&Counters)) {
        add(&self.parts.tally.pipelines[self.parts.number]);
        add(&self.parts.tally.total);
    }

    fn open_windows(&self) -> u64 {
        let stores = self.windows.iter().flat_map(|windows| &windows.stores);
        stores
            .map(|store| match store {
                CutStore::Grid(store) => store.open_windows() as u64,
                CutStore::Session(store) => store.open_sessions() as u64,
            })
            .sum()
    }

    async fn write(&mut self, batch: RecordBatch) -> Result<(), RunError> {
        let rows = self.parts.outlet.write(batch).await?;
        self.count(|counters| Counters::add(&counters.rows_out, rows));
        Ok(())
    }

    async fn session_rows(&mut self, rows: SessionRows) -> Result<(), RunError> {
        let failed = |error| RunError::query(&self.name, &error);
        let Some(windows) = &mut self.windows else { return Ok(()) };
        let CutStore::Session(store) = &mut windows.stores[rows.cut] else { return Ok(()) };
        let steps = &windows.cuts[rows.cut].branches[rows.branch].steps_above;
        let pushed = store.push(&rows.rows.batch, &rows.times, &rows.watermarks, &rows.keys, steps).map_err(failed)?;
        let pipeline = self.parts.number;
        rows.ledger.aggregated(pipeline, pushed.kept.iter().map(|&row| rows.rows.origin_of(row as usize)));
        let late: Vec<u32> = pushed.late.iter().map(|&row| rows.rows.origin_of(row as usize)).collect();
        rows.ledger.late(pipeline, late.iter().copied());
        if let (Some(outlet), Some(source)) = (&mut self.parts.late, &rows.source_rows)
            && !late.is_empty()
        {
            outlet.write(late_rows(source, late).map_err(failed)?).await?;
        }
        Ok(())
    }

    /// Begins a handshake if windows could close, or the end is near.
    fn maybe_seal(&mut self) -> Result<(), RunError> {
        if self.seal.is_some() || self.phase == Phase::Done {
            return Ok(());
        }
        let clock = self.parts.clock_delay.map(|delay| self.parts.world.now_us().saturating_sub(delay));
        let reached = self.parts.clock.advance(clock);
        self.parts.watermark.send_if_modified(|shown| std::mem::replace(shown, reached) != reached);
        let through = match reached {
            END => END,
            BEGINNING => BEGINNING,
            _ => reached.saturating_sub(self.allowed_lateness),
        };
        if self.phase == Phase::Reading && !self.closes_any(through) {
            return Ok(());
        }
        for lane in &self.parts.lanes {
            let message = LaneMessage::Seal { pipeline: self.parts.number, through };
            lane.send(message).map_err(|_| RunError::Lost("a lane"))?;
        }
        self.seal = Some(Seal { through, missing: self.parts.lanes.len(), phase: self.phase });
        Ok(())
    }

    /// True if some window may end in `(sealed_through, through]`.
    fn closes_any(&self, through: i64) -> bool {
        let Some(windows) = &self.windows else { return false };
        if through <= self.sealed_through {
            // A session may have become due by rows that came since.
            return through == self.sealed_through && through != BEGINNING && self.sessions_due(through);
        }
        windows.cuts.iter().any(|cut| match &cut.window {
            CutWindow::Grid(grid) => {
                let last = |instant: i64| instant.saturating_sub(grid.size).div_euclid(grid.slide);
                last(through) > last(self.sealed_through)
            }
            CutWindow::Session { .. } => self.sessions_due(through),
        })
    }

    fn sessions_due(&self, through: i64) -> bool {
        let due = self.windows.iter().flat_map(|windows| &windows.stores).any(|store| match store {
            CutStore::Session(store) => store.may_close(through.saturating_add(self.allowed_lateness)),
            CutStore::Grid(_) => false,
        });
        due && (through == END || self.parts.world.environment.now() >= self.next_session_pass)
    }

    /// Closes windows up to `through`; every row before it is here.
    async fn close(&mut self, through: i64) -> Result<(), RunError> {
        let Some(windows) = &mut self.windows else { return Ok(()) };
        let failed = |error| RunError::query(&self.name, &error);
        let begun = self.parts.world.environment.now();
        let cuts = windows.stores.len();
        let only = self.parts.only.clone();
        // Rows of closed windows, by the end of the window and the cut they are for.
        let mut closed: BTreeMap<i64, Vec<Vec<(RecordBatch, Spans)>>> = BTreeMap::new();
        let mut count = 0;
        for (cut, store) in windows.stores.iter_mut().enumerate() {
            match store {
                CutStore::Grid(store) => {
                    let wanted = |start, end| only.as_ref().is_none_or(|only| only.start <= start && end <= only.end);
                    let windows = store.close(through).map_err(failed)?.into_iter();
                    for window in windows.filter(|window| wanted(window.start, window.end)) {
                        let rows = window.rows.into_iter().map(|rows| (rows, Spans::One(window.start, window.end)));
                        closed.entry(window.end).or_insert_with(|| vec![Vec::new(); cuts])[cut].extend(rows);
                    }
                }
                CutStore::Session(store) => {
                    // A session adds the allowed lateness to its own end.
                    let watermark = through.saturating_add(self.allowed_lateness);
                    let Some(sessions) = store.close(watermark).map_err(failed)? else { continue };
                    let sessions = match (&only, &windows.cuts[cut].window) {
                        (Some(only), CutWindow::Session { gap, .. }) => sessions.within(only, *gap).map_err(failed)?,
                        _ => sessions,
                    };
                    count += sessions.sessions as u64;
                    for (end, rows) in sessions.by_end(windows.one_at_a_time).map_err(failed)? {
                        closed.entry(end).or_insert_with(|| vec![Vec::new(); cuts])[cut].push(rows);
                    }
                    let now = self.parts.world.environment.now();
                    self.next_session_pass = now + now.duration_since(begun).unwrap_or_default() * SESSION_SHARE;
                }
            }
        }
        let session_window = windows.cuts.iter().any(|cut| matches!(cut.window, CutWindow::Session { .. }));
        count += if session_window { 0 } else { closed.len() as u64 };
        self.count(|counters| Counters::add(&counters.windows, count));
        for (end, by_cut) in closed {
            self.put_out_gap(end).await?;
            self.put_out(by_cut).await?;
        }
        Ok(())
    }

    /// Puts out the windows without rows before the one that ends at `end`, where they are wanted.
    async fn put_out_gap(&mut self, end: i64) -> Result<(), RunError> {
        while let Some(gaps) = self.windows.as_mut().and_then(|windows| windows.gaps.as_mut()) {
            let gap = gaps.before(end).map_err(|error| RunError::query(&self.name, &error))?;
            let Some(gap) = gap else { break };
            self.count(|counters| Counters::add(&counters.windows, gap.windows));
            self.put_out(vec![vec![gap.rows]]).await?;
        }
        Ok(())
    }

    /// Runs the plan above over rows of closed windows, those of each cut, and writes what comes of it.
    async fn put_out(&mut self, by_cut: Vec<Vec<(RecordBatch, Spans)>>) -> Result<(), RunError> {
        let Some(windows) = &self.windows else { return Ok(()) };
        for (cut, rows) in windows.cuts.iter().zip(by_cut) {
            cut.fill(&rows).map_err(|error| RunError::query(&self.name, &error))?;
        }
        let plan = reset_plan_states(windows.above.clone()).map_err(|error| RunError::query(&self.name, &error))?;
        let batches =
            collect(plan, self.session.task_ctx()).await.map_err(|error| RunError::query(&self.name, &error))?;
        for batch in batches {
            self.write(batch).await?;
        }
        Ok(())
    }
}

fn store(
    cut: &CutPlan,
    allowed_lateness: i64,
    budget: &Arc<Budget>,
    restored: Option<RestoredCut>,
) -> DataFusionResult<CutStore> {
    Ok(match &cut.window {
        CutWindow::Grid(grid) => {
            let mut store = WindowStore::with_budget(*grid, cut.work.clone(), budget.clone());
            if let Some(RestoredCut::Panes { closed_through, panes }) = restored {
                store.restore(panes, closed_through.unwrap_or(BEGINNING))?;
            }
            CutStore::Grid(store)
        }
        CutWindow::Session { gap, key_types } => {
            let (work, keys, budget) = (cut.work.clone(), key_types.clone(), budget.clone());
            let mut store = SessionStore::new(*gap, allowed_lateness, work, keys, budget)?;
            if let Some(RestoredCut::Sessions(state)) = restored {
                store.restore(state)?;
            }
            CutStore::Session(Box::new(store))
        }
    })
}
