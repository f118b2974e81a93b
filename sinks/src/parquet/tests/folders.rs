use arrow::array::{BooleanArray, Date32Array, Decimal128Array, Int32Array, Int64Array, StringArray, StringViewArray};
use arrow::array::{TimestampMicrosecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt8Array};

use super::*;

const HOUR: i64 = 3_600_000_000;

/// A lake's folders under `partition_by`, with the ids in each.
async fn folders(batch: RecordBatch, time_column: Option<&str>, partition_by: &[&str]) -> BTreeMap<String, Vec<i64>> {
    let lake = Lake::new();
    let partition_by = partition_by.iter().map(|name| (*name).to_owned()).collect();
    let context = context_of(&batch, time_column);
    lake.write(ParquetOptions { partition_by, ..lake.options() }, context, &[batch]).await;
    let mut folders = BTreeMap::new();
    for (key, ids) in lake.ids().await {
        let (folder, name) = key.rsplit_once('/').unwrap_or(("", &key));
        assert!(names::visible_epoch(name, "orders") == Some(1), "{name}");
        assert!(folders.insert(folder.to_owned(), ids).is_none(), "one file for each folder");
    }
    folders
}

fn numbered(name: &str, values: ArrayRef) -> RecordBatch {
    let ids = Int64Array::from_iter_values(0..values.len() as i64);
    columns(vec![(name, values), ("id", Arc::new(ids))])
}

fn expect(folders: &[(&str, &[i64])]) -> BTreeMap<String, Vec<i64>> {
    folders.iter().map(|(folder, ids)| ((*folder).to_owned(), ids.to_vec())).collect()
}

#[tokio::test]
async fn a_file_is_named_after_region_date_hour_pipeline_and_epoch() {
    let lake = Lake::new();
    let prepared = lake.write(lake.options(), context("orders"), &[batch(&[0, 1, 360])]).await;
    let files = [
        "region=eu-west-1/date=2026-03-01/hour=00/orders-00000001-0001.parquet",
        "region=eu-west-1/date=2026-03-01/hour=01/orders-00000001-0002.parquet",
    ];
    assert_eq!(lake.files().await, files);
    assert_eq!(lake.all_files(), files, "nothing else is left");
    assert_eq!(prepared.0[0]["final"], files[0]);
    assert_eq!(prepared.0[0]["rows"], 2);
    assert_eq!(prepared.0[0]["bytes"], fs::metadata(lake.path(files[0])).unwrap().len());
    assert!(prepared.0[0]["staged"].as_str().unwrap().starts_with("_watershed/staged/eu-west-1/orders/00000001-"));
}

#[tokio::test]
async fn date_and_hour_are_utc_whatever_the_unit_and_zone() {
    // 2026-03-01 00:30 in UTC; the last hour of 1969; no time at all.
    let micros = |v: Option<i64>| v.map(|seconds| seconds * 1_000_000);
    let seconds = [Some(1_772_325_000), Some(-1), None];
    let expected = expect(&[
        ("date=1969-12-31/hour=23", &[1]),
        ("date=2026-03-01/hour=00", &[0]),
        ("date=__HIVE_DEFAULT_PARTITION__/hour=__HIVE_DEFAULT_PARTITION__", &[2]),
    ]);
    let zoned = TimestampSecondArray::from(seconds.to_vec()).with_timezone("+05:30");
    let nanos = seconds.map(|v| micros(v).map(|micros| micros * 1000)).to_vec();
    for time in [
        Arc::new(TimestampSecondArray::from(seconds.to_vec())) as ArrayRef,
        Arc::new(TimestampMicrosecondArray::from(seconds.map(micros).to_vec()).with_timezone("UTC")),
        Arc::new(TimestampNanosecondArray::from(nanos)),
        Arc::new(zoned),
    ] {
        let batch = numbered("window_start", time);
        assert_eq!(folders(batch, Some("window_start"), &["date", "hour"]).await, expected);
    }
}

#[tokio::test]
async fn times_of_year_0_and_9999_and_beyond_any_calendar_find_a_folder() {
    let time =
        TimestampMicrosecondArray::from(vec![-62_167_219_200_000_000, 253_402_300_799_000_000, i64::MAX, i64::MIN]);
    let expected = expect(&[
        ("date=0000-01-01/hour=00", &[0]),
        ("date=9999-12-31/hour=23", &[1]),
        ("date=__HIVE_DEFAULT_PARTITION__/hour=__HIVE_DEFAULT_PARTITION__", &[2, 3]),
    ]);
    assert_eq!(merged(numbered("ts", Arc::new(time)), Some("ts"), &["date", "hour"]).await, expected);
}

