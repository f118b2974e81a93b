//! Where the panes of all lanes meet and windows close.
//!
//! The one idea: what a lane hands over stays a hash table for as long as nobody but its window wants it. A checkpoint,
//! an overlapping window or a full budget turns it into blocks, which are never changed: they are shared, stored once,
//! merged into others ([`WindowStore::compaction`]) and moved to disk ([`WindowStore::spill`]).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result};

use super::compact::{Compacted, Compaction, SMALL, Upkeep};
use super::merge::finish;
use super::panes::{PaneGrid, PanePart, PaneRows, Work};
use super::sealed::Sealed;
use super::sliding::Sliding;
use crate::aggregate::AggregateSpec;
use crate::checkpoint::{Block, Budget};

/// The rows of a window that closed: group keys and results, or the rows themselves.
#[derive(Debug)]
pub struct ClosedWindow {
    /// First instant.
    pub start: i64,
    /// First instant after it.
    pub end: i64,
    /// Its rows.
    pub rows: Vec<RecordBatch>,
}

/// The windows of closed rows.
#[derive(Debug, Clone)]
pub enum Spans {
    /// All rows are of one window: its start and end.
    One(i64, i64),
    /// Each row has its own: starts and ends.
    Each(Vec<i64>, Vec<i64>),
}

/// Sealed panes, until the last window that holds them has closed.
#[derive(Debug)]
pub struct WindowStore {
    grid: PaneGrid,
    pub(super) upkeep: Upkeep,
    panes: BTreeMap<PanePart, Sealed>,
    /// What overlapping windows share; none where windows do not overlap or rows are kept as they are.
    sliding: Option<Sliding>,
    closed_through: i64,
    emitted_through: Option<i64>,
}

impl WindowStore {
    /// An empty store that may take all memory.
    pub fn new(grid: PaneGrid, work: Work) -> Self {
        Self::with_budget(grid, work, Arc::default())
    }

    /// An empty store that holds what it takes in `budget`.
    pub fn with_budget(grid: PaneGrid, work: Work, budget: Arc<Budget>) -> Self {
        let sliding = match &work {
            Work::Aggregate(spec) if grid.width < grid.size => Some(Sliding::new(spec.clone(), budget.clone())),
            _ => None,
        };
        let panes = BTreeMap::new();
        let upkeep = Upkeep { work, budget, small: SMALL };
        Self { grid, upkeep, panes, sliding, closed_through: i64::MIN, emitted_through: None }
    }

    /// Takes a pane that a lane has sealed. A pane may come again: a checkpoint takes panes that are still filling, and
    /// rows may be late for some of its windows only.
    pub fn add(&mut self, part: PanePart, rows: PaneRows) -> Result<()> {
        if let Some(sliding) = &mut self.sliding {
            sliding.touch(part.pane);
        }
        self.panes.entry(part).or_default().add(rows, &self.upkeep.budget)
    }

    /// Freezes what is not frozen yet, and says what the store holds. Blocks that are stored already stay as they are, so
    /// that a checkpoint stores the new ones only.
    pub fn checkpoint(&mut self) -> Result<Vec<(PanePart, Vec<Arc<Block>>)>> {
        let mut panes = Vec::with_capacity(self.panes.len());
        for (&part, sealed) in &mut self.panes {
            sealed.freeze(part, &self.upkeep)?;
            if !sealed.blocks().is_empty() {
                panes.push((part, sealed.blocks().to_vec()));
            }
        }
        Ok(panes)
    }

