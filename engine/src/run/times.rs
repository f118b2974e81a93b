//! Event times of decoded rows, and which of them cannot be used.

use arrow::array::{Array, ArrayRef};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::common::Result as DataFusionResult;
use datafusion::common::cast::{as_date32_array, as_primitive_array};

/// Record behind each good row.
pub(super) fn good_records(records: usize, bad: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut bad = bad.peekable();
    (0..records).filter(|record| bad.next_if_eq(record).is_none()).collect()
}

/// Event times in microseconds. Where a value is null the number means nothing.
pub(super) fn event_times(column: &ArrayRef) -> DataFusionResult<ScalarBuffer<i64>> {
    match column.data_type() {
        DataType::Date32 => {
            let days = as_date32_array(column)?;
            Ok(days.values().iter().map(|&day| i64::from(day) * 86_400_000_000).collect())
        }
        _ => Ok(as_primitive_array::<TimestampMicrosecondType>(column)?.values().clone()),
    }
}

/// Rows whose event time is missing or too far ahead of the clock.
pub(super) fn time_faults(times: &[i64], column: &ArrayRef, max_future: Option<i64>, now: i64) -> Vec<(usize, String)> {
    let limit = max_future.map(|ahead| now.saturating_add(ahead));
    let ahead = limit.is_some_and(|limit| times.iter().any(|&time| time > limit));
    if column.null_count() == 0 && !ahead {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (row, &time) in times.iter().enumerate() {
        if column.is_null(row) {
            faults.push((row, "the event time is missing".to_string()));
        } else if limit.is_some_and(|limit| time > limit) {
            faults.push((row, "the event time is further ahead of the clock than max_future allows".to_string()));
        }
    }
    faults
}
