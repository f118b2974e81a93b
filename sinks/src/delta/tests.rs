//! A Delta sink through its front door: rows in, a table read back by what its log names.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod services;
mod upkeep;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use arrow::array::{
    ArrayRef, AsArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::conformance::{self, Fixture, Nature, batch, context};
use crate::error::SinkError;
use crate::parquet::tests::store::{FailingStore, Step};
use crate::parquet::{ParquetOptions, visible_epoch};
use crate::sink::{Flush, Sink, SinkContext};

/// A folder with a table.
struct Table(TempDir);

impl Table {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// One whose first entry is another's, changed.
    fn beginning_with(first: &[Value], change: impl FnMut(&mut Value)) -> Self {
        let table = Self::new();
        let folder = table.0.path().join("table/_delta_log");
        std::fs::create_dir_all(&folder).unwrap();
        let mut actions = first.to_vec();
        actions.iter_mut().for_each(change);
        let lines: Vec<String> = actions.iter().map(Value::to_string).collect();
        std::fs::write(folder.join("00000000000000000000.json"), lines.join("\n")).unwrap();
        table
    }

    fn options(&self) -> ParquetOptions {
        ParquetOptions::at(self.0.path().join("table").to_str().unwrap())
    }

    fn try_sink(&self, options: ParquetOptions, context: SinkContext) -> Result<DeltaSink, SinkError> {
        DeltaSink::local(options, context, Arc::new(Instant::now))
    }

    fn process(&self, pipeline: &str) -> DeltaSink {
        self.try_sink(self.options(), context(pipeline)).unwrap()
    }

    /// The entries of the log, each a list of actions.
    fn log(&self) -> Vec<Vec<Value>> {
        let entry = |version| {
            let path = self.0.path().join(format!("table/_delta_log/{version:020}.json"));
            let text = std::fs::read_to_string(path).ok()?;
            Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
        };
        (0..).map_while(entry).collect()
    }

    fn added(&self) -> Vec<Value> {
        self.log().into_iter().flatten().filter_map(|action| action.get("add").cloned()).collect()
    }

    fn ids(&self) -> Vec<i64> {
        let mut seen: Vec<i64> = Vec::new();
        for add in self.added() {
            let path = percent_decoded(add["path"].as_str().unwrap());
            let bytes = std::fs::read(self.0.path().join("table").join(path)).unwrap();
            assert_eq!(add["size"], bytes.len());
            seen.extend(ids(bytes.into()));
        }
        seen.sort_unstable();
        seen
    }
}

/// What a reader makes of a path in the log.
fn percent_decoded(path: &str) -> String {
    let mut parts = path.split('%');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(part[2..].bytes());
    }
    String::from_utf8(bytes).unwrap()
}

fn ids(file: Bytes) -> Vec<i64> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    reader.flat_map(|batch| batch.unwrap()["id"].as_primitive::<Int64Type>().values().to_vec()).collect()
}

/// Writes and commits one epoch.
async fn epoch(sink: &mut DeltaSink, number: u64, rows: RecordBatch) -> crate::sink::Prepared {
    sink.write(number, rows).await.unwrap();
    let prepared = sink.prepare(number, Flush::All).await.unwrap();
    sink.commit(&prepared).await.unwrap();
    prepared
}

fn config_error<T: std::fmt::Debug>(result: Result<T, SinkError>) -> String {
    match result {
        Err(SinkError::Config { what }) => what,
        other => panic!("expected a config error, got {other:?}"),
    }
}

/// Where an added file lies, if a pipeline wrote it.
fn own(add: &Value, pipeline: &str) -> Option<String> {
    let path = percent_decoded(add["path"].as_str()?);
    visible_epoch(path.rsplit('/').next()?, pipeline)?;
    Some(path)
}

fn nature() -> Nature {
    Nature { shows_at_write: false, holds_back: true, remembers_epochs: true }
}

#[async_trait]
impl Fixture for Table {
    fn sink(&self, pipeline: &str) -> Box<dyn Sink> {
        Box::new(self.process(pipeline))
    }

    async fn visible(&self, pipeline: &str) -> Option<Vec<i64>> {
        let added = self.added();
        let own = added.iter().filter_map(|add| own(add, pipeline));
        let read = |path| ids(std::fs::read(self.0.path().join("table").join(path)).unwrap().into());
        Some(own.flat_map(read).collect())
    }

    fn nature(&self) -> Nature {
        nature()
    }
}

/// How many objects of a table are read at a time.
const AT_A_TIME: usize = 8;

async fn read(store: &dyn ObjectStore, key: Path) -> Bytes {
    store.get(&key).await.unwrap().bytes().await.unwrap()
}

