//! Panes of tumbling and hopping windows, as one lane fills them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use datafusion::common::Result;

use crate::aggregate::{AggregateSpec, GroupTable};
use crate::checkpoint::footprint;
use crate::sql::WindowSpec;

/// The grid that panes and windows lie on, aligned to the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaneGrid {
    /// Width of a pane.
    pub width: i64,
    /// Distance between the beginnings of two windows.
    pub slide: i64,
    /// Length of a window.
    pub size: i64,
}

impl PaneGrid {
    /// The grid of a window; none for sessions, which have no panes.
    pub fn of(spec: WindowSpec) -> Option<Self> {
        match spec {
            WindowSpec::Tumble { size } => Some(Self { width: size, slide: size, size }),
            WindowSpec::Hop { slide, size } => Some(Self { width: gcd(slide, size), slide, size }),
            WindowSpec::Session { .. } => None,
        }
    }

    /// Index of the pane that holds `time`.
    pub fn pane(&self, time: i64) -> i64 {
        time.div_euclid(self.width)
    }

    /// End of the last window that holds `time`.
    pub fn last_end(&self, time: i64) -> i64 {
        (time.div_euclid(self.slide) * self.slide).saturating_add(self.size)
    }

    /// End of the first window that holds `time`.
    pub fn first_end(&self, time: i64) -> i64 {
        self.ends_of(self.pane(time)).next().unwrap_or(i64::MAX)
    }

    /// End of a pane.
    pub fn pane_end(&self, pane: i64) -> i64 {
        pane.saturating_add(1).saturating_mul(self.width)
    }

    /// The panes of the window that ends at `end`.
    pub fn panes_of(&self, end: i64) -> std::ops::Range<i64> {
        (end - self.size).div_euclid(self.width)..end.div_euclid(self.width)
    }

    /// Ends of the windows that hold `pane`, ascending.
    pub fn ends_of(&self, pane: i64) -> impl Iterator<Item = i64> + use<> {
        let time = pane.saturating_mul(self.width);
        let last_start = time.div_euclid(self.slide) * self.slide;
        let Self { slide, size, .. } = *self;
        let count = (size - (time - last_start) + slide - 1) / slide;
        (0..count).rev().map(move |back| last_start.saturating_sub(back * slide).saturating_add(size))
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// What is kept of a window's rows.
#[derive(Debug, Clone)]
pub enum Work {
    /// Groups and partial aggregates.
    Aggregate(Arc<AggregateSpec>),
    /// The rows themselves.
    Collect,
}

/// What one lane holds of one pane.
#[derive(Debug)]
pub enum PaneRows {
    /// The active hash table.
    Table(Box<GroupTable>),
    /// Rows as they came.
    Batches(Vec<RecordBatch>),
}

impl PaneRows {
    /// Bytes it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        match self {
            PaneRows::Table(table) => table.size(),
            PaneRows::Batches(batches) => batches.iter().map(footprint).sum(),
        }
    }
}

/// Rows of one pane that are in the same windows.
///
/// A hop's row that comes when some of its windows have closed counts in the others only, so it goes into a part of its
/// pane that is open from a later window on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PanePart {
    /// Index of the pane.
    pub pane: i64,
    /// End of the first window that the rows are in.
    pub open_from: i64,
}

/// The open panes of one lane.
#[derive(Debug)]
pub struct PaneStore {
    grid: PaneGrid,
    work: Work,
    panes: BTreeMap<PanePart, Open>,
    bytes: usize,
}

#[derive(Debug)]
struct Open {
    rows: PaneRows,
    bytes: usize,
}

impl PaneStore {
    /// An empty store.
    pub fn new(grid: PaneGrid, work: Work) -> Self {
        Self { grid, work, panes: BTreeMap::new(), bytes: 0 }
    }

    /// Takes rows that are late for some of their windows, but not for all. `closed` gives for each row the instant up to
    /// which windows have closed.
    pub fn push_partly_late(&mut self, batch: &RecordBatch, times: &[i64], closed: &[i64]) -> Result<()> {
        let mut parts: BTreeMap<PanePart, Vec<u32>> = BTreeMap::new();
        for (row, (&time, &closed)) in times.iter().zip(closed).enumerate() {
            let pane = self.grid.pane(time);
            if let Some(open_from) = self.grid.ends_of(pane).find(|&end| end > closed) {
                parts.entry(PanePart { pane, open_from }).or_default().push(row as u32);
            }
        }
        self.push_parts(batch, parts)
    }

