//! `watershed-bench run`, `search` and `compare` as their users meet them. The program under test is a stand-in that says what it
//! is told to say: what the real one does is looked at where both are built.

#![allow(clippy::unwrap_used)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::{TempDir, tempdir};

const SUITE: &str = r#"
name = "small"
runs = 3

[events]
profile = "orders"
count = 1000
start = "2026-03-01T00:00:00Z"

[queries.all]
sql = "SELECT count(*) FROM tumble(orders, INTERVAL '1 second') GROUP BY window_start"
"#;

/// A report of `read` events by this process, and `lifetime` by all, of which as many were aggregated; `seconds` of CPU and time.
fn report(read: u64, lifetime: u64, seconds: f64) -> String {
    let counts = |read: u64| {
        format!(
            r#""read":{read},"bad":0,"filtered":0,"late":0,"aggregated":{read},"windows":1,"rows_out":0,"bytes_in":215000"#
        )
    };
    let resumed = read < lifetime;
    format!(
        r#"{{{},"lifetime":{{{}}},"resumed":{resumed},"wall_s":{seconds},"cpu_s":{seconds},"peak_rss_bytes":100000000}}"#,
        counts(read),
        counts(lifetime)
    )
}

/// A program that does what `script` says, in the folder of a run.
fn program(folder: &Path, script: &str) {
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && {{ echo 'watershed stand-in'; exit; }}\n\
         grep -q 'tumble(orders' region.toml || {{ echo 'no query' >&2; exit 2; }}\n\
         path=$(sed -n 's/^path = \"\\(.*\\)\"$/\\1/p' region.toml)\n\
         [ -f \"$path\" ] || {{ echo \"no file $path\" >&2; exit 2; }}\n\
         mkdir -p lake state/checkpoints\n{script}\n"
    );
    let path = folder.join("watershed");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
}

/// A program that reports `read` events and `seconds` of CPU.
fn stand_in(folder: &Path, read: u64, seconds: f64) {
    let report = report(read, read, seconds);
    program(folder, &format!("printf 12345 > state/checkpoints/1.json\necho '{report}' > report.json"));
}

/// Stores the checkpoint that is waited for, and runs on.
const STAYS: &str = "touch state/checkpoints/4.json; exec sleep 60";

/// One that takes a second for a thousand events. Where a checkpoint is wanted eight times a second it does what `first` says;
/// started again, it reports `report`.
fn stand_in_that_is_killed(folder: &Path, first: &str, report: &str) {
    let whole = self::report(1000, 1000, 1.0);
    let moment = "$(date -u +%Y-%m-%dT%H:%M:%S.%NZ)";
    program(
        folder,
        &format!(
            "if [ -e state/checkpoints/4.json ]; then\n\
             echo \"{{\\\"timestamp\\\":\\\"{moment}\\\",\\\"message\\\":\\\"first records\\\"}}\" >&2\n\
             echo '{report}' > report.json\n\
             elif grep -q 'interval = \"125ms\"' region.toml; then\n{first}\n\
             else echo '{whole}' > report.json\nfi"
        ),
    );
}

fn bench(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_watershed-bench"))
        .args(arguments)
        .current_dir(folder)
        .env("WATERSHED", folder.join("watershed"))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn folder() -> TempDir {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("small.toml"), SUITE).unwrap();
    folder
}

fn run(folder: &Path, out: &str) -> Output {
    bench(folder, &["run", "small.toml", "--cache", "cache", "--out", out])
}

#[test]
fn runs_are_kept_and_compared() {
    let folder = folder();
    stand_in(folder.path(), 1000, 1.0);
    let before = run(folder.path(), "before.json");
    assert_eq!(before.status.code(), Some(0), "{}", text(&before));
    let results: Value = serde_json::from_slice(&fs::read(folder.path().join("before.json")).unwrap()).unwrap();
    assert_eq!(results["program"], "watershed stand-in");
    let metrics = results["cases"][0]["metrics"].as_array().unwrap();
    let cpu = metrics.iter().find(|metric| metric["name"] == "cpu per million events").unwrap();
    assert_eq!(cpu["runs"], serde_json::json!([1000.0, 1000.0, 1000.0]));
    let state = metrics.iter().find(|metric| metric["name"] == "state at the end").unwrap();
    assert_eq!((&state["runs"][0], &state["unit"]), (&serde_json::json!(0.000_005), &serde_json::json!("MB")));
    assert!(text(&before).contains("cpu per million events   1k (1k to 1k) s"), "{}", text(&before));

    stand_in(folder.path(), 1000, 1.5);
    assert_eq!(run(folder.path(), "after.json").status.code(), Some(0));
    let slower = bench(folder.path(), &["compare", "before.json", "after.json"]);
    assert_eq!(slower.status.code(), Some(1), "{}", text(&slower));
    let cpu = text(&slower).lines().find(|line| line.contains("cpu per million events")).unwrap().to_owned();
    assert!(cpu.contains("+50.0 %") && cpu.ends_with("SLOWER"), "{cpu}");
    let tolerated = bench(folder.path(), &["compare", "before.json", "before.json"]);
    assert_eq!(tolerated.status.code(), Some(0), "{}", text(&tolerated));
}

