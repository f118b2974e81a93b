//! A query sees what its pipeline wrote, and nothing else.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array, Float64Array, Int32Array, Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use datafusion::parquet::arrow::ArrowWriter;

use crate::cli::failure::Outcome;
use crate::cli::query::{Planned, broken_file, failed, plan, session};
use crate::config::{self, Region};

fn write(folder: &Path, file: &str, numbers: &[i64]) {
    write_columns(folder, file, &[("n", numbers)]);
}

fn write_columns(folder: &Path, file: &str, columns: &[(&str, &[i64])]) {
    let column = |numbers: &[i64]| Arc::new(Int64Array::from(numbers.to_vec())) as ArrayRef;
    write_arrays(folder, file, columns.iter().map(|(name, numbers)| (*name, column(numbers))).collect());
}

fn write_arrays(folder: &Path, file: &str, columns: Vec<(&str, ArrayRef)>) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn region(folder: &Path) -> Region {
    let toml = format!(
        "region = \"eu\"\n[sources.s]\nconnector = \"stdin\"\n[sinks.lake]\nconnector = \"parquet\"\nurl = \"{}\"\n\
         [sinks.mirror]\nconnector = \"parquet\"\nurl = \"{}\"\n\
         [sinks.out]\nconnector = \"stdout\"\n\
         [pipelines.orders]\nsql = \"SELECT 1\"\nsinks = [\"lake\", \"mirror\", \"out\"]\n[pipelines.orders-1]\nsql = \"SELECT 1\"\nsink = \"lake\"\n\
         [pipelines.printed]\nsql = \"SELECT 1\"\nsink = \"out\"\n",
        folder.join("lake").display(),
        folder.join("mirror").display()
    );
    config::parse(Path::new("eu.toml"), toml.into_bytes(), &|_| Err(std::env::VarError::NotPresent), 1).unwrap()
}

/// The rows of a query as a table without its frame, or what went wrong.
async fn rows(region: &Region, sql: &str) -> Outcome<Vec<String>> {
    rows_in(region, None, sql).await
}

async fn rows_in(region: &Region, sink: Option<&str>, sql: &str) -> Outcome<Vec<String>> {
    let session = session(region.memory).unwrap();
    let Planned { plan, readings } = plan(&session, region, sink, sql).await?;
    let batches = match session.execute_logical_plan(plan).await.unwrap().collect().await {
        Ok(batches) => batches,
        Err(error) => return Err(broken_file(&session, &readings).await.unwrap_or_else(|| failed(error))),
    };
    let table = pretty_format_batches(&batches).unwrap().to_string();
    let lines = table.lines().filter(|line| line.starts_with('|')).skip(1);
    let cells = |line: &str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(" ");
    Ok(lines.map(cells).collect())
}

async fn refused(region: &Region, sql: &str) -> (u8, String) {
    let failure = rows(region, sql).await.expect_err("the query was taken");
    (failure.code(), failure.render(false))
}

#[tokio::test]
async fn a_pipeline_reads_its_own_visible_files_and_their_folders() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    write(&lake, "region=eu/date=2026-03-01/orders-00000001-0001.parquet", &[1, 2]);
    write(&lake, "region=eu/date=2026-03-02/orders-00000002-0001.parquet", &[3]);
    write(&lake, "region=eu/date=2026-03-02/orders-1-00000002-0001.parquet", &[100]);
    write(&lake, "region=eu/date=2026-03-02/other.parquet", &[1000]);
    write(&lake, "_watershed/staged/eu/orders/orders-00000003-0001.parquet", &[10_000]);
    let region = region(folder.path());
    let found = rows(&region, "SELECT date, sum(n) FROM orders WHERE region = 'eu' GROUP BY date ORDER BY date").await;
    assert_eq!(found.unwrap(), ["2026-03-01 3", "2026-03-02 3"]);
    assert_eq!(rows(&region, "SELECT sum(n) FROM \"orders-1\"").await.unwrap(), ["100"]);
    let joined = "SELECT count(*) FROM orders a JOIN \"orders-1\" b ON a.date = b.date";
    assert_eq!(rows(&region, joined).await.unwrap(), ["1"]);
}

#[tokio::test]
async fn the_folder_for_null_reads_as_null() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    write(&lake, "country=DE/orders-00000001-0001.parquet", &[1]);
    write(&lake, "country=__HIVE_DEFAULT_PARTITION__/orders-00000001-0002.parquet", &[2]);
    let region = region(folder.path());
    assert_eq!(rows(&region, "SELECT n FROM orders WHERE country IS NULL").await.unwrap(), ["2"]);
    assert_eq!(rows(&region, "SELECT n FROM orders WHERE country = 'DE'").await.unwrap(), ["1"]);
}

#[tokio::test]
async fn files_without_folders_are_read_too() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("lake"), "orders-00000001-0001.parquet", &[7]);
    assert_eq!(rows(&region(folder.path()), "SELECT * FROM orders").await.unwrap(), ["7"]);
}

