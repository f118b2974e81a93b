//! What the log says of a file's columns: least and greatest values, and how many nulls, so that readers skip files.
//!
//! The one idea: the footer has it all, per row group. Arrow's own reader of those statistics gives arrays, of which the least
//! and the greatest are taken, and Arrow's JSON writes them: a type is spelled as it is in any other JSON of ours.
//!
//! Nested columns have none, and neither have binary ones: readers skip by the others.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StructArray};
use arrow::compute::{SortColumn, SortOptions, lexsort_to_indices, take};
use arrow::datatypes::{DataType, Field, Fields, Float32Type, Float64Type, Schema};
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

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
        if bounded && !is_nan(&mins) && !is_nan(&maxes) {
            least.push(field.name(), extreme(&mins, false)?);
            greatest.push(field.name(), extreme(&maxes, true)?);
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

/// Bounds of which one is not a number bound nothing.
fn is_nan(values: &ArrayRef) -> bool {
    match values.data_type() {
        DataType::Float32 => values.as_primitive::<Float32Type>().iter().flatten().any(f32::is_nan),
        DataType::Float64 => values.as_primitive::<Float64Type>().iter().flatten().any(f64::is_nan),
        _ => false,
    }
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
