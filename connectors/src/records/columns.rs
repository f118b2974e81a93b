//! Records that are rows of columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;

/// Rows of one split, as columns.
#[derive(Debug)]
pub(super) struct Columns {
    batch: RecordBatch,
    bytes: usize,
    stretches: Vec<Stretch>,
}

/// Rows whose positions follow from that of the first.
#[derive(Debug)]
struct Stretch {
    first: usize,
    position: u64,
    /// By how much each position is greater than the one before: one, or none where all rows came as one record.
    step: u64,
}

impl Columns {
    pub(super) fn new(batch: RecordBatch, position: u64) -> Self {
        let bytes = memory(&batch);
        Self { batch, bytes, stretches: vec![Stretch { first: 0, position, step: 1 }] }
    }

    /// All rows of `batches`, those of each at one position; none if there are none.
    pub(super) fn concat(batches: &[(RecordBatch, u64)]) -> Result<Option<Self>, ArrowError> {
        let Some((first, _)) = batches.first() else { return Ok(None) };
        let batch = concat_batches(first.schema_ref(), batches.iter().map(|(batch, _)| batch))?;
        let mut stretches = Vec::with_capacity(batches.len());
        let mut rows = 0;
        for (batch, position) in batches {
            stretches.push(Stretch { first: rows, position: *position, step: 0 });
            rows += batch.num_rows();
        }
        Ok(Some(Self { bytes: memory(&batch), batch, stretches }))
    }

    /// Appends rows. It copies those that are held: readers hand out a batch at a time.
    pub(super) fn push(&mut self, batch: RecordBatch, position: u64) -> Result<(), ArrowError> {
        let rows = self.batch.num_rows();
        self.batch = concat_batches(self.batch.schema_ref(), [&self.batch, &batch])?;
        self.bytes += memory(&batch);
        self.stretches.push(Stretch { first: rows, position, step: 1 });
        Ok(())
    }

    pub(super) fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    pub(super) fn len(&self) -> usize {
        self.batch.num_rows()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn position(&self, row: usize) -> u64 {
        let stretch = self.stretches.partition_point(|stretch| stretch.first <= row).saturating_sub(1);
        let Stretch { first, position, step } = self.stretches[stretch];
        position + (row - first) as u64 * step
    }

    /// The row as a JSON object without its nulls.
    pub(super) fn json(&self, row: usize) -> Vec<u8> {
        let shown = || {
            let row = self.batch.slice(row, 1);
            let names = row.schema_ref().fields().iter().map(|field| field.name().clone());
            let columns = row.columns().iter().map(plain_offset).collect::<Result<Vec<_>, _>>()?;
            let row = RecordBatch::try_from_iter_with_nullable(names.zip(columns).map(|(n, c)| (n, c, true)))?;
            let mut writer = LineDelimitedWriter::new(Vec::new());
            writer.write(&row)?;
            writer.finish()?;
            Ok::<_, ArrowError>(writer.into_inner().trim_ascii_end().to_vec())
        };
        if self.batch.num_columns() == 0 {
            return b"{}".to_vec();
        }
        shown().unwrap_or_else(|error| format!("this row cannot be shown: {error}").into_bytes())
    }
}

/// Arrow needs a database of time zones to write a time in "UTC", and none to write it at +00:00.
fn plain_offset(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        DataType::Timestamp(unit, Some(zone)) if zone.as_ref() == "UTC" => {
            cast(column, &DataType::Timestamp(*unit, Some(Arc::from("+00:00"))))
        }
        _ => Ok(column.clone()),
    }
}

/// The memory that the rows of a batch take, whatever else lies in the buffers that they share with others.
pub fn memory(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| column_memory(column.as_ref())).sum()
}

fn column_memory(column: &dyn Array) -> usize {
    const VIEW: usize = 16;
    match column.data_type() {
        DataType::Utf8View => column.len() * VIEW + column.as_string_view().total_buffer_bytes_used(),
        DataType::BinaryView => column.len() * VIEW + column.as_binary_view().total_buffer_bytes_used(),
        _ => column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size()),
    }
}

/// How many rows at the start of `batch` take at most `bytes`; at least one.
pub(crate) fn fitting(batch: &RecordBatch, bytes: usize) -> usize {
    let all = batch.num_rows();
    let taken = memory(batch).max(1);
    if taken <= bytes {
        return all;
    }
    // As many as would fit if rows were alike, then fewer as long as they were not.
    let mut rows = ((all as u128 * bytes as u128 / taken as u128) as usize).clamp(1, all);
    while rows > 1 && memory(&batch.slice(0, rows)) > bytes {
        rows /= 2;
    }
    rows
}
