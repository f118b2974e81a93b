use arrow::array::{Float64Array, Int64Array, StringArray, StructArray};
use arrow::datatypes::DataType;
use parquet::basic::{Compression as Codec, Encoding, SortOrder, Type};
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::SortingColumn;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::statistics::Statistics;

use super::*;

/// One visible file with `batches` in it, and its key.
async fn one_file(
    options: impl FnOnce(&mut ParquetOptions),
    context: SinkContext,
    batches: &[RecordBatch],
) -> (Lake, String) {
    let lake = Lake::new();
    let mut changed = ParquetOptions { partition_by: Vec::new(), ..lake.options() };
    options(&mut changed);
    lake.write(changed, context, batches).await;
    let mut files = lake.files().await;
    assert_eq!(files.len(), 1, "{files:?}");
    let key = files.remove(0);
    (lake, key)
}

#[tokio::test]
async fn values_come_back_as_they_were_written() {
    let (lake, key) = one_file(|_| {}, context("orders"), &[batch(&[5, 3]), batch(&[4, 9, 1])]).await;
    let read = lake.read(&key);
    let expected = batch(&[1, 3, 4, 5, 9]);
    for name in ["ts", "id", "name"] {
        assert_eq!(&read[name], &expected[name], "{name}");
    }
}

#[tokio::test]
async fn rows_are_sorted_within_each_row_group_and_the_metadata_says_so() {
    // `pair` has two leaves, so the ordinals of leaves and of columns differ.
    let n = 20_000;
    let pair = StructArray::try_from(vec![
        ("a", Arc::new(Int64Array::from_iter_values(0..n)) as ArrayRef),
        ("b", Arc::new(Int64Array::from_iter_values(0..n)) as ArrayRef),
    ]);
    let country = StringArray::from_iter((0..n).map(|i| (i % 4 != 0).then(|| format!("c{}", i % 4))));
    let all = columns(vec![
        ("pair", Arc::new(pair.unwrap())),
        ("id", Arc::new(Int64Array::from_iter_values((0..n).rev()))),
        ("country", Arc::new(country)),
    ]);
    let sort_by = ["country", "gone", "id", "pair"].map(str::to_owned).to_vec();
    let context = SinkContext { sort_by, ..context_of(&all, None) };
    let group = |options: &mut ParquetOptions| options.row_group_size = ByteSize(300_000);
    let (lake, key) = one_file(group, context, &[all]).await;

    let metadata = lake.metadata(&key);
    assert!(metadata.num_row_groups() > 1);
    let read = lake.read(&key);
    let mut start = 0;
    for group in metadata.row_groups() {
        let column = |column_idx| SortingColumn { column_idx, descending: false, nulls_first: false };
        assert_eq!(group.sorting_columns(), Some(&vec![column(3), column(2)]));
        let rows = read.slice(start, group.num_rows() as usize);
        start += rows.num_rows();
        let (countries, ids) = (rows["country"].as_string::<i32>().clone(), ids(&rows));
        let keys: Vec<_> =
            (0..ids.len()).map(|i| (countries.is_null(i), countries.value(i).to_owned(), ids[i])).collect();
        assert!(keys.is_sorted(), "by country with nulls last, then id");
    }
    assert_eq!(sorted(ids(&read)), (0..n).collect::<Vec<_>>());
    let pairs = read["pair"].as_struct().column(0).as_primitive::<Int64Type>().values().to_vec();
    assert!(ids(&read).iter().zip(pairs).all(|(id, a)| id + a == n - 1), "rows stay whole");
}

#[tokio::test]
async fn row_groups_end_by_bytes() {
    let ids: Vec<i64> = (0..10_000).collect();
    let group = |options: &mut ParquetOptions| options.row_group_size = ByteSize(64_000);
    // Both one large batch and many small ones.
    for size in [10_000, 250] {
        let batches: Vec<_> = ids.chunks(size).map(batch).collect();
        let (lake, key) = one_file(group, context("orders"), &batches).await;
        let metadata = lake.metadata(&key);
        let groups: Vec<_> = metadata.row_groups().iter().map(|group| group.num_rows()).collect();
        // 16 bytes of numbers and about 16 of string a row, so about 2,000 rows.
        let (last, full) = groups.split_last().unwrap();
        assert!(full.len() >= 3 && full.iter().all(|rows| (1_000..4_000).contains(rows)), "{groups:?}");
        assert!(*last <= 4_000, "{groups:?}");
        assert_eq!(groups.iter().sum::<i64>(), 10_000);
    }
}

#[tokio::test]
async fn statistics_and_page_index_let_readers_skip() {
    let ids: Vec<i64> = (0..50_000).collect();
    let (lake, key) = one_file(|_| {}, context("orders"), &[batch(&ids)]).await;
    let metadata = lake.metadata(&key);
    let id = metadata.row_group(0).column(1);
    let Some(Statistics::Int64(range)) = id.statistics() else { panic!("no statistics") };
    assert_eq!((range.min_opt(), range.max_opt(), range.null_count_opt()), (Some(&0), Some(&49_999), Some(0)));
    let name = metadata.row_group(0).column(2).statistics().unwrap();
    assert_eq!(name.null_count_opt(), Some(16_667));
    assert_eq!(metadata.row_group(0).column(2).column_descr().sort_order(), SortOrder::UNSIGNED);

    let pages = metadata.offset_index().unwrap()[0][1].page_locations().len();
    assert!(pages >= 2, "{pages} pages");
    let index = &metadata.column_index().unwrap()[0][1];
    assert!(index.is_sorted(), "pages of a sorted column can be searched");
}

