//! Event time as its users meet it: lateness, idle streams, wrong clocks, and the end of input.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

const WATERSHED: &str = env!("CARGO_BIN_EXE_watershed");

/// Runs a region over a file `in.ndjson`; gives standard output's rows and the report.
fn run(folder: &Path, source: &str, pipeline: &str, lines: &str) -> (Vec<Value>, Value) {
    fs::write(folder.join("in.ndjson"), lines).unwrap();
    fs::write(folder.join("region.toml"), region(source, pipeline)).unwrap();
    let arguments = ["run", "region.toml", "--quiet", "--reset-state", "--report", "report.json"];
    let output = Command::new(WATERSHED).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows = String::from_utf8(output.stdout).unwrap();
    let rows = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let report: Value = serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap();
    let count = |key: &str| report[key].as_u64().unwrap();
    assert_eq!(count("read"), count("bad") + count("filtered") + count("late") + count("aggregated"), "{report}");
    (rows, report)
}

fn region(source: &str, pipeline: &str) -> String {
    format!(
        r#"
region = "eu"
[sources.s]
connector = "file"
path = "in.ndjson"
schema = {{ ts = {{ type = "timestamp", format = "epoch_s" }}, n = "bigint" }}
event_time = "ts"
{source}
[sinks.out]
connector = "stdout"
[sinks.too_late]
connector = "parquet"
url = "late"
partition_by = []
[pipelines.p]
sink = "out"
{pipeline}
"#
    )
}

const TUMBLE: &str =
    "sql = \"SELECT window_end, count(*) AS n FROM tumble(s, INTERVAL '10 seconds') GROUP BY window_end\"";
const HOP: &str = "sql = \"SELECT window_end, count(*) AS n FROM hop(s, INTERVAL '10 seconds', INTERVAL '20 seconds') GROUP BY window_end\"";
const SESSION: &str = "sql = \"SELECT window_start, window_end, count(*) AS n FROM session(s, INTERVAL '10 seconds') GROUP BY window_start, window_end\"";

fn events(times: &[i64]) -> String {
    times.iter().enumerate().map(|(n, ts)| format!("{{\"ts\":{ts},\"n\":{n}}}\n")).collect()
}

/// Ends of windows in seconds, and their counts.
fn windows(rows: &[Value]) -> Vec<(i64, i64)> {
    let second = |row: &Value| {
        let text = row["window_end"].as_str().unwrap();
        chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp()
    };
    let mut windows: Vec<_> = rows.iter().map(|row| (second(row), row["n"].as_i64().unwrap())).collect();
    windows.sort();
    windows
}

#[test]
fn a_row_is_late_once_the_watermark_before_it_has_passed_its_window() {
    let folder = tempfile::tempdir().unwrap();
    let (rows, report) = run(folder.path(), "", TUMBLE, &events(&[1, 9, 10, 3, 11, 20, 12]));
    assert_eq!(windows(&rows), [(10, 2), (20, 2), (30, 1)]);
    assert_eq!(report["late"], 2);
    let (rows, report) = run(folder.path(), "max_delay = \"5s\"", TUMBLE, &events(&[1, 9, 14, 3, 15, 4, 26, 12]));
    assert_eq!(windows(&rows), [(10, 3), (20, 2), (30, 1)]);
    assert_eq!(report["late"], 2);
}

#[test]
fn allowed_lateness_keeps_windows_open_and_emits_them_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = format!("allowed_lateness = \"10s\"\n{TUMBLE}");
    let (rows, report) = run(folder.path(), "", &pipeline, &events(&[1, 19, 2, 20, 3]));
    assert_eq!(windows(&rows), [(10, 2), (20, 1), (30, 1)]);
    assert_eq!(report["late"], 1);
}

#[test]
fn a_hop_counts_a_row_in_the_windows_that_are_still_open() {
    let folder = tempfile::tempdir().unwrap();
    let (rows, report) = run(folder.path(), "", HOP, &events(&[1, 12, 5, 21, 6]));
    // 5 comes at watermark 12: its window that ends at 10 has closed, the one that ends at 20 has not.
    assert_eq!(windows(&rows), [(10, 1), (20, 3), (30, 2), (40, 1)]);
    assert_eq!(report["late"], 1);
}

