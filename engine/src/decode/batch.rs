//! The batch in the making: the projected columns, filled row by row.

use std::sync::Arc;

use arrow::array::RecordBatchOptions;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::schema::SourceSchema;

use super::column::Column;
use super::{BadRecord, DecodeError, Decoded};

/// The columns of a batch, all of the same number of rows between records.
pub(super) struct Rows {
    schema: SchemaRef,
    pub(super) columns: Vec<Column>,
    /// Complete rows.
    pub(super) len: usize,
    bad: Vec<BadRecord>,
}

impl Rows {
    pub(super) fn new(schema: &SourceSchema, projection: &[usize]) -> Result<Self, DecodeError> {
        if let Some(name) = schema.duplicate() {
            return Err(DecodeError::DuplicateField(name.to_owned()));
        }
        let fields = schema.fields.len();
        if let Some(&index) = projection.iter().find(|i| **i >= fields) {
            return Err(DecodeError::Projection { index, fields });
        }
        if let Some((_, i)) = projection.iter().enumerate().find(|(at, i)| projection[..*at].contains(i)) {
            return Err(DecodeError::ProjectedTwice(schema.fields[*i].name.clone()));
        }
        let columns = projection.iter().map(|&i| Column::of(&schema.fields[i])).collect::<Result<_, _>>()?;
        let arrow = schema.arrow_schema();
        let chosen: Vec<_> = projection.iter().map(|&i| Arc::clone(&arrow.fields()[i])).collect();
        Ok(Self { schema: Arc::new(arrow::datatypes::Schema::new(chosen)), columns, len: 0, bad: Vec::new() })
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Makes ready for `records` more.
    pub(super) fn begin(&mut self, records: usize) {
        self.columns.iter_mut().for_each(|c| c.reserve(records));
    }

    /// Takes the row that was pushed, or cuts off what was pushed of it and notes why record `index` is bad.
    pub(super) fn end_record(&mut self, index: usize, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.len += 1,
            Err(reason) => {
                self.cut();
                self.bad.push(BadRecord { index, reason });
            }
        }
    }

    /// Cuts off an incomplete row.
    pub(super) fn cut(&mut self) {
        let rows = self.len;
        self.columns.iter_mut().for_each(|c| c.truncate(rows));
    }

    /// All rows and bad records since the last call; `arena` is the text that rows point into.
    pub(super) fn finish(&mut self, arena: &str) -> Decoded {
        // Every column was made for its field's type and has `len` rows.
        #[expect(clippy::expect_used, reason = "columns agree with their schema by construction")]
        let batch = self.batch(arena).expect("columns agree with their schema");
        self.len = 0;
        Decoded { batch, bad: std::mem::take(&mut self.bad) }
    }

    fn batch(&mut self, arena: &str) -> Result<RecordBatch, ArrowError> {
        let arrays = self.columns.iter_mut().map(|c| c.finish(arena)).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.len));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
    }
}
