//! One file that is being written: rows wait in a buffer, then go out as sorted row groups.
//!
//! The one idea: encoding is CPU work and sending is I/O, so each row group is encoded on a blocking thread and its bytes
//! are handed to the upload from here.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use bytes::Bytes;
use parquet::errors::ParquetError;

use super::cursor::{Came, Moment, RowPlace};
use super::encode::Encoder;
use super::place::{Claim, FileWriter, Place, Written};
use super::plan::Plan;
use crate::delta;
use crate::error::SinkError;

/// Rows that are so few in a batch that the arrays around them may take more than the values.
const FEW_ROWS: usize = 1024;

/// So many batches of few rows become one. Where rows go to thousands of partitions, each gets a row or two at a time.
const PUT_TOGETHER: usize = 16;

/// What an array costs in memory beside its values: the array, its buffers' headers, its share of the batch.
const ARRAY_OVERHEAD: usize = 256;

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
    encoder: Option<Box<Encoder>>,
    buffer: Vec<RecordBatch>,
    buffered_bytes: usize,
    rows: u64,
    encoded_bytes: u64,
    stats: Option<String>,
    /// How many batches at the end of the buffer have few rows.
    small: usize,
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
            small: 0,
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
        self.small = if rows.num_rows() < FEW_ROWS { self.small + 1 } else { 0 };
        self.buffer.push(rows);
        if self.small == PUT_TOGETHER {
            self.put_together();
        }
    }

    /// Makes one batch of the small ones at the end.
    fn put_together(&mut self) {
        let small = self.buffer.split_off(self.buffer.len() - self.small);
        // Fails for text beyond what offsets reach, which few rows do not hold; then they stay as they are.
        let Ok(one) = arrow::compute::concat_batches(small[0].schema_ref(), &small) else {
            self.buffer.extend(small);
            self.small = 0;
            return;
        };
        let before: usize = small.iter().map(memory_size).sum();
        self.buffered_bytes = self.buffered_bytes.saturating_sub(before) + memory_size(&one);
        self.small = usize::from(one.num_rows() < FEW_ROWS);
        self.buffer.push(one);
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
        self.small = 0;
        self.buffered_bytes = 0;
        let encoder = self.encoder.take();
        let shape = Arc::clone(&self.shape);
        let work = tokio::task::spawn_blocking(move || encode(&shape, encoder, &rows, end));
        let (encoder, bytes, stats) = match work.await {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => return Err(SinkError::fatal(self.cannot_encode(), error)),
            Err(error) => return Err(SinkError::fatal(self.cannot_encode(), error)),
        };
        self.encoded_bytes = encoder.bytes_written();
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
    encoder: Option<Box<Encoder>>,
    rows: &[RecordBatch],
    end: Option<u64>,
) -> Result<(Box<Encoder>, Bytes, Option<String>), ParquetError> {
    let mut encoder = match encoder {
        Some(encoder) => encoder,
        None => Box::new(Encoder::new(&shape.plan)?),
    };
    if !rows.is_empty() {
        encoder.write_row_group(&shape.plan, rows)?;
    }
    let mut stats = None;
    if let Some(epoch) = end {
        let metadata = encoder.finish(epoch)?;
        if shape.stats {
            stats = Some(delta::stats::of_file(&shape.plan.file, &metadata)?);
        }
    }
    let bytes = encoder.take_bytes();
    Ok((encoder, bytes, stats))
}

/// Memory that the rows of a batch take, not the buffers that a slice shares with others.
fn memory_size(rows: &RecordBatch) -> usize {
    let column = |column: &Arc<dyn Array>| {
        let values = column.to_data().get_slice_memory_size();
        values.unwrap_or_else(|_| column.get_array_memory_size()) + ARRAY_OVERHEAD
    };
    rows.columns().iter().map(column).sum()
}