#[tokio::test]
async fn pages_are_compressed_and_dictionaries_used_as_asked() {
    for (compression, codec) in
        [(Compression::Zstd, "ZSTD"), (Compression::Snappy, "SNAPPY"), (Compression::None, "UNCOMPRESSED")]
    {
        let set = |options: &mut ParquetOptions| options.compression = compression;
        let (lake, key) = one_file(set, context("orders"), &[batch(&[7; 1000])]).await;
        let metadata = lake.metadata(&key);
        for column in metadata.row_group(0).columns() {
            let found: Codec = column.compression();
            assert!(format!("{found:?}").starts_with(codec), "{found:?}");
            assert!(column.dictionary_page_offset().is_some());
            assert!(column.encodings().any(|encoding| encoding == Encoding::RLE_DICTIONARY));
        }
        assert_eq!(ids(&lake.read(&key)), [7; 1000]);
    }
}

#[tokio::test]
async fn bloom_filters_stand_where_they_were_asked_for() {
    let set = |options: &mut ParquetOptions| options.bloom_filters = vec!["name".to_owned()];
    let (lake, key) = one_file(set, context("orders"), &[batch(&[1, 2, 4])]).await;
    let reader = SerializedFileReader::new(File::open(lake.path(&key)).unwrap()).unwrap();
    let columns = reader.metadata().row_group(0).columns().to_vec();
    assert!(columns[0].bloom_filter_offset().is_none() && columns[1].bloom_filter_offset().is_none());
    let filter = Sbbf::read_from_column_chunk(&columns[2], &File::open(lake.path(&key)).unwrap()).unwrap().unwrap();
    assert!(filter.check(&"name 2") && !filter.check(&"name 3"));
}

#[tokio::test]
async fn the_file_says_who_wrote_it() {
    let (lake, key) = one_file(|_| {}, context("orders"), &[batch(&[1])]).await;
    let metadata = lake.metadata(&key);
    let file = metadata.file_metadata();
    assert_eq!(file.created_by(), Some(concat!("watershed version ", env!("CARGO_PKG_VERSION"))));
    let values = file.key_value_metadata().unwrap();
    let value = |key: &str| values.iter().find(|kv| kv.key == key).and_then(|kv| kv.value.clone()).unwrap();
    assert_eq!(value("watershed.pipeline"), "orders");
    assert_eq!(value("watershed.sql_hash"), "0123456789abcdef");
    assert_eq!(value("watershed.region"), "eu-west-1");
    assert_eq!(value("watershed.epoch"), "1");
    assert_eq!(file.schema_descr().column(0).physical_type(), Type::INT64);
    let logical = format!("{:?}", file.schema_descr().column(0).logical_type_ref());
    assert!(logical.contains("MICROS") && logical.contains("is_adjusted_to_u_t_c: true"), "{logical}");
}

#[tokio::test]
async fn floats_sort_and_come_back_with_nan_and_infinity() {
    let values = [Some(f64::NAN), Some(1.5), None, Some(f64::NEG_INFINITY), Some(-0.0)];
    let batch = columns(vec![("x", Arc::new(Float64Array::from(values.to_vec())))]);
    let context = SinkContext { sort_by: vec!["x".to_owned()], ..context_of(&batch, None) };
    let (lake, key) = one_file(|_| {}, context, &[batch]).await;
    let read = lake.read(&key);
    let read = read["x"].as_primitive::<arrow::datatypes::Float64Type>();
    assert_eq!((read.value(0), read.value(1), read.value(2)), (f64::NEG_INFINITY, -0.0, 1.5));
    assert!(read.value(3).is_nan() && read.is_null(4));
}

#[tokio::test]
async fn a_row_larger_than_a_row_group_and_a_file_is_still_written() {
    let large = StringArray::from_iter_values((0..5).map(|i| i.to_string().repeat(300_000)));
    let batch =
        columns(vec![("id", Arc::new(Int64Array::from_iter_values(0..5)) as ArrayRef), ("text", Arc::new(large))]);
    let lake = Lake::new();
    let roll = Roll { size: ByteSize(1000), ..Roll::default() };
    let options = ParquetOptions {
        partition_by: vec![],
        row_group_size: ByteSize(1000),
        roll,
        compression: Compression::None,
        ..lake.options()
    };
    lake.write(options, context_of(&batch, None), &[batch]).await;
    let files = lake.ids().await;
    assert_eq!(files.into_values().collect::<Vec<_>>(), (0..5).map(|id| vec![id]).collect::<Vec<_>>());
}

#[tokio::test]
async fn columns_keep_their_order_and_may_all_be_null() {
    let (lake, key) = one_file(|_| {}, context("orders"), &[batch(&[1])]).await;
    let schema = lake.read(&key).schema();
    let found: Vec<_> =
        schema.fields().iter().map(|f| (f.name().as_str(), f.data_type().clone(), f.is_nullable())).collect();
    let ts = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
    assert_eq!(found, [("ts", ts, true), ("id", DataType::Int64, true), ("name", DataType::Utf8, true)]);
}