    /// Takes what a checkpoint held, in place of all the store has. `closed_through` is what
    /// [`WindowStore::emitted_through`] or [`WindowStore::closed_through`] said then; `i64::MIN` if nothing had closed.
    pub fn restore(&mut self, panes: Vec<(PanePart, Vec<Arc<Block>>)>, closed_through: i64) -> Result<()> {
        for (part, block) in panes.iter().flat_map(|(part, blocks)| blocks.iter().map(move |block| (part, block))) {
            self.check(*part, block)?;
        }
        let mut restored: BTreeMap<PanePart, Vec<Arc<Block>>> = BTreeMap::new();
        for (part, blocks) in panes {
            restored.entry(part).or_default().extend(blocks);
        }
        self.panes = restored.into_iter().map(|(part, blocks)| (part, Sealed::restored(blocks))).collect();
        if let Some(sliding) = &mut self.sliding {
            sliding.forget();
        }
        self.closed_through = closed_through;
        self.emitted_through = (closed_through > i64::MIN).then_some(closed_through);
        Ok(())
    }

    /// Partial states of another aggregate would be merged into wrong numbers, or worse.
    fn check(&self, part: PanePart, block: &Block) -> Result<()> {
        let Work::Aggregate(spec) = &self.upkeep.work else { return Ok(()) };
        let types = |schema: &arrow::datatypes::Schema| -> Vec<DataType> {
            schema.fields().iter().map(|field| field.data_type().clone()).collect()
        };
        let (stored, expected) = (types(&block.batch()?.schema()), types(spec.state_schema()));
        if stored == expected {
            return Ok(());
        }
        let from = part.pane.saturating_mul(self.grid.width);
        Err(DataFusionError::Execution(format!(
            "the state of the pane at {from} µs has columns {stored:?}, but the query keeps {expected:?}: it was \
             written for another query or by another version; start from a fresh checkpoint url, or run what wrote it"
        )))
    }

    /// Windows that end at or before this have closed; `i64::MIN` if none has.
    pub fn closed_through(&self) -> i64 {
        self.closed_through
    }

    /// The greatest end of a window that was put out. A store that has closed to the end of time because its sources had
    /// ended goes on from here if they bring more. What a restored store had closed counts as put out.
    pub fn emitted_through(&self) -> Option<i64> {
        self.emitted_through
    }

    /// The next merge of blocks that pays, if any. It may run elsewhere, while this store goes on; until its outcome is
    /// back, the next is the same.
    pub fn compaction(&self) -> Option<Compaction> {
        self.panes.iter().find_map(|(&part, sealed)| sealed.compaction(part, &self.upkeep))
    }

    /// Puts the merged block in the place of what it was made of. False if that has gone meanwhile: then nothing changes.
    pub fn compacted(&mut self, compacted: &Compacted) -> bool {
        self.panes.get_mut(&compacted.part).is_some_and(|sealed| sealed.replace(compacted))
    }

    /// Runs every merge that pays, here and now.
    pub fn compact(&mut self) -> Result<()> {
        while let Some(compaction) = self.compaction() {
            let compacted = compaction.run()?;
            self.compacted(&compacted);
        }
        Ok(())
    }

    /// Frees memory until `bytes` are free, and says how many were: what overlapping windows share first, as it can be
    /// merged again, then to disk what is needed last.
    pub fn spill(&mut self, bytes: usize) -> Result<usize> {
        let before = self.upkeep.budget.resident();
        if let Some(sliding) = &mut self.sliding {
            sliding.forget();
        }
        let mut freed = before.saturating_sub(self.upkeep.budget.resident());
        for (&part, sealed) in self.panes.iter_mut().rev() {
            if freed >= bytes {
                break;
            }
            freed += sealed.spill(part, &self.upkeep, bytes - freed)?;
        }
        Ok(freed)
    }

    /// Number of windows that hold rows and have not closed.
    pub fn open_windows(&self) -> usize {
        self.ends(i64::MAX).len()
    }

    /// Ends of the windows that hold rows and end in `(closed_through, through]`.
    fn ends(&self, through: i64) -> BTreeSet<i64> {
        let ends = |part: &PanePart| {
            let first = part.open_from.max(self.closed_through.saturating_add(1));
            self.grid.ends_of(part.pane).filter(move |end| (first..=through).contains(end))
        };
        self.panes.keys().flat_map(ends).collect()
    }