/// The rows of a pipeline's files that the log of a table in a store adds.
async fn added_in(store: &dyn ObjectStore, table: &Path, pipeline: &str) -> Vec<i64> {
    let listed: Vec<ObjectMeta> = store.list(Some(&table.clone().join("_delta_log"))).try_collect().await.unwrap();
    let entries = listed.into_iter().map(|entry| entry.location).filter(|key| key.extension() == Some("json"));
    let reading: Vec<_> = entries.map(|key| read(store, key)).collect();
    let entries: Vec<Bytes> = stream::iter(reading).buffered(AT_A_TIME).collect().await;
    let mut reading = Vec::new();
    for line in entries.iter().flat_map(|entry| std::str::from_utf8(entry).unwrap().lines()) {
        let action: Value = serde_json::from_str(line).unwrap();
        let file = own(&action["add"], pipeline);
        reading.extend(file.map(|file| read(store, Path::parse(format!("{table}/{file}")).unwrap())));
    }
    let files: Vec<Bytes> = stream::iter(reading).buffered(AT_A_TIME).collect().await;
    files.into_iter().flat_map(ids).collect()
}

/// A table in an object store.
struct Bucket(Arc<FailingStore>);

impl Bucket {
    fn new() -> Self {
        Self(FailingStore::new())
    }

    fn process(&self, context: SinkContext) -> DeltaSink {
        let store = self.0.place("lake/table");
        DeltaSink::new(ParquetOptions::at("mem"), context, store, Arc::new(Instant::now)).unwrap()
    }

    async fn ids(&self) -> Vec<i64> {
        let mut seen = self.visible("orders").await.unwrap();
        seen.sort_unstable();
        seen
    }
}

#[async_trait]
impl Fixture for Bucket {
    fn sink(&self, pipeline: &str) -> Box<dyn Sink> {
        Box::new(self.process(context(pipeline)))
    }

    async fn visible(&self, pipeline: &str) -> Option<Vec<i64>> {
        Some(added_in(&*self.0, &Path::from("lake/table"), pipeline).await)
    }

    fn nature(&self) -> Nature {
        nature()
    }
}

#[tokio::test]
async fn delta_on_a_disk_conforms() {
    conformance::run(Table::new).await;
}

#[tokio::test]
async fn delta_in_a_store_conforms() {
    conformance::run(Bucket::new).await;
}

#[tokio::test]
async fn an_epoch_is_one_entry_with_its_number() {
    let table = Table::new();
    let mut sink = table.process("orders");
    sink.open().await.unwrap();
    // Two hours, so two files.
    epoch(&mut sink, 7, batch(&[1, 400])).await;
    let log = table.log();
    assert_eq!(log.len(), 2, "one that creates, one that adds: {log:?}");
    let named = |name: &str| log[1].iter().filter(|action| action.get(name).is_some()).collect::<Vec<_>>();
    assert_eq!(named("add").len(), 2);
    let txn = &named("txn")[0]["txn"];
    assert_eq!((&txn["appId"], &txn["version"]), (&json!("watershed/eu-west-1/orders"), &json!(7)));
    let values = &named("add")[0]["add"]["partitionValues"];
    assert_eq!(values, &json!({ "region": "eu-west-1", "date": "2026-03-01", "hour": "00" }));
    let info = &named("commitInfo")[0]["commitInfo"];
    assert_eq!(info["operation"], "STREAMING UPDATE");
    assert!(info["clientVersion"].as_str().unwrap().starts_with("watershed."), "{info}");
}

#[tokio::test]
async fn an_epoch_is_added_once_whoever_commits_it_how_often() {
    let table = Table::new();
    let mut zombie = table.process("orders");
    zombie.open().await.unwrap();
    let first = epoch(&mut zombie, 1, batch(&[1])).await;
    zombie.write(2, batch(&[2])).await.unwrap();
    let second = zombie.prepare(2, Flush::All).await.unwrap();
    let mut heir = table.process("orders");
    heir.commit(&second).await.unwrap();
    assert_eq!(heir.open().await.unwrap(), 3);
    epoch(&mut heir, 3, batch(&[3])).await;
    for late in [&second, &first, &second] {
        zombie.commit(late).await.unwrap();
    }
    assert_eq!(table.ids(), [1, 2, 3]);
}

