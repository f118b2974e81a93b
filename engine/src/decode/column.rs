//! A column in the making.
//!
//! The one idea: every column can be cut back to a number of rows. A record is pushed field by field, and when one does
//! not fit, what was pushed of it is cut off again: no intermediate value, no second pass over good records.

mod nested;
mod text;

use std::sync::Arc;

use arrow::array::builder::NullBufferBuilder;
use arrow::array::{ArrayRef, ArrowPrimitiveType, BooleanArray, BooleanBufferBuilder, PrimitiveArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::error::ArrowError;

use crate::schema::{SourceField, TimestampFormat, TimestampFormatError, is_json};

use super::DecodeError;
use super::time::Clock;

pub(super) use nested::{ListColumn, MapColumn, StructColumn};
pub(super) use text::{BytesColumn, TextColumn};

/// A column of one of the types that a source can declare.
pub(super) enum Column {
    Boolean(BooleanColumn),
    Int(Numbers<Int32Type>),
    BigInt(Numbers<Int64Type>),
    Float(Numbers<Float32Type>),
    Double(Numbers<Float64Type>),
    Decimal { values: Numbers<Decimal128Type>, precision: u8, scale: i8 },
    Date(Numbers<Date32Type>),
    Timestamp { values: Numbers<TimestampMicrosecondType>, clock: Clock, format: TimestampFormat },
    String(TextColumn),
    Json(TextColumn),
    Bytes(BytesColumn),
    List(Box<ListColumn>),
    Struct(StructColumn),
    Map(Box<MapColumn>),
}

/// Why a type has no column.
pub(super) enum NoColumn {
    Type(DataType),
    Pattern(TimestampFormatError),
}

impl Column {
    /// The column of a declared field.
    pub(super) fn of(field: &SourceField) -> Result<Self, DecodeError> {
        let format = field.timestamp.clone().unwrap_or_default();
        Self::new(&field.data_type, field.json, &format).map_err(|why| match why {
            NoColumn::Type(data_type) => DecodeError::Unsupported { field: field.name.clone(), data_type },
            NoColumn::Pattern(cause) => DecodeError::Pattern { field: field.name.clone(), cause },
        })
    }

    fn nested(field: &Field, format: &TimestampFormat) -> Result<Self, NoColumn> {
        Self::new(field.data_type(), is_json(field), format)
    }

    fn new(data_type: &DataType, json: bool, format: &TimestampFormat) -> Result<Self, NoColumn> {
        Ok(match data_type {
            DataType::Boolean => Self::Boolean(BooleanColumn::new()),
            DataType::Int32 => Self::Int(Numbers::new(data_type)),
            DataType::Int64 => Self::BigInt(Numbers::new(data_type)),
            DataType::Float32 => Self::Float(Numbers::new(data_type)),
            DataType::Float64 => Self::Double(Numbers::new(data_type)),
            DataType::Decimal128(precision, scale) if *scale >= 0 => {
                Self::Decimal { values: Numbers::new(data_type), precision: *precision, scale: *scale }
            }
            DataType::Date32 => Self::Date(Numbers::new(data_type)),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Self::Timestamp {
                values: Numbers::new(data_type),
                clock: Clock::new(format).map_err(NoColumn::Pattern)?,
                format: format.clone(),
            },
            DataType::Utf8View if json => Self::Json(TextColumn::new()),
            DataType::Utf8View | DataType::Utf8 => Self::String(TextColumn::new()),
            DataType::BinaryView => Self::Bytes(BytesColumn::new()),
            DataType::List(item) => Self::List(Box::new(ListColumn::new(item, format)?)),
            DataType::Struct(fields) => Self::Struct(StructColumn::new(fields, format)?),
            DataType::Map(entries, false) => Self::Map(Box::new(MapColumn::new(entries, format)?)),
            other => return Err(NoColumn::Type(other.clone())),
        })
    }

    /// Makes room for `rows` more.
    pub(super) fn reserve(&mut self, rows: usize) {
        match self {
            Self::Boolean(c) => c.values.reserve(rows),
            Self::Int(c) => c.values.reserve(rows),
            Self::BigInt(c) => c.values.reserve(rows),
            Self::Float(c) => c.values.reserve(rows),
            Self::Double(c) => c.values.reserve(rows),
            Self::Decimal { values, .. } => values.values.reserve(rows),
            Self::Date(c) => c.values.reserve(rows),
            Self::Timestamp { values, .. } => values.values.reserve(rows),
            Self::String(c) | Self::Json(c) => c.reserve(rows),
            // The others allocate as they go.
            Self::Bytes(_) | Self::List(_) | Self::Struct(_) | Self::Map(_) => {}
        }
    }

    /// Rows so far.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Boolean(c) => c.values.len(),
            Self::Int(c) => c.values.len(),
            Self::BigInt(c) => c.values.len(),
            Self::Float(c) => c.values.len(),
            Self::Double(c) => c.values.len(),
            Self::Decimal { values, .. } => values.values.len(),
            Self::Date(c) => c.values.len(),
            Self::Timestamp { values, .. } => values.values.len(),
            Self::String(c) | Self::Json(c) => c.len(),
            Self::Bytes(c) => c.len(),
            Self::List(c) => c.len(),
            Self::Struct(c) => c.len(),
            Self::Map(c) => c.len(),
        }
    }

    pub(super) fn push_null(&mut self) {
        match self {
            Self::Boolean(c) => c.push_null(),
            Self::Int(c) => c.push_null(),
            Self::BigInt(c) => c.push_null(),
            Self::Float(c) => c.push_null(),
            Self::Double(c) => c.push_null(),
            Self::Decimal { values, .. } => values.push_null(),
            Self::Date(c) => c.push_null(),
            Self::Timestamp { values, .. } => values.push_null(),
            Self::String(c) | Self::Json(c) => c.push_null(),
            Self::Bytes(c) => c.push_null(),
            Self::List(c) => c.push_null(),
            Self::Struct(c) => c.push_null(),
            Self::Map(c) => c.push_null(),
        }
    }

    /// Cuts back to `rows`; never more than [`Column::len`].
    pub(super) fn truncate(&mut self, rows: usize) {
        match self {
            Self::Boolean(c) => c.truncate(rows),
            Self::Int(c) => c.truncate(rows),
            Self::BigInt(c) => c.truncate(rows),
            Self::Float(c) => c.truncate(rows),
            Self::Double(c) => c.truncate(rows),
            Self::Decimal { values, .. } => values.truncate(rows),
            Self::Date(c) => c.truncate(rows),
            Self::Timestamp { values, .. } => values.truncate(rows),
            Self::String(c) | Self::Json(c) => c.truncate(rows),
            Self::Bytes(c) => c.truncate(rows),
            Self::List(c) => c.truncate(rows),
            Self::Struct(c) => c.truncate(rows),
            Self::Map(c) => c.truncate(rows),
        }
    }

    /// The rows as an array; the column is empty again. `arena` is the text that pushed ranges point into.
    pub(super) fn finish(&mut self, arena: &str) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Boolean(c) => c.finish(),
            Self::Int(c) => c.finish(),
            Self::BigInt(c) => c.finish(),
            Self::Float(c) => c.finish(),
            Self::Double(c) => c.finish(),
            Self::Decimal { values, .. } => values.finish(),
            Self::Date(c) => c.finish(),
            Self::Timestamp { values, .. } => values.finish(),
            Self::String(c) | Self::Json(c) => c.finish(arena),
            Self::Bytes(c) => c.finish(),
            Self::List(c) => c.finish(arena)?,
            Self::Struct(c) => c.finish(arena)?,
            Self::Map(c) => c.finish(arena)?,
        })
    }

    /// The type as a reason names it.
    pub(super) fn expectation(&self) -> String {
        match self {
            Self::Boolean(_) => "boolean".to_owned(),
            Self::Int(_) => "int".to_owned(),
            Self::BigInt(_) => "bigint".to_owned(),
            Self::Float(_) => "float".to_owned(),
            Self::Double(_) => "double".to_owned(),
            Self::Decimal { precision, scale, .. } => format!("decimal({precision},{scale})"),
            Self::Date(_) => "date (YYYY-MM-DD)".to_owned(),
            Self::Timestamp { format, .. } => format!("timestamp ({format})"),
            Self::String(_) => "string".to_owned(),
            Self::Json(_) => "json".to_owned(),
            Self::Bytes(_) => "bytes (base64)".to_owned(),
            Self::List(_) => "list".to_owned(),
            Self::Struct(_) => "struct".to_owned(),
            Self::Map(_) => "map".to_owned(),
        }
    }
}