#[tokio::test]
async fn folders_of_two_layouts_are_not_mixed_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    write(&lake, "date=2026-03-01/orders-00000001-0001.parquet", &[1]);
    write(&lake, "region=eu/orders-00000002-0001.parquet", &[2]);
    let (code, shown) = refused(&region(folder.path()), "SELECT * FROM orders").await;
    assert_eq!(code, 1);
    assert!(shown.contains("have different folder levels"), "{shown}");
}

#[tokio::test]
async fn what_is_not_there_is_told_apart_from_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let region = region(folder.path());
    let (code, shown) = refused(&region, "SELECT * FROM orders").await;
    assert_eq!(code, 1);
    assert!(shown.contains("pipeline `orders` has written nothing to") && shown.contains("watershed run eu.toml"));

    write(&folder.path().join("lake"), "orders-00000001-0001.parquet", &[7]);
    let (code, shown) = refused(&region, "SELECT *\nFROM ordres").await;
    assert_eq!(code, 2);
    assert!(shown.contains("there is no table `ordres`") && shown.contains("did you mean `orders`?"), "{shown}");
    assert!(shown.contains("--> SQL:2:6\n"), "{shown}");

    let (code, shown) = refused(&region, "SELECT nn FROM orders").await;
    assert_eq!(code, 2);
    assert!(shown.contains("unknown column `nn`") && shown.contains("--> SQL:1:8\n"), "{shown}");

    let (code, shown) = refused(&region, "SELEC n FROM orders").await;
    assert_eq!(code, 2);
    assert!(shown.contains("--> SQL:1:1\n"), "{shown}");

    let (code, shown) = refused(&region, "SELECT * FROM printed").await;
    assert_eq!(code, 2);
    assert!(shown.contains("writes to no parquet or delta sink"), "{shown}");

    for sql in
        ["DROP TABLE orders", "CREATE TABLE x AS SELECT * FROM orders", "COPY orders TO 'x.csv'", "SELECT 1; SELECT 2"]
    {
        let (code, _) = refused(&region, sql).await;
        assert_eq!(code, 2, "{sql}");
    }
}

#[tokio::test]
async fn a_mirror_is_asked_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("lake"), "orders-00000001-0001.parquet", &[1]);
    write(&folder.path().join("mirror"), "orders-00000001-0001.parquet", &[1, 2]);
    let region = region(folder.path());
    let sql = "SELECT count(*) FROM orders";
    assert_eq!(rows(&region, sql).await.unwrap(), ["1"]);
    assert_eq!(rows_in(&region, Some("lake"), sql).await.unwrap(), ["1"]);
    assert_eq!(rows_in(&region, Some("mirror"), sql).await.unwrap(), ["2"]);
    for (sink, sql) in [("out", sql), ("nowhere", sql), ("mirror", "SELECT * FROM \"orders-1\"")] {
        let failure = rows_in(&region, Some(sink), sql).await.expect_err("no files are there");
        let shown = failure.render(false);
        assert_eq!(failure.code(), 2, "{shown}");
        assert!(shown.contains(&format!("writes no files to a sink `{sink}`")) && shown.contains("`lake`"), "{shown}");
    }
}

#[tokio::test]
async fn only_files_of_the_partitions_that_are_asked_for_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    for day in 1..=9 {
        for hour in 0..4 {
            let file = format!("region=eu/date=2026-03-0{day}/hour=0{hour}/orders-0000000{day}-000{hour}.parquet");
            write(&folder.path().join("lake"), &file, &[day * 10 + hour]);
        }
    }
    let region = region(folder.path());
    // The oldest and the newest are among them, for the columns.
    for (condition, opened, sum) in [
        ("date = '2026-03-05'", 6, 206),
        ("date = '2026-03-05' AND hour = '03'", 3, 53),
        ("date >= '2026-03-08' AND region = 'eu'", 9, 692),
        ("region = 'us'", 2, 0),
    ] {
        let session = session(region.memory).unwrap();
        let sql = format!("SELECT coalesce(sum(n + 0), 0) FROM orders WHERE {condition}");
        let planned = plan(&session, &region, None, &sql).await.unwrap();
        let rows = session.execute_logical_plan(planned.plan).await.unwrap().collect().await.unwrap();
        assert_eq!(rows[0].column(0).as_primitive::<Int64Type>().value(0), sum, "{condition}");
        let shown = format!("table orders: {opened} of 36 files opened");
        assert_eq!(planned.readings.iter().map(ToString::to_string).collect::<Vec<_>>(), [shown], "{condition}");
    }
}