#[tokio::test]
async fn a_commit_reads_once_what_the_log_has() {
    let bucket = Bucket::new();
    let mut sink = bucket.process(context("orders"));
    sink.open().await.unwrap();
    epoch(&mut sink, 1, batch(&[1])).await;
    sink.write(2, batch(&[2])).await.unwrap();
    let prepared = sink.prepare(2, Flush::All).await.unwrap();
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    bucket.0.fail_with(move |step, path| {
        let is_read = step == Step::Get && path.ends_with("_delta_log/00000000000000000001.json");
        counted.fetch_add(usize::from(is_read), Ordering::Relaxed);
        None
    });
    sink.commit(&prepared).await.unwrap();
    assert_eq!(reads.load(Ordering::Relaxed), 1);
    assert_eq!(bucket.ids().await, [1, 2]);
}

#[tokio::test]
async fn an_epoch_that_its_heir_adds_after_the_look_is_not_added_again() {
    let bucket = Bucket::new();
    let mut zombie = bucket.process(context("orders"));
    zombie.open().await.unwrap();
    zombie.write(1, batch(&[1])).await.unwrap();
    let first = zombie.prepare(1, Flush::All).await.unwrap();
    let looked = bucket.0.pause(Step::Complete, 0);
    let late = first.clone();
    let committing = tokio::spawn(async move { zombie.commit(&late).await });
    looked.reached().await;
    let mut heir = bucket.process(context("orders"));
    heir.commit(&first).await.unwrap();
    assert_eq!(heir.open().await.unwrap(), 2);
    epoch(&mut heir, 2, batch(&[2])).await;
    looked.open();
    committing.await.unwrap().unwrap();
    assert_eq!(bucket.ids().await, [1, 2]);
}

#[tokio::test]
async fn an_epoch_that_comes_while_columns_are_added_is_not_added_again() {
    let bucket = Bucket::new();
    bucket.process(context("orders")).open().await.unwrap();
    let wider = with_column(&batch(&[1]), "note", Arc::new(StringArray::from(vec!["one"])));
    // It dies before it has looked at the table.
    let mut dead = bucket.process(context_of(&wider));
    dead.write(1, wider.clone()).await.unwrap();
    let first = dead.prepare(1, Flush::All).await.unwrap();
    let mut zombie = bucket.process(context_of(&wider));
    let adding = bucket.0.pause(Step::Put, 0);
    let late = first.clone();
    let committing = tokio::spawn(async move { zombie.commit(&late).await });
    adding.reached().await;
    bucket.process(context_of(&wider)).commit(&first).await.unwrap();
    adding.open();
    committing.await.unwrap().unwrap();
    assert_eq!(bucket.ids().await, [1]);
}

#[tokio::test]
async fn two_pipelines_add_to_one_table_at_a_time() {
    let table = Table::new();
    let writer = |pipeline: &'static str, first: i64| {
        let mut sink = table.process(pipeline);
        async move {
            sink.open().await.unwrap();
            for n in 1..=8 {
                epoch(&mut sink, n, batch(&[first + n as i64])).await;
            }
        }
    };
    tokio::join!(writer("orders", 0), writer("returns", 100));
    assert_eq!(table.ids(), (1..=8).chain(101..=108).collect::<Vec<_>>());
    assert_eq!(table.process("returns").open().await.unwrap(), 9);
}

#[tokio::test]
async fn an_epoch_is_remembered_by_checkpoints_of_the_log() {
    let begun = Table::new();
    begun.process("orders").open().await.unwrap();
    let often =
        |action: &mut Value| set(action, "metaData", "configuration", json!({ "delta.checkpointInterval": "3" }));
    let table = Table::beginning_with(&begun.log()[0], often);
    let mut sink = table.process("orders");
    sink.open().await.unwrap();
    let last = 5;
    let mut prepared = None;
    for n in 1..=last {
        prepared = Some(epoch(&mut sink, n, batch(&[n as i64])).await);
    }
    let log = table.0.path().join("table/_delta_log");
    assert!(log.join("00000000000000000005.checkpoint.parquet").exists());
    for entry in 0..=last {
        std::fs::remove_file(log.join(format!("{entry:020}.json"))).unwrap();
    }
    let mut heir = table.process("orders");
    heir.commit(&prepared.unwrap()).await.unwrap();
    assert_eq!(heir.open().await.unwrap(), last + 1);
    assert!(!log.join("00000000000000000006.json").exists(), "nothing was added");
}

