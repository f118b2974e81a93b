#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};

use super::*;

#[test]
fn a_block_is_as_good_as_its_records_one_by_one() {
    let mut one_by_one = Records::default();
    let mut at_once = Records::default();
    for records in [&mut one_by_one, &mut at_once] {
        records.push(b"first", 5);
    }
    one_by_one.push(b"a", 100);
    one_by_one.push(b"", 102);
    one_by_one.push(b"b\nb", 103);
    at_once.push_block(b"a\n\nb\nb\n", &[1, 2, 6], 100);
    at_once.push_block(b"", &[], 107);
    assert_eq!(one_by_one.bytes(), at_once.bytes());
    assert_eq!((one_by_one.len(), at_once.len()), (4, 4));
    for i in 0..4 {
        assert_eq!(one_by_one.span(i), at_once.span(i));
        assert_eq!(one_by_one.position(i), at_once.position(i));
    }
}

fn columns(numbers: &[i64]) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
    RecordBatch::try_from_iter([("n", numbers)]).unwrap()
}

#[test]
fn rows_of_columns_are_records_too() {
    let mut records = Records::default();
    assert!(records.columns().is_none());
    records.push_columns(columns(&[1, 2]), 10).unwrap();
    records.reject(b"x", 12, "broken");
    records.push_columns(columns(&[3]), 20).unwrap();
    assert_eq!((records.len(), records.count(), records.byte_len()), (3, 4, 24));
    assert_eq!([0, 1, 2].map(|i| records.position(i)), [10, 11, 20]);
    assert_eq!(&*records.shown(2), b"{\"n\":3}");
    assert_eq!(records.rejected()[0].before, 2);
    records.clear();
    assert!(records.is_empty() && records.columns().is_none());
    records.push(b"bytes", 0);
    assert_eq!(&*records.shown(0), b"bytes");
}

#[test]
fn rows_of_other_columns_are_refused() {
    let mut records = Records::default();
    records.push_columns(columns(&[1]), 0).unwrap();
    let other: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    assert!(records.push_columns(RecordBatch::try_from_iter([("n", other)]).unwrap(), 1).is_err());
    assert_eq!(records.len(), 1);
}
