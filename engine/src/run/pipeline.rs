//! A pipeline's own task: follows its watermark, closes windows, runs the plan above them, and writes to the sinks.
//!
//! Closing is a handshake. The pipeline asks every lane to seal its panes up to an instant and goes on taking messages
//! until each has answered; since a lane's messages arrive in order, all rows before that instant are here by then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use datafusion::common::Result as DataFusionResult;
use datafusion::execution::context::SessionContext;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, collect};
use tokio::sync::{mpsc, watch};
use watershed_sinks::Flush;

use super::clock::PipelineClock;
use super::error::RunError;
use super::lane::{LaneMessage, PipelineMessage, SessionRows, late_rows, now_us};
use super::outlet::Outlet;
use crate::plan::{CutPlan, CutWindow, PlannedPipeline, Stage};
use crate::report::{Counters, PipelineReport};
use crate::watermark::{BEGINNING, END};
use crate::window::{SessionStore, Spans, WindowStore};

/// How often a pipeline looks at the clock, for streams that have fallen silent.
const CLOCK_TICK: Duration = Duration::from_millis(50);
/// A pass over open sessions may take this share of the time, at most.
const SESSION_SHARE: u32 = 10;

/// What a pipeline needs besides its plan.
pub(crate) struct PipelineParts {
    pub(crate) number: usize,
    pub(crate) clock: Arc<PipelineClock>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) total: Arc<Counters>,
    pub(crate) inbox: mpsc::Receiver<PipelineMessage>,
    pub(crate) lanes: Vec<mpsc::UnboundedSender<LaneMessage>>,
    pub(crate) outlet: Outlet,
    pub(crate) late: Option<Outlet>,
    pub(crate) commit_every: Duration,
    /// Where all splits are idle the watermark follows the clock less this, in microseconds; none: it stays.
    pub(crate) clock_delay: Option<i64>,
    /// The watermark, for whoever watches.
    pub(crate) watermark: watch::Sender<i64>,
}

/// A running pipeline.
pub(crate) struct PipelineTask {
    name: Arc<str>,
    parts: PipelineParts,
    session: SessionContext,
    allowed_lateness: i64,
    windows: Option<Windows>,
    seal: Option<Seal>,
    sealed_through: i64,
    next_session_pass: Instant,
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
}

struct Windows {
    cuts: Vec<CutPlan>,
    stores: Vec<CutStore>,
    above: Arc<dyn ExecutionPlan>,
    one_at_a_time: bool,
}

enum CutStore {
    Grid(WindowStore),
    Session(Box<SessionStore>),
}

impl PipelineTask {
    /// Sets a pipeline up.
    pub(crate) fn new(plan: PlannedPipeline, parts: PipelineParts) -> Result<Self, RunError> {
        let failed = |error| RunError::query(&plan.name, &error);
        let windows = match plan.stage {
            Stage::Rows(_) => None,
            Stage::Windows { cuts, above, one_at_a_time } => {
                let stores = cuts
                    .iter()
                    .map(|cut| store(cut, plan.allowed_lateness))
                    .collect::<DataFusionResult<Vec<_>>>()
                    .map_err(failed)?;
                Some(Windows { cuts, stores, above, one_at_a_time })
            }
        };
        Ok(Self {
            name: plan.name,
            parts,
            session: plan.session,
            allowed_lateness: plan.allowed_lateness,
            windows,
            seal: None,
            sealed_through: BEGINNING,
            next_session_pass: Instant::now(),
        })
    }

    /// Runs until no more records will come, or the lanes are gone.
    pub(crate) async fn run(mut self) -> Result<PipelineReport, RunError> {
        let mut commit = tokio::time::interval(self.parts.commit_every);
        commit.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut clock = tokio::time::interval(CLOCK_TICK);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut phase = Phase::Reading;
        loop {
            tokio::select! {
                message = self.parts.inbox.recv() => match message {
                    None => return Err(RunError::Lost("a lane")),
                    Some(PipelineMessage::Drained) => phase = Phase::Drained,
                    Some(message) => self.take(message).await?,
                },
                _ = commit.tick() => self.commit(Flush::Due).await?,
                _ = clock.tick() => {}
            }
            if self.seal.as_ref().is_some_and(|seal| seal.missing == 0) {
                let Some(seal) = self.seal.take() else { continue };
                self.close(seal.through).await?;
                match seal.phase {
                    Phase::Reading => {}
                    Phase::Drained => phase = Phase::Complete,
                    Phase::Complete => break,
                }
            }
            self.maybe_seal(phase)?;
        }
        self.commit(Flush::All).await?;
        Ok(PipelineReport { counts: self.parts.counters.counts(), open_windows: self.open_windows() })
    }

