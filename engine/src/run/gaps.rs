//! Windows without rows, for pipelines that want them put out (`emit_empty`).
//!
//! The one idea: a gap is filled when the window behind it closes, from the one before it on. What was put out is then the
//! same however the stream came in pieces, and all that a checkpoint has to know is which window was the last.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use datafusion::common::Result as DataFusionResult;

use crate::aggregate::{AggregateSpec, GroupTable};
use crate::plan::{CutPlan, CutWindow};
use crate::window::{PaneGrid, Spans, Work};

/// How many windows are put out at a time: as many rows as a batch has elsewhere.
const AT_A_TIME: i64 = 8192;

/// The gaps between the windows of one cut.
#[derive(Debug)]
pub(super) struct Gaps {
    grid: PaneGrid,
    /// What the aggregates are over no rows.
    nothing: RecordBatch,
    /// True if the plan above takes one window at a time.
    one_at_a_time: bool,
    /// End of the last window that was put out; none before the first.
    last: Option<i64>,
}

/// Part of a gap.
pub(super) struct Gap {
    pub(super) windows: u64,
    pub(super) rows: (RecordBatch, Spans),
}

impl Gaps {
    /// The gaps of `cut`, which go on behind the window that ends at `last`. None if the cut is not an aggregate without
    /// keys over windows of one size, which planning has refused.
    pub(super) fn of(cut: &CutPlan, one_at_a_time: bool, last: Option<i64>) -> DataFusionResult<Option<Self>> {
        let (CutWindow::Grid(grid), Work::Aggregate(spec)) = (&cut.window, &cut.work) else { return Ok(None) };
        Ok(Some(Self { grid: *grid, nothing: over_nothing(spec)?, one_at_a_time, last }))
    }

    /// End of the last window that was put out.
    pub(super) fn last(&self) -> Option<i64> {
        self.last
    }

    /// The next part of what is missing before the window that ends at `end`; none once nothing is, and then that window is
    /// the last.
    pub(super) fn before(&mut self, end: i64) -> DataFusionResult<Option<Gap>> {
        let slide = self.grid.slide;
        let missing = self.last.map_or(0, |last| (end - last) / slide - 1);
        let (Some(last), true) = (self.last, missing > 0) else {
            self.last = Some(end);
            return Ok(None);
        };
        let windows = missing.min(if self.one_at_a_time { 1 } else { AT_A_TIME });
        let ends: Vec<i64> = (1..=windows).map(|window| last + window * slide).collect();
        let starts = ends.iter().map(|end| end - self.grid.size).collect();
        self.last = ends.last().copied();
        let rows = (repeated(&self.nothing, ends.len())?, Spans::Each(starts, ends));
        Ok(Some(Gap { windows: windows.unsigned_abs(), rows }))
    }
}

/// What the aggregates are over no rows.
fn over_nothing(spec: &Arc<AggregateSpec>) -> DataFusionResult<RecordBatch> {
    let mut table = GroupTable::new(spec.clone())?;
    table.merge(&spec.nothing()?)?;
    table.finish()
}

/// The one row of `batch`, several times.
fn repeated(batch: &RecordBatch, times: usize) -> DataFusionResult<RecordBatch> {
    let first = UInt32Array::from_value(0, times);
    let columns = batch.columns().iter().map(|column| take(column, &first, None)).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(times));
    Ok(RecordBatch::try_new_with_options(batch.schema(), columns, &options)?)
}
