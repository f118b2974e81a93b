//! Rows that come in small batches, until there are enough for a batch that is worth a number.
//!
//! The one idea: a numbered batch has a place in every manifest for as long as some sink needs its rows, and an object in the
//! state, and maybe a file. A sink that is down for half an hour needs all that came meanwhile.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;

use crate::checkpoint::{Budget, Hold, footprint, tidy};

/// Rows, or bytes of them, that are enough: sinks and the state take so many in milliseconds.
const ENOUGH_ROWS: usize = 16_384;
const ENOUGH_BYTES: usize = 1 << 20;

/// Rows of one schema, in their order.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
    memory: Vec<Hold>,
}

impl Gathered {
    /// Takes a batch; gives all rows if they are enough.
    pub(super) fn add(&mut self, batch: RecordBatch, budget: &Arc<Budget>) -> Result<Option<RecordBatch>, ArrowError> {
        if self.batches.is_empty() && batch.num_rows() >= ENOUGH_ROWS {
            return Ok(Some(batch));
        }
        // A few rows may keep alive all of what they were read from.
        let batch = tidy(&batch)?;
        let bytes = footprint(&batch);
        self.rows += batch.num_rows();
        self.bytes += bytes;
        self.memory.push(budget.hold(bytes));
        self.batches.push(batch);
        if self.rows >= ENOUGH_ROWS || self.bytes >= ENOUGH_BYTES { self.take() } else { Ok(None) }
    }

    /// Gives all rows; none if there are none.
    pub(super) fn take(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        let Self { batches, memory: _until_they_are_one, .. } = std::mem::take(self);
        let Some(first) = batches.first() else { return Ok(None) };
        concat_batches(&first.schema(), &batches).map(Some)
    }
}
