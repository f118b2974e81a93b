//! Batches that hold on to no more than their own rows.
//!
//! Strings are views into whole payloads: a batch of a few rows may keep megabytes alive, and writes them all when it is
//! stored. State that stays is copied out first.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, GenericByteViewArray, GenericListArray, OffsetSizeTrait, RecordBatch,
    RecordBatchOptions, StructArray,
};
use arrow::datatypes::{ByteViewType, DataType};
use arrow::error::ArrowError;

/// The same rows, with strings and bytes of their own wherever they kept twice as much alive as they are.
pub(crate) fn tidy(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(tidy_array).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options)
}

fn tidy_array(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(match array.data_type() {
        DataType::Utf8View => tidy_views(array, array.as_string_view()),
        DataType::BinaryView => tidy_views(array, array.as_binary_view()),
        DataType::List(_) => tidy_list(array.as_list::<i32>())?,
        DataType::LargeList(_) => tidy_list(array.as_list::<i64>())?,
        DataType::Struct(fields) => {
            let structs = array.as_struct();
            let columns = structs.columns().iter().map(tidy_array).collect::<Result<_, _>>()?;
            let nulls = structs.nulls().cloned();
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, structs.len())?)
        }
        _ => array.clone(),
    })
}

fn tidy_views<T: ByteViewType + ?Sized>(array: &ArrayRef, views: &GenericByteViewArray<T>) -> ArrayRef {
    let kept: usize = views.data_buffers().iter().map(|buffer| buffer.capacity()).sum();
    match kept > 2 * views.total_buffer_bytes_used() {
        true => Arc::new(views.gc()),
        false => array.clone(),
    }
}

fn tidy_list<O: OffsetSizeTrait>(list: &GenericListArray<O>) -> Result<ArrayRef, ArrowError> {
    let (field, offsets, values, nulls) = list.clone().into_parts();
    Ok(Arc::new(GenericListArray::try_new(field, offsets, tidy_array(&values)?, nulls)?))
}

/// Bytes that a batch keeps alive; a buffer that several columns share counts once.
pub(crate) fn footprint(batch: &RecordBatch) -> usize {
    let mut seen = HashSet::new();
    batch.columns().iter().map(|column| buffers(&column.to_data(), &mut seen)).sum()
}

fn buffers(data: &ArrayData, seen: &mut HashSet<usize>) -> usize {
    let nulls = data.nulls().map(|nulls| nulls.buffer());
    let own = data.buffers().iter().chain(nulls);
    let own: usize =
        own.filter(|buffer| seen.insert(buffer.data_ptr().as_ptr() as usize)).map(|buffer| buffer.capacity()).sum();
    own + data.child_data().iter().map(|child| buffers(child, seen)).sum::<usize>()
}
