use arrow::array::types::{Float32Type, Int32Type, UInt16Type};
use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, Schema, TimeUnit, UnionFields, UnionMode};

use super::*;

fn utc(micros: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))
}

fn ints(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

fn strings(values: Vec<Option<&str>>) -> ArrayRef {
    Arc::new(StringArray::from(values))
}

/// Writes one column and reads it back.
async fn round_trip(column: ArrayRef) -> ArrayRef {
    let lake = Lake::new();
    let batch = columns(vec![("x", column)]);
    let options = ParquetOptions { partition_by: Vec::new(), ..lake.options() };
    lake.write(options, context_of(&batch, None), std::slice::from_ref(&batch)).await;
    let read = lake.read(&lake.files().await[0]);
    let promised = file_schema(&batch.schema()).unwrap();
    assert_eq!(read.schema().field(0).data_type(), promised.field(0).data_type(), "as file_schema says");
    Arc::clone(&read["x"])
}

#[tokio::test]
async fn every_leaf_type_becomes_one_that_lake_engines_read() {
    let dictionary: DictionaryArray<UInt16Type> = ["a", "b", "a"].into_iter().collect();
    let ends = Int32Array::from(vec![2, 3]);
    let runs = RunArray::<Int32Type>::try_new(&ends, &StringArray::from(vec![Some("a"), None])).unwrap();
    let bytes = vec![Some(&b"\x00\xff"[..]), None];
    let binary = || Arc::new(BinaryArray::from(bytes.clone())) as ArrayRef;
    let decimal = |precision, scale| {
        let values = Decimal128Array::from(vec![Some(12_345), None]);
        Arc::new(values.with_precision_and_scale(precision, scale).unwrap()) as ArrayRef
    };
    let micros = vec![Some(1_500_000), None, Some(-2_000_000)];
    let cases: Vec<(ArrayRef, ArrayRef)> = vec![
        (Arc::new(TimestampSecondArray::from(vec![Some(1), None])), utc(vec![Some(1_000_000), None])),
        (Arc::new(TimestampMillisecondArray::from(vec![1]).with_timezone("+02:00")), utc(vec![Some(1_000)])),
        (Arc::new(TimestampMicrosecondArray::from(vec![7])), utc(vec![Some(7)])),
        (Arc::new(TimestampNanosecondArray::from(vec![-7_000])), utc(vec![Some(-7)])),
        (
            Arc::new(StringViewArray::from(vec![Some("a string longer than twelve"), None])),
            strings(vec![Some("a string longer than twelve"), None]),
        ),
        (Arc::new(LargeStringArray::from(vec!["x"])), strings(vec![Some("x")])),
        (Arc::new(NullArray::new(2)), strings(vec![None, None])),
        (Arc::new(BinaryViewArray::from(bytes.clone())), binary()),
        (Arc::new(LargeBinaryArray::from(bytes.clone())), binary()),
        (Arc::new(dictionary), strings(vec![Some("a"), Some("b"), Some("a")])),
        (Arc::new(runs), strings(vec![Some("a"), Some("a"), None])),
        (Arc::new(UInt8Array::from(vec![255])), ints(vec![Some(255)])),
        (Arc::new(UInt16Array::from(vec![65_535])), ints(vec![Some(65_535)])),
        (Arc::new(UInt32Array::from(vec![u32::MAX])), ints(vec![Some(i64::from(u32::MAX))])),
        (Arc::new(UInt64Array::from(vec![Some(i64::MAX as u64), None])), ints(vec![Some(i64::MAX), None])),
        (Arc::new(cast(&Float32Array::from(vec![0.5]), &DataType::Float16)), Arc::new(Float32Array::from(vec![0.5]))),
        (Arc::new(DurationMillisecondArray::from(vec![Some(1_500), None, Some(-2_000)])), ints(micros.clone())),
        (Arc::new(DurationNanosecondArray::from(vec![1_500])), ints(vec![Some(1)])),
        (Arc::new(Date64Array::from(vec![86_400_000])), Arc::new(Date32Array::from(vec![1]))),
        (Arc::new(Time32SecondArray::from(vec![1])), Arc::new(Time32MillisecondArray::from(vec![1_000]))),
        (Arc::new(Time64NanosecondArray::from(vec![1_000])), Arc::new(Time64MicrosecondArray::from(vec![1]))),
        (cast(&*decimal(7, 2), &DataType::Decimal32(7, 2)), decimal(7, 2)),
        (cast(&*decimal(12, 2), &DataType::Decimal64(12, 2)), decimal(12, 2)),
    ];
    for (column, expected) in cases {
        let from = column.data_type().clone();
        assert_eq!(&round_trip(column).await, &expected, "{from}");
    }
    // These stay as they are.
    let same: Vec<ArrayRef> = vec![
        Arc::new(BooleanArray::from(vec![Some(true), None])),
        Arc::new(Int8Array::from(vec![-1])),
        Arc::new(Int16Array::from(vec![-1])),
        Arc::new(Int32Array::from(vec![-1])),
        ints(vec![Some(i64::MIN)]),
        Arc::new(Float32Array::from(vec![1.5])),
        Arc::new(Float64Array::from(vec![1.5])),
        strings(vec![Some("x"), None]),
        binary(),
        Arc::new(FixedSizeBinaryArray::try_from_iter([[1_u8, 2]].into_iter()).unwrap()),
        Arc::new(Date32Array::from(vec![-1])),
        Arc::new(Time32MillisecondArray::from(vec![5])),
        Arc::new(Time64MicrosecondArray::from(vec![5])),
        utc(micros),
        decimal(38, 10),
    ];
    for column in same {
        assert_eq!(&round_trip(Arc::clone(&column)).await, &column);
    }
}

fn cast(array: &dyn Array, to: &DataType) -> ArrayRef {
    arrow::compute::cast(array, to).unwrap()
}

#[tokio::test]
async fn nested_types_are_changed_all_the_way_down() {
    let list_of = |values: ArrayRef, name: &str| {
        let item = Arc::new(Field::new(name, values.data_type().clone(), true));
        let nulls = NullBuffer::from(vec![true, false, true]);
        ListArray::new(item, OffsetBuffer::from_lengths([2, 0, 0]), values, Some(nulls))
    };
    let durations: ArrayRef = Arc::new(DurationSecondArray::from(vec![Some(1), None]));
    let list: ArrayRef = Arc::new(list_of(durations, "item"));
    let expected: ArrayRef = Arc::new(list_of(ints(vec![Some(1_000_000), None]), "element"));
    let target = expected.data_type().clone();
    assert_eq!(&round_trip(Arc::clone(&list)).await, &expected);
    let item = Arc::new(Field::new("item", DataType::Duration(TimeUnit::Second), true));
    assert_eq!(&round_trip(cast(&list, &DataType::LargeList(Arc::clone(&item)))).await, &expected);
    assert_eq!(&round_trip(cast(&list, &DataType::ListView(item))).await, &expected);
    assert_eq!(round_trip(list.slice(1, 2)).await.data_type(), &target);

    let fixed = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>([Some([Some(1.0), None]), None], 2);
    let read = round_trip(Arc::new(fixed)).await;
    assert_eq!(read.as_list::<i32>().value(0).as_ref(), &Float32Array::from(vec![Some(1.0), None]));
    assert!(read.is_null(1));

    let inner = |time: ArrayRef, word: ArrayRef| {
        let fields =
            vec![Field::new("at", time.data_type().clone(), true), Field::new("word", word.data_type().clone(), true)];
        let nulls = Some(NullBuffer::from(vec![true, false]));
        Arc::new(StructArray::new(Fields::from(fields), vec![time, word], nulls)) as ArrayRef
    };
    let zoned = TimestampSecondArray::from(vec![60, 0]).with_timezone("-03:00");
    let from = inner(Arc::new(zoned), Arc::new(StringViewArray::from(vec!["a", "b"])));
    let to = inner(utc(vec![Some(60_000_000), None]), strings(vec![Some("a"), None]));
    assert_eq!(round_trip(from).await.as_ref(), to.as_ref());

    let mut map = MapBuilder::new(None, StringViewBuilder::new(), UInt32Builder::new());
    map.keys().append_value("a");
    map.values().append_value(7);
    map.append(true).unwrap();
    map.append(false).unwrap();
    let read = round_trip(Arc::new(map.finish())).await;
    let map = read.as_map();
    assert_eq!((map.keys(), map.values()), (&strings(vec![Some("a")]), &ints(vec![Some(7)])));
    assert!(map.is_null(1));
}

#[tokio::test]
async fn values_that_do_not_fit_are_errors_that_name_the_column() {
    let lake = Lake::new();
    for (column, way_out) in [
        (Arc::new(UInt64Array::from(vec![1, u64::MAX])) as ArrayRef, "cast(x AS decimal(20, 0))"),
        (Arc::new(TimestampSecondArray::from(vec![i64::MAX])), "does not fit"),
        (Arc::new(DurationSecondArray::from(vec![i64::MAX])), "does not fit"),
    ] {
        let batch = columns(vec![("x", column)]);
        let options = ParquetOptions { partition_by: Vec::new(), ..lake.options() };
        let mut sink = lake.sink(options, context_of(&batch, None));
        let error = config_error(sink.write(0, batch).await);
        assert!(error.contains("column \"x\"") && error.contains(way_out), "{error}");
        assert!(sink.prepare(1, Flush::All).await.unwrap().is_nothing(), "no half of the batch was taken");
    }
}

#[test]
fn types_without_a_place_in_a_lake_are_refused_by_name() {
    let union = DataType::Union(UnionFields::empty(), UnionMode::Dense);
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    let hidden = DataType::new_list(DataType::Struct(vec![Field::new("deep", interval.clone(), true)].into()), true);
    for (data_type, why) in [(interval, "is an interval"), (union, "is a union"), (hidden, "is an interval")] {
        let schema = Schema::new(vec![Field::new("ok", DataType::Int64, true), Field::new("odd", data_type, true)]);
        let error = config_error(file_schema(&schema));
        assert!(error.starts_with("column \"odd\"") && error.contains(why), "{error}");
        let context = SinkContext { schema: Arc::new(schema), ..context("orders") };
        config_error(ParquetOptions { partition_by: vec![], ..ParquetOptions::at("lake") }.check(&context));
    }
    // What parquet itself refuses is known before the first row, too.
    let schema = Arc::new(Schema::new(vec![Field::new("nothing", DataType::Struct(Fields::empty()), true)]));
    let context = SinkContext { schema, ..context("orders") };
    let error = config_error(ParquetOptions { partition_by: vec![], ..ParquetOptions::at("lake") }.check(&context));
    assert!(error.contains("cannot be written as parquet"), "{error}");
}

#[tokio::test]
async fn a_batch_may_differ_from_the_announced_types_where_the_file_does_not() {
    let lake = Lake::new();
    let announced = columns(vec![("x", Arc::new(StringViewArray::from(vec!["a"])))]);
    let options = ParquetOptions { partition_by: Vec::new(), ..lake.options() };
    let dictionary: DictionaryArray<Int32Type> = ["b"].into_iter().collect();
    let also = columns(vec![("x", Arc::new(dictionary))]);
    lake.write(options.clone(), context_of(&announced, None), &[announced.clone(), also]).await;
    assert_eq!(lake.read(&lake.files().await[0])["x"].as_ref(), &StringArray::from(vec!["a", "b"]));

    let mut sink = lake.sink(options, context_of(&announced, None));
    let wide = columns(vec![("x", strings(vec![None])), ("y", strings(vec![None]))]);
    let error = sink.write(0, wide).await.unwrap_err();
    assert!(error.to_string().contains("2 columns came where 1 were announced"), "{error}");
}

#[tokio::test]
async fn a_column_keeps_its_type_for_the_life_of_a_lake() {
    let lake = Lake::new();
    let options = ParquetOptions { partition_by: Vec::new(), ..lake.options() };
    let whole = columns(vec![("s", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]);
    let broken = columns(vec![("s", Arc::new(Float64Array::from(vec![1.5])) as ArrayRef)]);
    let more = columns(vec![
        ("s", Arc::new(Int64Array::from(vec![2])) as ArrayRef),
        ("t", Arc::new(Int64Array::from(vec![2])) as ArrayRef),
    ]);
    lake.write(options.clone(), context_of(&whole, None), &[whole]).await;
    let refused = config_error(lake.sink(options.clone(), context_of(&broken, None)).open().await);
    let file = lake.url() + "/orders-00000001-0001.parquet";
    let expected = format!("column \"s\" is bigint in {file} and double in pipeline \"orders\": cast it in the SQL");
    assert!(refused.starts_with(&expected), "{refused}");
    let refused = config_error(lake.sink(options.clone(), context_of(&broken, None)).probe().await);
    assert!(refused.starts_with(&expected), "{refused}");
    // Another pipeline in the same folder has columns of its own, and columns may come.
    let another = SinkContext { pipeline: "others".into(), ..context_of(&broken, None) };
    lake.sink(options.clone(), another).open().await.unwrap();
    lake.write(options, context_of(&more, None), &[more]).await;
}
