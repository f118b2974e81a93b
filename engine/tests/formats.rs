//! The same rows in every format that a file can have: the daemon makes the same of them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn written() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats")
}

fn watershed(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watershed"));
    command.current_dir(folder).env_remove("RUST_LOG").stdin(Stdio::null()).args(arguments).output().unwrap()
}

fn region(file: &str, format: &str) -> String {
    let path = written().join(file);
    format!(
        r#"
region = "eu"
[sources.orders]
connector = "file"
path = "{}"
format = {format}
schema = {{ id = "bigint", ts = "timestamp", amount = "decimal(12,2)", country = "string", paid = "boolean" }}
event_time = "ts"
[sinks.out]
connector = "stdout"
[pipelines.by_country]
sql = """
SELECT window_start, country, count(*) AS orders, sum(amount) AS revenue, min(id) AS first
FROM tumble(orders, INTERVAL '10 seconds') WHERE NOT paid GROUP BY window_start, country"""
sink = "out"
"#,
        path.display()
    )
}

/// What the daemon prints, line by line in some order, and how many records it read.
fn outcome(file: &str, format: &str) -> (Vec<String>, u64) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("region.toml"), region(file, format)).unwrap();
    let output = watershed(folder.path(), &["run", "region.toml", "--report", "report.json"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{file}: {said}");
    let mut lines: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    lines.sort_unstable();
    let report = fs::read_to_string(folder.path().join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    (lines, report["read"].as_u64().unwrap())
}

#[test]
fn files_of_every_format() {
    let expected = outcome("orders.ndjson", "\"json\"");
    assert!(expected.0.len() >= 6, "{expected:?}");
    assert_eq!(expected.1, 24);
    for (file, format) in [
        ("orders.null.avro", "\"avro\""),
        ("orders.deflate.avro", "\"avro\""),
        ("orders.snappy.avro", "\"avro\""),
        ("orders.zstandard.avro", "\"avro\""),
        ("orders.arrow", "\"arrow\""),
        ("orders.zstd.arrows", "{ type = \"arrow\" }"),
    ] {
        assert_eq!(outcome(file, format), expected, "{file}");
    }
}

/// The columns of an Avro file need not be declared: `check` prints them.
#[test]
fn an_avro_file_declares_itself() {
    let folder = tempfile::tempdir().unwrap();
    let region = region("orders.null.avro", "\"avro\"");
    let without: Vec<&str> = region.lines().filter(|line| !line.starts_with("schema")).collect();
    fs::write(folder.path().join("region.toml"), without.join("\n")).unwrap();
    let output = watershed(folder.path(), &["check", "region.toml"]);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    for column in [
        "amount = \"decimal(12,2)\"",
        "day = \"date\"",
        "kind = \"string\"",
        "address = \"struct<city: string, zip: int>\"",
        "counts = \"map<string, bigint>\"",
    ] {
        assert!(said.contains(column), "{column} is missing:\n{said}");
    }
}

/// `check` asks no registry, and with --connect it does.
#[test]
fn check_asks_a_registry_only_if_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let region = r#"
region = "eu"
[http]
listen = "127.0.0.1:0"
[sources.orders]
connector = "http"
format = { type = "avro", registry = "http://127.0.0.1:1", username = "me", password = "marked-secret" }
schema = { n = "int" }
[sinks.out]
connector = "stdout"
[pipelines.all]
sql = "SELECT n FROM orders"
sink = "out"
"#;
    fs::write(folder.path().join("region.toml"), region).unwrap();
    let output = watershed(folder.path(), &["check", "region.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!String::from_utf8_lossy(&output.stdout).contains("marked-secret"));
    let output = watershed(folder.path(), &["check", "region.toml", "--connect"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("registry http://127.0.0.1:1") && !said.contains("marked-secret"), "{said}");
}