#[test]
fn a_run_is_killed_and_goes_on() {
    let folder = folder();
    fs::write(folder.path().join("small.toml"), SUITE.replace("runs = 3", "runs = 3\nrecovery = true")).unwrap();
    stand_in_that_is_killed(folder.path(), STAYS, &report(400, 1000, 1.0));
    let output = run(folder.path(), "results.json");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let results: Value = serde_json::from_slice(&fs::read(folder.path().join("results.json")).unwrap()).unwrap();
    let metrics = results["cases"][0]["metrics"].as_array().unwrap();
    let recovery = metrics.iter().find(|metric| metric["name"] == "recovery time").unwrap();
    let seconds: Vec<f64> = recovery["runs"].as_array().unwrap().iter().map(|run| run.as_f64().unwrap()).collect();
    assert!(seconds.len() == 3 && seconds.iter().all(|seconds| (0.0..10.0).contains(seconds)), "{seconds:?}");

    let ended = format!("touch state/checkpoints/4.json; echo '{}' > report.json", report(1000, 1000, 1.0));
    for (first, second, expected) in [
        (STAYS, report(400, 999, 1.0), "killed and started again: of 1000 events 999 were read"),
        (STAYS, report(1000, 1000, 1.0), "the second process did not go on from a checkpoint"),
        (&ended, report(0, 1000, 1.0), "3 times all was read before the first was killed: read more events"),
        ("echo broken >&2; exit 3", String::new(), "broken"),
    ] {
        stand_in_that_is_killed(folder.path(), first, &second);
        let output = run(folder.path(), "results.json");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains(expected), "{expected}\n{}", text(&output));
    }
}

#[test]
fn a_run_that_is_over_at_once_is_not_killed() {
    let folder = folder();
    fs::write(folder.path().join("small.toml"), SUITE.replace("runs = 3", "runs = 3\nrecovery = true")).unwrap();
    stand_in(folder.path(), 1000, 0.1);
    let output = run(folder.path(), "results.json");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(!text(&output).contains("  recovery time"), "{}", text(&output));
    assert!(text(&output).contains("all: no recovery time, as a run is over within 100 ms"), "{}", text(&output));
}

#[test]
fn the_input_is_made_once_and_whole() {
    let folder = folder();
    stand_in(folder.path(), 1000, 1.0);
    let made = || {
        let files = fs::read_dir(folder.path().join("cache")).unwrap().map(|entry| entry.unwrap().path());
        let files: Vec<_> = files.collect();
        assert_eq!(files.len(), 1, "{files:?}");
        (files[0].clone(), fs::metadata(&files[0]).unwrap().modified().unwrap())
    };
    run(folder.path(), "one.json");
    let first = made();
    run(folder.path(), "two.json");
    assert_eq!(first, made());
    assert_eq!(fs::read_to_string(first.0).unwrap().lines().count(), 1000);
}

#[test]
fn events_that_are_not_read_fail_a_run() {
    let folder = folder();
    stand_in(folder.path(), 999, 1.0);
    let output = run(folder.path(), "results.json");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("of 1000 events 999 were read"), "{}", text(&output));
}

#[test]
fn what_does_not_fit_is_refused() {
    let folder = folder();
    stand_in(folder.path(), 1000, 1.0);
    fs::write(folder.path().join("typo.toml"), SUITE.replace("count", "cuont")).unwrap();
    let load = "[load]\nrate = \"1k/s\"\nfor = \"5s\"\n";
    let loaded =
        SUITE.replace("runs = 3", "runs = 3\nrecovery = true").replace("[queries", &format!("{load}\n[queries"));
    fs::write(folder.path().join("loaded.toml"), loaded).unwrap();
    let refused = [
        (&["run", "loaded.toml"][..], "`recovery` is for suites that read a file"),
        (&["run", "small.toml", "--query", "none"], "there is no query none; there are all"),
        (&["run", "small.toml", "--rate", "5k"], "are for suites with a load"),
        (&["run", "latency", "--events", "5"], "--events is for suites that read a file"),
        (&["run", "typo.toml"], "unknown field `cuont`"),
        (&["run", "no-such"], "there are w, latency"),
        (&["run", "small.toml", "--watershed", "no/such"], "cannot run"),
        (&["compare", "small.toml", "small.toml"], "these are no results of `run --out`"),
    ];
    for (arguments, expected) in refused {
        let output = bench(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}\n{}", text(&output));
        assert!(text(&output).contains(expected), "{arguments:?}\n{}", text(&output));
    }
}
