//! Nexmark's pipelines as they stand in `examples/`, run by the program over a seeded sequence of events that come out of order
//! and in several splits, have to write the rows that DataFusion gives for the benchmark's questions over the same events in
//! one batch.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod house;
mod questions;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use serde_json::Value;
use tempfile::TempDir;

use questions::{QUESTIONS, VIEWS};

/// What is changed of the example: eight seconds of events over the turn of a minute, not in order.
const CHANGES: [(&str, &str); 2] = [
    ("events = 2_000_000", "events = 800_000\nsplits = 3\ndisorder = \"500ms\"\nmax_delay = \"500ms\""),
    ("start = \"2026-03-01T11:59:50Z\"", "start = \"2026-03-01T11:59:54Z\""),
];

/// A folder with the example's files, and the region file among them.
fn copied_example() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let copy = folder.path().join("examples");
    fs::create_dir_all(copy.join("nexmark")).unwrap();
    for entry in fs::read_dir(examples.join("nexmark")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join("nexmark").join(entry.file_name())).unwrap();
    }
    let mut text = fs::read_to_string(examples.join("nexmark.toml")).unwrap();
    for (as_it_stands, changed) in CHANGES {
        assert_eq!(text.matches(as_it_stands).count(), 3, "{as_it_stands} of three sources");
        text = text.replace(as_it_stands, changed);
    }
    let file = copy.join("nexmark.toml");
    fs::write(&file, text).unwrap();
    (folder, file)
}

/// Runs the program to its end; gives its report.
fn run(folder: &Path, file: &Path) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_watershed"))
        .current_dir(folder)
        .arg("run")
        .arg(file)
        .args(["--report", "report.json", "--lanes", "3", "--quiet"])
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap()
}

/// The Parquet files that a pipeline wrote below `folder`.
fn files_of(pipeline: &str, folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !name.starts_with('_') {
            files.extend(files_of(pipeline, &path));
        } else if name.starts_with(&format!("{pipeline}-")) {
            files.push(path.to_str().unwrap().to_owned());
        }
    }
    files
}

/// Registers what a pipeline wrote as the table `streamed`; with the columns that are folders.
async fn register_streamed(session: &SessionContext, pipeline: &str, folder: &Path) {
    let _ = session.deregister_table("streamed").unwrap();
    let log = folder.join("var/nexmark/log");
    let rows = if pipeline == "q10" {
        let levels = ["dt", "hm"].map(|level| (level.to_owned(), arrow::datatypes::DataType::Utf8));
        let options = ParquetReadOptions::default().table_partition_cols(levels.to_vec());
        session.read_parquet(log.to_str().unwrap(), options).await
    } else {
        let files = files_of(pipeline, &folder.join("var/nexmark/lake"));
        session.read_parquet(files, ParquetReadOptions::default()).await
    };
    session.register_table("streamed", rows.unwrap().into_view()).unwrap();
}

/// Compares the table `streamed` with a question's rows, each as often as it is there; says what differs.
async fn differences(session: &SessionContext, question: &str) -> (i64, String) {
    let schema = session.table("streamed").await.unwrap().schema().clone();
    let columns = schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ");
    let surplus = format!(
        "SELECT {columns}, sum(side) AS surplus FROM (
            SELECT {columns}, 1 AS side FROM streamed UNION ALL SELECT {columns}, -1 AS side FROM ({question}))
         GROUP BY {columns} HAVING sum(side) <> 0 ORDER BY {columns} LIMIT 10"
    );
    let rows = session.sql(&surplus).await.unwrap_or_else(|error| panic!("{question}\n{error}")).collect();
    let count = session.sql("SELECT count(*) FROM streamed").await.unwrap().collect().await.unwrap();
    let rows = rows.await.unwrap();
    let shown = if rows.iter().all(|batch| batch.num_rows() == 0) {
        String::new()
    } else {
        pretty_format_batches(&rows).unwrap().to_string()
    };
    (count[0].column(0).as_primitive::<Int64Type>().value(0), shown)
}

#[tokio::test]
async fn every_pipeline_writes_the_rows_of_its_question() {
    let (folder, file) = copied_example();
    let report = run(folder.path(), &file);
    let session = SessionContext::new();
    house::register(&session, &file).await;
    for view in VIEWS {
        session.sql(view).await.unwrap_or_else(|error| panic!("{view}\n{error}"));
    }
    let pipelines = report["pipelines"].as_object().unwrap();
    assert_eq!(pipelines.len(), QUESTIONS.len());
    for (pipeline, question) in QUESTIONS {
        let counts = &pipelines[*pipeline];
        assert_eq!(counts["late"], 0, "{pipeline}: {counts}");
        register_streamed(&session, pipeline, folder.path()).await;
        let (rows, differences) = differences(&session, question).await;
        assert_eq!(differences, "", "{pipeline}: surplus of 1 is streamed, of -1 is missing");
        assert_eq!(counts["rows_out"], rows, "{pipeline}");
        assert!(rows > 1, "{pipeline}: {rows} rows show little");
    }
}
