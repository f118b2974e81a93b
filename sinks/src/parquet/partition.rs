//! Splits a batch by the folders its rows belong to.
//!
//! The one idea: rows of one window lie in one partition, so look for runs of equal keys first, and at single rows only
//! if there is more than one run.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::compute::{partition, take_record_batch};
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::row::{Row, RowConverter, SortField};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::NaiveDate;

use super::names;
use super::plan::{Level, Plan};
use crate::error::SinkError;
use crate::types::cast_exactly;

const MICROS_PER_HOUR: i64 = 3_600_000_000;

/// Rows of one folder, in the columns of the file.
pub(super) type Portion = (String, RecordBatch);

/// Splits `batch`, which has the columns of the plan.
pub(super) fn split(batch: &RecordBatch, plan: &Plan, region: &str) -> Result<Vec<Portion>, SinkError> {
    if batch.num_rows() == 0 {
        return Ok(Vec::new());
    }
    let broken = |error: ArrowError| SinkError::fatal("parquet sink: cannot split rows by partition", error);
    let hours = plan.time.map(|time| hours(batch.column(time)));
    let rows = batch.project(&plan.file_columns).map_err(broken)?;
    let keys = keys(batch, plan, hours.as_ref());
    let folder = |row| folder(batch, plan, region, hours.as_ref(), row);
    let runs = if keys.is_empty() { Vec::new() } else { partition(&keys).map_err(broken)?.ranges() };
    if runs.len() <= 1 {
        return Ok(vec![(folder(0)?, rows)]);
    }
    let groups = group(&keys, runs).map_err(broken)?;
    let mut portions = Vec::with_capacity(groups.len());
    for runs in groups {
        let places: UInt32Array = runs.iter().flat_map(|run| run.start as u32..run.end as u32).collect();
        portions.push((folder(runs[0].start)?, take_record_batch(&rows, &places).map_err(broken)?));
    }
    Ok(portions)
}

/// Hours since the epoch. Floor division: the hour before 1970 is -1, not 0.
fn hours(time: &ArrayRef) -> Int64Array {
    time.as_primitive::<TimestampMicrosecondType>().unary::<_, Int64Type>(|micros| micros.div_euclid(MICROS_PER_HOUR))
}

/// Columns that are equal where the folder is. (Not the other way round: two days may share a folder `hour=07`.)
fn keys(batch: &RecordBatch, plan: &Plan, hours: Option<&Int64Array>) -> Vec<ArrayRef> {
    let mut keys = Vec::new();
    match hours {
        Some(hours) if plan.levels.contains(&Level::Hour) => keys.push(Arc::new(hours.clone()) as ArrayRef),
        Some(hours) => keys.push(Arc::new(hours.unary::<_, Int64Type>(|hour| hour.div_euclid(24)))),
        None => {}
    }
    for level in &plan.levels {
        if let Level::Column(column) = level {
            keys.push(Arc::clone(batch.column(*column)));
        }
    }
    keys
}

/// Runs with equal keys, together; groups in the order of their first row.
fn group(keys: &[ArrayRef], runs: Vec<Range<usize>>) -> Result<Vec<Vec<Range<usize>>>, ArrowError> {
    let fields = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
    let rows = RowConverter::new(fields)?.convert_columns(keys)?;
    let mut places: HashMap<Row<'_>, usize> = HashMap::new();
    let mut groups: Vec<Vec<Range<usize>>> = Vec::new();
    for run in runs {
        let place = *places.entry(rows.row(run.start)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(run),
            None => groups.push(vec![run]),
        }
    }
    Ok(groups)
}

/// The folder of one row, relative to the sink's root; empty without levels.
fn folder(
    batch: &RecordBatch,
    plan: &Plan,
    region: &str,
    hours: Option<&Int64Array>,
    row: usize,
) -> Result<String, SinkError> {
    let hour = hours.filter(|hours| hours.is_valid(row)).map(|hours| hours.value(row));
    let mut folder = String::new();
    for level in &plan.levels {
        let name = match level {
            Level::Region => names::partition("region", Some(region)),
            Level::Date => names::partition("date", hour.and_then(date).as_deref()),
            // A time too far away to have a date has no hour either.
            Level::Hour => {
                let of_day =
                    hour.filter(|hour| date(*hour).is_some()).map(|hour| format!("{:02}", hour.rem_euclid(24)));
                names::partition("hour", of_day.as_deref())
            }
            Level::Column(column) => column_level(batch, *column, row)?,
        };
        if !folder.is_empty() {
            folder.push('/');
        }
        folder.push_str(&name);
    }
    Ok(folder)
}

/// The date of an hour since the epoch, `2026-03-01`; none beyond the years that calendars are computed for (±262,000).
fn date(hour: i64) -> Option<String> {
    let day = i32::try_from(hour.div_euclid(24)).ok()?;
    NaiveDate::from_epoch_days(day).map(|date| date.format("%Y-%m-%d").to_string())
}

fn column_level(batch: &RecordBatch, column: usize, row: usize) -> Result<String, SinkError> {
    let schema = batch.schema();
    let field = schema.field(column);
    let value = value(batch.column(column), row).map_err(|error| {
        SinkError::fatal(format!("parquet sink: cannot name a folder after column {:?}", field.name()), error)
    })?;
    let name = names::partition(field.name(), value.as_deref());
    if name.len() > names::LONGEST_NAME {
        return Err(SinkError::config(format!(
            "partition_by: column {:?} holds a value whose folder name has {} bytes, and file systems end at {}; shorten it \
             in the SQL, such as left({}, 50), or do not partition by it",
            field.name(),
            name.len(),
            names::LONGEST_NAME,
            field.name(),
        )));
    }
    Ok(name)
}

/// The value as hive writes it; none for null.
fn value(column: &ArrayRef, row: usize) -> Result<Option<String>, ArrowError> {
    if column.is_null(row) {
        return Ok(None);
    }
    let column = column.slice(row, 1);
    let column = match column.data_type() {
        // Formatting with a zone needs a table of zones; these are in UTC anyway.
        DataType::Timestamp(..) => cast_exactly(&column, &DataType::Timestamp(TimeUnit::Microsecond, None))?,
        _ => column,
    };
    let format = FormatOptions::new().with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"));
    ArrayFormatter::try_new(&column, &format)?.value(0).try_to_string().map(Some)
}
