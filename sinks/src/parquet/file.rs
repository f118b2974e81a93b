//! One file that is being written: rows wait in a buffer, then go out as sorted row groups.
//!
//! The one idea: encoding is CPU work and sending is I/O, so each row group is encoded on a blocking thread and its bytes
//! are handed to the upload from here.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch, UInt32Array};
use arrow::compute::{SortColumn, SortOptions, concat, interleave_record_batch, lexsort_to_indices};
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::arrow::arrow_writer::ArrowWriter;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;

use super::cursor::{Came, Moment, RowPlace};
use super::place::{Claim, FileWriter, Place, Written};
use super::plan::Plan;
use crate::delta;
use crate::error::SinkError;

/// What an array costs in memory beside its values: the array, its buffers' headers, its share of the batch.
const ARRAY_OVERHEAD: usize = 256;

/// Rows that are gathered at a time: enough that the columns of a piece stay in the cache, few enough to cost nothing.
const PIECE_ROWS: usize = 16_384;

type Encoder = Box<ArrowWriter<Vec<u8>>>;

/// What all files of a sink have in common.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) plan: Plan,
    pub(super) place: Place,
    /// Rows are encoded when they take this much memory.
    pub(super) row_group_bytes: usize,
    /// A log wants to know what is in the columns of each file.
    pub(super) stats: bool,
}

/// A finished file: it has a footer and is durable, where nobody sees it.
#[derive(Debug)]
pub(super) struct Finished {
    /// Folder in which it will be visible.
    pub(super) folder: String,
    pub(super) written: Written,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) stats: Option<String>,
}

/// A file that takes rows.
#[derive(Debug)]
pub(super) struct OpenFile {
    shape: Arc<Shape>,
    folder: String,
    writer: FileWriter,
    /// Made at the first row group; away while a blocking thread has it.
    encoder: Option<Encoder>,
    buffer: Vec<RecordBatch>,
    buffered_bytes: usize,
    rows: u64,
    encoded_bytes: u64,
    stats: Option<String>,
    begin: RowPlace,
    first_row: Moment,
    last_row: Moment,
    /// Counts up over the sink's files: which was used last.
    pub(super) used: u64,
}

impl OpenFile {
    /// A file whose first row will be the one at `begin`.
    pub(super) fn new(shape: &Arc<Shape>, claim: Claim, begin: RowPlace, came: Came) -> Result<Self, SinkError> {
        Ok(Self {
            folder: claim.folder.clone(),
            writer: shape.place.begin(claim)?,
            shape: Arc::clone(shape),
            encoder: None,
            buffer: Vec::new(),
            buffered_bytes: 0,
            rows: 0,
            encoded_bytes: 0,
            stats: None,
            begin,
            first_row: came.first,
            last_row: came.last,
            used: 0,
        })
    }

    /// Takes rows up to a full row group, and gives back what is left over.
    pub(super) fn push(&mut self, rows: RecordBatch, came: Moment) -> Option<RecordBatch> {
        let bytes = memory_size(&rows);
        let room = self.shape.row_group_bytes.saturating_sub(self.buffered_bytes);
        self.last_row = came;
        if bytes <= room {
            self.take(rows, bytes);
            return None;
        }
        // At least one row, or a row larger than a row group would never be taken.
        let share = (rows.num_rows() as u128 * room as u128 / bytes as u128) as usize;
        let fitting = share.clamp(1, rows.num_rows());
        let left = rows.slice(fitting, rows.num_rows() - fitting);
        self.take(rows.slice(0, fitting), room.min(bytes).max(1));
        (left.num_rows() > 0).then_some(left)
    }

    fn take(&mut self, rows: RecordBatch, bytes: usize) {
        self.rows += rows.num_rows() as u64;
        self.buffered_bytes += bytes;
        self.buffer.push(rows);
    }

    pub(super) fn row_group_is_full(&self) -> bool {
        self.buffered_bytes >= self.shape.row_group_bytes
    }

    /// Memory of the rows that wait here.
    pub(super) fn buffered_bytes(&self) -> usize {
        self.buffered_bytes
    }

    /// Bytes of the file so far.
    pub(super) fn encoded_bytes(&self) -> u64 {
        self.encoded_bytes
    }

    /// True if a part of the file is encoded already.
    pub(super) fn has_started(&self) -> bool {
        self.encoded_bytes > 0
    }

    /// Size of the file if it ended now, where buffered rows shrink by `ratio`.
    pub(super) fn estimated_bytes(&self, ratio: f64) -> u64 {
        self.encoded_bytes + (self.buffered_bytes as f64 * ratio) as u64
    }

    /// The place of its first row.
    pub(super) fn begin(&self) -> RowPlace {
        self.begin
    }

    pub(super) fn first_row(&self) -> Moment {
        self.first_row
    }

    pub(super) fn last_row(&self) -> Moment {
        self.last_row
    }