    /// Closes every window that ends at or before `through`, in order of their ends.
    pub fn close(&mut self, through: i64) -> Result<Vec<ClosedWindow>> {
        let mut closed = Vec::new();
        for end in self.ends(through) {
            let rows = match &self.upkeep.work {
                Work::Aggregate(spec) => self.aggregate(&spec.clone(), end)?,
                Work::Collect => {
                    let rows = self.parts_of(end).map(|(_, sealed)| sealed.rows());
                    rows.collect::<Result<Vec<_>>>()?.concat()
                }
            };
            closed.push(ClosedWindow { start: end - self.grid.size, end, rows });
        }
        self.closed_through = self.closed_through.max(through);
        self.emitted_through = self.emitted_through.max(closed.last().map(|window| window.end));
        let (grid, through) = (self.grid, self.closed_through);
        self.panes.retain(|part, _| grid.last_end(part.pane.saturating_mul(grid.width)) > through);
        Ok(closed)
    }

    /// The parts of panes that are in the window that ends at `end`.
    fn parts_of(&self, end: i64) -> impl Iterator<Item = (&PanePart, &Sealed)> {
        self.panes.range(parts(self.grid.panes_of(end))).filter(move |(part, _)| part.open_from <= end)
    }

    fn aggregate(&mut self, spec: &Arc<AggregateSpec>, end: i64) -> Result<Vec<RecordBatch>> {
        let panes = self.grid.panes_of(end);
        if self.sliding.is_some() {
            return self.overlapping(spec, end);
        }
        let (mut tables, mut blocks) = (Vec::new(), Vec::new());
        for (_, sealed) in self.panes.range_mut(parts(panes)) {
            tables.extend(sealed.take_tables());
            blocks.extend_from_slice(sealed.blocks());
        }
        finish(spec, tables, &blocks, self.upkeep.budget.room())
    }

    /// The results of a window that shares panes with others.
    fn overlapping(&mut self, spec: &Arc<AggregateSpec>, end: i64) -> Result<Vec<RecordBatch>> {
        let panes = self.grid.panes_of(end);
        for (&part, sealed) in self.panes.range_mut(parts(panes.clone())) {
            sealed.freeze(part, &self.upkeep)?;
        }
        let blocks: Vec<Arc<Block>> = self.parts_of(end).flat_map(|(_, sealed)| sealed.blocks()).cloned().collect();
        let bytes: usize = blocks.iter().map(|block| block.bytes()).sum();
        let tight =
            self.upkeep.budget.room().is_some_and(|room| bytes > room) || blocks.iter().any(|block| block.is_spilled());
        let (grid, all) = (self.grid, &self.panes);
        let Some(sliding) = self.sliding.as_mut().filter(|_| !tight) else {
            // Sharing means keeping more in memory, of which there is too little.
            self.sliding.iter_mut().for_each(Sliding::forget);
            return finish(spec, Vec::new(), &blocks, self.upkeep.budget.room());
        };
        // Parts that some windows lack are not shared; the windows that have them take them one by one.
        let whole = |part: &PanePart| part.open_from == grid.first_end(part.pane.saturating_mul(grid.width));
        let own = all.range(parts(panes.clone())).filter(|(part, _)| !whole(part) && part.open_from <= end);
        let own: Vec<Arc<Block>> = own.flat_map(|(_, sealed)| sealed.blocks()).cloned().collect();
        let shared = |range: Range<i64>| {
            let parts = all.range(parts(range)).filter(|(part, _)| whole(part));
            parts.map(|(part, sealed)| (part.pane, sealed.blocks())).collect()
        };
        sliding.window(panes, shared, &own)
    }
}

/// Every part of some panes.
fn parts(panes: Range<i64>) -> Range<PanePart> {
    let first = |pane| PanePart { pane, open_from: i64::MIN };
    first(panes.start)..first(panes.end)
}
