//! Bytes as state: one row, which only those who gave it read.

use std::sync::Arc;

use arrow::array::{Array, AsArray, LargeBinaryArray, RecordBatch};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use bytes::Bytes;

/// A batch that has the bytes.
pub(crate) fn of_bytes(bytes: Bytes) -> Result<RecordBatch, ArrowError> {
    let offsets = OffsetBuffer::from_lengths([bytes.len()]);
    let column = LargeBinaryArray::try_new(offsets, Buffer::from(bytes), None)?;
    let schema = Schema::new(vec![Field::new("bytes", DataType::LargeBinary, false)]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(column)])
}

/// The bytes of such a batch; none if it is another.
pub(crate) fn bytes_of(batch: &RecordBatch) -> Option<Bytes> {
    let column = batch.columns().first()?.as_binary_opt::<i64>().filter(|column| column.len() == 1)?;
    Some(Bytes::copy_from_slice(column.value(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back() -> Result<(), ArrowError> {
        for bytes in [Bytes::new(), Bytes::from_static(b"PAR1")] {
            assert_eq!(bytes_of(&of_bytes(bytes.clone())?), Some(bytes));
        }
        let other = RecordBatch::new_empty(Arc::new(Schema::empty()));
        assert_eq!(bytes_of(&other), None);
        Ok(())
    }
}
