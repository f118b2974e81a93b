//! What is held across a crash: exact to the row, whatever closed a file.

use bytes::Bytes;

use super::trouble::Bucket;
use super::*;
use crate::conformance::{crashes, resume};
use crate::sink::Held;

fn seconds(n: u64) -> Period {
    Period(Duration::from_secs(n))
}

/// A lake whose files close for one reason or another, by a clock that goes on by a second at each look.
struct Rolling {
    lake: Lake,
    options: fn(ParquetOptions) -> ParquetOptions,
}

#[async_trait]
impl Fixture for Rolling {
    fn sink(&self, pipeline: &str) -> Box<dyn Sink> {
        let hand = self.lake.clock.clone();
        let clock: Clock = Arc::new(move || {
            hand.advance(1);
            *hand.0.lock().unwrap()
        });
        let options = (self.options)(self.lake.options());
        Box::new(ParquetSink::local(options, context(pipeline), clock).unwrap())
    }

    async fn visible(&self, pipeline: &str) -> Option<Vec<i64>> {
        // A process may die before there is a folder.
        fs::create_dir_all(self.lake.path("")).unwrap();
        self.lake.visible(pipeline).await
    }

    fn nature(&self) -> Nature {
        Nature { shows_at_write: false, holds_back: false, remembers_epochs: true }
    }
}

async fn crashes_with(options: fn(ParquetOptions) -> ParquetOptions) {
    crashes(|| Rolling { lake: Lake::new(), options }, 0..6).await;
}

#[tokio::test]
async fn files_that_close_by_age() {
    crashes_with(|options| {
        let roll = Roll { every: seconds(9), idle: seconds(1000), ..Roll::default() };
        ParquetOptions { roll, ..options }
    })
    .await;
}

#[tokio::test]
async fn files_that_close_by_idleness() {
    crashes_with(|options| {
        let roll = Roll { every: seconds(1000), idle: seconds(2), ..Roll::default() };
        ParquetOptions { roll, ..options }
    })
    .await;
}

#[tokio::test]
async fn files_that_close_by_size_in_the_middle_of_a_batch() {
    crashes_with(|options| {
        let roll = Roll { size: ByteSize(5_000), every: seconds(1000), idle: seconds(1000) };
        ParquetOptions { roll, row_group_size: ByteSize(1_500), compression: Compression::None, ..options }
    })
    .await;
}

#[tokio::test]
async fn files_that_close_because_too_many_are_half_written() {
    // In memory: to sync thousands of files takes a disk a minute.
    let place = || {
        Bucket::new(|options| ParquetOptions {
            // Each row begins a file.
            row_group_size: ByteSize(1),
            partition_by: vec!["name".to_owned()],
            ..options
        })
    };
    crashes(place, 0..6).await;
}

/// Small row groups in one large file, with all that a file can have.
fn small_groups(lake: &Lake) -> ParquetOptions {
    let roll = Roll { every: seconds(1000), idle: seconds(1000), ..Roll::default() };
    let bloom_filters = vec!["name".to_owned()];
    ParquetOptions { roll, row_group_size: ByteSize(3_000), bloom_filters, partition_by: Vec::new(), ..lake.options() }
}

fn batches() -> Vec<RecordBatch> {
    // Not in order, so that there is something to sort.
    (0..8).map(|n| batch(&(0..100).map(|row| n * 100 + (row * 37) % 100).collect::<Vec<_>>())).collect()
}

fn sorted_by_name() -> SinkContext {
    SinkContext { sort_by: vec!["name".to_owned()], ..context("orders") }
}

/// Writes six of the batches in two epochs; gives what is held, with all bytes, as an engine keeps it.
async fn encoded(sink: &mut ParquetSink) -> Held {
    for (number, batch) in (0..).zip(batches()).take(4) {
        sink.write(number, batch).await.unwrap();
    }
    assert!(sink.prepare(1, Flush::Due).await.unwrap().is_nothing());
    let before = sink.held().unwrap();
    for (number, batch) in (0..).zip(batches()).take(6).skip(4) {
        sink.write(number, batch).await.unwrap();
    }
    assert!(sink.prepare(2, Flush::Due).await.unwrap().is_nothing());
    let mut held = sink.held().unwrap();
    assert!(before.encoded.len() > 1 && before.encoded.is_subset(&held.encoded), "{before:?} {held:?}");
    assert!(before.bytes.keys().all(|number| !held.bytes.contains_key(number)), "bytes are given once");
    assert!(held.first > before.first, "rows that are encoded need not be kept");
    held.bytes.extend(before.bytes);
    held
}

