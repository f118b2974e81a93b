//! From a decoded chunk into panes, sessions and rows: what is late, what is counted, and where each row goes.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, UInt32Array};
use datafusion::common::{DataFusionError, Result as DataFusionResult};
use tokio::sync::OwnedSemaphorePermit;

use super::clock::Besides;
use super::intake::Decoded;
use super::lane::{Closed, LaneOutput, LanePipeline, SessionRows, Tap, TapKind};
use super::ledger::Ledger;
use super::times::event_times;
use crate::rows::Rows;
use crate::watermark::SplitWatermark;
use crate::window::{PaneGrid, PaneStore};

/// A decoded chunk on its way into the taps of its source.
pub(super) struct Chunk<'a> {
    pub(super) decoded: &'a Decoded,
    /// The split's watermark before the chunk.
    pub(super) before: SplitWatermark,
    /// The same, after it.
    pub(super) after: i64,
    pub(super) ledger: Arc<Ledger>,
    pub(super) permit: Arc<OwnedSemaphorePermit>,
}

pub(super) enum Fed {
    Closed,
    Failed(DataFusionError),
}

impl<E: Into<DataFusionError>> From<E> for Fed {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Closed> for Fed {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl Chunk<'_> {
    /// Takes the chunk through one tap. `besides` is what held for its pipeline in the chunk's turn.
    pub(super) fn feed(
        &self,
        tap: &Tap,
        pipeline: &LanePipeline,
        besides: Besides,
        store: Option<&mut PaneStore>,
    ) -> Result<(), Fed> {
        let rows = tap.branch.rows.run(Rows::decoded(self.decoded.batch.project(&tap.columns)?))?;
        if rows.batch.num_rows() == 0 {
            return Ok(());
        }
        match (&tap.kind, store) {
            (TapKind::Grid(grid), Some(store)) => self.feed_panes(tap, pipeline, besides, *grid, rows, store),
            (TapKind::Session, _) => self.feed_session(tap, pipeline, besides, rows),
            (TapKind::Rows | TapKind::Grid(_), _) => {
                self.count_aggregated(tap, &rows);
                let message = LaneOutput::Rows { batch: rows.batch, permit: self.permit.clone() };
                Ok(pipeline.send(message)?)
            }
        }
    }

    fn count_aggregated(&self, tap: &Tap, rows: &Rows) {
        match &rows.origin {
            None => self.ledger.all_aggregated(tap.pipeline),
            Some(origin) => self.ledger.aggregated(tap.pipeline, origin.iter().copied()),
        }
    }

    fn feed_panes(
        &self,
        tap: &Tap,
        pipeline: &LanePipeline,
        besides: Besides,
        grid: PaneGrid,
        rows: Rows,
        store: &mut PaneStore,
    ) -> Result<(), Fed> {
        let times = event_times(rows.batch.column(tap.branch.time))?;
        let lateness = pipeline.allowed_lateness;
        let earliest = times.iter().min().copied().unwrap_or_default();
        if grid.first_end(earliest).saturating_add(lateness) > besides.with(self.after) {
            self.count_aggregated(tap, &rows);
            return Ok(store.push(&rows.batch, &times)?);
        }
        // Some window of some row may have closed: each row is judged by the watermark just before it.
        let before = self.watermarks_before();
        let watermark = |row: usize| besides.with(before[rows.origin_of(row) as usize]);
        let closed: Vec<i64> = (0..times.len()).map(|row| watermark(row).saturating_sub(lateness)).collect();
        let timely: BooleanArray =
            times.iter().zip(&closed).map(|(&time, &closed)| Some(grid.last_end(time) > closed)).collect();
        self.late(tap, pipeline, &rows, &timely)?;
        let kept: Vec<i64> = timely.values().set_indices().map(|row| closed[row]).collect();
        let rows = rows.filter(&timely)?;
        if rows.batch.num_rows() > 0 {
            self.count_aggregated(tap, &rows);
            let times = event_times(rows.batch.column(tap.branch.time))?;
            store.push_partly_late(&rows.batch, &times, &kept)?;
        }
        Ok(())
    }

    /// Counts rows that are not timely, and sends them where they are wanted.
    fn late(&self, tap: &Tap, pipeline: &LanePipeline, rows: &Rows, timely: &BooleanArray) -> Result<(), Fed> {
        let late: Vec<u32> =
            (0..timely.len()).filter(|&row| !timely.value(row)).map(|row| rows.origin_of(row)).collect();
        if late.is_empty() {
            return Ok(());
        }
        self.ledger.late(tap.pipeline, late.iter().copied());
        if pipeline.wants_late {
            pipeline.send(LaneOutput::Late(late_rows(&self.decoded.batch, late)?))?;
        }
        Ok(())
    }

    fn feed_session(&self, tap: &Tap, pipeline: &LanePipeline, besides: Besides, rows: Rows) -> Result<(), Fed> {
        let times = event_times(rows.batch.column(tap.branch.time))?;
        let before = self.watermarks_before();
        let watermarks = (0..times.len()).map(|row| besides.with(before[rows.origin_of(row) as usize])).collect();
        let keys = tap.branch.keys.iter().map(|&key| rows.batch.column(key).clone()).collect();
        let message = SessionRows {
            cut: tap.cut,
            branch: tap.branch_number,
            rows,
            times,
            watermarks,
            keys,
            ledger: self.ledger.clone(),
            source_rows: pipeline.wants_late.then(|| self.decoded.batch.clone()),
            _permit: self.permit.clone(),
        };
        Ok(pipeline.send(LaneOutput::Session(Box::new(message)))?)
    }

    fn watermarks_before(&self) -> Vec<i64> {
        self.decoded.times.as_ref().map(|times| self.before.before_each(times)).unwrap_or_default()
    }
}

/// The source's rows behind late rows, each once.
pub(crate) fn late_rows(source: &RecordBatch, mut late: Vec<u32>) -> DataFusionResult<RecordBatch> {
    late.dedup();
    Ok(arrow::compute::take_record_batch(source, &UInt32Array::from(late))?)
}
