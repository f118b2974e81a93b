//! What is done with a table beside the flow, as a reader of its log sees it: each row once, at every version.

use std::collections::BTreeSet;
use std::fs;

use chrono::{DateTime, TimeDelta, Utc};
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::*;
use crate::parquet::Input;
use crate::upkeep::{Amount, Compacted, Swept, Upkeep};

/// Rows of an hour.
const HOUR: i64 = 360;

fn at(moment: &str) -> DateTime<Utc> {
    moment.parse().unwrap()
}

/// When the first two hours of the rows have been over for an hour.
fn later() -> DateTime<Utc> {
    at("2026-03-01T03:00:00Z")
}

impl Table {
    fn upkeep(&self) -> TableUpkeep {
        self.upkeep_with(self.options(), context("orders"))
    }

    fn upkeep_with(&self, options: ParquetOptions, context: SinkContext) -> TableUpkeep {
        TableUpkeep::at(options, context, Arc::new(Instant::now)).unwrap().compacting()
    }

    /// What the table has at a version.
    fn has_at(&self, version: usize) -> Vec<Value> {
        let mut has: Vec<Value> = Vec::new();
        for action in self.log().into_iter().take(version + 1).flatten() {
            let gone = action["remove"].get("path").or(action["add"].get("path"));
            has.retain(|add| Some(&add["path"]) != gone);
            has.extend(action.get("add").cloned());
        }
        has
    }

    fn has(&self) -> Vec<Value> {
        self.has_at(self.log().len() - 1)
    }

    fn path(&self, add: &Value) -> std::path::PathBuf {
        self.0.path().join("table").join(percent_decoded(add["path"].as_str().unwrap()))
    }

    fn ids_at(&self, version: usize) -> Vec<i64> {
        let mut seen: Vec<i64> =
            self.has_at(version).iter().flat_map(|add| ids(fs::read(self.path(add)).unwrap().into())).collect();
        seen.sort_unstable();
        seen
    }

    fn ids_now(&self) -> Vec<i64> {
        self.ids_at(self.log().len() - 1)
    }

    /// Every data file that lies there.
    fn lying(&self) -> BTreeSet<String> {
        let (mut folders, mut found) = (vec![self.0.path().join("table")], BTreeSet::new());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                match path.is_dir() {
                    true if !name.starts_with('_') => folders.push(path),
                    false if name.ends_with(".parquet") => drop(found.insert(name)),
                    _ => {}
                }
            }
        }
        found
    }

    /// Epochs of a few rows each, all in the first hour.
    async fn with_small_files(&self, epochs: i64) -> DeltaSink {
        let mut sink = self.process("orders");
        sink.open().await.unwrap();
        for n in 0..epochs {
            epoch(&mut sink, n as u64 + 1, batch(&[n, 200 - n, 100 + n])).await;
        }
        sink
    }
}

async fn sweep(upkeep: &mut impl Upkeep, now: DateTime<Utc>) -> Swept {
    let mut swept = Swept::default();
    upkeep.sweep(now, &|| false, &mut swept).await.unwrap();
    swept
}

fn named<'a>(entry: &'a [Value], kind: &str) -> Vec<&'a Value> {
    entry.iter().filter_map(|action| action.get(kind)).collect()
}

