//! Rows of many files as one sequence, in order as far as each row group is.
//!
//! The one idea: every row group was sorted when it was written, so it is a run, and runs are merged by looking at the first row of
//! each. Whatever a run turns out to be, no row is lost and none comes twice: whoever writes the rows sorts them again, row
//! group by row group.
//!
//! | in memory | how much |
//! |---|---|
//! | the files, as they were read | their size: the caller's choice |
//! | of each row group, a page of each column, decoded | small files have small pages |
//! | the batch that each run is at | together [`ROWS_AT_A_TIME`] rows, or [`FEWEST_ROWS`] a run |

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow::array::{RecordBatch, new_null_array};
use arrow::compute::{SortOptions, interleave_record_batch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;

/// Rows that are decoded at a time, in all runs together.
const ROWS_AT_A_TIME: usize = 262_144;

/// Rows of one run that are decoded at a time, where there are very many.
const FEWEST_ROWS: usize = 64;

/// Rows of a batch that is given out.
const BATCH_ROWS: usize = 8_192;

/// A file in memory, of which the footer is read.
pub(super) struct Source {
    file: Bytes,
    metadata: ArrowReaderMetadata,
}

impl Source {
    pub(super) fn new(file: Bytes) -> Result<Self, ParquetError> {
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())?;
        Ok(Self { file, metadata })
    }

    pub(super) fn columns(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    pub(super) fn rows(&self) -> u64 {
        u64::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    fn row_groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }
}

/// Columns that hold every row of some files.
#[derive(Debug, Clone, Default)]
pub(super) struct Union(Vec<Arc<Field>>);

impl Union {
    /// Takes in the columns of one more file; false if they do not go together, and nothing is changed.
    pub(super) fn take(&mut self, columns: &Schema) -> bool {
        let known = |field: &Field| self.0.iter().find(|known| known.name() == field.name());
        let fits = |field: &Arc<Field>| known(field).is_none_or(|known| known.data_type() == field.data_type());
        if !columns.fields().iter().all(fits) {
            return false;
        }
        let new: Vec<_> = columns.fields().iter().filter(|field| known(field).is_none()).cloned().collect();
        self.0.extend(new.iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true))));
        true
    }

    /// In the order of `names`; columns that are not among them are last.
    pub(super) fn ordered(mut self, names: &[String]) -> SchemaRef {
        self.0.sort_by_key(|field| names.iter().position(|name| name == field.name()).unwrap_or(names.len()));
        Arc::new(Schema::new(self.0))
    }
}

/// The rows of some files, batch by batch.
pub(super) struct Merged {
    schema: SchemaRef,
    /// Places of the columns to sort by.
    sort: Vec<usize>,
    converter: Option<RowConverter>,
    runs: Vec<Run>,
    /// The next row of each run that has one, least first.
    next: BinaryHeap<Reverse<(OwnedRow, usize)>>,
    /// Batches that chosen rows are in.
    batches: Vec<RecordBatch>,
    /// By batch and row.
    chosen: Vec<(usize, usize)>,
}

/// One row group.
struct Run {
    reader: ParquetRecordBatchReader,
    rows: Option<Rows>,
    /// The row that is next.
    at: usize,
    /// The place of its batch among those of chosen rows.
    batch: usize,
}