#[tokio::test]
async fn columns_of_the_oldest_and_the_newest_file_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    write(&lake, "orders-00000009-0001.parquet", &[1]);
    write_columns(&lake, "orders-00000010-0001.parquet", &[("n", &[2]), ("added", &[20])]);
    let region = region(folder.path());
    assert_eq!(rows(&region, "SELECT n, added FROM orders ORDER BY n").await.unwrap(), ["1 ", "2 20"]);
}

#[tokio::test]
async fn a_column_of_two_types_is_read_as_the_wider_one() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let int = |n: i32| Arc::new(Int32Array::from(vec![n])) as ArrayRef;
    let bigint = |n: i64| Arc::new(Int64Array::from(vec![n])) as ArrayRef;
    let double = |n: f64| Arc::new(Float64Array::from(vec![n])) as ArrayRef;
    write_arrays(&lake, "orders-00000001-0001.parquet", vec![("n", bigint(1)), ("m", int(10))]);
    write_arrays(&lake, "orders-00000002-0001.parquet", vec![("n", bigint(2)), ("m", bigint(5_000_000_000))]);
    write_arrays(&lake, "orders-00000003-0001.parquet", vec![("n", double(2.5)), ("m", bigint(30))]);
    let region = region(folder.path());
    let all = rows(&region, "SELECT n, m FROM orders ORDER BY n").await;
    assert_eq!(all.unwrap(), ["1.0 10", "2.0 5000000000", "2.5 30"]);
    let ends = rows(&region, "SELECT min(n), max(n), sum(n), min(m), max(m), count(*) FROM orders").await;
    assert_eq!(ends.unwrap(), ["1.0 2.5 5.5 10 5000000000 3"]);
    // Alone, a bound might be taken from footers.
    assert_eq!(rows(&region, "SELECT min(n), max(m) FROM orders").await.unwrap(), ["1.0 5000000000"]);
    let some = rows(&region, "SELECT n FROM orders WHERE n > 1.5 AND n < 2.5 AND m >= 11").await;
    assert_eq!(some.unwrap(), ["2.0"]);
}

#[tokio::test]
async fn types_that_do_not_fit_are_told_by_the_names_of_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    write(&lake, "hour=01/orders-00000001-0001.parquet", &[1]);
    let text = Arc::new(StringArray::from(vec!["one"])) as ArrayRef;
    write_arrays(&lake, "hour=02/orders-00000002-0001.parquet", vec![("n", text)]);
    let (code, shown) = refused(&region(folder.path()), "SELECT * FROM orders").await;
    assert_eq!(code, 1);
    let expected = "column `n` is bigint in hour=01/orders-00000001-0001.parquet and string in \
                    hour=02/orders-00000002-0001.parquet";
    assert!(shown.contains(expected) && shown.contains("help: "), "{shown}");
    // A date is no number.
    let date = Arc::new(Date32Array::from(vec![1])) as ArrayRef;
    write_arrays(&lake, "hour=02/orders-00000002-0001.parquet", vec![("n", date)]);
    assert_eq!(refused(&region(folder.path()), "SELECT * FROM orders").await.0, 1);
}

#[tokio::test]
async fn no_number_is_cut_to_fit_the_oldest_and_the_newest_file() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    write_columns(&lake, "orders-00000001-0001.parquet", &[("n", &[1]), ("m", &[1])]);
    let between = Arc::new(Float64Array::from(vec![2.5])) as ArrayRef;
    let m = Arc::new(Int64Array::from(vec![2])) as ArrayRef;
    write_arrays(&lake, "orders-00000002-0001.parquet", vec![("n", between), ("m", m)]);
    write_columns(&lake, "orders-00000003-0001.parquet", &[("n", &[3]), ("m", &[3])]);
    let region = region(folder.path());
    for sql in ["SELECT sum(n) FROM orders", "SELECT min(n) FROM orders", "SELECT n FROM orders WHERE n > 2"] {
        let (code, shown) = refused(&region, sql).await;
        assert_eq!(code, 1, "{sql}");
        assert!(shown.contains("column `n` is double in one of the files, which does not fit bigint"), "{shown}");
    }
    assert_eq!(rows(&region, "SELECT sum(m) FROM orders").await.unwrap(), ["6"], "other columns are read");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    for (epoch, numbers) in [[1], [2], [3]].iter().enumerate() {
        write(&lake, &format!("date=2026-03-0{0}/orders-0000000{0}-0001.parquet", epoch + 1), numbers);
    }
    let region = region(folder.path());
    let broken = |epoch| format!("date=2026-03-0{epoch}/orders-0000000{epoch}-0001.parquet");
    for epoch in [2, 1] {
        fs::write(lake.join(broken(epoch)), "no columns, no footer").unwrap();
        let (code, told) = refused(&region, "SELECT sum(n) FROM orders").await;
        assert_eq!(code, 1, "{told}");
        let file = format!("{} is not a Parquet file that can be read", broken(epoch));
        assert!(told.contains(&file) && told.contains("take the file away"), "{told}");
    }
}
