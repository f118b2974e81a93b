#![allow(clippy::unwrap_used, clippy::expect_used)]

use arrow::array::{
    AsArray, BinaryViewArray, BooleanArray, DictionaryArray, FixedSizeListArray, ListArray, ListBuilder, MapBuilder,
    NullArray, RecordBatchOptions, StringBuilder, StringViewArray, StringViewBuilder, StructArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use proptest::prelude::*;

use super::*;

/// Columns of every kind of buffer. Strings of all lengths; some nulls.
fn wide(count: usize) -> RecordBatch {
    let text = |n: usize| (!n.is_multiple_of(7)).then(|| format!("value {n} {}", "x".repeat(n % 40)));
    let views = || StringViewArray::from_iter((0..count).map(text));
    let mut lists = ListBuilder::new(StringViewBuilder::new());
    let mut maps = MapBuilder::new(None, StringBuilder::new(), StringViewBuilder::new());
    for n in 0..count {
        (0..n % 3).for_each(|item| lists.values().append_option(text(n + item)));
        lists.append(n % 5 != 0);
        (0..n % 2).for_each(|item| {
            maps.keys().append_value(item.to_string());
            maps.values().append_option(text(n));
        });
        maps.append(true).unwrap();
    }
    let item = Arc::new(Field::new_list_field(DataType::Utf8View, true));
    let twice = StringViewArray::from_iter((0..2 * count).map(text));
    let keyed: DictionaryArray<Int32Type> =
        (0..count).map(text).collect::<Vec<_>>().iter().map(|v| v.as_deref()).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("view", Arc::new(views())),
        ("binary", Arc::new(BinaryViewArray::from_iter((0..count).map(|n| text(n).map(String::into_bytes))))),
        ("string", Arc::new(StringArray::from_iter((0..count).map(text)))),
        ("number", Arc::new(Int64Array::from_iter((0..count as i64).map(|n| (n % 3 != 0).then_some(n))))),
        ("flag", Arc::new(BooleanArray::from_iter((0..count).map(|n| Some(n % 2 == 0))))),
        ("list", Arc::new(lists.finish())),
        ("map", Arc::new(maps.finish())),
        ("pair", Arc::new(FixedSizeListArray::new(item, 2, Arc::new(twice), None))),
        (
            "nested",
            Arc::new(StructArray::from(vec![(
                Arc::new(Field::new("inner", DataType::Utf8View, true)),
                Arc::new(views()) as ArrayRef,
            )])),
        ),
        ("keyed", Arc::new(keyed)),
        ("nothing", Arc::new(NullArray::new(count))),
    ];
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn round_trip(batch: &RecordBatch) -> (RecordBatch, u64) {
    let (bytes, piece) = segment("s", batch);
    assert_eq!(piece.length, bytes.len() as u64);
    (read_piece(&bytes, &piece).unwrap(), piece.length)
}

#[test]
fn batches_come_back_as_they_were() {
    let batch = wide(500);
    for batch in [batch.clone(), batch.slice(0, 0), batch.slice(499, 1), batch.slice(13, 77), wide(0)] {
        assert_eq!(round_trip(&batch).0, batch);
    }
}

#[test]
fn a_slice_pays_for_its_own_rows_only() {
    let batch = wide(20_000);
    for number in 0..batch.num_columns() {
        let column = batch.project(&[number]).unwrap();
        let slice = column.slice(9_000, 100);
        // The same rows in buffers of their own.
        let fresh = wide(9_100).project(&[number]).unwrap();
        let fresh = concat_batches(&fresh.schema(), [&fresh.slice(9_000, 100), &fresh.slice(0, 0)]).unwrap();
        let (bytes, _) = segment("s", &slice);
        let name = batch.schema().field(number).name().clone();
        assert!(bytes.len() < 20_000, "{name}: {} bytes for 100 rows", bytes.len());
        assert_eq!(round_trip(&slice).0, fresh, "{name}");
    }
}

#[test]
fn views_that_share_bytes_are_not_copied_apart() {
    let text = "a long text that lies in a buffer ".repeat(100);
    let one = StringViewArray::from_iter_values([text.as_str()]);
    let many = arrow::compute::take(&one, &arrow::array::UInt32Array::from(vec![0; 5_000]), None).unwrap();
    let batch = RecordBatch::try_from_iter([("text", many)]).unwrap();
    let (back, _) = round_trip(&batch);
    assert_eq!(back, batch);
    let held: usize = back.column(0).as_string_view().data_buffers().iter().map(|buffer| buffer.len()).sum();
    assert!(held < 2 * text.len(), "{held} bytes");
}

#[test]
fn rows_without_columns_survive() {
    let options = RecordBatchOptions::new().with_row_count(Some(42));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
    assert_eq!(round_trip(&batch).0.num_rows(), 42);
}

#[test]
fn pieces_of_one_segment_are_found_by_their_range() {
    let mut writer = SegmentWriter::new("s");
    let batches = [rows(0, 10), wide(50), rows(10, 1)];
    let pieces: Vec<Piece> = batches.iter().map(|batch| writer.push(batch).unwrap()).collect();
    assert_eq!(writer.len() as u64, pieces.iter().map(|piece| piece.length).sum::<u64>());
    let bytes = writer.finish();
    for (batch, piece) in batches.iter().zip(&pieces) {
        assert_eq!(read_piece(&bytes, piece).unwrap(), *batch);
    }
    let swapped = Piece { offset: pieces[1].offset, ..pieces[0].clone() };
    let error = read_piece(&bytes, &swapped).unwrap_err().to_string();
    assert!(error.starts_with("segments/s is damaged: the checksum does not match"), "{error}");
    let beyond = Piece { offset: u64::MAX, ..pieces[0].clone() };
    assert!(read_piece(&bytes, &beyond).is_err());
    let few = Piece { rows: 11, ..pieces[0].clone() };
    assert!(read_piece(&bytes, &few).unwrap_err().to_string().contains("10 rows where 11 belong"));
}

proptest! {
    #[test]
    fn a_flipped_bit_is_found(bit: prop::sample::Index) {
        let (bytes, piece) = segment("s", &wide(20));
        let mut bytes = bytes.to_vec();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(read_piece(&bytes.into(), &piece).is_err());
    }

    #[test]
    fn garbage_is_an_error(garbage: Vec<u8>, offset in 0..200_u64, length in 0..200_u64, rows: u64, crc32: u32) {
        let piece = Piece { segment: "s".into(), offset, length, rows, crc32 };
        prop_assert!(read_piece(&garbage.into(), &piece).is_err());
    }

    /// The checksum keeps such bytes out; whoever forges one gets an error all the same.
    #[test]
    fn garbage_with_a_fitting_checksum_does_not_panic(garbage: Vec<u8>) {
        let (length, crc32) = (garbage.len() as u64, crc32fast::hash(&garbage));
        let piece = Piece { segment: "s".into(), offset: 0, length, rows: 1, crc32 };
        prop_assert!(read_piece(&garbage.into(), &piece).is_err());
    }

    #[test]
    fn slices_come_back(from in 0..300_usize, count in 0..300_usize) {
        let batch = wide(300);
        let batch = batch.slice(from, count.min(300 - from));
        prop_assert_eq!(round_trip(&batch).0, batch);
    }
}

#[test]
fn lists_keep_their_nulls_and_empty_lists() {
    let lists =
        ListArray::from_iter_primitive::<Int32Type, _, _>([None, Some(vec![]), Some(vec![Some(1), None]), None]);
    let batch = RecordBatch::try_from_iter([("list", Arc::new(lists) as ArrayRef)]).unwrap();
    assert_eq!(round_trip(&batch.slice(1, 3)).0, batch.slice(1, 3));
}
