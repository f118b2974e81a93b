//! The examples as a reader of the README runs them: the binary, from the root of a copy of the repository.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::Value;
use tempfile::TempDir;

/// A folder that holds nothing but `examples/`.
fn copied_examples() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples"), &folder.path().join("examples"));
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What a run left behind.
struct Ran {
    report: Value,
    stdout: String,
}

/// Runs an example to its end, and checks its books.
fn run(folder: &Path, name: &str) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_watershed"))
        .current_dir(folder)
        .args(["run", &format!("examples/{name}.toml"), "--report", "report.json"])
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{name}\n{stdout}{stderr}");
    let report: Value = serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap();
    let pipelines = report["pipelines"].as_object().unwrap();
    for (pipeline, counts) in pipelines {
        assert_eq!(count(counts, "open_windows"), 0, "{pipeline} of {name}: {counts}");
    }
    for counts in pipelines.values().chain([&report]) {
        let ends =
            count(counts, "bad") + count(counts, "filtered") + count(counts, "late") + count(counts, "aggregated");
        assert_eq!(count(counts, "read"), ends, "{name}: {counts}");
        assert!(count(counts, "rows_out") > 0, "{name}: {counts}");
    }
    Ran { report, stdout }
}

/// The first row of a query over what an example wrote.
fn query(folder: &Path, name: &str, sql: &str) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_watershed"))
        .current_dir(folder)
        .args(["query", &format!("examples/{name}.toml"), sql, "--format", "ndjson"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::Deserializer::from_slice(&output.stdout).into_iter().next().unwrap().unwrap()
}

fn count(counts: &Value, key: &str) -> u64 {
    counts[key].as_u64().unwrap_or_else(|| panic!("no {key} in {counts}"))
}

/// Rows in all Parquet files below `folder`, and how many files there are.
fn lake(folder: &Path) -> (u64, usize) {
    let mut files = Vec::new();
    parquet_files(folder, &mut files);
    let rows = |file: &PathBuf| {
        let reader = SerializedFileReader::new(File::open(file).unwrap()).unwrap();
        u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap()
    };
    (files.iter().map(rows).sum(), files.len())
}

fn parquet_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with('_') {
            continue;
        }
        if path.is_dir() {
            parquet_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            found.push(path);
        }
    }
}

/// What a pipeline says it wrote is what lies in its folder.
fn written(folder: &Path, ran: &Ran, pipeline: &str, place: &str) {
    let (rows, files) = lake(&folder.join(place));
    let counts = &ran.report["pipelines"][pipeline];
    assert_eq!((rows, files as u64), (count(counts, "rows_out"), count(counts, "files")), "{pipeline}: {counts}");
    assert!(rows > 0 && files > 0, "{pipeline}");
}

#[test]
fn quickstart_shows_windows_and_fills_a_lake() {
    let folder = copied_examples();
    let file = folder.path().join("examples/quickstart.toml");
    let text = fs::read_to_string(&file).unwrap();
    let shorter = text.replace("events = 1_000_000", "events = 100_000");
    assert_ne!(shorter, text);
    fs::write(&file, shorter).unwrap();
    let ran = run(folder.path(), "quickstart");
    assert_eq!(count(&ran.report, "read"), 100_000);
    assert!(count(&ran.report, "bad") > 0, "{}", ran.report);
    let rows: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len() as u64, count(&ran.report["pipelines"]["top_countries"], "rows_out"));
    for window in rows.chunk_by(|a, b| a["window_start"] == b["window_start"]) {
        let places: Vec<_> = window.iter().map(|row| row["place"].as_u64().unwrap()).collect();
        // A window at the very edge of the stream may have met fewer countries.
        assert_eq!(places, [1, 2, 3, 4, 5][..places.len().min(5)], "{window:?}");
    }
    written(folder.path(), &ran, "by_country_and_type", "var/quickstart/by_country_and_type");
    let sum = query(folder.path(), "quickstart", "SELECT sum(events) AS events FROM by_country_and_type");
    let aggregated = count(&ran.report["pipelines"]["by_country_and_type"], "aggregated");
    assert_eq!(sum["events"].as_u64(), Some(aggregated), "every event that was taken is in a window");
}

#[test]
fn orders_join_a_table_and_rank_products() {
    let folder = copied_examples();
    let ran = run(folder.path(), "orders");
    assert_eq!(count(&ran.report, "read"), 6_000_000);
    written(folder.path(), &ran, "revenue_by_country", "var/orders/revenue_by_country");
    written(folder.path(), &ran, "top_products", "var/orders/top_products");
    let windows = count(&ran.report["pipelines"]["top_products"], "windows");
    assert_eq!(count(&ran.report["pipelines"]["top_products"], "rows_out"), 10 * windows);
}

#[test]
fn sensors_hop_and_faults_leave_at_once() {
    let folder = copied_examples();
    let ran = run(folder.path(), "sensors");
    assert_eq!(count(&ran.report["pipelines"]["faults"], "windows"), 0);
    written(folder.path(), &ran, "temperature", "var/sensors/temperature");
    let sum = query(folder.path(), "sensors", "SELECT sum(readings) AS readings FROM temperature");
    let aggregated = count(&ran.report["pipelines"]["temperature"], "aggregated");
    assert_eq!(sum["readings"].as_u64(), Some(6 * aggregated), "every reading is in six windows");
    written(folder.path(), &ran, "faults", "var/sensors/faults");
}

#[test]
fn trades_become_candles() {
    let folder = copied_examples();
    let ran = run(folder.path(), "trades");
    written(folder.path(), &ran, "candles", "var/trades/candles");
}

#[test]
fn every_example_passes_its_check() {
    let folder = copied_examples();
    for name in ["quickstart", "orders", "sensors", "trades", "nexmark"] {
        let output = Command::new(env!("CARGO_BIN_EXE_watershed"))
            .current_dir(folder.path())
            .args(["check", &format!("examples/{name}.toml")])
            .output()
            .unwrap();
        let said = format!("{output:?}");
        assert_eq!(output.status.code(), Some(0), "{name}\n{said}");
    }
    assert!(!folder.path().join("var").exists(), "check touches nothing");
}
