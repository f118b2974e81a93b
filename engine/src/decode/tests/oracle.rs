//! An independent reading of single records, by serde_json and chrono.

use chrono::{DateTime, NaiveDate};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::*;
use crate::schema::TimestampFormat;

/// What a record should become.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Row(Vec<Cell>),
    Bad,
    /// serde_json can't say: half a surrogate pair or an enormous number somewhere.
    Unknown,
}

/// What a field should become, as the tests' `show` writes it.
#[derive(Debug, PartialEq)]
pub(super) enum Cell {
    Text(String),
    Near(f64),
    Unknown,
}

impl Cell {
    pub(super) fn matches(&self, shown: &str) -> bool {
        match self {
            Self::Text(text) => text == shown,
            // serde_json rounds the last bit of some doubles otherwise.
            Self::Near(value) => shown.parse::<f64>().is_ok_and(|v| v == *value || ((v - value) / value).abs() < 1e-6),
            Self::Unknown => true,
        }
    }
}

/// The reading of one record for some columns of a schema.
pub(super) fn read(schema: &SourceSchema, projection: &[usize], payload: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(payload) else {
        return Verdict::Bad;
    };
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return Verdict::Bad;
    }
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return Verdict::Unknown;
    };
    let Value::Object(members) = value else {
        return Verdict::Bad;
    };
    let mut row = Vec::new();
    for &i in projection {
        let field = &schema.fields[i];
        match cell(field, members.get(&field.name).unwrap_or(&Value::Null)) {
            Some(cell) => row.push(cell),
            None => return Verdict::Bad,
        }
    }
    Verdict::Row(row)
}

/// `None` if the value does not fit.
fn cell(field: &SourceField, value: &Value) -> Option<Cell> {
    let text = |shown: &dyn ToString| Some(Cell::Text(shown.to_string()));
    if value.is_null() {
        return text(&"null");
    }
    if field.json {
        return Some(Cell::Unknown);
    }
    let epoch = field.timestamp == Some(TimestampFormat::EpochMillis);
    match (&field.data_type, value) {
        (DataType::Boolean, Value::Bool(v)) => text(v),
        (DataType::Utf8View | DataType::Utf8, Value::String(v)) => text(v),
        (DataType::Int32, Value::Number(_)) => integer(value).and_then(|cell| match &cell {
            Cell::Text(shown) => shown.parse::<i32>().is_ok().then_some(cell),
            _ => Some(cell),
        }),
        (DataType::Int64, Value::Number(_)) => integer(value),
        (DataType::Float32, Value::Number(n)) => n.as_f64().filter(|v| (*v as f32).is_finite()).map(near),
        (DataType::Float64, Value::Number(n)) => n.as_f64().map(near),
        (DataType::Date32, Value::String(v)) if dashed(v) => text(&NaiveDate::parse_from_str(v, "%Y-%m-%d").ok()?),
        (DataType::Timestamp(..), Value::Number(n)) if epoch => match n.as_i64() {
            Some(millis) => millis.checked_mul(1000).and_then(|micros| text(&micros)),
            None => Some(Cell::Unknown),
        },
        (DataType::Timestamp(..), Value::String(v)) if !epoch => match DateTime::parse_from_rfc3339(v) {
            Ok(time) if !v.contains(":60") && v.len() <= 35 => text(&time.timestamp_micros()),
            // More is accepted than RFC 3339 proper.
            _ => Some(Cell::Unknown),
        },
        // Nested columns and the others: what fits is looked at in tables.
        (DataType::List(_) | DataType::Struct(_) | DataType::Map(..) | DataType::Decimal128(..), _) => {
            Some(Cell::Unknown)
        }
        _ => None,
    }
}

/// `dddd-dd-dd`; chrono is more liberal with space and signs.
fn dashed(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(i, b)| if matches!(i, 4 | 7) { b == b'-' } else { b.is_ascii_digit() })
}

fn integer(value: &Value) -> Option<Cell> {
    if let Some(integer) = value.as_i64() {
        return Some(Cell::Text(integer.to_string()));
    }
    let double = value.as_f64()?;
    if double.abs() >= 2f64.powi(40) {
        // A double can't tell which integer it was, or how far from one.
        return if double.abs() < 2f64.powi(64) { Some(Cell::Unknown) } else { None };
    }
    (double.fract() == 0.0).then(|| Cell::Text((double as i64).to_string()))
}

fn near(value: f64) -> Cell {
    if value.abs() < 1e-30 { Cell::Unknown } else { Cell::Near(value) }
}
