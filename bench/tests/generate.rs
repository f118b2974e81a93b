//! `watershed-bench generate` as its users meet it: arguments in; events, reports and an exit code out.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::tempdir;

fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watershed-bench"));
    command.current_dir(folder).stdin(Stdio::null()).env_remove("WATERSHED_BENCH_TOKEN");
    command
}

fn generate(folder: &Path, arguments: &[&str]) -> Output {
    program(folder).arg("generate").args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn report(folder: &Path, file: &str) -> Value {
    serde_json::from_slice(&fs::read(folder.join(file)).unwrap()).unwrap()
}

#[test]
fn a_file_holds_the_same_events_as_standard_output() {
    let folder = tempdir().unwrap();
    let same = ["--profile", "orders", "--events", "20_000", "--start", "2026-03-01T00:00:00Z", "--event-rate", "1k/s"];
    let same = [&same[..], &["--disorder", "2s", "--quiet"]].concat();
    let piped = generate(folder.path(), &[&same[..], &["--to", "stdout"]].concat());
    assert_eq!(piped.status.code(), Some(0), "{}", stderr(&piped));
    let filed = generate(folder.path(), &[&same[..], &["--to", "file:orders.ndjson"]].concat());
    assert_eq!(filed.status.code(), Some(0), "{}", stderr(&filed));
    let text = String::from_utf8(piped.stdout).unwrap();
    assert_eq!(text.lines().count(), 20_000);
    assert!(text == fs::read_to_string(folder.path().join("orders.ndjson")).unwrap());
    let event: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(("2026-03-01T00:00:17".."2026-03-01T00:00:20").contains(&event["ts"].as_str().unwrap()), "{event}");
}

#[test]
fn every_profile_has_lines_of_json() {
    let folder = tempdir().unwrap();
    for profile in ["orders", "sensors", "trades", "clicks"] {
        let output = generate(folder.path(), &["--profile", profile, "--events", "100", "--to", "stdout"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let lines: Vec<Value> =
            output.stdout.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        assert_eq!(lines.len(), 100);
    }
}

#[test]
fn reports_say_what_was_due_and_what_came_of_it() {
    let folder = tempdir().unwrap();
    let schedule = ["--steps", "100ms:10k,100ms:30k", "--producers", "2"];
    let files = ["--report", "report.json", "--html", "report.html"];
    let arguments = [&["--profile", "trades", "--to", "file:trades.ndjson"][..], &schedule, &files].concat();
    let output = generate(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report = report(folder.path(), "report.json");
    for key in ["due", "sent", "acknowledged"] {
        assert_eq!(report[key], 4000, "{report}");
    }
    assert_eq!((&report["profile"], &report["scheduled"]), (&Value::from("trades"), &Value::from(true)));
    let written = fs::metadata(folder.path().join("trades.ndjson")).unwrap().len();
    assert_eq!(report["bytes"], written);
    let latency = &report["latency"];
    let of = |key: &str| latency[key].as_f64().unwrap();
    assert!(of("p50_ms") <= of("p99_ms") && of("p99_ms") <= of("p9999_ms") && of("p9999_ms") <= of("max_ms"));
    let by_second: u64 = report["timeline"].as_array().unwrap().iter().map(|s| s["sent"].as_u64().unwrap()).sum();
    assert_eq!(by_second, 4000);
    assert!(fs::read_to_string(folder.path().join("report.html")).unwrap().contains("<svg"));
    assert!(stderr(&output).contains("due 4,000  sent 4,000  acknowledged 4,000"), "{}", stderr(&output));
}

/// What a request was.
struct Request {
    head: String,
    body: String,
}

/// A server that gives each request the next of `answers`, and the last of them from then on.
fn server(answers: &'static [&'static str]) -> (String, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/ingest/orders", listener.local_addr().unwrap());
    let (seen, requests) = channel();
    // It ends with the test's process.
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let answer = answers[number.min(answers.len() - 1)];
            let Some(request) = serve(&stream.unwrap(), answer) else { continue };
            if seen.send(request).is_err() {
                break;
            }
        }
    });
    (url, requests)
}

