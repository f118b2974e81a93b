//! What people and programs see: the progress line, the summary, rows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, ListArray, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Int64Type, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use crate::cli::args::RowFormat;
use crate::cli::progress::{Rate, line, summary};
use crate::cli::rows::Rows;
use crate::report::{Counts, PipelineReport, Progress, RunReport};

fn progress() -> Progress {
    Progress {
        read: 1_234_567,
        bytes_in: 250_000_000,
        rows_out: 4_321,
        windows: 12,
        bad: 0,
        late: 3,
        elapsed: Duration::from_millis(3_723_400),
        watermark: Some(1_772_323_200_000_000),
    }
}

#[test]
fn the_progress_line_says_how_far_and_how_fast() {
    assert_eq!(
        line(&progress(), 1_530_000.0),
        "1:02:03  1,234,567 events  1.53M/s  watermark 2026-03-01 00:00:00  12 windows  4,321 rows out  3 late"
    );
    assert!(line(&Progress { bad: 7, ..progress() }, 0.0).ends_with("7 bad"));
    assert!(line(&Progress { watermark: None, ..progress() }, 0.0).contains("watermark -"));
    assert!(line(&Progress { watermark: Some(i64::MAX), ..progress() }, 0.0).contains("watermark end"));
    assert!(line(&Progress { watermark: Some(i64::MIN), ..progress() }, 0.0).contains("watermark -"));
}

#[test]
fn the_rate_is_that_of_the_last_seconds() {
    let mut rate = Rate::default();
    let mut last = 0.0;
    for tick in 0..100u64 {
        // Two million a second at first, one million later on.
        let read = if tick < 50 { tick * 400_000 } else { 50 * 400_000 + (tick - 50) * 200_000 };
        last = rate.update(&Progress { read, elapsed: Duration::from_millis(tick * 200), ..Progress::default() });
    }
    assert!((last - 1_000_000.0).abs() < 1.0, "{last}");
    assert_eq!(Rate::default().update(&Progress::default()), 0.0);
}

fn report(open_windows: u64) -> RunReport {
    let total = Counts {
        read: 1_000_000,
        bad: 1,
        filtered: 2,
        duplicates: 0,
        late: 3,
        aggregated: 999_994,
        windows: 10,
        rows_out: 250,
        files: 2,
        bytes_in: 219_000_000,
    };
    let pipelines = BTreeMap::from([("first".to_string(), PipelineReport { counts: total, open_windows })]);
    RunReport {
        total,
        lifetime: total,
        resumed: false,
        epoch: Some(1),
        wall_s: 0.5,
        cpu_s: 0.9,
        peak_rss_bytes: 104_857_600,
        event_delays: BTreeMap::new(),
        pipelines,
    }
}

#[test]
fn the_summary_accounts_for_every_event() {
    let expected = "\
1,000,000 events (219.0 MB) in 0.50 s: 2.00M events/s, 438.0 MB/s
  aggregated 999,994  filtered 2  late 3  bad 1
  10 windows, 250 rows out, 2 files; 0.90 s of CPU, 104.9 MB of memory at most
";
    assert_eq!(summary(&report(0)), expected);
    assert!(
        summary(&report(4))
            .ends_with("  pipeline first: 4 windows are still open; the checkpoint keeps them for the next run\n")
    );
}

fn batch() -> RecordBatch {
    let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a,b"), None]));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), Some(2)]), None]);
    let lists: ArrayRef = Arc::new(lists);
    let fields = [("name", &names), ("n", &numbers), ("list", &lists)]
        .map(|(name, column)| Field::new(name, column.data_type().clone(), true));
    RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), vec![names, numbers, lists]).unwrap()
}

fn printed(format: RowFormat, batches: &[RecordBatch]) -> String {
    String::from_utf8(written(format, batches)).unwrap()
}

fn written(format: RowFormat, batches: &[RecordBatch]) -> Vec<u8> {
    let mut rows = Rows::new(format, batch().schema(), Vec::new()).unwrap();
    for batch in batches {
        rows.write(batch).unwrap();
    }
    rows.finish().unwrap()
}

#[test]
fn csv_has_its_header_once_and_quotes_what_must_be() {
    assert_eq!(
        printed(RowFormat::Csv, &[batch(), batch()]),
        "name,n,list\n\"a,b\",1,\"[1, 2]\"\n,2,\n\"a,b\",1,\"[1, 2]\"\n,2,\n"
    );
    assert_eq!(printed(RowFormat::Csv, &[]), "name,n,list\n");
}

#[test]
fn json_has_every_column_in_every_object() {
    let (first, second) = ("{\"name\":\"a,b\",\"n\":1,\"list\":[1,2]}", "{\"name\":null,\"n\":2,\"list\":null}");
    assert_eq!(printed(RowFormat::Ndjson, &[batch()]), format!("{first}\n{second}\n"));
    assert_eq!(printed(RowFormat::Ndjson, &[]), "");
    let array = format!("[{first},{second},{first},{second}]\n");
    assert_eq!(printed(RowFormat::Json, &[batch(), batch()]), array);
    assert_eq!(printed(RowFormat::Json, &[]), "[]\n");
}

#[test]
fn a_table_counts_its_rows() {
    let expected = "\
+------+---+--------+
| name | n | list   |
+------+---+--------+
| a,b  | 1 | [1, 2] |
| NULL | 2 | NULL   |
+------+---+--------+
2 rows
";
    assert_eq!(printed(RowFormat::Table, &[batch()]), expected);
    let empty = printed(RowFormat::Table, &[]);
    assert!(empty.contains("| name | n | list |") && empty.ends_with("0 rows\n"), "{empty}");
}

#[test]
fn a_long_table_is_as_wide_as_its_first_rows() {
    let names: Vec<String> =
        (0..1500).map(|n| if n == 1400 { "a much wider one".into() } else { format!("é{n:04}") }).collect();
    let names: ArrayRef = Arc::new(StringArray::from(names));
    let batch = RecordBatch::try_from_iter([("name", names)]).unwrap();
    let mut rows = Rows::new(RowFormat::Table, batch.schema(), Vec::new()).unwrap();
    rows.write(&batch.slice(0, 1000)).unwrap();
    rows.write(&batch.slice(1000, 500)).unwrap();
    let printed = String::from_utf8(rows.finish().unwrap()).unwrap();
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[3], lines[1503 - 101]), (1505, "+-------+", "| é0000 |", "| é1399 |"));
    assert_eq!((lines[1403], lines[1503], lines[1504]), ("| a much wider one |", "+-------+", "1500 rows"));
}

#[test]
fn what_would_steer_a_terminal_is_spelled_out() {
    let names: ArrayRef = Arc::new(StringArray::from(vec!["a\nb\u{1b}[2J"]));
    let batch = RecordBatch::try_from_iter([("name", names)]).unwrap();
    let mut rows = Rows::new(RowFormat::Table, batch.schema(), Vec::new()).unwrap();
    rows.write(&batch).unwrap();
    let printed = String::from_utf8(rows.finish().unwrap()).unwrap();
    assert!(printed.contains(r"| a\nb\u{1b}[2J |"), "{printed}");
}

#[test]
fn parquet_is_read_back_as_it_was() {
    let bytes = bytes::Bytes::from(written(RowFormat::Parquet, &[batch(), batch()]));
    let batches: Vec<_> = ParquetRecordBatchReader::try_new(bytes, 1024).unwrap().map(Result::unwrap).collect();
    assert_eq!(batches, [concat_batches(&batch().schema(), [&batch(), &batch()]).unwrap()]);
}