/// Which rows are null.
pub(super) struct Nulls(NullBufferBuilder);

impl Nulls {
    fn new() -> Self {
        // The builder makes a bitmap of this many rows only once it meets a null.
        Self(NullBufferBuilder::new(1024))
    }

    #[inline]
    fn push(&mut self, valid: bool) {
        self.0.append(valid);
    }

    fn truncate(&mut self, rows: usize) {
        self.0.truncate(rows);
    }

    fn finish(&mut self) -> Option<NullBuffer> {
        self.0.finish()
    }
}

/// A column of numbers.
pub(super) struct Numbers<T: ArrowPrimitiveType> {
    data_type: DataType,
    values: Vec<T::Native>,
    nulls: Nulls,
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    fn new(data_type: &DataType) -> Self {
        Self { data_type: data_type.clone(), values: Vec::new(), nulls: Nulls::new() }
    }

    #[inline]
    pub(super) fn push(&mut self, value: T::Native) {
        self.values.push(value);
        self.nulls.push(true);
    }

    fn push_null(&mut self) {
        self.values.push(T::default_value());
        self.nulls.push(false);
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.nulls.truncate(rows);
    }

    fn finish(&mut self) -> ArrayRef {
        let values = ScalarBuffer::from(std::mem::take(&mut self.values));
        let array = PrimitiveArray::<T>::new(values, self.nulls.finish());
        Arc::new(array.with_data_type(self.data_type.clone()))
    }
}

/// A column of booleans.
pub(super) struct BooleanColumn {
    values: BooleanBufferBuilder,
    nulls: Nulls,
}

impl BooleanColumn {
    fn new() -> Self {
        Self { values: BooleanBufferBuilder::new(0), nulls: Nulls::new() }
    }

    #[inline]
    pub(super) fn push(&mut self, value: bool) {
        self.values.append(value);
        self.nulls.push(true);
    }

    fn push_null(&mut self) {
        self.values.append(false);
        self.nulls.push(false);
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.nulls.truncate(rows);
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(BooleanArray::new(self.values.finish(), self.nulls.finish()))
    }
}
