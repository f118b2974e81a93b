#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, NullArray};
use arrow::ipc::writer::StreamWriter;

use super::*;

fn stream(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut stream = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    stream.write(&batch).unwrap();
    stream.into_inner().unwrap()
}

#[test]
fn a_stream_may_end_without_saying_so() {
    let whole = stream(vec![("n", Arc::new(Int64Array::from(vec![1, 2])))]);
    assert_eq!(batches(&whole).unwrap()[0].num_rows(), 2);
    assert_eq!(batches(&whole[..whole.len() - 8]).unwrap()[0].num_rows(), 2);
    assert!(batches(&whole[..whole.len() - 16]).unwrap_err().contains("it ends too early"));
    assert!(batches(b"").unwrap_err().contains("it holds no schema"));
}

/// Columns of nulls take no bytes, however many rows there are.
#[test]
fn rows_that_nothing_pays_for_are_refused() {
    assert_eq!(batches(&stream(vec![("n", Arc::new(NullArray::new(1000)))])).unwrap()[0].num_rows(), 1000);
    let refused = batches(&stream(vec![("n", Arc::new(NullArray::new(1 << 30)))])).unwrap_err();
    assert!(refused.contains("more rows than its bytes can hold"), "{refused}");
}

#[test]
fn frames_say_how_much_they_hold() {
    let codec = Some(CompressionType::LZ4_FRAME);
    let options = arrow::ipc::writer::IpcWriteOptions::default().try_with_compression(codec).unwrap();
    let zeros: ArrayRef = Arc::new(Int64Array::from(vec![0; 1 << 20]));
    let batch = RecordBatch::try_from_iter([("n", zeros)]).unwrap();
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
    writer.write(&batch).unwrap();
    let bytes = writer.into_inner().unwrap();
    let magic = 0x184d_2204_u32.to_le_bytes();
    let at = bytes.windows(4).position(|window| window == magic).unwrap();
    let size = i64::from_le_bytes(bytes[at - 8..at].try_into().unwrap());
    // The frame ends somewhere behind its beginning; zeros pad it.
    let end = (at..bytes.len()).find(|end| lz4::least_size(&bytes[at..*end]).is_ok_and(|least| least > 0)).unwrap();
    let least = lz4::least_size(&bytes[at..end]).unwrap() as i64;
    assert!(least <= size && size - least <= 4 << 20, "{least} of {size}");
}
