//! Rewriting of Arrow types, nested ones included.
//!
//! The one idea: containers come out in the one form that every reader knows (list, struct, map, plain values instead of
//! dictionaries and runs); what becomes of the leaves, the caller says.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use arrow::error::ArrowError;

/// What becomes of one leaf type; the error says why it is refused.
pub(crate) type Leaf<'a> = &'a dyn Fn(&DataType) -> Result<DataType, String>;

/// `data_type` with every leaf replaced by what `leaf` makes of it. Everything but a map's keys comes out nullable.
pub(crate) fn rewrite(data_type: &DataType, leaf: Leaf<'_>) -> Result<DataType, String> {
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => Ok(DataType::List(nullable("element", item, leaf)?)),
        DataType::Struct(fields) => {
            let fields: Fields =
                fields.iter().map(|field| nullable(field.name(), field, leaf)).collect::<Result<_, _>>()?;
            Ok(DataType::Struct(fields))
        }
        DataType::Map(entries, sorted) => rewrite_map(entries, *sorted, leaf),
        DataType::Dictionary(_, values) => rewrite(values, leaf),
        DataType::RunEndEncoded(_, values) => rewrite(values.data_type(), leaf),
        other => leaf(other),
    }
}

/// A nullable field called `name` of the rewritten type of `field`, without its metadata.
pub(crate) fn nullable(name: &str, field: &Field, leaf: Leaf<'_>) -> Result<FieldRef, String> {
    Ok(Arc::new(Field::new(name, rewrite(field.data_type(), leaf)?, true)))
}

fn rewrite_map(entries: &Field, sorted: bool, leaf: Leaf<'_>) -> Result<DataType, String> {
    let DataType::Struct(pair) = entries.data_type() else {
        return Err("is a map without entries".to_owned());
    };
    let [key, value] = pair.as_ref() else {
        return Err("is a map without a key and a value".to_owned());
    };
    let pair = Fields::from(vec![
        Arc::new(Field::new("key", rewrite(key.data_type(), leaf)?, false)),
        nullable("value", value, leaf)?,
    ]);
    Ok(DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(pair), false)), sorted))
}

/// Casts `array`; a value that does not fit is an error, never a silent null.
pub(crate) fn cast_exactly(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() })
}

/// `batch` for people's eyes: plain containers, and every timestamp in UTC without a zone, so that one format fits all.
pub(crate) fn for_display(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let leaf = |leaf: &DataType| {
        Ok(match leaf {
            DataType::Timestamp(unit, _) => DataType::Timestamp(*unit, None),
            other => other.clone(),
        })
    };
    let schema = batch.schema();
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        let field = nullable(field.name(), field, &leaf).map_err(ArrowError::SchemaError)?;
        columns.push(cast_exactly(column, field.data_type())?);
        fields.push(field);
    }
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &rows)
}