#[tokio::test]
async fn small_files_of_a_closed_partition_become_one_by_one_entry() {
    let table = Table::new();
    let mut sink = table.with_small_files(4).await;
    // The second hour, and one that is not over yet.
    epoch(&mut sink, 5, batch(&[HOUR + 1, 5 * HOUR])).await;
    epoch(&mut sink, 6, batch(&[HOUR, 5 * HOUR + 1])).await;
    let (before, all) = (table.log().len(), table.ids_now());
    let planned = table.upkeep().plan(later()).await.unwrap();
    assert_eq!(
        planned.values().map(|plan| (plan.before.files, plan.after.files)).collect::<Vec<_>>(),
        [(4, 1), (2, 1)]
    );
    assert_eq!(table.log().len(), before, "nothing was written");

    let swept = sweep(&mut table.upkeep(), later()).await;
    let folder = |hour: &str| format!("region=eu-west-1/date=2026-03-01/hour={hour}");
    assert_eq!(swept.compacted.keys().cloned().collect::<Vec<_>>(), [folder("00"), folder("01")]);
    let log = table.log();
    assert_eq!(log.len(), before + 2, "one entry a partition");
    let entry = &log[before];
    let (removed, added) = (named(entry, "remove"), named(entry, "add"));
    assert_eq!((removed.len(), added.len()), (4, 1));
    assert!(removed.iter().chain(&added).all(|file| file["dataChange"] == json!(false)), "{entry:?}");
    assert_eq!(named(entry, "commitInfo")[0]["operation"], "OPTIMIZE");
    let Compacted { before: was, after } = swept.compacted[&folder("00")];
    assert_eq!((was.files, after), (4, Amount { files: 1, bytes: added[0]["size"].as_u64().unwrap() }));

    // As good as any other file.
    assert_eq!(added[0]["partitionValues"], json!({ "region": "eu-west-1", "date": "2026-03-01", "hour": "00" }));
    let stats: Value = serde_json::from_str(added[0]["stats"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&stats["numRecords"], &stats["minValues"]["id"], &stats["maxValues"]["id"]),
        (&json!(12), &json!(0), &json!(200))
    );
    let file = fs::read(table.path(added[0])).unwrap();
    assert!(ids(file.clone().into()).is_sorted(), "by the first key");
    let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
    let group = reader.metadata().row_group(0);
    assert!(group.sorting_columns().is_some() && group.column(0).column_index_offset().is_some());
    let names: Vec<_> = group.columns().iter().map(|column| column.column_path().string()).collect();
    assert_eq!(names, ["ts", "id", "name"], "partition columns are not repeated");

    for version in before - 1..log.len() {
        assert_eq!(table.ids_at(version), all, "version {version}");
    }
    assert_eq!(sweep(&mut table.upkeep(), later()).await, Swept::default(), "nothing is left to do");
    // The daemon goes on, and so does one that starts anew.
    epoch(&mut sink, 7, batch(&[2])).await;
    let mut heir = table.process("orders");
    assert_eq!(heir.open().await.unwrap(), 8);
}

#[tokio::test]
async fn what_is_large_or_young_or_of_others_is_let_alone() {
    let table = Table::new();
    table.with_small_files(2).await;
    let mut other = table.process("orders_b");
    other.open().await.unwrap();
    epoch(&mut other, 1, batch(&[300])).await;
    let before = table.log().len();
    assert_eq!(sweep(&mut table.upkeep(), at("2026-03-01T01:59:59Z")).await, Swept::default(), "young");
    let mut options = table.options();
    options.roll.size = crate::ByteSize(100);
    assert_eq!(sweep(&mut table.upkeep_with(options, context("orders")), later()).await, Swept::default(), "large");
    let others = sweep(&mut table.upkeep_with(table.options(), context("orders_b")), later()).await;
    assert_eq!(others, Swept::default(), "there is only one");
    assert_eq!(table.log().len(), before);
    assert_eq!(sweep(&mut table.upkeep(), later()).await.compacted.values().next().unwrap().before.files, 2);
    assert!(table.has().iter().any(|add| add["path"].as_str().unwrap().contains("/orders_b-00000001-")));
}

#[tokio::test]
async fn files_without_dated_folders_are_merged_when_they_are_old() {
    let table = Table::new();
    let options = || ParquetOptions { partition_by: Vec::new(), ..table.options() };
    let mut sink = table.try_sink(options(), context("orders")).unwrap();
    sink.open().await.unwrap();
    for n in 0..3 {
        epoch(&mut sink, n + 1, batch(&[n as i64])).await;
    }
    let mut upkeep = table.upkeep_with(options(), context("orders"));
    assert_eq!(sweep(&mut upkeep, Utc::now() + TimeDelta::minutes(59)).await, Swept::default());
    assert_eq!(sweep(&mut upkeep, Utc::now() + TimeDelta::minutes(61)).await.compacted.len(), 1);
    assert_eq!((table.has().len(), table.ids_now()), (1, vec![0, 1, 2]));
}