/// As [`folders`], where several hours may share one.
async fn merged(batch: RecordBatch, time: Option<&str>, partition_by: &[&str]) -> BTreeMap<String, Vec<i64>> {
    let folders = folders(batch, time, partition_by).await;
    folders.into_iter().map(|(folder, ids)| (folder, sorted(ids))).collect()
}

#[tokio::test]
async fn date_alone_hour_alone_and_no_level_at_all() {
    let time = TimestampMicrosecondArray::from(vec![0, HOUR, 24 * HOUR, 25 * HOUR]).with_timezone("UTC");
    let batch = numbered("ts", Arc::new(time));
    let by_date = expect(&[("date=1970-01-01", &[0, 1]), ("date=1970-01-02", &[2, 3])]);
    assert_eq!(merged(batch.clone(), Some("ts"), &["date"]).await, by_date);
    let by_hour = expect(&[("hour=00", &[0, 2]), ("hour=01", &[1, 3])]);
    assert_eq!(merged(batch.clone(), Some("ts"), &["hour"]).await, by_hour);
    assert_eq!(merged(batch.clone(), None, &[]).await, expect(&[("", &[0, 1, 2, 3])]));
    assert_eq!(merged(batch, None, &["region"]).await, expect(&[("region=eu-west-1", &[0, 1, 2, 3])]));
}

#[tokio::test]
async fn columns_name_folders_and_are_not_repeated_in_the_file() {
    let lake = Lake::new();
    let country = StringViewArray::from(vec![Some("DE"), Some("FR"), None, Some("DE")]);
    let batch = numbered("country", Arc::new(country));
    let context = SinkContext { sort_by: vec!["country".to_owned(), "id".to_owned()], ..context_of(&batch, None) };
    let options = ParquetOptions { partition_by: vec!["country".to_owned(), "region".to_owned()], ..lake.options() };
    lake.write(options, context, &[batch]).await;
    let germany = "country=DE/region=eu-west-1/orders-00000001-0001.parquet";
    assert_eq!(lake.read(germany).schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), ["id"]);
    let ids: Vec<_> = lake.ids().await.into_values().collect();
    assert_eq!(ids, [vec![0, 3], vec![1], vec![2]], "DE, FR, null");
}

#[tokio::test]
async fn special_characters_are_escaped_as_hive_does() {
    let values = [
        "a/b",
        "..",
        ".",
        "",
        "50% off",
        "a=b",
        "k:v?*",
        "tab\there",
        "line\nbreak",
        "it's \"x\" #1",
        "Ünïcödé 日本 x",
        "a\\b",
    ];
    let batch = numbered("note", Arc::new(StringArray::from(values.to_vec())));
    let expected = expect(&[
        ("note=%2E", &[2]),
        ("note=%2E%2E", &[1]),
        ("note=50%25 off", &[4]),
        ("note=Ünïcödé 日本 x", &[10]),
        ("note=__HIVE_DEFAULT_PARTITION__", &[3]),
        ("note=a%2Fb", &[0]),
        ("note=a%3Db", &[5]),
        ("note=a%5Cb", &[11]),
        ("note=it%27s %22x%22 %231", &[9]),
        ("note=k%3Av%3F%2A", &[6]),
        ("note=line%0Abreak", &[8]),
        ("note=tab%09here", &[7]),
    ]);
    assert_eq!(folders(batch, None, &["note"]).await, expected);
}

#[tokio::test]
async fn an_odd_column_name_and_an_odd_region_are_escaped_too() {
    let lake = Lake::new();
    let batch = numbered("a/b=c", Arc::new(StringArray::from(vec!["x"])));
    let context = SinkContext { region: "on/prem".into(), pipeline: "a/b".into(), ..context_of(&batch, None) };
    let options = ParquetOptions { partition_by: vec!["region".into(), "a/b=c".into()], ..lake.options() };
    lake.write(options.clone(), context.clone(), &[batch]).await;
    assert_eq!(lake.files().await, ["region=on%2Fprem/a%2Fb%3Dc=x/a%2Fb-00000001-0001.parquet"]);
    assert_eq!(lake.sink(options, context).open().await.unwrap(), 2);
}

