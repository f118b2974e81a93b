//! Rows of columns: what fits a declared type, what does not, and which rows that makes bad.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Field, Fields, Int32Type, Int64Type};

use super::*;

fn decode(schema: &SourceSchema, columns: Vec<(&str, ArrayRef)>) -> Decoded {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let rows = batch.num_rows();
    let mut records = Records::default();
    records.push_columns(batch, 7).unwrap();
    let decoded = decoder(&Format::Parquet, schema, &all(schema)).unwrap().decode(&records);
    assert_eq!(decoded.batch.num_rows() + decoded.bad.len(), rows);
    assert_eq!(decoded.batch.schema(), schema.arrow_schema());
    decoded
}

/// Decodes one column of a declared type.
fn column(declared: &str, array: impl Array + 'static) -> (ArrayRef, Vec<(usize, String)>) {
    let decoded = decode(&schema(&[("c", declared)]), vec![("c", Arc::new(array))]);
    let bad = decoded.bad.into_iter().map(|bad| (bad.index, bad.reason)).collect();
    (decoded.batch.column(0).clone(), bad)
}

fn good(declared: &str, array: impl Array + 'static, expected: impl Array + 'static) {
    let (found, bad) = column(declared, array);
    assert!(bad.is_empty(), "{declared}: {bad:?}");
    let expected: ArrayRef = Arc::new(expected);
    assert_eq!(&found, &expected, "{declared}");
}

fn bad_rows(declared: &str, array: impl Array + 'static) -> Vec<usize> {
    column(declared, array).1.into_iter().map(|(row, _)| row).collect()
}

#[test]
fn what_has_the_declared_type_stays_as_it_is() {
    good("bigint", Int64Array::from(vec![Some(1), None]), Int64Array::from(vec![Some(1), None]));
    good("string", StringViewArray::from(vec![Some("a"), None]), StringViewArray::from(vec![Some("a"), None]));
    good("boolean", BooleanArray::from(vec![true]), BooleanArray::from(vec![true]));
    good("bytes", BinaryViewArray::from(vec![&b"\0"[..]]), BinaryViewArray::from(vec![&b"\0"[..]]));
}

#[test]
fn numbers_fit_if_they_stay_the_same_numbers() {
    good("int", UInt8Array::from(vec![255]), Int32Array::from(vec![255]));
    good("bigint", Int32Array::from(vec![-1]), Int64Array::from(vec![-1]));
    good("double", Int64Array::from(vec![3]), Float64Array::from(vec![3.0]));
    good("int", Float64Array::from(vec![Some(2.0), None]), Int32Array::from(vec![Some(2), None]));
    let cents = |values: Vec<i128>, scale| Decimal128Array::from(values).with_precision_and_scale(10, scale).unwrap();
    good("decimal(10,2)", cents(vec![125], 1), cents(vec![1250], 2));
    good("bigint", cents(vec![500], 2), Int64Array::from(vec![5]));
    assert_eq!(bad_rows("int", Int64Array::from(vec![1, 1 << 40, 3, -(1 << 40)])), [1, 3]);
    assert_eq!(bad_rows("bigint", UInt64Array::from(vec![u64::MAX, 1])), [0]);
    assert_eq!(bad_rows("int", Float64Array::from(vec![1.5, 2.0, f64::NAN])), [0, 2]);
    assert_eq!(bad_rows("decimal(4,1)", cents(vec![125, 120], 2)), [0]);
    assert_eq!(bad_rows("bigint", cents(vec![125], 2)), [0]);
    assert_eq!(bad_rows("decimal(3,1)", Int64Array::from(vec![99, 100])), [1]);
    assert_eq!(bad_rows("boolean", Int64Array::from(vec![0])), [0]);
    assert_eq!(bad_rows("int", BooleanArray::from(vec![true])), [0]);
}

#[test]
fn times_are_microseconds_of_any_clock() {
    let micros = |values: Vec<Option<i64>>| TimestampMicrosecondArray::from(values).with_timezone("UTC");
    let one = || micros(vec![Some(1_500_000), None]);
    good("timestamp", TimestampMicrosecondArray::from(vec![Some(1_500_000), None]), one());
    good("timestamp", TimestampMillisecondArray::from(vec![Some(1_500), None]).with_timezone("+02:00"), one());
    good("timestamp", TimestampNanosecondArray::from(vec![Some(1_500_000_999), None]), one());
    good("timestamp", Date32Array::from(vec![1]), micros(vec![Some(86_400_000_000)]));
    good("timestamp", StringArray::from(vec![Some("1970-01-01T01:00:01.5+01:00"), None]), one());
    good("timestamp@epoch_ms", Int64Array::from(vec![Some(1500), None]), one());
    good("timestamp@epoch_ms", TimestampMicrosecondArray::from(vec![Some(1_500_000), None]), one());
    good("date", TimestampSecondArray::from(vec![-1]), Date32Array::from(vec![-1]));
    // A number is a time only where its unit is declared.
    assert_eq!(bad_rows("timestamp", Int64Array::from(vec![1500])), [0]);
    assert_eq!(bad_rows("bigint", TimestampSecondArray::from(vec![1])), [0]);
    // Nothing can be done with instants at the ends of 64 bits.
    assert_eq!(bad_rows("timestamp", TimestampMicrosecondArray::from(vec![i64::MIN, 0, i64::MAX])), [0, 2]);
    assert_eq!(bad_rows("timestamp", TimestampSecondArray::from(vec![i64::MAX, 0])), [0]);
    assert_eq!(bad_rows("timestamp", Date32Array::from(vec![i32::MAX, 0])), [0]);
    assert_eq!(bad_rows("date", Date32Array::from(vec![0, i32::MIN])), [1]);
    assert_eq!(bad_rows("timestamp@epoch_s", Int64Array::from(vec![i64::MAX, 0])), [0]);
}

