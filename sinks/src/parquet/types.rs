//! Arrow types as lake engines like them, and rows of those types.
//!
//! | Arrow | in the file |
//! |---|---|
//! | timestamp, any unit and zone | timestamp in microseconds, UTC (one without a zone is taken for UTC) |
//! | string of any kind; null | string |
//! | binary of any kind | binary |
//! | dictionary, run-end encoded | their values |
//! | unsigned integer | 64-bit integer; a greater value is an error |
//! | float16 | float |
//! | duration | 64-bit integer, microseconds |
//! | date64 | date |
//! | time | milliseconds or microseconds |
//! | decimal up to 38 digits | decimal128 |
//! | list of any kind | list; the same for its items, and for the fields of structs and maps |
//! | interval, union | refused |
//!
//! Every column may be null in the file, so that a file written after a change of the SQL still has the same schema.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::error::SinkError;
use crate::types::{cast_exactly, nullable, rewrite};

/// The schema of files that hold rows of `schema`. A column that no lake engine reads is refused by name.
pub fn file_schema(schema: &Schema) -> Result<SchemaRef, SinkError> {
    let mut fields = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let written = nullable(field.name(), field, &lake_type);
        fields.push(written.map_err(|why| SinkError::config(format!("column {:?} {why}", field.name())))?);
    }
    Ok(Arc::new(Schema::new(fields)))
}

fn lake_type(leaf: &DataType) -> Result<DataType, String> {
    Ok(match leaf {
        DataType::Timestamp(..) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Duration(_) => DataType::Int64,
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) => DataType::Time32(TimeUnit::Millisecond),
        DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Interval(_) => {
            return Err("is an interval, which lake engines do not read from parquet; \
                        write a number instead, such as extract(epoch FROM …)"
                .to_owned());
        }
        DataType::Union(..) => {
            return Err("is a union, which parquet does not have; choose one of its types".to_owned());
        }
        other => other.clone(),
    })
}

/// What SQL calls a type of a file, where it has a name for it.
pub(super) fn sql_name(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Boolean => "boolean",
        DataType::Int8 => "tinyint",
        DataType::Int16 => "smallint",
        DataType::Int32 => "int",
        DataType::Int64 => "bigint",
        DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Utf8 => "string",
        DataType::Binary => "bytes",
        DataType::Date32 => "date",
        DataType::Timestamp(..) => "timestamp",
        DataType::Decimal128(precision, scale) => return format!("decimal({precision},{scale})"),
        other => return other.to_string(),
    };
    name.to_owned()
}

/// `batch` with the columns of `target`, which [`file_schema`] made. Columns are matched by position.
pub(super) fn to_file_types(batch: &RecordBatch, target: &SchemaRef) -> Result<RecordBatch, SinkError> {
    if batch.num_columns() != target.fields().len() {
        let (got, expected) = (batch.num_columns(), target.fields().len());
        return Err(SinkError::fatal(
            "parquet sink",
            format!("a batch of {got} columns came where {expected} were announced"),
        ));
    }
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (column, field) in batch.columns().iter().zip(target.fields()) {
        let written = to_file_type(column, field.data_type());
        columns.push(written.map_err(|error| does_not_fit(field.name(), column.data_type(), &error))?);
    }
    RecordBatch::try_new(Arc::clone(target), columns).map_err(|error| SinkError::fatal("parquet sink", error))
}

/// Casts by way of integers where a clock is involved: that keeps instants as they are whatever their zone, and gives
/// durations their unit.
fn to_file_type(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == to {
        return Ok(Arc::clone(column));
    }
    let in_microseconds = rewrite(column.data_type(), &|leaf| match leaf {
        DataType::Timestamp(..) => Ok(DataType::Timestamp(TimeUnit::Microsecond, None)),
        DataType::Duration(_) => Ok(DataType::Duration(TimeUnit::Microsecond)),
        other => lake_type(other),
    });
    let in_microseconds = in_microseconds.map_err(ArrowError::SchemaError)?;
    let as_integers = rewrite(&in_microseconds, &|leaf| match leaf {
        DataType::Timestamp(..) | DataType::Duration(_) => Ok(DataType::Int64),
        other => Ok(other.clone()),
    });
    let as_integers = as_integers.map_err(ArrowError::SchemaError)?;
    let column = cast_exactly(column, &in_microseconds)?;
    let column = cast_exactly(&column, &as_integers)?;
    cast_exactly(&column, to)
}

fn does_not_fit(name: &str, from: &DataType, error: &ArrowError) -> SinkError {
    let way_out = match from {
        DataType::UInt64 => format!("; write cast({name} AS decimal(20, 0)) in the SQL"),
        _ => String::new(),
    };
    SinkError::config(format!("column {name:?} holds a value that does not fit its type in the file: {error}{way_out}"))
}