#[tokio::test]
async fn a_file_whose_first_row_groups_were_encoded_before_a_crash_is_the_same() {
    let (whole, resumed) = (Lake::new(), Lake::new());
    let mut sink = whole.sink(small_groups(&whole), sorted_by_name());
    encoded(&mut sink).await;
    for (number, batch) in (0..).zip(batches()).skip(6) {
        sink.write(number, batch).await.unwrap();
    }
    let prepared = sink.prepare(3, Flush::All).await.unwrap();
    sink.commit(&prepared).await.unwrap();

    let held = encoded(&mut resumed.sink(small_groups(&resumed), sorted_by_name())).await;
    let mut sink = resumed.sink(small_groups(&resumed), sorted_by_name());
    resume(&mut sink, &held).await;
    for (number, batch) in (0..).zip(batches()).skip(usize::try_from(held.first).unwrap()) {
        sink.write(number, batch).await.unwrap();
    }
    let prepared = sink.prepare(3, Flush::All).await.unwrap();
    assert_eq!(prepared_rows(&prepared), 800);
    sink.commit(&prepared).await.unwrap();

    let name = whole.files().await;
    assert_eq!((name.len(), &name), (1, &resumed.files().await));
    assert!(fs::read(whole.path(&name[0])).unwrap() == fs::read(resumed.path(&name[0])).unwrap(), "byte by byte");
    let metadata = resumed.metadata(&name[0]);
    assert!(metadata.num_row_groups() > 5, "{}", metadata.num_row_groups());
    for group in metadata.row_groups() {
        let column = group.column(2);
        assert!(column.bloom_filter_offset().is_some() && column.statistics().is_some(), "{column:?}");
        assert!(group.sorting_columns().is_some());
    }
    assert_eq!(sorted(ids(&resumed.read(&name[0]))), (0..800).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_folder_that_gets_no_more_rows_does_not_hold_all_others_back() {
    let lake = Lake::new();
    let options = ParquetOptions { partition_by: vec!["hour".to_owned()], ..small_groups(&lake) };
    let mut sink = lake.sink(options, sorted_by_name());
    // One row of another hour, and row groups full of rows behind it.
    sink.write(0, batch(&[360])).await.unwrap();
    for number in 1..20 {
        sink.write(number, batches()[0].clone()).await.unwrap();
        assert!(sink.prepare(number, Flush::Due).await.unwrap().is_nothing());
        let held = sink.held().unwrap();
        let waits = held.cursor["open"]["hour=01"]["encoded"].is_null();
        assert_eq!(held.first == 0, waits, "{held:?}");
        assert_eq!(waits, number < 7, "after eight row groups' worth of rows it is encoded: {number}");
    }
}

#[tokio::test]
async fn without_the_bytes_of_a_row_group_nothing_goes_on() {
    let lake = Lake::new();
    let mut held = encoded(&mut lake.sink(small_groups(&lake), sorted_by_name())).await;
    let (last, _) = held.bytes.pop_last().unwrap();
    let mut sink = lake.sink(small_groups(&lake), sorted_by_name());
    resume(&mut sink, &held).await;
    let refused = sink.write(held.first, batch(&[1])).await.unwrap_err();
    let expected = format!("row group {last} of pipeline \"orders\" was not given back");
    assert!(matches!(&refused, SinkError::Fatal { .. }) && refused.to_string().contains(&expected), "{refused}");
    let (first, bytes) = held.bytes.pop_first().unwrap();
    let refused = sink.resume_encoded(first, bytes).await.unwrap_err();
    assert!(refused.to_string().contains("was not expected"), "{refused}");
}

/// Rows that are in one folder by the hour, though two days lie between them.
fn days(ids: &[i64]) -> RecordBatch {
    batch(&ids.iter().map(|id| if id % 2 == 0 { id + 2 * 8640 } else { *id }).collect::<Vec<_>>())
}

/// Writes batches 0 and 1 of 100 rows each, of which a file takes about 160, and gives what is held then.
async fn half_written(lake: &Lake, options: &ParquetOptions) -> (Prepared, Held) {
    let mut sink = lake.sink(options.clone(), context("orders"));
    let epoch = sink.open().await.unwrap();
    for (number, start) in [(0, 0), (1, 100)] {
        sink.write(number, days(&(start..start + 100).collect::<Vec<_>>())).await.unwrap();
    }
    let prepared = sink.prepare(epoch, Flush::Due).await.unwrap();
    (prepared, sink.held().unwrap())
}

fn small_files(lake: &Lake, partition_by: &[&str]) -> ParquetOptions {
    ParquetOptions {
        roll: Roll { size: ByteSize(5_000), every: seconds(1000), idle: seconds(1000) },
        row_group_size: ByteSize(1_500),
        compression: Compression::None,
        partition_by: partition_by.iter().map(|name| (*name).to_owned()).collect(),
        ..lake.options()
    }
}

/// Rows of the row groups whose bytes are kept.
fn kept_rows(held: &Held) -> u64 {
    let rows = |bytes: &Bytes| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap();
        u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap()
    };
    held.bytes.values().map(rows).sum()
}

fn prepared_rows(prepared: &Prepared) -> u64 {
    prepared.0.as_array().unwrap().iter().map(|file| file["rows"].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn a_file_that_began_in_the_middle_of_a_batch_goes_on_from_there() {
    let lake = Lake::new();
    let options = small_files(&lake, &["hour"]);
    let (prepared, held) = half_written(&lake, &options).await;
    // Both days have the hour 00, so the rows of a batch for that folder come in two portions.
    let open = &held.cursor["open"]["hour=00"];
    assert_eq!((held.first, open["number"].as_u64()), (1, Some(1)));
    let skipped = open["rows"].as_u64().unwrap();
    assert!(skipped > 50, "past the first portion: {held:?}");
    let encoded = kept_rows(&held);
    assert!(encoded > 0, "{held:?}");
    assert_eq!(prepared_rows(&prepared) + encoded, 100 + skipped);

    let mut sink = lake.sink(options, context("orders"));
    let epoch = sink.open().await.unwrap();
    sink.commit(&prepared).await.unwrap();
    resume(&mut sink, &held).await;
    sink.write(1, days(&(100..200).collect::<Vec<_>>())).await.unwrap();
    sink.write(2, days(&(200..300).collect::<Vec<_>>())).await.unwrap();
    let rest = sink.prepare(epoch, Flush::All).await.unwrap();
    assert_eq!(prepared_rows(&rest), 200 - skipped + encoded, "only what is missing");
    sink.commit(&rest).await.unwrap();
    let expected = ids(&days(&(0..300).collect::<Vec<_>>()));
    assert_eq!(sorted(lake.ids().await.into_values().flatten()), sorted(expected));
}

#[tokio::test]
async fn a_folder_without_an_open_file_gets_nothing_again() {
    let lake = Lake::new();
    let options = ParquetOptions {
        roll: Roll { every: seconds(100), ..Roll::default() },
        partition_by: vec!["date".into(), "hour".into()],
        ..lake.options()
    };
    let mut old = lake.sink(options.clone(), context("orders"));
    // Rows of the hours 00, 01 and 02; the file of hour 01 closes, and another begins later.
    let batches = [batch(&[360]), batch(&[0, 361]), batch(&[720]), batch(&[362])];
    old.write(0, batches[0].clone()).await.unwrap();
    lake.clock.advance(60);
    old.write(1, batches[1].clone()).await.unwrap();
    lake.clock.advance(40);
    let first = old.prepare(1, Flush::Due).await.unwrap();
    assert_eq!(prepared_rows(&first), 2, "360 and 361");
    let held = old.held().unwrap();
    assert_eq!((held.first, held.cursor["open"].as_object().unwrap().len()), (1, 1));
    old.write(2, batches[2].clone()).await.unwrap();
    old.write(3, batches[3].clone()).await.unwrap();
    let second = old.prepare(2, Flush::Due).await.unwrap();
    assert!(second.is_nothing());
    let held = old.held().unwrap();
    assert_eq!((held.first, held.cursor["open"].as_object().unwrap().len()), (1, 3));

    let mut new = lake.sink(options, context("orders"));
    new.commit(&first).await.unwrap();
    new.resume(&held).await.unwrap();
    for (number, batch) in (0..).zip(&batches).skip(1) {
        new.write(number, batch.clone()).await.unwrap();
    }
    let rest = new.prepare(3, Flush::All).await.unwrap();
    new.commit(&rest).await.unwrap();
    assert_eq!(sorted(lake.ids().await.into_values().flatten()), [0, 360, 361, 362, 720]);
}

#[tokio::test]
async fn a_restart_does_not_make_a_file_young_again() {
    for (every, idle) in [(300, 1000), (1000, 300)] {
        let lake = Lake::new();
        let roll = Roll { every: seconds(every), idle: seconds(idle), ..Roll::default() };
        let options = ParquetOptions { roll, partition_by: Vec::new(), ..lake.options() };
        let mut held: Option<Held> = None;
        for epoch in 1..=3 {
            // Another machine, whose clock began just now: no instant reaches back to the first row.
            let machine = HandClock::new();
            let mut sink = ParquetSink::local(options.clone(), context("orders"), machine.clock()).unwrap();
            if let Some(held) = &held {
                sink.resume(held).await.unwrap();
            }
            sink.write(0, batch(&[1])).await.unwrap();
            machine.advance(99);
            assert!(sink.prepare(epoch, Flush::Due).await.unwrap().is_nothing(), "297 seconds at most");
            held = sink.held();
        }
        let machine = HandClock::new();
        let mut sink = ParquetSink::local(options, context("orders"), machine.clock()).unwrap();
        sink.resume(&held.unwrap()).await.unwrap();
        sink.write(0, batch(&[1])).await.unwrap();
        machine.advance(2);
        assert!(sink.prepare(4, Flush::Due).await.unwrap().is_nothing());
        machine.advance(1);
        assert_eq!(prepared_rows(&sink.prepare(5, Flush::Due).await.unwrap()), 1);
    }
}

#[tokio::test]
async fn rows_after_the_restart_make_a_file_less_idle_but_not_younger() {
    let lake = Lake::new();
    let roll = Roll { every: seconds(300), idle: seconds(60), ..Roll::default() };
    let options = ParquetOptions { roll, partition_by: Vec::new(), ..lake.options() };
    let mut old = lake.sink(options.clone(), context("orders"));
    old.write(0, batch(&[1])).await.unwrap();
    lake.clock.advance(50);
    assert!(old.prepare(1, Flush::Due).await.unwrap().is_nothing());

    let mut new = lake.sink(options, context("orders"));
    new.resume(&old.held().unwrap()).await.unwrap();
    new.write(0, batch(&[1])).await.unwrap();
    for number in 1..6 {
        new.write(number, batch(&[2])).await.unwrap();
        lake.clock.advance(49);
        assert!(new.prepare(2, Flush::Due).await.unwrap().is_nothing());
    }
    new.write(6, batch(&[3])).await.unwrap();
    lake.clock.advance(5);
    assert_eq!(prepared_rows(&new.prepare(3, Flush::Due).await.unwrap()), 7);
}

#[tokio::test]
async fn an_age_beyond_all_bounds_is_due_at_once() {
    let lake = Lake::new();
    let options = small_files(&lake, &[]);
    let mut sink = lake.sink(options, context("orders"));
    let file = serde_json::json!({ "number": 0, "rows": 0, "age_ms": u64::MAX, "idle_ms": u64::MAX });
    let cursor = serde_json::json!({ "partition_by": [], "through": 1, "open": { "": file } });
    sink.resume(&Held { first: 0, cursor, ..Held::default() }).await.unwrap();
    sink.write(0, batch(&[1])).await.unwrap();
    assert_eq!(prepared_rows(&sink.prepare(1, Flush::Due).await.unwrap()), 1);
}

#[tokio::test]
async fn batches_out_of_order_are_refused() {
    let lake = Lake::new();
    let options = small_files(&lake, &["hour"]);
    let (_, held) = half_written(&lake, &options).await;
    let fatal = |error: SinkError| match error {
        SinkError::Fatal { .. } => error.to_string(),
        other => panic!("{other:?}"),
    };
    let mut sink = lake.sink(options.clone(), context("orders"));
    sink.write(5, batch(&[1])).await.unwrap();
    for number in [5, 7, 4] {
        let error = fatal(sink.write(number, batch(&[1])).await.unwrap_err());
        assert!(error.contains(&format!("batch {number} came where batch 6 was expected")), "{error}");
    }
    let mut sink = lake.sink(options, context("orders"));
    resume(&mut sink, &held).await;
    let error = fatal(sink.prepare(3, Flush::All).await.unwrap_err());
    assert!(error.contains("batches 1 to 1 were not written again"), "{error}");
    fatal(sink.write(2, batch(&[1])).await.unwrap_err());
}

#[tokio::test]
async fn a_cursor_that_says_nothing_about_these_folders_is_refused() {
    let lake = Lake::new();
    let options = small_files(&lake, &["hour"]);
    let (_, held) = half_written(&lake, &options).await;
    let resume = async |partition_by: &[&str], held: &Held| {
        lake.sink(small_files(&lake, partition_by), context("orders")).resume(held).await
    };
    resume(&["hour"], &held).await.unwrap();
    let error = config_error(resume(&["region", "hour"], &held).await);
    assert!(error.contains(r#"was ["hour"] and is now ["region", "hour"]"#) && error.contains("\"orders\""), "{error}");

    let broken = |change: fn(&mut Held)| {
        let mut held = held.clone();
        change(&mut held);
        held
    };
    for held in [
        broken(|held| held.first = 0),
        broken(|held| held.cursor["through"] = 0.into()),
        broken(|held| held.cursor["open"] = serde_json::json!({})),
        broken(|held| held.cursor = serde_json::json!([1])),
        broken(|held| held.cursor = serde_json::Value::Null),
    ] {
        let error = resume(&["hour"], &held).await.unwrap_err();
        assert!(matches!(error, SinkError::Fatal { .. }) && error.to_string().contains("cannot be read"), "{error}");
    }
}
