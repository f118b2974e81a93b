//! One file that is being written: rows wait in a buffer, then go out as sorted row groups.
//!
//! The one idea: encoding is CPU work and sending is I/O, so each row group is encoded on a blocking thread and its bytes
//! are handed to the upload from here.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use bytes::Bytes;
use parquet::errors::ParquetError;

use super::cursor::{Came, Moment, RowPlace};
use super::encode::{self, Encoder};
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
    /// The place of the first row in the buffer.
    waits_from: Option<RowPlace>,
    /// Numbers of the row groups that are encoded.
    groups: Vec<u64>,
    /// The bytes of those that nobody has taken to keep.
    fresh: Vec<(u64, Bytes)>,
    encoded_bytes: u64,
    /// How many batches at the end of the buffer have few rows.
    small: usize,
    first_row: Moment,
    last_row: Moment,
    /// Counts up over the sink's files: which was used last.
    pub(super) used: u64,
    /// What of rows had come to the sink, in bytes, when the first came that waits in the buffer.
    pub(super) waits_since: u64,
}

impl OpenFile {
    /// A file whose rows came or will have come by `came`.
    pub(super) fn new(shape: &Arc<Shape>, claim: Claim, came: Came) -> Result<Self, SinkError> {
        Ok(Self {
            folder: claim.folder.clone(),
            writer: shape.place.begin(claim)?,
            shape: Arc::clone(shape),
            encoder: None,
            buffer: Vec::new(),
            buffered_bytes: 0,
            waits_from: None,
            groups: Vec::new(),
            fresh: Vec::new(),
            encoded_bytes: 0,
            small: 0,
            first_row: came.first,
            last_row: came.last,
            used: 0,
            waits_since: 0,
        })
    }

    /// Takes rows up to a full row group, and gives back what is left over; `begin` is the place of the first.
    pub(super) fn push(&mut self, rows: RecordBatch, begin: RowPlace, came: Moment) -> Option<RecordBatch> {
        self.waits_from.get_or_insert(begin);
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

    /// The place of the first row that is not encoded.
    pub(super) fn waits_from(&self) -> Option<RowPlace> {
        self.waits_from
    }

    /// Numbers of its row groups, in their order.
    pub(super) fn groups(&self) -> &[u64] {
        &self.groups
    }

    /// The row groups that were encoded since the last call.
    pub(super) fn take_fresh(&mut self) -> Vec<(u64, Bytes)> {
        std::mem::take(&mut self.fresh)
    }

    pub(super) fn first_row(&self) -> Moment {
        self.first_row
    }

    pub(super) fn last_row(&self) -> Moment {
        self.last_row
    }

    /// Encodes what waits, and sends it. Nothing is kept, so only who begins anew after a crash can do with that.
    pub(super) async fn flush_unkept(&mut self) -> Result<(), SinkError> {
        let rows = self.take_buffer();
        let (bytes, ()) = self.encode(move |encoder, shape| encoder.write_row_group(&shape.plan, &rows)).await?;
        self.writer.put(bytes).await
    }

    /// Encodes what waits as row group `number`, and sends it.
    pub(super) async fn flush(&mut self, number: u64) -> Result<(), SinkError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let rows = self.take_buffer();
        let encode = move |encoder: &mut Encoder, shape: &Shape| {
            let group = encode::row_group(&shape.plan, &rows)?;
            encoder.append(&group)?;
            Ok(group)
        };
        let (bytes, group) = self.encode(encode).await?;
        self.groups.push(number);
        self.fresh.push((number, group));
        self.writer.put(bytes).await
    }

    /// Takes a row group of a file that a dead process had begun, and sends it.
    pub(super) async fn resume(&mut self, number: u64, group: Bytes) -> Result<(), SinkError> {
        let (bytes, ()) = self.encode(move |encoder, _| encoder.append(&group)).await?;
        self.groups.push(number);
        self.writer.put(bytes).await
    }

    /// Ends the file. `epoch` goes into its metadata.
    pub(super) async fn finish(mut self, epoch: u64) -> Result<Finished, SinkError> {
        let rows = self.take_buffer();
        let end = move |encoder: &mut Encoder, shape: &Shape| {
            if !rows.is_empty() {
                encoder.write_row_group(&shape.plan, &rows)?;
            }
            let metadata = encoder.finish(epoch)?;
            let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
            let stats = shape.stats.then(|| delta::stats::of_file(&shape.plan.file, &metadata)).transpose()?;
            Ok((rows, stats))
        };
        let (bytes, (rows, stats)) = self.encode(end).await?;
        self.writer.put(bytes).await?;
        let written = self.writer.finish(epoch).await?;
        Ok(Finished { folder: self.folder, written, rows, bytes: self.encoded_bytes, stats })
    }

    fn take_buffer(&mut self) -> Vec<RecordBatch> {
        self.small = 0;
        self.buffered_bytes = 0;
        self.waits_from = None;
        std::mem::take(&mut self.buffer)
    }

    /// Has `more` put something into the file, on a thread where nothing else waits. Gives the bytes to send, and what it gives.
    async fn encode<T: Send + 'static>(
        &mut self,
        more: impl FnOnce(&mut Encoder, &Shape) -> Result<T, ParquetError> + Send + 'static,
    ) -> Result<(Bytes, T), SinkError> {
        let encoder = self.encoder.take();
        let shape = Arc::clone(&self.shape);
        let work = tokio::task::spawn_blocking(move || {
            let mut encoder = match encoder {
                Some(encoder) => encoder,
                None => Box::new(Encoder::new(&shape.plan)?),
            };
            let given = more(&mut encoder, &shape)?;
            let bytes = encoder.take_bytes();
            Ok::<_, ParquetError>((encoder, bytes, given))
        });
        let failed = || format!("cannot encode rows for {}", self.shape.place.shown(&self.folder));
        let (encoder, bytes, given) = match work.await {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => return Err(SinkError::fatal(failed(), error)),
            Err(error) => return Err(SinkError::fatal(failed(), error)),
        };
        self.encoded_bytes = encoder.bytes_written();
        self.encoder = Some(encoder);
        Ok((bytes, given))
    }
}

/// Memory that the rows of a batch take, not the buffers that a slice shares with others.
fn memory_size(rows: &RecordBatch) -> usize {
    let column = |column: &Arc<dyn Array>| {
        let values = column.to_data().get_slice_memory_size();
        values.unwrap_or_else(|_| column.get_array_memory_size()) + ARRAY_OVERHEAD
    };
    rows.columns().iter().map(column).sum()
}