    async fn commit(&mut self, flush: Flush) -> Result<(), RunError> {
        let files = self.parts.outlet.commit(flush).await?;
        Counters::add(&self.parts.total.files, files);
        if let Some(late) = &mut self.parts.late {
            late.commit(flush).await?;
        }
        Ok(())
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

    async fn take(&mut self, message: PipelineMessage) -> Result<(), RunError> {
        match message {
            PipelineMessage::Progress | PipelineMessage::Drained => Ok(()),
            PipelineMessage::Rows { batch, permit } => {
                self.write(batch).await?;
                drop(permit);
                Ok(())
            }
            PipelineMessage::Late(batch) => match &mut self.parts.late {
                Some(late) => late.write(batch).await,
                None => Ok(()),
            },
            PipelineMessage::Session(rows) => self.session_rows(*rows).await,
            PipelineMessage::Sealed(panes) => {
                if let Some(windows) = &mut self.windows {
                    for (cut, part, rows) in panes {
                        if let CutStore::Grid(store) = &mut windows.stores[cut] {
                            store.add(part, rows).map_err(|error| RunError::query(&self.name, &error))?;
                        }
                    }
                }
                if let Some(seal) = &mut self.seal {
                    seal.missing -= 1;
                }
                Ok(())
            }
        }
    }

    async fn write(&mut self, batch: RecordBatch) -> Result<(), RunError> {
        let rows = batch.num_rows() as u64;
        self.parts.outlet.write(batch).await?;
        Counters::add(&self.parts.total.rows_out, rows);
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
            let batch = late_rows(source, late).map_err(failed)?;
            outlet.write(batch).await?;
        }
        Ok(())
    }

    /// Begins a handshake if windows could close, or the end is near.
    fn maybe_seal(&mut self, phase: Phase) -> Result<(), RunError> {
        if self.seal.is_some() {
            return Ok(());
        }
        let clock = self.parts.clock_delay.map(|delay| now_us().saturating_sub(delay));
        let reached = self.parts.clock.advance(clock);
        self.parts.watermark.send_if_modified(|shown| std::mem::replace(shown, reached) != reached);
        let through = match reached {
            END => END,
            BEGINNING => BEGINNING,
            _ => reached.saturating_sub(self.allowed_lateness),
        };
        if phase == Phase::Reading && !self.closes_any(through) {
            return Ok(());
        }
        for lane in &self.parts.lanes {
            let message = LaneMessage::Seal { pipeline: self.parts.number, through };
            lane.send(message).map_err(|_| RunError::Lost("a lane"))?;
        }
        self.sealed_through = through;
        self.seal = Some(Seal { through, missing: self.parts.lanes.len(), phase });
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
            CutStore::Session(store) => store.may_close(through),
            CutStore::Grid(_) => false,
        });
        due && (through == END || Instant::now() >= self.next_session_pass)
    }

    /// Closes windows up to `through`; every row before it is here.
    async fn close(&mut self, through: i64) -> Result<(), RunError> {
        let Some(windows) = &mut self.windows else { return Ok(()) };
        let failed = |error| RunError::query(&self.name, &error);
        let begun = Instant::now();
        let cuts = windows.stores.len();
        // Rows of closed windows, by the end of the window and the cut they are for.
        let mut closed: BTreeMap<i64, Vec<Vec<(RecordBatch, Spans)>>> = BTreeMap::new();
        let mut count = 0;
        for (cut, store) in windows.stores.iter_mut().enumerate() {
            match store {
                CutStore::Grid(store) => {
                    for window in store.close(through).map_err(failed)? {
                        let rows = window.rows.into_iter().map(|rows| (rows, Spans::One(window.start, window.end)));
                        closed.entry(window.end).or_insert_with(|| vec![Vec::new(); cuts])[cut].extend(rows);
                    }
                }
                CutStore::Session(store) => {
                    let Some(sessions) = store.close(through).map_err(failed)? else { continue };
                    count += sessions.sessions as u64;
                    for (end, rows) in sessions.by_end(windows.one_at_a_time).map_err(failed)? {
                        closed.entry(end).or_insert_with(|| vec![Vec::new(); cuts])[cut].push(rows);
                    }
                    self.next_session_pass = begun + begun.elapsed() * SESSION_SHARE;
                }
            }
        }
        let session_window = windows.cuts.iter().any(|cut| matches!(cut.window, CutWindow::Session { .. }));
        count += if session_window { 0 } else { closed.len() as u64 };
        Counters::add(&self.parts.counters.windows, count);
        Counters::add(&self.parts.total.windows, count);
        for (_, by_cut) in closed {
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
        }
        Ok(())
    }
}

fn store(cut: &CutPlan, allowed_lateness: i64) -> DataFusionResult<CutStore> {
    Ok(match &cut.window {
        CutWindow::Grid(grid) => CutStore::Grid(WindowStore::new(*grid, cut.work.clone())),
        CutWindow::Session { gap, key_types } => {
            let store = SessionStore::new(*gap, allowed_lateness, cut.work.clone(), key_types.clone())?;
            CutStore::Session(Box::new(store))
        }
    })
}