impl Merged {
    /// The rows of `sources` with the columns of `schema`, by those of them that `sort` names.
    pub(super) fn new(sources: &[Source], schema: SchemaRef, sort: Vec<usize>) -> Result<Self, ArrowError> {
        let groups: usize = sources.iter().map(Source::row_groups).sum();
        let batch_rows = (ROWS_AT_A_TIME / groups.max(1)).clamp(FEWEST_ROWS, BATCH_ROWS);
        let mut runs = Vec::with_capacity(groups);
        for source in sources {
            for group in 0..source.row_groups() {
                let reader =
                    ParquetRecordBatchReaderBuilder::new_with_metadata(source.file.clone(), source.metadata.clone());
                let reader = reader.with_row_groups(vec![group]).with_batch_size(batch_rows).build()?;
                runs.push(Run { reader, rows: None, at: 0, batch: 0 });
            }
        }
        let options = SortOptions { descending: false, nulls_first: false };
        let by = |place: &usize| SortField::new_with_options(schema.field(*place).data_type().clone(), options);
        let converter = match sort.is_empty() {
            true => {
                // The last is taken first.
                runs.reverse();
                None
            }
            false => Some(RowConverter::new(sort.iter().map(by).collect())?),
        };
        let (batches, chosen) = (Vec::new(), Vec::new());
        let mut merged = Self { schema, sort, converter, runs, next: BinaryHeap::new(), batches, chosen };
        if merged.converter.is_some() {
            for run in 0..merged.runs.len() {
                merged.advance(run)?;
            }
        }
        Ok(merged)
    }

    /// The next batch; none behind the last.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        if self.converter.is_none() {
            return self.next_unsorted();
        }
        while self.chosen.len() < BATCH_ROWS {
            let Some(Reverse((_, run))) = self.next.pop() else { break };
            self.choose(run)?;
        }
        if self.chosen.is_empty() {
            return Ok(None);
        }
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let rows = interleave_record_batch(&batches, &self.chosen)?;
        self.forget();
        Ok(Some(rows))
    }

    /// Without an order, one run after the other.
    fn next_unsorted(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        // The last one, so that it can be dropped when it is empty.
        while let Some(run) = self.runs.last_mut() {
            match run.reader.next().transpose()? {
                Some(batch) => return fit(&batch, &self.schema).map(Some),
                None => drop(self.runs.pop()),
            }
        }
        Ok(None)
    }

    /// Takes rows of `run`, as long as none of another comes before them.
    fn choose(&mut self, run: usize) -> Result<(), ArrowError> {
        let least = self.next.peek().map(|Reverse((row, _))| row.row());
        let Run { rows, at, batch, .. } = &mut self.runs[run];
        let Some(rows) = rows else { return Ok(()) };
        // The first is the least of all; that is why this run was taken.
        loop {
            self.chosen.push((*batch, *at));
            *at += 1;
            let goes_on = *at < rows.num_rows() && self.chosen.len() < BATCH_ROWS;
            if !goes_on || least.as_ref().is_some_and(|least| rows.row(*at) > *least) {
                break;
            }
        }
        self.advance(run)
    }

    /// Puts the next row of a run among those to choose from.
    fn advance(&mut self, run: usize) -> Result<(), ArrowError> {
        loop {
            let Run { reader, rows, at, batch } = &mut self.runs[run];
            if let Some(rows) = rows.as_ref().filter(|rows| *at < rows.num_rows()) {
                self.next.push(Reverse((rows.row(*at).owned(), run)));
                return Ok(());
            }
            let Some(read) = reader.next().transpose()? else {
                *rows = None;
                return Ok(());
            };
            let read = fit(&read, &self.schema)?;
            let by: Vec<_> = self.sort.iter().map(|place| Arc::clone(read.column(*place))).collect();
            let Some(converter) = &self.converter else { return Ok(()) };
            (*rows, *at, *batch) = (Some(converter.convert_columns(&by)?), 0, self.batches.len());
            self.batches.push(read);
        }
    }

    /// Lets go of the batches that have been given out whole.
    fn forget(&mut self) {
        self.chosen.clear();
        let mut kept = Vec::with_capacity(self.runs.len());
        for run in self.runs.iter_mut().filter(|run| run.rows.is_some()) {
            kept.push(self.batches[run.batch].clone());
            run.batch = kept.len() - 1;
        }
        self.batches = kept;
    }
}

/// `batch` with the columns of `schema`, null where it has none.
fn fit(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let column = |field: &Arc<Field>| match batch.column_by_name(field.name()) {
        Some(column) => Arc::clone(column),
        None => new_null_array(field.data_type(), batch.num_rows()),
    };
    RecordBatch::try_new(Arc::clone(schema), schema.fields().iter().map(column).collect())
}