    /// Encodes what waits as one row group and sends it.
    pub(super) async fn flush(&mut self) -> Result<(), SinkError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let bytes = self.encode(None).await?;
        self.writer.put(bytes).await
    }

    /// Ends the file. `epoch` goes into its metadata.
    pub(super) async fn finish(mut self, epoch: u64) -> Result<Finished, SinkError> {
        let bytes = self.encode(Some(epoch)).await?;
        self.writer.put(bytes).await?;
        let written = self.writer.finish(epoch).await?;
        Ok(Finished { folder: self.folder, written, rows: self.rows, bytes: self.encoded_bytes, stats: self.stats })
    }

    /// Encodes the buffer, and the footer if this is the end; returns the bytes to send.
    async fn encode(&mut self, end: Option<u64>) -> Result<Bytes, SinkError> {
        let rows = std::mem::take(&mut self.buffer);
        self.buffered_bytes = 0;
        let encoder = self.encoder.take();
        let shape = Arc::clone(&self.shape);
        let work = tokio::task::spawn_blocking(move || encode(&shape, encoder, &rows, end));
        let (encoder, bytes, stats) = match work.await {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => return Err(SinkError::fatal(self.cannot_encode(), error)),
            Err(error) => return Err(SinkError::fatal(self.cannot_encode(), error)),
        };
        self.encoded_bytes = encoder.bytes_written() as u64;
        self.encoder = Some(encoder);
        self.stats = stats;
        Ok(bytes)
    }

    fn cannot_encode(&self) -> String {
        format!("cannot encode rows for {}", self.shape.place.shown(&self.folder))
    }
}

/// The part that works the CPU.
fn encode(
    shape: &Shape,
    encoder: Option<Encoder>,
    rows: &[RecordBatch],
    end: Option<u64>,
) -> Result<(Encoder, Bytes, Option<String>), ParquetError> {
    let mut encoder = match encoder {
        Some(encoder) => encoder,
        None => {
            let (schema, properties) = (Arc::clone(&shape.plan.file), shape.plan.properties.clone());
            Box::new(ArrowWriter::try_new(Vec::new(), schema, Some(properties))?)
        }
    };
    if !rows.is_empty() {
        write_row_group(&mut encoder, &shape.plan, rows)?;
        encoder.flush()?;
    }
    let mut stats = None;
    if let Some(epoch) = end {
        encoder.append_key_value_metadata(KeyValue::new("watershed.epoch".to_owned(), epoch.to_string()));
        let metadata = encoder.finish()?;
        if shape.stats {
            stats = Some(delta::stats::of_file(&shape.plan.file, &metadata)?);
        }
    }
    let bytes = std::mem::take(encoder.inner_mut());
    Ok((encoder, Bytes::from(bytes), stats))
}

/// Writes `rows` in order; nulls last, as the file's metadata says. Only the columns to sort by are put together, the rest
/// is gathered piece by piece: so a row group takes its memory once, not three times.
fn write_row_group(encoder: &mut Encoder, plan: &Plan, rows: &[RecordBatch]) -> Result<(), ParquetError> {
    if plan.sort.is_empty() {
        return rows.iter().try_for_each(|batch| encoder.write(batch));
    }
    let order = order(plan, rows)?;
    let starts: Vec<usize> = rows
        .iter()
        .scan(0, |next, batch| {
            let start = *next;
            *next += batch.num_rows();
            Some(start)
        })
        .collect();
    let place = |row: &u32| {
        let row = *row as usize;
        let batch = starts.partition_point(|start| *start <= row) - 1;
        (batch, row - starts[batch])
    };
    let batches: Vec<&RecordBatch> = rows.iter().collect();
    for piece in order.values().chunks(PIECE_ROWS) {
        let places: Vec<_> = piece.iter().map(place).collect();
        encoder.write(&interleave_record_batch(&batches, &places)?)?;
    }
    Ok(())
}

/// The order of rows, counted over all batches.
fn order(plan: &Plan, rows: &[RecordBatch]) -> Result<UInt32Array, ArrowError> {
    let options = Some(SortOptions { descending: false, nulls_first: false });
    let by = |place: &usize| {
        let pieces: Vec<&dyn Array> = rows.iter().map(|batch| &**batch.column(*place)).collect();
        Ok(SortColumn { values: concat(&pieces)?, options })
    };
    let by = plan.sort.iter().map(by).collect::<Result<Vec<_>, ArrowError>>()?;
    lexsort_to_indices(&by, None)
}

/// Memory that the rows of a batch take, not the buffers that a slice shares with others.
fn memory_size(rows: &RecordBatch) -> usize {
    let column = |column: &Arc<dyn Array>| {
        let values = column.to_data().get_slice_memory_size();
        values.unwrap_or_else(|_| column.get_array_memory_size()) + ARRAY_OVERHEAD
    };
    rows.columns().iter().map(column).sum()
}
