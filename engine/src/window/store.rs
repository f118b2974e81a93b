//! Where the panes of all lanes meet and windows close.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::Result;

use super::panes::{PaneGrid, PanePart, PaneRows, Work};
use super::sliding::Sliding;
use crate::aggregate::{AggregateSpec, GroupTable};

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
    work: Work,
    panes: BTreeMap<PanePart, Sealed>,
    /// What overlapping windows share; none where windows do not overlap or rows are kept as they are.
    sliding: Option<Sliding>,
    closed_through: i64,
}

/// What all lanes have handed over of one pane.
#[derive(Debug, Default)]
struct Sealed {
    /// A table that nobody has read yet: a tumbling window takes its results straight from it.
    table: Option<Box<GroupTable>>,
    /// Frozen states, or rows.
    batches: Vec<RecordBatch>,
}

impl Sealed {
    fn add(&mut self, rows: PaneRows) -> Result<()> {
        match rows {
            PaneRows::Batches(batches) => self.batches.extend(batches),
            PaneRows::Table(table) => match self.table.take() {
                None => self.table = Some(table),
                Some(mut first) => {
                    first.merge(&table.freeze()?)?;
                    self.table = Some(first);
                }
            },
        }
        Ok(())
    }

    /// Freezes the table so that several windows can read it.
    fn freeze(&mut self) -> Result<()> {
        if let Some(table) = self.table.take() {
            self.batches.push(table.freeze()?);
        }
        Ok(())
    }
}

impl WindowStore {
    /// An empty store.
    pub fn new(grid: PaneGrid, work: Work) -> Self {
        let sliding = match &work {
            Work::Aggregate(spec) if grid.width < grid.size => Some(Sliding::new(spec.clone())),
            _ => None,
        };
        Self { grid, work, panes: BTreeMap::new(), sliding, closed_through: i64::MIN }
    }

    /// Takes a pane that a lane has sealed. A pane may come again, with rows that are late for some of its windows only.
    pub fn add(&mut self, part: PanePart, rows: PaneRows) -> Result<()> {
        if let Some(sliding) = &mut self.sliding {
            sliding.touch(part.pane);
        }
        self.panes.entry(part).or_default().add(rows)
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
            let rows = match &self.work {
                Work::Aggregate(spec) => vec![self.aggregate(&spec.clone(), end)?],
                Work::Collect => {
                    let parts = self.panes.range(parts(self.grid.panes_of(end)));
                    let parts = parts.filter(|(part, _)| part.open_from <= end);
                    parts.flat_map(|(_, sealed)| sealed.batches.iter().cloned()).collect()
                }
            };
            closed.push(ClosedWindow { start: end - self.grid.size, end, rows });
        }
        self.closed_through = self.closed_through.max(through);
        let (grid, through) = (self.grid, self.closed_through);
        self.panes.retain(|part, _| grid.last_end(part.pane.saturating_mul(grid.width)) > through);
        Ok(closed)
    }

    fn aggregate(&mut self, spec: &Arc<AggregateSpec>, end: i64) -> Result<RecordBatch> {
        let panes = self.grid.panes_of(end);
        if let Some(sliding) = &mut self.sliding {
            for (_, sealed) in self.panes.range_mut(parts(panes.clone())) {
                sealed.freeze()?;
            }
            let (grid, all) = (self.grid, &self.panes);
            // Parts that some windows lack are not shared; the windows that have them take them one by one.
            let whole = |part: &PanePart| part.open_from == grid.first_end(part.pane.saturating_mul(grid.width));
            let own = all.range(parts(panes.clone())).filter(|(part, _)| !whole(part) && part.open_from <= end);
            let own: Vec<&RecordBatch> = own.flat_map(|(_, sealed)| &sealed.batches).collect();
            let shared = |range: Range<i64>| {
                let parts = all.range(parts(range)).filter(|(part, _)| whole(part));
                parts.map(|(part, sealed)| (part.pane, sealed.batches.as_slice())).collect()
            };
            return sliding.window(panes, shared, &own);
        }
        let mut tables = self.panes.range_mut(parts(panes)).filter_map(|(_, sealed)| sealed.table.take());
        match tables.next() {
            Some(table) => table.finish(),
            None => GroupTable::new(spec.clone())?.finish(),
        }
    }
}

/// Every part of some panes.
fn parts(panes: Range<i64>) -> Range<PanePart> {
    let first = |pane| PanePart { pane, open_from: i64::MIN };
    first(panes.start)..first(panes.end)
}