#[tokio::test]
async fn a_table_gains_columns_and_keeps_those_that_are_gone() {
    let table = Table::new();
    let mut sink = table.process("orders");
    sink.open().await.unwrap();
    epoch(&mut sink, 1, batch(&[1])).await;
    let wider = with_column(&batch(&[2]), "note", Arc::new(StringArray::from(vec!["two"])));
    let mut sink = table.try_sink(table.options(), context_of(&wider)).unwrap();
    let said = sink.probe().await.unwrap();
    assert!(said.ends_with("the table is at version 1 and will get 1 columns"), "{said}");
    assert_eq!(sink.open().await.unwrap(), 2);
    epoch(&mut sink, 2, wider).await;
    // The first again, which lacks the column.
    let mut sink = table.process("orders");
    sink.open().await.unwrap();
    epoch(&mut sink, 3, batch(&[3])).await;
    assert_eq!(table.ids(), [1, 2, 3]);
    let schemas = table.log().into_iter().flatten().filter_map(|action| {
        let schema: Value = serde_json::from_str(action["metaData"]["schemaString"].as_str()?).unwrap();
        Some(schema["fields"].as_array().unwrap().iter().map(|field| field["name"].clone()).collect::<Vec<_>>())
    });
    let schemas: Vec<_> = schemas.collect();
    assert_eq!(
        schemas,
        [
            vec!["ts", "id", "name", "region", "date", "hour"],
            vec!["ts", "id", "name", "region", "date", "hour", "note"]
        ]
    );
}

#[tokio::test]
async fn what_a_table_cannot_take_is_named() {
    let table = Table::new();
    table.process("orders").open().await.unwrap();
    let mut options = table.options();
    options.partition_by = vec!["region".into()];
    let error = config_error(table.try_sink(options, context("orders")).unwrap().open().await);
    assert!(error.ends_with("the table is partitioned by [\"region\", \"date\", \"hour\"]: set partition_by to that, or write to another url"), "{error}");

    let rows = batch(&[1]);
    let other = RecordBatch::try_from_iter([
        ("ts", rows["ts"].clone()),
        ("id", Arc::new(Int32Array::from(vec![1])) as ArrayRef),
        ("name", rows["name"].clone()),
    ]);
    let mut sink = table.try_sink(table.options(), context_of(&other.unwrap())).unwrap();
    let error = config_error(sink.open().await);
    assert!(error.contains("column \"id\" is long in the table and integer in the pipeline"), "{error}");
    assert_eq!(table.log().len(), 1, "nothing was written");
}

