//! `watershed-bench peers` as its users meet it. Python is a stand-in: the script itself installs engines.

#![allow(clippy::unwrap_used)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::tempdir;

const SCRIPT: &str = include_str!("../../scripts/bench-peers.py");

fn program(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

/// Runs `peers` where no program is to be found but those in `folder`.
fn peers(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_watershed-bench"))
        .arg("peers")
        .args(arguments)
        .current_dir(folder)
        .env("PATH", folder)
        .env("WATERSHED", folder.join("watershed"))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn help_tells_what_the_script_takes() {
    let folder = tempdir().unwrap();
    let output = peers(folder.path(), &["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = text(&output);
    let options = help.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2);
    let ours = ["--help", "--watershed"];
    let passed: Vec<&str> = options.filter(|option| !ours.contains(option)).collect();
    assert!(passed.contains(&"--pin"), "{help}");
    for option in passed {
        assert!(SCRIPT.contains(&format!("\"{option}\"")), "the script has no {option}");
    }
    for engine in ["duckdb", "polars", "chdb", "flink", "spark"] {
        assert!(help.contains(engine), "{help}");
        assert!(SCRIPT.contains(&format!("\"{engine}\": ")), "the script has no {engine}");
    }
}

#[test]
fn the_script_gets_arguments_and_programs_and_gives_its_code() {
    let folder = tempdir().unwrap();
    program(&folder.path().join("watershed"), "echo watershed stand-in");
    program(&folder.path().join("python3"), "echo \"$@\"; echo $WATERSHED; echo $WATERSHED_BENCH; exit 7");
    let arguments =
        ["duckdb", "flink", "--events", "1_000", "--runs", "2", "--pin", "--question", "q1", "--json", "out.json"];
    let output = peers(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(7), "{}", text(&output));
    let said = text(&output);
    let lines: Vec<&str> = said.lines().collect();
    let (script, passed) = lines[0].split_once(' ').unwrap();
    assert_eq!(fs::read_to_string(script).unwrap(), SCRIPT);
    assert_eq!(passed, "duckdb flink --question q1 --events 1000 --runs 2 --json out.json --pin");
    assert_eq!(lines[1], folder.path().join("watershed").to_string_lossy());
    assert_eq!(lines[2], env!("CARGO_BIN_EXE_watershed-bench"));
}

#[test]
fn what_is_not_there_is_named() {
    let folder = tempdir().unwrap();
    let refused = |arguments: &[&str], expected: &str| {
        let output = peers(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}\n{}", text(&output));
        assert!(text(&output).contains(expected), "{arguments:?}\n{}", text(&output));
    };
    refused(&["oracle"], "[possible values: duckdb, polars, chdb, flink, spark]");
    refused(&["--question", "q4"], "[possible values: q1, q2, q3]");
    refused(&[], "cannot run ");
    program(&folder.path().join("watershed"), "echo watershed stand-in");
    refused(&[], "cannot run python3, which the peers need");
}