/// One request of a connection.
fn serve(mut stream: &TcpStream, answer: &str) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.to_lowercase().split_once("content-length: ")?.1.split_once('\r')?.0.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    write!(stream, "HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").ok()?;
    Some(Request { head, body: String::from_utf8(body).unwrap() })
}

#[test]
fn batches_are_posted_and_sent_again_while_the_server_is_full() {
    let folder = tempdir().unwrap();
    let (url, requests) = server(&["429 Too Many Requests", "503 Service Unavailable", "202 Accepted"]);
    let load = ["--profile", "orders", "--rate", "20k/s", "--events", "2000", "--property", "x-test=yes"];
    let arguments = [&load[..], &["--to", &url, "--report", "report.json"]].concat();
    let output = program(folder.path())
        .arg("generate")
        .args(arguments)
        .env("WATERSHED_BENCH_TOKEN", "seven-dwarfs")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!stderr(&output).contains("seven-dwarfs"));
    let report = report(folder.path(), "report.json");
    assert_eq!((&report["acknowledged"], &report["retries"]), (&Value::from(2000), &Value::from(2)), "{report}");
    let requests: Vec<Request> = requests.try_iter().collect();
    for request in &requests {
        let head = request.head.to_lowercase();
        assert!(head.starts_with("post /ingest/orders http/1.1\r\n"), "{head}");
        for header in ["content-type: application/x-ndjson", "authorization: bearer seven-dwarfs", "x-test: yes"] {
            assert!(head.contains(header), "{head}");
        }
    }
    let mut lines: Vec<&str> = requests.iter().flat_map(|request| request.body.lines()).collect();
    assert!(lines.len() > 2000, "two batches came twice");
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), 2000);
}

#[test]
fn a_server_that_refuses_ends_the_run() {
    let folder = tempdir().unwrap();
    let (url, _requests) = server(&["404 Not Found"]);
    let arguments = ["--profile", "orders", "--rate", "1k/s", "--to", &url, "--report", "report.json"];
    let output = generate(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("it answers 404 Not Found"), "{}", stderr(&output));
    assert!(report(folder.path(), "report.json")["failed"].as_u64().unwrap() > 0);
}

#[test]
fn ctrl_c_ends_a_run_with_a_report() {
    let folder = tempdir().unwrap();
    let mut child = program(folder.path())
        .args(["generate", "--profile", "sensors", "--rate", "1k/s", "--to", "stdout", "--report", "report.json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // It has begun.
    lines.next().unwrap().unwrap();
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let rest = lines.count() as u64;
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let report = report(folder.path(), "report.json");
    assert_eq!(report["acknowledged"], rest + 1);
}

#[test]
fn a_reader_that_has_enough_ends_a_run() {
    let folder = tempdir().unwrap();
    let mut child = program(folder.path())
        .args(["generate", "--profile", "sensors", "--to", "stdout", "--quiet"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_to_write() {
    let folder = tempdir().unwrap();
    let refused = [
        (&["--to", "stdout", "--profile", "oders"][..], "expected one of `orders`"),
        (&["--to", "stdout"], "--profile"),
        (&["--profile", "orders", "--to", "ftp://host"], "write one of stdout, file:PATH"),
        (&["--profile", "orders", "--to", "stdout", "--rate", "fast"], "write for example 100000/s"),
        (&["--profile", "orders", "--to", "stdout", "--steps", "10s"], "write for example 10s:50k,10s:100k"),
        (&["--profile", "orders", "--to", "stdout", "--sine", "1m:9k"], "write for example 60s:20k..100k"),
        (&["--profile", "orders", "--to", "stdout", "--rate", "1/s", "--burst", "1s:1"], "cannot be used with"),
        (&["--profile", "orders", "--to", "stdout", "--event-rate", "1/s"], "--start"),
        (&["--profile", "orders", "--to", "stdout", "--events", "0"], "a number of events"),
    ];
    for (arguments, expected) in refused {
        let output = generate(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{arguments:?}\n{}", stderr(&output));
    }
    let output = generate(folder.path(), &["--profile", "orders", "--to", "file:no/such/folder"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot write no/such/folder"), "{}", stderr(&output));
}