#[tokio::test]
async fn values_of_any_plain_type_name_folders() {
    let timestamp = TimestampNanosecondArray::from(vec![1_772_323_210_500_000_000]).with_timezone("+01:00");
    for (values, folder) in [
        (Arc::new(Int32Array::from(vec![-7])) as ArrayRef, "x=-7"),
        (Arc::new(UInt8Array::from(vec![200])), "x=200"),
        (Arc::new(BooleanArray::from(vec![true])), "x=true"),
        (Arc::new(Date32Array::from(vec![20513])), "x=2026-03-01"),
        (Arc::new(Decimal128Array::from(vec![150]).with_precision_and_scale(5, 2).unwrap()), "x=1.50"),
        (Arc::new(timestamp), "x=2026-03-01 00%3A00%3A10.500"),
        (arrow::array::new_null_array(&arrow::datatypes::DataType::Null, 1), "x=__HIVE_DEFAULT_PARTITION__"),
    ] {
        assert_eq!(folders(numbered("x", values), None, &["x"]).await, expect(&[(folder, &[0])]));
    }
}

#[tokio::test]
async fn a_value_too_long_for_a_folder_is_refused_before_rows_are_taken() {
    let lake = Lake::new();
    let long = "ä".repeat(130);
    let batch = numbered("agent", Arc::new(StringArray::from(vec!["ok", &long])));
    let options = ParquetOptions { partition_by: vec!["agent".to_owned()], ..lake.options() };
    let mut sink = lake.sink(options, context_of(&batch, None));
    let error = config_error(sink.write(0, batch.clone()).await);
    assert!(error.contains("\"agent\"") && error.contains("266 bytes") && error.contains("left(agent, 50)"), "{error}");
    sink.write(0, batch.slice(0, 1)).await.unwrap();
    let prepared = sink.prepare(1, Flush::All).await.unwrap();
    assert_eq!(prepared.0[0]["rows"], 1, "the refused batch left nothing behind");
}

#[tokio::test]
async fn rows_in_any_order_are_split_without_loss() {
    let lake = Lake::new();
    let n = 5_000;
    // Two levels that alternate at different rates, so that runs are short.
    let time = TimestampMicrosecondArray::from_iter_values((0..n).map(|i| (i % 7) * HOUR));
    let kind = StringArray::from_iter((0..n).map(|i| (i % 5 != 0).then(|| format!("k{}", i % 5))));
    let batch = columns(vec![
        ("ts", Arc::new(time)),
        ("kind", Arc::new(kind)),
        ("id", Arc::new(Int64Array::from_iter_values(0..n))),
    ]);
    let options = ParquetOptions { partition_by: vec!["hour".into(), "kind".into()], ..lake.options() };
    let parts = [batch.slice(0, 1), batch.slice(1, 2_499), batch.slice(2_500, 2_500)];
    lake.write(options, context_of(&batch, Some("ts")), &parts).await;
    let files = lake.ids().await;
    assert_eq!(files.len(), 35);
    for (key, ids) in &files {
        for id in ids {
            let kind = if id % 5 == 0 { names::NO_VALUE.to_owned() } else { format!("k{}", id % 5) };
            assert!(key.starts_with(&format!("hour={:02}/kind={kind}/", id % 7)), "{id} in {key}");
        }
    }
    assert_eq!(sorted(files.into_values().flatten()), (0..n).collect::<Vec<_>>());
}

#[tokio::test]
async fn readers_see_no_hidden_files() {
    let lake = Lake::new();
    lake.write(lake.options(), context("orders"), &[batch(&[1])]).await;
    let seen = lake.files().await;
    for key in [
        "_watershed/staged/x.parquet",
        ".tmp/x.parquet",
        "region=a/_x/b.parquet",
        "a/.b.parquet",
        "_c.parquet",
        "d.txt",
    ] {
        fs::create_dir_all(lake.path(key).parent().unwrap()).unwrap();
        fs::write(lake.path(key), b"x").unwrap();
    }
    assert_eq!(lake.files().await, seen);
    fs::write(lake.path("e.parquet"), b"x").unwrap();
    assert_eq!(lake.files().await.len(), seen.len() + 1);

    // The root itself may lie in a folder with such a name; and it may be missing.
    let store = LocalFileSystem::new();
    let root = Path::from_absolute_path(lake.path("_watershed/staged")).unwrap();
    assert_eq!(visible_files(&store, &root).await.unwrap().len(), 1);
    let missing = Path::from_absolute_path(lake.folder.path()).unwrap().join("nowhere");
    assert_eq!(visible_files(&store, &missing).await.unwrap(), []);
}
