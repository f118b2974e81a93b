//! Arrays without the buffers they do not need.
//!
//! The one idea: Arrow shares buffers, so that a slice of ten rows may hold on to a gigabyte. What is written to the state
//! store must pay for its own rows only. The IPC writer cuts most slices itself; what it leaves is cut here.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, GenericByteViewArray, GenericListArray, MapArray, OffsetSizeTrait,
    RecordBatch, RecordBatchOptions, StructArray, UInt64Array, new_empty_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{BinaryViewType, ByteViewType, DataType, FieldRef, StringViewType};
use arrow::error::ArrowError;

/// The same rows in buffers of their own size.
pub(super) fn compact(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(compact_array).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options)
}

fn compact_array(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(match array.data_type() {
        DataType::Utf8View => compact_view::<StringViewType>(array),
        DataType::BinaryView => compact_view::<BinaryViewType>(array),
        DataType::Dictionary(_, _) => return compact_dictionary(array),
        DataType::Struct(fields) => {
            let array = array.as_struct();
            let columns = array.columns().iter().map(compact_array).collect::<Result<Vec<_>, _>>()?;
            let nulls = array.nulls().cloned();
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, array.len())?)
        }
        DataType::List(field) => compact_list::<i32>(array, field)?,
        DataType::LargeList(field) => compact_list::<i64>(array, field)?,
        DataType::Map(field, sorted) => {
            let array = array.as_map();
            let (offsets, entries) = own_values(array.offsets(), &(Arc::new(array.entries().clone()) as ArrayRef))?;
            let (entries, nulls) = (entries.as_struct().clone(), array.nulls().cloned());
            Arc::new(MapArray::try_new(field.clone(), offsets, entries, nulls, *sorted)?)
        }
        DataType::FixedSizeList(field, size) => {
            let array = array.as_fixed_size_list();
            let values = compact_array(array.values())?;
            let nulls = array.nulls().cloned();
            Arc::new(FixedSizeListArray::try_new_with_length(field.clone(), *size, values, nulls, array.len())?)
        }
        DataType::ListView(_) | DataType::LargeListView(_) | DataType::RunEndEncoded(_, _) | DataType::Union(_, _) => {
            // They are rare: copied row by row.
            concat(&[array, &new_empty_array(array.data_type())])?
        }
        _ => array.clone(),
    })
}

fn compact_view<T: ByteViewType>(array: &ArrayRef) -> ArrayRef {
    let view: &GenericByteViewArray<T> = array.as_byte_view();
    let held: usize = view.data_buffers().iter().map(|buffer| buffer.len()).sum();
    // Rows that share their bytes may hold less than they use: then there is nothing to gain.
    if held > view.total_buffer_bytes_used() { Arc::new(view.gc()) } else { array.clone() }
}

/// A dictionary with more values than rows is made anew.
fn compact_dictionary(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let dictionary = array.as_any_dictionary();
    let values = dictionary.values();
    if values.len() <= dictionary.len() {
        return Ok(array.clone());
    }
    let keys: UInt64Array = dictionary.normalized_keys().iter().map(|key| *key as u64).collect::<Vec<_>>().into();
    let keys = UInt64Array::new(keys.values().clone(), array.logical_nulls());
    match cast(&take(values, &keys, None)?, array.data_type()) {
        Ok(made) => Ok(made),
        // Not every type can be made into a dictionary; such a one goes as it is.
        Err(_) => Ok(array.clone()),
    }
}

fn compact_list<O: OffsetSizeTrait>(array: &ArrayRef, field: &FieldRef) -> Result<ArrayRef, ArrowError> {
    let list: &GenericListArray<O> = array.as_list();
    let (offsets, values) = own_values(list.offsets(), list.values())?;
    Ok(Arc::new(GenericListArray::try_new(field.clone(), offsets, values, list.nulls().cloned())?))
}

/// Only the values that the offsets reach.
fn own_values<O: OffsetSizeTrait>(
    offsets: &OffsetBuffer<O>,
    values: &ArrayRef,
) -> Result<(OffsetBuffer<O>, ArrayRef), ArrowError> {
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    let values = compact_array(&values.slice(first.as_usize(), (last - first).as_usize()))?;
    let offsets: Vec<O> = offsets.iter().map(|offset| *offset - first).collect();
    Ok((OffsetBuffer::new(offsets.into()), values))
}
