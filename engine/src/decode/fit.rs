//! What a stored value means to a declared column.
//!
//! | stored | declared | |
//! |---|---|---|
//! | the declared type | | as it is |
//! | a number | a number | if it is the same number |
//! | a timestamp or date | a timestamp or date | finer digits are cut off |
//! | a whole number | a timestamp with an epoch format | as in JSON |
//! | text | anything | as a field of CSV |
//! | anything plain | a string | as text |
//! | list, struct, map | the same | piece by piece; fields of a struct by name, a missing one is null |
//! | null | anything | null |
//!
//! Everything else does not fit.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{can_cast_types, cast, take};
use arrow::datatypes::{DataType, Date32Type, Field, FieldRef, Fields, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;

use crate::schema::{SourceField, is_json};

use super::arena::Source;
use super::column::Column;
use super::csv::push_field;
use super::time::{Clock, readable};

const DAY: i64 = 86_400_000_000;

/// An array as one of the declared type; none if a value in it does not fit.
pub(super) fn fit(array: &ArrayRef, field: &SourceField) -> Result<Option<ArrayRef>, ArrowError> {
    let (from, to) = (array.data_type(), &field.data_type);
    if array.logical_null_count() == array.len() {
        return Ok(Some(new_null_array(to, array.len())));
    }
    match (from, to) {
        (DataType::Dictionary(..), _) => match unpacked(array)? {
            Some(array) => fit(&array, field),
            None => Ok(None),
        },
        (text, _) if is_text(text) && !matches!(to, DataType::Utf8View | DataType::Utf8) => texts(array, field),
        (_, DataType::Timestamp(..)) => timestamps(array, field),
        (_, DataType::Date32) => dates(array),
        (_, DataType::List(item)) => lists(array, item, field),
        (DataType::Struct(_), DataType::Struct(fields)) => structs(array.as_struct(), fields, field),
        (DataType::Map(..), DataType::Map(entries, _)) => maps(array.as_map(), entries, field),
        _ if from == to => Ok(Some(array.clone())),
        _ if takes(from, to) => same_values(array, to),
        _ => Ok(None),
    }
}

/// The values of a dictionary, one a row. Long ones become views, so that no row costs more than its view however long its
/// value is; values with an inside are not taken.
fn unpacked(array: &ArrayRef) -> Result<Option<ArrayRef>, ArrowError> {
    let dictionary = array.as_any_dictionary();
    let values = dictionary.values();
    let values = match values.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => cast(values, &DataType::Utf8View)?,
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => cast(values, &DataType::BinaryView)?,
        inside if inside.is_nested() || matches!(inside, DataType::Dictionary(..)) => return Ok(None),
        _ => values.clone(),
    };
    take(&values, dictionary.keys(), None).map(Some)
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// True if a cast from one to the other keeps the meaning.
fn takes(from: &DataType, to: &DataType) -> bool {
    let kin = match to {
        DataType::Utf8View | DataType::Utf8 => !from.is_nested(),
        DataType::BinaryView => matches!(
            from,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_)
        ),
        to => from.is_numeric() && to.is_numeric(),
    };
    kin && can_cast_types(from, to)
}

/// Casts; none if a value gets lost, or is another number afterwards.
fn same_values(array: &ArrayRef, to: &DataType) -> Result<Option<ArrayRef>, ArrowError> {
    let fitted = cast(array, to)?;
    if fitted.null_count() != array.null_count() {
        return Ok(None);
    }
    // Doubles and floats hold the nearest number there is, as in JSON; all others hold it exactly.
    if to.is_numeric() && !to.is_floating() {
        let back = cast(&fitted, array.data_type())?;
        if not_distinct(&back, array)?.false_count() > 0 {
            return Ok(None);
        }
    }
    Ok(Some(fitted))
}

/// Reads texts as fields of CSV.
fn texts(array: &ArrayRef, field: &SourceField) -> Result<Option<ArrayRef>, ArrowError> {
    let Ok(mut column) = Column::of(field) else { return Ok(None) };
    let texts = cast(array, &DataType::Utf8View)?;
    for text in texts.as_string_view() {
        match text {
            None => column.push_null(),
            Some(text) => {
                if push_field(&mut column, Source::scratch(text), 0..text.len()).is_err() {
                    return Ok(None);
                }
            }
        }
    }
    column.finish("").map(Some)
}

