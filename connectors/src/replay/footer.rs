//! The end of a Parquet file, which says what is in it: row groups, their times, and how to read one of them.

use std::fs::File;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type;
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;

use super::folders::FolderColumn;
use super::time::{Bound, EventTime};
use crate::error::SourceError;
use crate::file::open_file;

/// What of a file is asked for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// All columns if none.
    pub(super) columns: Option<Vec<String>>,
    pub(super) event_time: Option<EventTime>,
    /// Event times, in microseconds.
    pub(super) range: Option<Range<i64>>,
}

impl Wanted {
    fn column(&self, name: &str) -> bool {
        self.columns.as_ref().is_none_or(|columns| columns.iter().any(|column| column == name))
    }

    fn group(&self, group: &Group) -> bool {
        let inside = |range: &Range<i64>| {
            group.latest.is_none_or(|latest| latest >= range.start)
                && group.earliest.is_none_or(|earliest| earliest < range.end)
        };
        group.rows > 0 && self.range.as_ref().is_none_or(inside)
    }
}

/// A row group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) rows: usize,
    /// Rows of the file before it.
    pub(super) first: u64,
    /// False if nothing in it is asked for.
    pub(super) wanted: bool,
    earliest: Option<i64>,
    latest: Option<i64>,
}

/// A Parquet file, opened.
pub(super) struct Footer {
    path: String,
    file: File,
    metadata: ArrowReaderMetadata,
    mask: ProjectionMask,
    pub(super) groups: Vec<Group>,
    /// Columns that are not in the file but in its path.
    pub(super) folders: Vec<FolderColumn>,
}

impl Footer {
    pub(super) fn open(path: &str, wanted: &Wanted) -> Result<Self, SourceError> {
        let (file, _) = open_file(path)?;
        let metadata = guarded(path, || load(&file))?;
        let descriptor = metadata.parquet_schema();
        let fields = descriptor.root_schema().get_fields();
        let roots = (0..fields.len()).filter(|&root| wanted.column(fields[root].name()));
        let mask = ProjectionMask::roots(descriptor, roots);
        let lacking = |name: &str| fields.iter().all(|field| field.name() != name);
        let mut folders = FolderColumn::all(path);
        folders.retain(|column| wanted.column(&column.name) && lacking(&column.name));
        let groups = guarded(path, || groups(&metadata, wanted))?;
        Ok(Self { path: path.to_owned(), file, metadata, mask, groups, folders })
    }

    /// True if there is anything to read in it.
    pub(super) fn is_wanted(&self) -> bool {
        self.groups.iter().any(|group| group.wanted)
    }

    /// No row of row group `from` and those behind it has an event time before this; none if there is no telling.
    pub(super) fn earliest_from(&self, from: usize) -> Option<i64> {
        let mut left = self.groups[from..].iter().filter(|group| group.wanted);
        left.try_fold(i64::MAX, |least, group| group.earliest.map(|earliest| least.min(earliest)))
    }

    /// Reads row group `group` from row `row` on, in batches of about `bytes`.
    pub(super) fn read(&self, group: usize, row: usize, bytes: usize) -> Result<ParquetRecordBatchReader, SourceError> {
        let file =
            self.file.try_clone().map_err(|e| SourceError::retry(format!("cannot open {} again", self.path), e))?;
        guarded(&self.path, || {
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
                .with_row_groups(vec![group])
                .with_projection(self.mask.clone())
                .with_offset(row)
                .with_batch_size(self.rows_in(group, bytes))
                .build()
        })
    }

    /// How many rows of a row group take `bytes` of memory, about.
    fn rows_in(&self, group: usize, bytes: usize) -> usize {
        /// A batch costs something, but not more than is little beside this many rows.
        const MOST: usize = 1 << 16;
        let metadata = self.metadata.metadata().row_group(group);
        let columns = metadata.columns().iter().enumerate().filter(|(leaf, _)| self.mask.leaf_included(*leaf));
        let taken: i64 = columns
            .map(|(_, column)| match column.column_type() {
                Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY => {
                    let text = column.unencoded_byte_array_data_bytes().unwrap_or(column.uncompressed_size());
                    text.saturating_add(column.num_values().saturating_mul(16))
                }
                _ => column.num_values().saturating_mul(8),
            })
            .fold(0, i64::saturating_add);
        let row = usize::try_from(taken).unwrap_or(0) / self.groups[group].rows.max(1);
        (bytes / row.max(1)).clamp(1, MOST)
    }
}

/// A file that is not what it says. It names the file.
pub(super) fn damaged(path: &str, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SourceError {
    SourceError::fatal(format!("{path} cannot be read as Parquet"), cause)
}

/// Does what may fail over the bytes of a file. The Parquet library panics on some that no writer would have written;
/// for whoever reads on that is a damaged file like any other.
pub(super) fn guarded<T, E>(path: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, SourceError>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(outcome) => outcome.map_err(|e| damaged(path, e)),
        Err(_) => Err(damaged(path, "its bytes make no sense")),
    }
}

fn load(file: &File) -> Result<ArrowReaderMetadata, ParquetError> {
    // What a writer noted about Arrow would only bring types that have to be cast again.
    let plain = || ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let metadata = ArrowReaderMetadata::load(file, plain())?;
    // Views of text need no copy.
    let viewed = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
        DataType::Binary => Arc::new(field.as_ref().clone().with_data_type(DataType::BinaryView)),
        _ => field.clone(),
    };
    let fields: Vec<_> = metadata.schema().fields().iter().map(viewed).collect();
    ArrowReaderMetadata::try_new(metadata.metadata().clone(), plain().with_schema(Arc::new(Schema::new(fields))))
}

fn groups(metadata: &ArrowReaderMetadata, wanted: &Wanted) -> Result<Vec<Group>, ParquetError> {
    let stored = metadata.metadata().row_groups();
    let times = wanted.event_time.as_ref().and_then(|time| times(metadata, stored, time));
    let mut times = times.unwrap_or_else(|| vec![(None, None); stored.len()]).into_iter();
    let mut first = 0;
    let mut groups = Vec::with_capacity(stored.len());
    for (number, group) in stored.iter().enumerate() {
        let rows = group.num_rows();
        let broken = || ParquetError::General(format!("row group {number} says that it holds {rows} rows"));
        let rows = usize::try_from(rows).map_err(|_| broken())?;
        let (earliest, latest) = times.next().unwrap_or_default();
        let mut group = Group { rows, first, wanted: false, earliest, latest };
        group.wanted = wanted.group(&group);
        groups.push(group);
        first = first.checked_add(rows as u64).ok_or_else(broken)?;
    }
    Ok(groups)
}

/// The earliest and the latest event time of each row group, as far as statistics tell.
fn times(
    metadata: &ArrowReaderMetadata,
    groups: &[RowGroupMetaData],
    time: &EventTime,
) -> Option<Vec<(Option<i64>, Option<i64>)>> {
    let converter = StatisticsConverter::try_new(&time.column, metadata.schema(), metadata.parquet_schema()).ok()?;
    let mins = time.bounds(&converter.row_group_mins(groups).ok()?, Bound::Lower);
    let maxes = time.bounds(&converter.row_group_maxes(groups).ok()?, Bound::Upper);
    Some(mins.into_iter().zip(maxes).collect())
}
