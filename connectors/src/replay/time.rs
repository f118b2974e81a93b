//! What statistics say about event time.
//!
//! The one idea: bounds must hold for the times that the engine will read from the same column, so they are rounded
//! outwards wherever the two could differ.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};

const DAY: i64 = 86_400_000_000;

/// The column that says when an event happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTime {
    /// Its name.
    pub column: String,
    /// What a whole number counts from the Unix epoch on; none if a number is no time.
    pub unit: Option<TimeUnit>,
    /// True if an event time is a day and the rest of a timestamp is cut off.
    pub days: bool,
}

/// Which way a bound is rounded.
#[derive(Clone, Copy)]
pub(super) enum Bound {
    Lower,
    Upper,
}

impl EventTime {
    /// Microseconds since the Unix epoch for each of `values`, each least or each greatest of its row group; none where
    /// there is no telling.
    pub(super) fn bounds(&self, values: &ArrayRef, bound: Bound) -> Vec<Option<i64>> {
        let unknown = || vec![None; values.len()];
        let Some((numerator, denominator)) = self.scale(values.data_type()) else { return unknown() };
        // Arrow casts days to whole numbers by way of 32 bits only.
        let whole = match values.data_type() {
            DataType::Date32 => cast(values, &DataType::Int32),
            _ => Ok(values.clone()),
        };
        let Ok(whole) = whole.and_then(|values| cast(&values, &DataType::Int64)) else { return unknown() };
        let micros = |value: i64| {
            let micros = value.checked_mul(numerator)?;
            let micros = match bound {
                Bound::Lower => micros.div_euclid(denominator),
                Bound::Upper => -micros.checked_neg()?.div_euclid(denominator),
            };
            Some(if self.days { micros.div_euclid(DAY).checked_mul(DAY)? } else { micros })
        };
        whole.as_primitive::<Int64Type>().iter().map(|value| value.and_then(micros)).collect()
    }

    /// What turns a whole number of the type into microseconds: multiply, then divide.
    fn scale(&self, data_type: &DataType) -> Option<(i64, i64)> {
        let unit = match data_type {
            DataType::Date32 => return Some((DAY, 1)),
            DataType::Date64 => TimeUnit::Millisecond,
            DataType::Timestamp(unit, _) => *unit,
            integer if integer.is_integer() => self.unit?,
            _ => return None,
        };
        Some(match unit {
            TimeUnit::Second => (1_000_000, 1),
            TimeUnit::Millisecond => (1_000, 1),
            TimeUnit::Microsecond => (1, 1),
            TimeUnit::Nanosecond => (1, 1_000),
        })
    }
}