#[test]
fn texts_are_read_as_fields_of_csv() {
    let texts = StringArray::from(vec![Some("12"), None, Some("x"), Some(" 3 ")]);
    assert_eq!(bad_rows("int", texts.clone()), [2]);
    good("string", texts, StringViewArray::from(vec![Some("12"), None, Some("x"), Some(" 3 ")]));
    good("boolean", StringViewArray::from(vec!["true"]), BooleanArray::from(vec![true]));
    good("bytes", StringArray::from(vec!["AAEC"]), BinaryViewArray::from(vec![&[0u8, 1, 2][..]]));
    good("json", StringArray::from(vec!["[1]"]), StringViewArray::from(vec!["[1]"]));
    let lists = StringArray::from(vec!["[1,2]", "[", "[\"a\"]"]);
    assert_eq!(bad_rows("list<int>", lists), [1, 2]);
    let folder = DictionaryArray::new(Int8Array::from(vec![0, 0]), Arc::new(StringArray::from(vec!["07"])));
    good("int", folder.clone(), Int32Array::from(vec![7, 7]));
    good("string", folder, StringViewArray::from(vec!["07", "07"]));
}

#[test]
fn what_is_nested_fits_piece_by_piece() {
    let list = |items: Vec<Option<Vec<Option<i64>>>>| ListArray::from_iter_primitive::<Int64Type, _, _>(items);
    let items =
        list(vec![Some(vec![Some(1), None]), None, Some(vec![]), Some(vec![Some(1 << 40)]), Some(vec![Some(2)])]);
    let (fitted, bad) = column("list<int>", items.clone());
    assert_eq!(bad.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [3]);
    assert!(bad[0].1.starts_with("c: expected list, found [1099511627776]"), "{bad:?}");
    let kept = vec![Some(vec![Some(1), None]), None, Some(vec![]), Some(vec![Some(2)])];
    let DataType::List(item) = parse("list<int>") else { panic!("no list") };
    let expected = ListArray::from_iter_primitive::<Int32Type, _, _>(kept);
    assert_eq!(fitted.as_list::<i32>().values(), expected.values());
    assert_eq!(fitted.data_type(), &DataType::List(item));
    // A slice has values that are none of its own.
    assert!(column("list<int>", items.slice(0, 3)).1.is_empty());

    let fields = Fields::from(vec![Field::new("b", DataType::Utf8, true), Field::new("x", DataType::Utf8, true)]);
    let text = |text: &str| Arc::new(StringArray::from(vec![text])) as ArrayRef;
    let stored = StructArray::new(fields, vec![text("5"), text("not asked for")], None);
    let (fitted, bad) = column("struct<a: string, b: int>", stored);
    assert!(bad.is_empty());
    assert!(fitted.as_struct().column(0).is_null(0));
    assert_eq!(fitted.as_struct().column(1).as_primitive::<Int32Type>().value(0), 5);

    let entry =
        Fields::from(vec![Field::new("keys", DataType::Utf8, false), Field::new("values", DataType::Int64, true)]);
    let entries = StructArray::new(entry.clone(), vec![text("k"), Arc::new(Int64Array::from(vec![9]))], None);
    let entries_field = Arc::new(Field::new("key_value", DataType::Struct(entry), false));
    let map = MapArray::new(entries_field, OffsetBuffer::from_lengths([1]), entries, None, false);
    let (fitted, bad) = column("map<string, int>", map);
    assert!(bad.is_empty());
    assert_eq!(fitted.as_map().values().as_primitive::<Int32Type>().value(0), 9);
    assert_eq!(bad_rows("struct<a: int>", Int64Array::from(vec![1])), [0]);
    assert_eq!(bad_rows("list<int>", Int64Array::from(vec![Some(1), None])), [0]);
}

fn parse(sql: &str) -> DataType {
    crate::schema::parse_type(sql).unwrap()
}

#[test]
fn a_column_that_lacks_is_null_and_one_too_many_is_left_out() {
    let schema = schema(&[("a", "bigint"), ("b", "list<string>")]);
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let decoded = decode(&schema, vec![("z", numbers.clone()), ("a", numbers.clone())]);
    assert_eq!(decoded.batch.column(0), &numbers);
    assert_eq!(decoded.batch.column(1).null_count(), 2);
}

#[test]
fn a_bad_row_says_what_was_found_where() {
    let schema = schema(&[("a", "int"), ("b", "date")]);
    let a: ArrayRef = Arc::new(Int64Array::from(vec![1, 1 << 40, 3, 4, 1 << 41]));
    let b: ArrayRef = Arc::new(StringArray::from(vec!["2026-03-01", "2026-03-01", "soon", "2026-03-02", "never"]));
    let decoded = decode(&schema, vec![("a", a), ("b", b)]);
    let reason = |index, reason: &str| BadRecord { index, reason: reason.to_owned() };
    assert_eq!(
        decoded.bad,
        [
            reason(1, "a: expected int, found 1099511627776 (Int64)"),
            reason(2, "b: expected date (YYYY-MM-DD), found soon (Utf8)"),
            reason(4, "a: expected int, found 2199023255552 (Int64)"),
        ]
    );
    assert_eq!(decoded.batch.column(0).as_primitive::<Int32Type>().values(), &[1, 4]);
}