#[tokio::test]
async fn files_of_earlier_columns_get_nulls() {
    let table = Table::new();
    table.with_small_files(1).await;
    let wide = |id: i64| with_column(&batch(&[id]), "note", Arc::new(StringArray::from(vec![format!("of {id}")])));
    let mut options = table.options();
    options.bloom_filters = vec!["note".into()];
    let mut wider = table.try_sink(options.clone(), context_of(&wide(1))).unwrap();
    wider.open().await.unwrap();
    epoch(&mut wider, 2, wide(50)).await;
    let mut sink = table.process("orders");
    sink.open().await.unwrap();
    epoch(&mut sink, 3, batch(&[51])).await;
    sweep(&mut table.upkeep_with(options, context_of(&wide(1))), later()).await;
    let [add] = &table.has()[..] else { panic!("{:?}", table.has()) };
    let file: Bytes = fs::read(table.path(add)).unwrap().into();
    let rows = ParquetRecordBatchReaderBuilder::try_new(file.clone()).unwrap().build().unwrap();
    let rows: Vec<RecordBatch> = rows.map(Result::unwrap).collect();
    let notes: Vec<_> =
        rows.iter().flat_map(|rows| rows["note"].as_string::<i32>().iter().collect::<Vec<_>>()).collect();
    assert_eq!(notes.into_iter().flatten().collect::<Vec<_>>(), ["of 50"]);
    assert_eq!(table.ids_now(), [0, 50, 51, 100, 200]);
    let reader = SerializedFileReader::new(file).unwrap();
    let note = reader.metadata().row_group(0).columns().iter().find(|column| column.column_path().string() == "note");
    assert!(note.unwrap().bloom_filter_offset().is_some());
    let stats: Value = serde_json::from_str(add["stats"].as_str().unwrap()).unwrap();
    assert_eq!(stats["nullCount"]["note"], 4);
}

