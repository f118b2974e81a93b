//! What the log says of a file's columns: least and greatest values, and how many nulls, so that readers skip files.
//!
//! The one idea: the footer has it all, per row group. Arrow's own reader of those statistics gives arrays, of which the least
//! and the greatest are taken, and Arrow's JSON writes them: a type is spelled as it is in any other JSON of ours.
//!
//! Nested columns have none, and neither have binary ones and booleans: readers skip by the others.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StructArray};
use arrow::compute::{SortColumn, SortOptions, cast, lexsort_to_indices, take};
use arrow::datatypes::{DataType, Field, Fields, Int64Type, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// 0001-01-01 to 9999-12-31, in days since 1970.
const COMMON_DAYS: RangeInclusive<i64> = -719_162..=2_932_896;

/// Delta's statistics of a file whose columns are `schema`, as the log has them: a JSON object.
pub(crate) fn of_file(schema: &Schema, metadata: &ParquetMetaData) -> Result<String, ParquetError> {
    let (mut least, mut greatest, mut nulls) = (Columns::default(), Columns::default(), Columns::default());
    for field in schema.fields().iter().filter(|field| has_order(field.data_type())) {
        let converter = StatisticsConverter::try_new(field.name(), schema, metadata.file_metadata().schema_descr())?;
        let groups = metadata.row_groups();
        let (mins, maxes) = (converter.row_group_mins(groups)?, converter.row_group_maxes(groups)?);
        // Where a group has no bounds the file has none, unless all of the group is null.
        let counts = converter.row_group_null_counts(groups)?;
        let all_null = |group: usize| counts.is_valid(group) && counts.value(group) == groups[group].num_rows() as u64;
        let bounded = (0..groups.len()).all(|group| (mins.is_valid(group) && maxes.is_valid(group)) || all_null(group));
        if bounded && has_common_years(&mins)? && has_common_years(&maxes)? {
            least.push(field.name(), extreme(&mins, false)?);
            // Readers take not-a-number for the greatest of all, and Parquet leaves it out of its bounds.
            if !field.data_type().is_floating() {
                greatest.push(field.name(), extreme(&maxes, true)?);
            }
        }
        if counts.null_count() == 0 {
            let count = counts.iter().flatten().sum::<u64>();
            nulls.push(field.name(), Arc::new(Int64Array::from(vec![i64::try_from(count).unwrap_or(i64::MAX)])));
        }
    }
    let mut all = Columns::default();
    let rows = Int64Array::from(vec![metadata.file_metadata().num_rows()]);
    all.push("numRecords", Arc::new(rows));
    for (name, columns) in [("minValues", least), ("maxValues", greatest), ("nullCount", nulls)] {
        if !columns.0.is_empty() {
            all.push(name, Arc::new(columns.into_struct()?));
        }
    }
    json(&RecordBatch::from(all.into_struct()?)).map_err(ParquetError::from)
}

/// Values of one row.
#[derive(Default)]
struct Columns(Vec<(Field, ArrayRef)>);

impl Columns {
    fn push(&mut self, name: &str, value: ArrayRef) {
        self.0.push((Field::new(name, value.data_type().clone(), true), value));
    }

    fn into_struct(self) -> Result<StructArray, ArrowError> {
        let (fields, values): (Vec<Field>, Vec<ArrayRef>) = self.0.into_iter().unzip();
        StructArray::try_new(Fields::from(fields), values, None)
    }
}

/// True for columns whose bounds readers use.
fn has_order(kind: &DataType) -> bool {
    !kind.is_nested() && !matches!(kind, DataType::Binary | DataType::FixedSizeBinary(_) | DataType::Boolean)
}

/// True unless one is a time before the year 1 or after 9999, which not every reader can parse.
fn has_common_years(values: &ArrayRef) -> Result<bool, ArrowError> {
    let per_day = match values.data_type() {
        DataType::Date32 => 1,
        DataType::Timestamp(TimeUnit::Microsecond, _) => MICROS_PER_DAY,
        _ => return Ok(true),
    };
    let days = match values.data_type() {
        DataType::Date32 => cast(&cast(values, &DataType::Int32)?, &DataType::Int64)?,
        _ => cast(values, &DataType::Int64)?,
    };
    let days = days.as_primitive::<Int64Type>().iter().flatten().map(|value| value.div_euclid(per_day));
    Ok(days.into_iter().all(|day| COMMON_DAYS.contains(&day)))
}

/// The least of `values`, or the greatest; null if there is none.
fn extreme(values: &ArrayRef, greatest: bool) -> Result<ArrayRef, ArrowError> {
    let options = Some(SortOptions { descending: greatest, nulls_first: false });
    let first = lexsort_to_indices(&[SortColumn { values: Arc::clone(values), options }], Some(1))?;
    take(values, &first, None)
}

fn json(row: &RecordBatch) -> Result<String, ArrowError> {
    let builder = WriterBuilder::new().with_timestamp_tz_format("%Y-%m-%dT%H:%M:%S%.6fZ".to_owned());
    let mut writer: LineDelimitedWriter<Vec<u8>> = builder.build::<_, LineDelimited>(Vec::new());
    writer.write(row)?;
    writer.finish()?;
    let text = String::from_utf8(writer.into_inner()).map_err(|error| ArrowError::JsonError(error.to_string()))?;
    Ok(text.trim_end().to_owned())
}