#[tokio::test]
async fn a_table_that_asks_more_of_its_writers_is_refused() {
    let begun = Table::new();
    begun.process("orders").open().await.unwrap();
    let first = &begun.log()[0];
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 10] = [
        (
            |action| {
                let properties = json!({ "delta.setTransactionRetentionDuration": "interval 7 days" });
                set(action, "metaData", "configuration", properties);
            },
            "unset it by ALTER TABLE",
        ),
        (
            |action| set(action, "metaData", "configuration", json!({ "delta.constraints.few": "id < 10" })),
            "check constraints",
        ),
        (
            |action| set(action, "metaData", "configuration", json!({ "delta.columnMapping.mode": "name" })),
            "column mapping",
        ),
        (|action| feature(action, "rowTracking"), "rowTracking"),
        (|action| feature(action, "invariants"), "asks its writers for invariants"),
        (|action| feature(action, "changeDataFeed"), "asks its writers for changeDataFeed"),
        (|action| feature(action, "checkpointProtection"), "checkpointProtection"),
        // Of old, a version stands for all that came with it, used or not.
        (
            |action| set(action, "protocol", "minWriterVersion", json!(3)),
            "asks its writers for checkConstraints, invariants",
        ),
        (|action| column(action, "nullable", json!(false)), "column \"id\" may not be null in the table"),
        (
            |action| column(action, "metadata", json!({ "delta.generationExpression": "1" })),
            "delta.generationExpression",
        ),
    ];
    for (change, expected) in cases {
        let table = Table::beginning_with(first, change);
        let error = config_error(table.process("orders").open().await);
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

fn set(action: &mut Value, kind: &str, key: &str, value: Value) {
    if let Some(object) = action.get_mut(kind) {
        object[key] = value;
    }
}

fn feature(action: &mut Value, name: &str) {
    set(action, "protocol", "minWriterVersion", json!(7));
    set(action, "protocol", "writerFeatures", json!([name]));
}

fn column(action: &mut Value, key: &str, value: Value) {
    if let Some(metadata) = action.get_mut("metaData") {
        let mut schema: Value = serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
        schema["fields"][1][key] = value;
        metadata["schemaString"] = schema.to_string().into();
    }
}

#[test]
fn columns_that_no_table_has_are_refused() {
    let table = Table::new();
    for (name, values, expected) in [
        ("the time", Arc::new(Int64Array::from(vec![1])) as ArrayRef, "column \"the time\" holds ' '"),
        ("ID", Arc::new(Int64Array::from(vec![1])), "column \"ID\": a Delta table ignores case"),
        (
            "noon",
            Arc::new(Time64MicrosecondArray::from(vec![1])),
            "column \"noon\" is Time64(µs), which Delta has no type for",
        ),
    ] {
        let rows = with_column(&batch(&[1]), name, values);
        let error = config_error(table.try_sink(table.options(), context_of(&rows)));
        assert!(error.contains(expected), "{error}");
    }
    assert!(!table.0.path().join("table").exists(), "the folder was not touched");
}

#[tokio::test]
async fn partitions_have_their_values_whatever_folders_are_called() {
    let table = Table::new();
    let names = [Some("a/b c"), Some("100%"), None, Some("Ü=ü")];
    let ids: Vec<i64> = (0..names.len() as i64).collect();
    let rows = with_column(&batch(&ids), "shop", Arc::new(StringArray::from(names.to_vec())));
    let mut options = table.options();
    options.partition_by = vec!["shop".into()];
    let mut sink = table.try_sink(options, context_of(&rows)).unwrap();
    sink.open().await.unwrap();
    epoch(&mut sink, 1, rows).await;
    let values: Vec<Value> = table.added().iter().map(|add| add["partitionValues"]["shop"].clone()).collect();
    for name in names {
        assert!(values.contains(&json!(name)), "{name:?} in {values:?}");
    }
    assert_eq!(table.ids(), ids);
}

#[tokio::test]
async fn the_log_has_bounds_of_every_column_that_has_an_order() {
    let table = Table::new();
    let rows = batch(&[1, 2, 3]);
    let decimals = Decimal128Array::from(vec![-150, 5, 1_000]).with_precision_and_scale(10, 2).unwrap();
    let old = TimestampMicrosecondArray::from(vec![-1, 0, 1_500_000]).with_timezone("UTC");
    let far = TimestampMicrosecondArray::from(vec![0, i64::MAX, 1]).with_timezone("UTC");
    let columns: [(&str, ArrayRef); 7] = [
        ("far", Arc::new(far)),
        ("price", Arc::new(decimals)),
        ("old", Arc::new(old)),
        ("day", Arc::new(Date32Array::from(vec![-1, 0, 1]))),
        ("ratio", Arc::new(Float64Array::from(vec![Some(0.5), None, Some(-2.0)]))),
        ("odd", Arc::new(Float64Array::from(vec![1.0, f64::NAN, 2.0]))),
        ("never", Arc::new(StringArray::from(vec![None::<&str>; 3]))),
    ];
    let rows = columns.into_iter().fold(rows, |rows, (name, values)| with_column(&rows, name, values));
    let mut sink = table.try_sink(table.options(), context_of(&rows)).unwrap();
    sink.open().await.unwrap();
    epoch(&mut sink, 1, rows).await;
    let stats: Value = serde_json::from_str(table.added()[0]["stats"].as_str().unwrap()).unwrap();
    let of = |column: &str| {
        let get = |key: &str| stats[key].get(column).cloned().unwrap_or_default();
        (get("minValues"), get("maxValues"), get("nullCount"))
    };
    assert_eq!(stats["numRecords"], 3);
    let expected = BTreeMap::from([
        ("id", (json!(1), json!(3), json!(0))),
        ("name", (json!("name 1"), json!("name 2"), json!(1))),
        ("price", (json!(-1.5), json!(10.0), json!(0))),
        ("old", (json!("1969-12-31T23:59:59.999999Z"), json!("1970-01-01T00:00:01.500000Z"), json!(0))),
        ("day", (json!("1969-12-31"), json!("1970-01-02"), json!(0))),
        ("ratio", (json!(-2.0), Value::Null, json!(1))),
        ("odd", (json!(1.0), Value::Null, json!(0))),
        ("far", (Value::Null, Value::Null, json!(0))),
        ("never", (Value::Null, Value::Null, json!(3))),
    ]);
    for (column, expected) in expected {
        assert_eq!(of(column), expected, "{column}: {stats}");
    }
}

fn with_column(rows: &RecordBatch, name: &str, values: ArrayRef) -> RecordBatch {
    let schema = rows.schema();
    let columns =
        schema.fields().iter().zip(rows.columns()).map(|(field, column)| (field.name().clone(), Arc::clone(column)));
    RecordBatch::try_from_iter_with_nullable(columns.chain([(name.to_owned(), values)]).map(|(n, c)| (n, c, true)))
        .unwrap()
}

fn context_of(rows: &RecordBatch) -> SinkContext {
    SinkContext { schema: rows.schema(), ..context("orders") }
}