#[test]
fn a_row_joins_a_session_that_is_open_although_alone_it_would_be_late() {
    let folder = tempfile::tempdir().unwrap();
    // At watermark 29 a session of 15 alone would have ended at 25; with 9 … 21 … 29 it is one that has not.
    let (rows, report) = run(folder.path(), "", SESSION, &events(&[9, 15, 21, 29, 15, 60, 15]));
    assert_eq!(windows(&rows), [(39, 5), (70, 1)]);
    assert_eq!(report["late"], 1);
}

#[test]
fn late_rows_go_to_their_sink_as_the_source_wrote_them() {
    let folder = tempfile::tempdir().unwrap();
    let (_, report) = run(folder.path(), "", &format!("late = \"too_late\"\n{TUMBLE}"), &events(&[1, 30, 2, 31, 3]));
    assert_eq!(report["late"], 2);
    let files: Vec<_> = fs::read_dir(folder.path().join("late"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "parquet"))
        .collect();
    let file = fs::File::open(&files[0]).unwrap();
    let reader = datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let rows: usize = reader.build().unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 2);
}

#[test]
fn one_wrong_clock_closes_nobodys_windows() {
    let folder = tempfile::tempdir().unwrap();
    let year_3000 = 32_503_680_000;
    let lines = events(&[1, year_3000, 2]) + "{\"n\":7}\n{\"ts\":null}\n";
    let (rows, report) = run(folder.path(), "max_future = \"1h\"\non_bad = \"skip\"", TUMBLE, &lines);
    assert_eq!(windows(&rows), [(10, 2)]);
    assert_eq!((&report["bad"], &report["late"]), (&Value::from(3), &Value::from(0)));
    // Without the guard the clock moves, and what follows is late.
    let (_, report) =
        run(folder.path(), "max_future = \"off\"\non_bad = \"skip\"", TUMBLE, &events(&[1, year_3000, 2]));
    assert_eq!((&report["bad"], &report["late"]), (&Value::from(0), &Value::from(1)));
}

/// Instants near the ends of 64 bits have no window that could be written.
#[test]
fn an_epoch_of_the_wrong_unit_is_bad_and_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let lines = events(&[1, 9_214_646_400_000, -9_214_646_400_000, 2]);
    let (rows, report) = run(folder.path(), "on_bad = \"skip\"", TUMBLE, &lines);
    assert_eq!(windows(&rows), [(10, 2)]);
    assert_eq!(report["bad"], 2);
}