fn timestamps(array: &ArrayRef, field: &SourceField) -> Result<Option<ArrayRef>, ArrowError> {
    let micros: TimestampMicrosecondArray = match array.data_type() {
        DataType::Timestamp(..) | DataType::Date64 => {
            let bare = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
            cast(array, &bare)?.as_primitive::<TimestampMicrosecondType>().clone()
        }
        // Arrow's cast overflows where days are far off.
        DataType::Date32 => array.as_primitive::<Date32Type>().unary_opt(|day| i64::from(day).checked_mul(DAY)),
        integer if integer.is_integer() => {
            let format = field.timestamp.clone().unwrap_or_default();
            let Ok(clock) = Clock::new(&format) else { return Ok(None) };
            cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().unary_opt(|value| clock.read_integer(value))
        }
        _ => return Ok(None),
    };
    let fits = micros.null_count() == array.null_count() && micros.iter().flatten().all(|micros| readable(&micros));
    let fitted = || Arc::new(micros.with_data_type(field.data_type.clone())) as ArrayRef;
    Ok(fits.then(fitted))
}

fn dates(array: &ArrayRef) -> Result<Option<ArrayRef>, ArrowError> {
    if !matches!(array.data_type(), DataType::Date32 | DataType::Date64 | DataType::Timestamp(..)) {
        return Ok(None);
    }
    let days = cast(array, &DataType::Date32)?;
    let readable = |day: i32| i64::from(day).checked_mul(DAY).is_some_and(|micros| readable(&micros));
    let fits =
        days.null_count() == array.null_count() && days.as_primitive::<Date32Type>().iter().flatten().all(readable);
    Ok(fits.then_some(days))
}

/// What is inside a nested column is declared by Arrow's fields; times in it are spelled as the whole column says.
fn inner(field: &Field, outer: &SourceField) -> SourceField {
    SourceField {
        name: field.name().clone(),
        data_type: field.data_type().clone(),
        timestamp: outer.timestamp.clone(),
        json: is_json(field),
        metadata: false,
    }
}

fn lists(array: &ArrayRef, item: &FieldRef, field: &SourceField) -> Result<Option<ArrayRef>, ArrowError> {
    let stored = match array.data_type() {
        DataType::List(stored) | DataType::LargeList(stored) | DataType::FixedSizeList(stored, _) => stored,
        _ => return Ok(None),
    };
    let array = cast(array, &DataType::List(stored.clone()))?;
    let list = array.as_list::<i32>();
    let (offsets, values) = used(list.offsets(), list.values());
    let Some(values) = fit(&values, &inner(item, field))? else { return Ok(None) };
    Ok(Some(Arc::new(ListArray::try_new(item.clone(), offsets, values, list.nulls().cloned())?)))
}

/// The values that offsets point to, without what a slice has cut off, and offsets into those.
fn used(offsets: &OffsetBuffer<i32>, values: &ArrayRef) -> (OffsetBuffer<i32>, ArrayRef) {
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    let values = values.slice(first as usize, (last - first) as usize);
    (OffsetBuffer::new(offsets.iter().map(|offset| offset - first).collect()), values)
}

fn structs(array: &StructArray, fields: &Fields, field: &SourceField) -> Result<Option<ArrayRef>, ArrowError> {
    let mut columns = Vec::with_capacity(fields.len());
    for child in fields {
        let fitted = match array.column_by_name(child.name()) {
            Some(stored) => fit(stored, &inner(child, field))?,
            None => Some(new_null_array(child.data_type(), array.len())),
        };
        let Some(fitted) = fitted else { return Ok(None) };
        columns.push(fitted);
    }
    let nulls = array.nulls().cloned();
    Ok(Some(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, array.len())?)))
}

fn maps(array: &MapArray, entries: &FieldRef, field: &SourceField) -> Result<Option<ArrayRef>, ArrowError> {
    let DataType::Struct(fields) = entries.data_type() else { return Ok(None) };
    let [key, value] = fields.as_ref() else { return Ok(None) };
    let (offsets, keys) = used(array.offsets(), array.keys());
    let (_, values) = used(array.offsets(), array.values());
    let Some(keys) = fit(&keys, &inner(key, field))? else { return Ok(None) };
    let Some(values) = fit(&values, &inner(value, field))? else { return Ok(None) };
    let fitted = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
    Ok(Some(Arc::new(MapArray::try_new(entries.clone(), offsets, fitted, array.nulls().cloned(), false)?)))
}