    fn push_parts(&mut self, batch: &RecordBatch, parts: BTreeMap<PanePart, Vec<u32>>) -> Result<()> {
        for (part, rows) in parts {
            let rows = arrow::compute::take_record_batch(batch, &UInt32Array::from(rows))?;
            self.push_part(part, &rows)?;
        }
        Ok(())
    }

    /// The part of a pane whose rows are in all windows of the pane.
    fn whole(&self, pane: i64) -> PanePart {
        PanePart { pane, open_from: self.grid.first_end(pane.saturating_mul(self.grid.width)) }
    }

    /// Takes rows, none of them late for any window; `times` are their event times.
    pub fn push(&mut self, batch: &RecordBatch, times: &[i64]) -> Result<()> {
        let (Some(&first), Some(&last)) = (times.iter().min(), times.iter().max()) else { return Ok(()) };
        let (first, last) = (self.grid.pane(first), self.grid.pane(last));
        if first == last {
            return self.push_part(self.whole(first), batch);
        }
        let mut parts: BTreeMap<PanePart, Vec<u32>> = BTreeMap::new();
        let mut run: Option<(PanePart, i64, i64)> = None;
        for (row, &time) in times.iter().enumerate() {
            // Neighbours mostly share a pane; the division is spared for them.
            let part = match run {
                Some((part, start, end)) if (start..end).contains(&time) => part,
                _ => {
                    let pane = self.grid.pane(time);
                    let part = self.whole(pane);
                    run = Some((part, pane.saturating_mul(self.grid.width), self.grid.pane_end(pane)));
                    part
                }
            };
            parts.entry(part).or_default().push(row as u32);
        }
        self.push_parts(batch, parts)
    }

    fn push_part(&mut self, part: PanePart, batch: &RecordBatch) -> Result<()> {
        let open = match self.panes.entry(part) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let rows = match &self.work {
                    Work::Aggregate(spec) => PaneRows::Table(Box::new(GroupTable::new(spec.clone())?)),
                    Work::Collect => PaneRows::Batches(Vec::new()),
                };
                entry.insert(Open { rows, bytes: 0 })
            }
        };
        let before = open.bytes;
        match &mut open.rows {
            PaneRows::Table(table) => {
                table.update(batch)?;
                open.bytes = table.size();
            }
            PaneRows::Batches(batches) => {
                open.bytes += footprint(batch);
                batches.push(batch.clone());
            }
        }
        self.bytes = (self.bytes + open.bytes).saturating_sub(before);
        Ok(())
    }

    /// Bytes that the open panes take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Hands over every pane that ends at or before `through`.
    pub fn seal(&mut self, through: i64) -> Vec<(PanePart, PaneRows)> {
        let mut sealed = Vec::new();
        while let Some(entry) = self.panes.first_entry() {
            if self.grid.pane_end(entry.key().pane) > through {
                break;
            }
            let (part, open) = entry.remove_entry();
            self.bytes = self.bytes.saturating_sub(open.bytes);
            sealed.push((part, open.rows));
        }
        sealed
    }

    /// Hands over every pane, so that a checkpoint can have it.
    pub fn take_all(&mut self) -> Vec<(PanePart, PaneRows)> {
        self.bytes = 0;
        std::mem::take(&mut self.panes).into_iter().map(|(part, open)| (part, open.rows)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]

    use super::*;

    #[test]
    fn a_pane_knows_the_windows_that_hold_it() {
        let hop = PaneGrid::of(WindowSpec::Hop { slide: 10, size: 25 }).expect("a hop has panes");
        assert_eq!(hop.width, 5);
        for pane in -20..20 {
            let time = pane * hop.width;
            let brute: Vec<i64> = (-100..100)
                .map(|k| k * hop.slide)
                .filter(|start| (*start..start + hop.size).contains(&time))
                .map(|start| start + hop.size)
                .collect();
            assert_eq!(hop.ends_of(pane).collect::<Vec<_>>(), brute, "pane {pane}");
            assert_eq!(hop.last_end(time), *brute.last().expect("some window"), "pane {pane}");
            for end in brute {
                assert!(hop.panes_of(end).contains(&pane));
            }
        }
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let grid = PaneGrid::of(WindowSpec::Tumble { size: 10_000_000 }).expect("a tumble has panes");
        for time in [i64::MIN / 2, i64::MAX / 2, -1, 0] {
            assert!(grid.last_end(time) > time);
        }
    }
}