/// Nothing comes after the events: only the clock can close their windows.
#[test]
fn windows_of_a_stream_that_falls_silent_close_by_the_clock() {
    let folder = tempfile::tempdir().unwrap();
    let now = chrono::Utc::now().timestamp();
    fs::write(folder.path().join("in.ndjson"), events(&[now - 60, now - 59])).unwrap();
    let source = "follow = true\nidle_after = \"200ms\"\nmax_delay = \"1s\"";
    fs::write(folder.path().join("region.toml"), region(source, TUMBLE)).unwrap();
    let mut child = Command::new(WATERSHED)
        .args(["run", "region.toml", "--quiet"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut rows = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut counted = 0;
    while counted < 2 {
        let row: Value = serde_json::from_str(&rows.next().unwrap().unwrap()).unwrap();
        counted += row["n"].as_i64().unwrap();
    }
    // The stream goes on: the daemon was waiting, not done.
    let mut file = fs::OpenOptions::new().append(true).open(folder.path().join("in.ndjson")).unwrap();
    let later = chrono::Utc::now().timestamp();
    file.write_all(events(&[later]).as_bytes()).unwrap();
    let row: Value = serde_json::from_str(&rows.next().unwrap().unwrap()).unwrap();
    assert_eq!(row["n"], 1);
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// What a batch query gives: every window between the first and the last that hold rows.
fn every_window(times: &[i64], slide: i64, size: i64) -> Vec<(i64, i64)> {
    let ends = times.iter().flat_map(|ts| (1..=size / slide).map(move |n| (ts.div_euclid(slide) + n) * slide));
    let (first, last) = (ends.clone().min().unwrap(), ends.max().unwrap());
    let count = |end: i64| times.iter().filter(|&&ts| end - size <= ts && ts < end).count() as i64;
    (0..=(last - first) / slide).map(|n| first + n * slide).map(|end| (end, count(end))).collect()
}

const GAPS: [i64; 7] = [1, 2, 55, 56, 143, 144, 400_000];

#[test]
fn empty_windows_are_put_out_where_they_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    for (sql, slide, size) in [(TUMBLE, 10, 10), (HOP, 10, 20)] {
        let pipeline = format!("emit_empty = true\n{sql}");
        let (rows, report) = run(folder.path(), "", &pipeline, &events(&GAPS));
        let expected = every_window(&GAPS, slide, size);
        assert_eq!(windows(&rows), expected);
        assert_eq!(report["windows"].as_u64(), Some(expected.len() as u64));
        // One window at a time, as a limit needs it.
        let limited = pipeline.replace("GROUP BY window_end", "GROUP BY window_end ORDER BY window_end LIMIT 1");
        assert_eq!(
            windows(&run(folder.path(), "", &limited, &events(&GAPS[..6])).0),
            every_window(&GAPS[..6], slide, size)
        );
    }
    let (rows, _) = run(folder.path(), "", TUMBLE, &events(&GAPS));
    assert_eq!(rows.len(), 4);
}

#[test]
fn aggregates_over_no_rows_are_what_sql_says() {
    let folder = tempfile::tempdir().unwrap();
    let sql = "emit_empty = true\nsql = \"SELECT window_start, window_end, count(*) AS n, sum(n) AS sum, avg(n) AS mean, \
               coalesce(max(n), -1) AS most FROM tumble(s, INTERVAL '10 seconds') WHERE n < 3 GROUP BY window_start, \
               window_end HAVING count(*) < 2\"";
    let (rows, _) = run(folder.path(), "", sql, &events(&[1, 2, 25, 31]));
    let shown: Vec<_> =
        rows.iter().map(|row| (&row["window_start"], &row["n"], &row["sum"], &row["mean"], &row["most"])).collect();
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let (empty, full) = (json("\"1970-01-01T00:00:10Z\""), json("\"1970-01-01T00:00:20Z\""));
    let (zero, none, one, two, mean) = (json("0"), Value::Null, json("1"), json("2"), json("2.0"));
    let minus = json("-1");
    assert_eq!(shown, [(&empty, &zero, &none, &none, &minus), (&full, &one, &two, &mean, &two)]);
}

#[test]
fn a_gap_over_a_restart_is_filled_once() {
    let folder = tempfile::tempdir().unwrap();
    let toml =
        region("", &format!("emit_empty = true\n{TUMBLE}")).replace("path = \"in.ndjson\"", "path = \"in*.ndjson\"");
    fs::write(folder.path().join("region.toml"), toml).unwrap();
    let mut rows = Vec::new();
    // Each run finds one file more, and goes on behind the windows of the runs before.
    for (number, times) in [&GAPS[..2], &GAPS[2..4], &GAPS[4..6]].into_iter().enumerate() {
        fs::write(folder.path().join(format!("in{number}.ndjson")), events(times)).unwrap();
        let output = Command::new(WATERSHED)
            .args(["run", "region.toml", "--quiet"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        rows.extend(lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    assert_eq!(windows(&rows), every_window(&GAPS[..6], 10, 10));
}

#[test]
fn empty_windows_are_refused_where_nobody_knows_their_rows() {
    let folder = tempfile::tempdir().unwrap();
    let tumble = "FROM tumble(s, INTERVAL '10 seconds')";
    for (sql, why) in [
        ("SELECT n FROM s".to_string(), "has no windows"),
        (format!("SELECT window_end, n, count(*) {tumble} GROUP BY window_end, n"), "keys beside the window"),
        (format!("SELECT window_end, count(DISTINCT n) {tumble} GROUP BY window_end"), "keys beside the window"),
        (format!("SELECT window_start, n {tumble}"), "taken as they are"),
        (SESSION.split('"').nth(1).unwrap().to_string(), "never empty"),
    ] {
        fs::write(folder.path().join("region.toml"), region("", &format!("emit_empty = true\nsql = \"{sql}\"")))
            .unwrap();
        let output =
            Command::new(WATERSHED).args(["check", "region.toml"]).current_dir(folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("`emit_empty` is set") && said.contains(why), "{sql}\n{said}");
    }
}
