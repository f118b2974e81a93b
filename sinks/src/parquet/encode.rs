//! From rows to the bytes of a file, row group by row group.
//!
//! A row group of a file that is not finished is made as a file of its own, so that it can be kept and put into another file
//! after a crash.
//!
//! The one idea: the columns of a row group have nothing to do with each other once the order of the rows is known. So each is
//! gathered and encoded alone, by as many threads as there are cores, and its memory is free again before the next.

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array, new_empty_array};
use arrow::compute::{SortColumn, SortOptions, concat, lexsort_to_indices, take};
use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriter, compute_leaves,
};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::serialized_reader::ReadOptionsBuilder;
use parquet::file::writer::SerializedFileWriter;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::plan::Plan;

/// Fewer rows than this are encoded before a second thread has begun.
const WORTH_A_THREAD: usize = 65_536;

/// So many rows of a column are put in order at a time: what they take stays in a core's cache until it is encoded.
const PIECE_ROWS: usize = 8_192;

/// A file in the making.
#[derive(Debug)]
pub(super) struct Encoder {
    file: SerializedFileWriter<Vec<u8>>,
    columns: ArrowRowGroupWriterFactory,
    row_groups: usize,
}

impl Encoder {
    pub(super) fn new(plan: &Plan) -> Result<Self, ParquetError> {
        let writer = ArrowWriter::try_new(Vec::new(), SchemaRef::clone(&plan.file), Some(plan.properties.clone()))?;
        let (file, columns) = writer.into_serialized_writer()?;
        Ok(Self { file, columns, row_groups: 0 })
    }

    /// Bytes of the file so far.
    pub(super) fn bytes_written(&self) -> u64 {
        self.file.bytes_written() as u64
    }

    /// The bytes that were written since the last call.
    pub(super) fn take_bytes(&mut self) -> Bytes {
        Bytes::from(std::mem::take(self.file.inner_mut()))
    }

    /// Writes `rows` as one row group, in the order of `plan`; nulls last, as the file's metadata says.
    pub(super) fn write_row_group(&mut self, plan: &Plan, rows: &[RecordBatch]) -> Result<(), ParquetError> {
        let order = if plan.sort.is_empty() { None } else { Some(order(plan, rows)?) };
        let count: usize = rows.iter().map(RecordBatch::num_rows).sum();
        let fields = plan.file.fields();
        let mut writers = self.columns.create_column_writers(self.row_groups)?.into_iter();
        let mut columns = Vec::with_capacity(fields.len());
        for (place, field) in fields.iter().enumerate() {
            let leaves = compute_leaves(field, &new_empty_array(field.data_type()))?.len();
            columns.push((place, writers.by_ref().take(leaves).collect()));
        }
        let encode = |(place, writers)| encode(&fields[place], place, writers, rows, order.as_ref());
        let encoded: Vec<Vec<ArrowColumnChunk>> = match count < WORTH_A_THREAD {
            true => columns.into_iter().map(encode).collect::<Result<_, ParquetError>>(),
            false => columns.into_par_iter().map(encode).collect(),
        }?;
        let mut row_group = self.file.next_row_group()?;
        for chunk in encoded.into_iter().flatten() {
            chunk.append_to_row_group(&mut row_group)?;
        }
        row_group.close()?;
        self.row_groups += 1;
        Ok(())
    }

    /// Writes the row groups of `file`, which has the same columns, as they are.
    pub(super) fn append(&mut self, file: &Bytes) -> Result<(), ParquetError> {
        let blooms = ReaderProperties::builder().set_read_bloom_filter(true).build();
        let options = ReadOptionsBuilder::new().with_page_index().with_reader_properties(blooms).build();
        let reader = SerializedFileReader::new_with_options(file.clone(), options)?;
        let metadata = reader.metadata();
        for (number, group) in metadata.row_groups().iter().enumerate() {
            let from = reader.get_row_group(number)?;
            let mut row_group = self.file.next_row_group()?;
            for (place, column) in group.columns().iter().enumerate() {
                let closed = ColumnCloseResult {
                    bytes_written: u64::try_from(column.compressed_size()).unwrap_or(0),
                    rows_written: u64::try_from(group.num_rows()).unwrap_or(0),
                    metadata: column.clone(),
                    bloom_filter: from.get_column_bloom_filter(place).cloned(),
                    column_index: metadata.column_index().map(|index| index[number][place].clone()),
                    offset_index: metadata.offset_index().map(|index| index[number][place].clone()),
                };
                row_group.append_column(file, closed)?;
            }
            row_group.close()?;
            self.row_groups += 1;
        }
        Ok(())
    }

    /// Ends the file. `epoch` goes into its metadata.
    pub(super) fn finish(&mut self, epoch: u64) -> Result<ParquetMetaData, ParquetError> {
        self.file.append_key_value_metadata(KeyValue::new("watershed.epoch".to_owned(), epoch.to_string()));
        self.file.finish()
    }
}

/// A file that has `rows` as its one row group, and is for [`Encoder::append`].
pub(super) fn row_group(plan: &Plan, rows: &[RecordBatch]) -> Result<Bytes, ParquetError> {
    let mut alone = Encoder::new(plan)?;
    alone.write_row_group(plan, rows)?;
    alone.file.finish()?;
    Ok(alone.take_bytes())
}

/// Encodes one column, in order if there is one.
fn encode(
    field: &FieldRef,
    place: usize,
    mut writers: Vec<ArrowColumnWriter>,
    rows: &[RecordBatch],
    order: Option<&UInt32Array>,
) -> Result<Vec<ArrowColumnChunk>, ParquetError> {
    let mut write = |array: &ArrayRef| {
        let leaves = compute_leaves(field, array)?;
        writers.iter_mut().zip(&leaves).try_for_each(|(writer, leaf)| writer.write(leaf))
    };
    match order {
        Some(order) => {
            let whole = concat(&column(rows, place))?;
            for first in (0..order.len()).step_by(PIECE_ROWS) {
                let piece = order.slice(first, PIECE_ROWS.min(order.len() - first));
                write(&take(&whole, &piece, None)?)?;
            }
        }
        None => rows.iter().try_for_each(|batch| write(batch.column(place)))?,
    }
    writers.into_iter().map(ArrowColumnWriter::close).collect()
}

/// A column of all batches.
fn column(rows: &[RecordBatch], place: usize) -> Vec<&dyn Array> {
    rows.iter().map(|batch| &**batch.column(place)).collect()
}

/// The numbers of the rows of all batches, in order.
fn order(plan: &Plan, rows: &[RecordBatch]) -> Result<UInt32Array, ArrowError> {
    let options = Some(SortOptions { descending: false, nulls_first: false });
    let by = |place: &usize| Ok(SortColumn { values: concat(&column(rows, *place))?, options });
    let by = plan.sort.iter().map(by).collect::<Result<Vec<_>, ArrowError>>()?;
    lexsort_to_indices(&by, None)
}