#[tokio::test]
async fn many_row_groups_are_merged_in_order() {
    let table = Table::new();
    let mut options = table.options();
    options.row_group_size = crate::ByteSize(20_000);
    let mut sink = table.try_sink(options.clone(), context("orders")).unwrap();
    sink.open().await.unwrap();
    let all: Vec<i64> = (0..HOUR).collect();
    let mut number = 0;
    for start in 0..7 {
        let ids: Vec<i64> = all.iter().copied().filter(|id| id % 7 == start).collect();
        // Over and over, so that there are several row groups.
        for _ in 0..40 {
            sink.write(number, batch(&ids)).await.unwrap();
            number += 1;
        }
        let prepared = sink.prepare(start as u64 + 1, Flush::All).await.unwrap();
        sink.commit(&prepared).await.unwrap();
    }
    let before = table.ids_now();
    assert_eq!(sweep(&mut table.upkeep_with(options, context("orders")), later()).await.compacted.len(), 1);
    let [add] = &table.has()[..] else { panic!("{:?}", table.has()) };
    let file: Bytes = fs::read(table.path(add)).unwrap().into();
    assert!(ids(file.clone()).is_sorted(), "from its first row group to its last");
    assert!(SerializedFileReader::new(file).unwrap().metadata().num_row_groups() > 1);
    assert_eq!(table.ids_now(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_see_each_row_once_at_every_version_while_all_work() {
    let table = Table::new();
    table.process("orders").open().await.unwrap();
    let written = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writing = async {
        let mut sink = table.process("orders");
        sink.open().await.unwrap();
        for n in 0..30 {
            epoch(&mut sink, n + 1, batch(&[n as i64, HOUR + n as i64])).await;
            tokio::task::yield_now().await;
        }
        written.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let compacting = async || {
        let mut upkeep = table.upkeep();
        let mut files = 0;
        loop {
            let last = written.load(std::sync::atomic::Ordering::Relaxed);
            let swept = sweep(&mut upkeep, later()).await;
            files += swept.compacted.values().map(|compacted| compacted.before.files).sum::<u64>();
            if last {
                return files;
            }
            tokio::task::yield_now().await;
        }
    };
    let ((), one, two) = tokio::join!(writing, compacting(), compacting());
    assert!(one + two > 0);
    let mut rows = 0;
    for version in 0..table.log().len() {
        let ids = table.ids_at(version);
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "version {version} has a row twice: {ids:?}");
        assert!(ids.len() >= rows, "version {version} has lost rows");
        rows = ids.len();
    }
    assert_eq!(rows, 60);
    assert_eq!(table.has().len(), 2, "all small files of both hours are merged");
    // Merges that came too late have left nothing.
    let logged: BTreeSet<String> =
        table.added().iter().map(|add| table.path(add).file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(table.lying(), logged);
}

#[tokio::test]
async fn who_merges_what_is_being_merged_changes_nothing() {
    let table = Table::new();
    table.with_small_files(3).await;
    let mut slow = table.upkeep();
    let (inputs, merged, called_off) = slow.shown().await;
    assert_eq!(sweep(&mut table.upkeep(), later()).await.compacted.len(), 1);
    let log = table.log().len();
    assert!(!slow.replace(&inputs, &merged, called_off).await.unwrap());
    assert_eq!((table.log().len(), table.has().len()), (log, 1));
    assert_eq!(table.ids_now().len(), 9);
}

impl TableUpkeep {
    /// A merge of some files that dies before the log has its entry.
    async fn lose(&mut self, added: &[Value]) {
        let key = |add: &Value| percent_decoded(add["path"].as_str().unwrap());
        let keys: BTreeSet<String> = added.iter().map(key).collect();
        self.log.look_again().await.unwrap();
        let inputs: Vec<Input> = self.log.files(|key| keys.contains(key)).into_iter().map(|file| file.input).collect();
        let names = self.log.columns();
        let merged = self.merger.merge(&inputs, &names).await.unwrap().unwrap();
        self.merger.show(std::slice::from_ref(&merged)).await.unwrap();
    }

    /// As far as a sweep comes that dies before the log has its entry.
    async fn shown(&mut self) -> (Vec<Input>, crate::parquet::PreparedFile, Option<i64>) {
        self.log.look_again().await.unwrap();
        let called_off = self.log.version_of(&self.calls_off).await.unwrap();
        let inputs: Vec<Input> =
            self.log.files(|key| self.merger.owns(key)).into_iter().map(|file| file.input).collect();
        let names = self.log.columns();
        let merged = self.merger.merge(&inputs, &names).await.unwrap().unwrap();
        self.merger.show(std::slice::from_ref(&merged)).await.unwrap();
        (inputs, merged, called_off)
    }
}

#[tokio::test]
async fn a_merge_that_died_before_it_was_logged_is_removed_and_cannot_wake() {
    let table = Table::new();
    table.with_small_files(3).await;
    let mut paused = table.upkeep();
    let (inputs, merged, called_off) = paused.shown().await;
    assert_eq!((table.lying().len(), table.has().len()), (4, 3), "no reader looks at it");
    // Somebody who only clears up, so that the small files stay what they are.
    let mut other = TableUpkeep::at(table.options(), context("orders"), Arc::new(Instant::now)).unwrap();
    let swept = sweep(&mut other, later()).await;
    assert_eq!((swept.vacuumed.files, table.lying().len()), (1, 3));
    assert!(!paused.replace(&inputs, &merged, called_off).await.unwrap(), "it was called off");
    assert_eq!((table.has().len(), table.ids_now().len()), (3, 9));
    assert_eq!(sweep(&mut table.upkeep(), later()).await.compacted.len(), 1);
    assert_eq!((table.has().len(), table.ids_now().len()), (1, 9));
}

#[tokio::test]
async fn a_delete_by_others_calls_a_merge_off() {
    let table = Table::new();
    table.with_small_files(3).await;
    let mut slow = table.upkeep();
    let (inputs, merged, called_off) = slow.shown().await;
    let gone = json!({ "remove": { "path": inputs[1].key, "dataChange": true, "deletionTimestamp": 1 } });
    fs::write(table.0.path().join("table/_delta_log/00000000000000000004.json"), gone.to_string()).unwrap();
    assert!(!slow.replace(&inputs, &merged, called_off).await.unwrap());
    assert_eq!(table.ids_now().len(), 6);
    assert_eq!(sweep(&mut table.upkeep(), later()).await.compacted.values().next().unwrap().before.files, 2);
    assert_eq!(table.ids_now().len(), 6);
}

#[tokio::test]
async fn what_was_replaced_is_deleted_after_a_week() {
    let table = Table::new();
    let mut sink = table.with_small_files(3).await;
    sweep(&mut table.upkeep(), later()).await;
    // An epoch that is shown, and not logged: the log's entry is taken back.
    let last = epoch(&mut sink, 4, batch(&[3])).await;
    fs::remove_file(table.0.path().join(format!("table/_delta_log/{:020}.json", table.log().len() - 1))).unwrap();
    assert_eq!(table.lying().len(), 5);
    let day = |days| Utc::now() + TimeDelta::days(days);
    assert_eq!(sweep(&mut table.upkeep(), day(6)).await, Swept::default());
    let swept = sweep(&mut table.upkeep(), day(8)).await;
    assert_eq!((swept.vacuumed.files, table.lying().len()), (3, 2));
    assert!(swept.vacuumed.bytes > 0);
    assert_eq!(sweep(&mut table.upkeep(), day(800)).await.vacuumed.files, 0, "nothing that an epoch may still want");
    // So that the next process finds what it needs.
    let mut heir = table.process("orders");
    heir.commit(&last).await.unwrap();
    assert_eq!(table.ids_now(), [0, 1, 2, 3, 100, 101, 102, 198, 199, 200]);
}

#[tokio::test]
async fn a_table_says_itself_how_long_it_keeps_what_went() {
    let begun = Table::new();
    begun.process("orders").open().await.unwrap();
    let kept = |period: &str| {
        let properties = json!({ "delta.deletedFileRetentionDuration": period, "delta.checkpointInterval": "1" });
        Table::beginning_with(&begun.log()[0], |action| set(action, "metaData", "configuration", properties.clone()))
    };
    for (period, hours, expected) in
        [("interval 2 hours", 1, 0), ("interval 2 hours", 3, 2), ("interval 0 hours", 1, 2)]
    {
        let table = kept(period);
        table.with_small_files(2).await;
        let mut options = table.options();
        options.vacuum = Some(crate::Period(std::time::Duration::from_secs(60)));
        let mut upkeep = table.upkeep_with(options, context("orders"));
        upkeep.sweep(later(), &|| false, &mut Swept::default()).await.unwrap();
        // With nothing kept, the log's checkpoint has forgotten them by now, and its entries tell.
        let swept = sweep(&mut upkeep, Utc::now() + TimeDelta::hours(hours)).await;
        assert_eq!(swept.vacuumed.files, expected, "{period}, after {hours} hours");
        assert_eq!(table.ids_now().len(), 6);
    }
}

#[tokio::test]
async fn old_partitions_leave_the_table_by_an_entry() {
    let table = Table::new();
    let mut options = table.options();
    let now = at("2026-03-03T05:30:00Z");
    options.retain = Some(crate::Period((now - at("2026-03-01T02:00:00Z")).to_std().unwrap()));
    for pipeline in ["orders", "orders_b"] {
        let mut sink = table.process(pipeline);
        sink.open().await.unwrap();
        epoch(&mut sink, 1, batch(&[1, HOUR, 2 * HOUR])).await;
    }
    let mut sink = table.try_sink(options.clone(), context("orders")).unwrap();
    let mut upkeep = sink.upkeep().expect("a sink that is to keep rows for a time has it looked after");
    let mut swept = Swept::default();
    upkeep.sweep(now, &|| false, &mut swept).await.unwrap();
    let folders = ["00", "01"].map(|hour| format!("region=eu-west-1/date=2026-03-01/hour={hour}"));
    assert_eq!((swept.expired.files, swept.expired.partitions), (2, BTreeSet::from(folders)));
    let log = table.log();
    let removed = named(&log[3], "remove");
    assert!(removed.len() == 2 && removed.iter().all(|file| file["dataChange"] == json!(true)), "{:?}", log[3]);
    let info = named(&log[3], "commitInfo")[0];
    assert_eq!(info["operation"], "DELETE");
    assert_eq!(info["operationParameters"]["predicate"], "date < '2026-03-01' OR (date = '2026-03-01' AND hour < 2)");
    assert_eq!(table.ids_now(), [1, HOUR, 2 * HOUR, 2 * HOUR], "another pipeline's stay");
    assert_eq!(table.lying().len(), 6, "whoever reads an older version still can");
    // The writer is not disturbed.
    sink.open().await.unwrap();
    epoch(&mut sink, 2, batch(&[2 * HOUR + 1])).await;
    // Two that went by age, and the two of the third hour, which are merged first.
    assert_eq!(sweep(&mut table.upkeep(), Utc::now() + TimeDelta::days(8)).await.vacuumed.files, 4);
    assert_eq!(table.ids_now(), [1, HOUR, 2 * HOUR, 2 * HOUR, 2 * HOUR + 1]);
    assert!(table.process("orders").upkeep().is_none(), "nothing was asked for");
}

#[tokio::test]
async fn a_file_of_which_rows_were_deleted_leaves_the_table_as_well() {
    let begun = Table::new();
    begun.process("orders").open().await.unwrap();
    let table = Table::beginning_with(&begun.log()[0], |action| {
        let features = json!(["deletionVectors"]);
        let protocol = json!({
            "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features,
        });
        if action.get("protocol").is_some() {
            action["protocol"] = protocol;
        }
    });
    table.with_small_files(1).await;
    // By another, as one that deletes a row does.
    let mut add = table.added().remove(0);
    let holes = json!({
        "storageType": "u", "pathOrInlineDv": "ab^-aqEH.-t@S}K{vb[*k^", "offset": 4, "sizeInBytes": 40, "cardinality": 1,
    });
    let gone = json!({ "remove": { "path": add["path"], "dataChange": true, "deletionTimestamp": 1 } });
    add["deletionVector"] = holes.clone();
    let entry = format!("{gone}\n{}", json!({ "add": add }));
    fs::write(table.0.path().join("table/_delta_log/00000000000000000002.json"), entry).unwrap();
    let mut options = table.options();
    options.retain = Some(crate::Period(std::time::Duration::from_secs(60)));
    let mut upkeep = table.upkeep_with(options, context("orders"));
    assert_eq!(sweep(&mut upkeep, later()).await.expired.files, 1);
    let log = table.log();
    let removed = named(&log[3], "remove");
    assert_eq!(removed.iter().map(|file| &file["deletionVector"]).collect::<Vec<_>>(), [&holes]);
    assert_eq!(sweep(&mut upkeep, later()).await.expired.files, 0, "it is gone");
}

#[tokio::test]
async fn a_table_that_only_grows_keeps_its_rows() {
    let begun = Table::new();
    begun.process("orders").open().await.unwrap();
    let table = Table::beginning_with(&begun.log()[0], |action| {
        set(action, "metaData", "configuration", json!({ "delta.appendOnly": "true" }));
    });
    table.with_small_files(2).await;
    assert_eq!(sweep(&mut table.upkeep(), later()).await.compacted.len(), 1, "no row goes by that");
    let mut options = table.options();
    options.retain = Some(crate::Period(std::time::Duration::from_secs(60)));
    let mut upkeep = table.upkeep_with(options, context("orders"));
    let error = config_error(upkeep.sweep(later(), &|| false, &mut Swept::default()).await);
    assert!(error.contains("delta.appendOnly"), "{error}");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_stops_nothing_else() {
    let table = Table::new();
    let mut sink = table.with_small_files(2).await;
    // The second hour.
    epoch(&mut sink, 3, batch(&[HOUR + 1])).await;
    epoch(&mut sink, 4, batch(&[HOUR])).await;
    let broken = table.path(&table.added()[0]);
    fs::write(&broken, vec![0; fs::metadata(&broken).unwrap().len() as usize]).unwrap();
    let mut upkeep = table.upkeep();
    // Of a merge that died: the vacuum has something to do.
    let lost = table.path(&table.added()[3]);
    upkeep.lose(&table.added()[2..]).await;
    let mut swept = Swept::default();
    upkeep.sweep(later(), &|| false, &mut swept).await.unwrap_err();
    assert_eq!(swept.compacted.values().map(|done| done.before.files).collect::<Vec<_>>(), [2], "the second hour's");
    assert_eq!(swept.vacuumed.files, 1);
    assert!(lost.exists(), "it went just now");
}

#[tokio::test]
async fn a_table_in_a_store_is_looked_after_as_well() {
    let bucket = Bucket::new();
    let mut sink = bucket.sink("orders");
    sink.open().await.unwrap();
    for n in 0..4 {
        sink.write(n, batch(&[n as i64])).await.unwrap();
        let prepared = sink.prepare(n + 1, Flush::All).await.unwrap();
        sink.commit(&prepared).await.unwrap();
    }
    let store = bucket.0.place("lake/table");
    let options = ParquetOptions::at("mem");
    let upkeep = TableUpkeep::new(&options, &context("orders"), store, Arc::new(Instant::now)).unwrap();
    let mut upkeep = upkeep.compacting();
    assert_eq!(sweep(&mut upkeep, later()).await.compacted.values().next().unwrap().before.files, 4);
    assert_eq!(sweep(&mut upkeep, Utc::now() + TimeDelta::days(8)).await.vacuumed.files, 4);
    let entry = bucket.0.get(&Path::from("lake/table/_delta_log/00000000000000000005.json")).await.unwrap();
    let entry = String::from_utf8(entry.bytes().await.unwrap().to_vec()).unwrap();
    let actions: Vec<Value> = entry.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [add] = &named(&actions, "add")[..] else { panic!("{entry}") };
    let file = bucket.0.get(&Path::parse(format!("lake/table/{}", add["path"].as_str().unwrap())).unwrap()).await;
    assert_eq!(ids(file.unwrap().bytes().await.unwrap()), [0, 1, 2, 3]);
    assert_eq!(sink.open().await.unwrap(), 5, "epochs go on as they did");
}
