//! State through the front door: who owns it, what a stop keeps, what a change of the region file does to it, and what
//! happens when it is damaged.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

const WATERSHED: &str = env!("CARGO_BIN_EXE_watershed");

/// Longest time that anything here is waited for.
const LONGEST: Duration = Duration::from_secs(60);

/// A region file in a folder of its own. `{root}` stands for that folder.
fn folder(region: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_region(folder.path(), region);
    folder
}

fn write_region(folder: &Path, region: &str) {
    fs::write(folder.join("eu.toml"), region).unwrap();
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(WATERSHED);
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

fn succeeds(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn fails(folder: &Path, code: i32, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{errors}");
    errors
}

fn report(folder: &Path, arguments: &[&str]) -> Value {
    succeeds(folder, &[&["run", "eu.toml", "--quiet", "--report", "report.json"], arguments].concat());
    serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap()
}

fn query(folder: &Path, sql: &str) -> String {
    succeeds(folder, &["query", "eu.toml", sql, "--format", "csv"]).lines().skip(1).collect::<Vec<_>>().join("\n")
}

/// A daemon in the background, which does not outlive the test.
struct Daemon {
    child: Child,
    errors: PathBuf,
}

impl Daemon {
    fn start(folder: &Path, name: &str, arguments: &[&str]) -> Self {
        let errors = folder.join(format!("{name}.txt"));
        let mut command = command(folder, &[&["run", "eu.toml"], arguments].concat());
        let child = command.stdout(Stdio::null()).stderr(fs::File::create(&errors).unwrap()).spawn().unwrap();
        Self { child, errors }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Waits for its end; gives the exit code and what it said.
    fn end(&mut self) -> (Option<i32>, String) {
        let status = until("the daemon ends", || self.child.try_wait().unwrap());
        (status.code(), fs::read_to_string(&self.errors).unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < LONGEST, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The newest manifest in the state folder, by its number.
fn newest(folder: &Path) -> Option<(u64, PathBuf)> {
    let entries = fs::read_dir(folder.join("state/checkpoints")).ok()?;
    // What is being written has more behind its name.
    let number = |path: &PathBuf| path.file_name()?.to_str()?.strip_suffix(".json")?.parse::<u64>().ok();
    entries.flatten().filter_map(|entry| Some((number(&entry.path())?, entry.path()))).max()
}

fn until_epoch(folder: &Path, epoch: u64) {
    until(&format!("epoch {epoch}"), || newest(folder).filter(|(newest, _)| *newest >= epoch));
}

/// Every file that a reader of the lake sees, with its bytes.
fn lake(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.join("lake")];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            let (path, hidden) = (entry.path(), entry.file_name().to_string_lossy().starts_with('_'));
            match (hidden, path.is_dir()) {
                (true, _) => {}
                (false, true) => folders.push(path),
                (false, false) => drop(files.insert(path.clone(), fs::read(path).unwrap())),
            }
        }
    }
    files
}

/// A generator of `more` at 100,000 events a second, counted by window and country.
fn generated(more: &str) -> String {
    format!(
        r#"
region = "eu"
lanes = 2
[checkpoint]
url = "state"
interval = "50ms"
[sources.orders]
connector = "generator"
profile = "orders"
rate = "100000/s"
splits = 2
seed = 3
start = "2026-03-01T00:10:00Z"
disorder = "100ms"
max_delay = "100ms"
{more}
[sinks.lake]
connector = "parquet"
url = "lake"
roll = {{ every = "200ms" }}
[pipelines.counts]
sink = "lake"
sql = "SELECT window_start, country, count(*) AS n FROM tumble(orders, INTERVAL '100 milliseconds') GROUP BY window_start, country"
"#
    )
}

const COUNTS: &str = "SELECT window_start, country, n FROM counts ORDER BY window_start, country";

/// The counts of a run that nobody disturbs.
fn undisturbed(region: &str) -> String {
    let folder = folder(region);
    report(folder.path(), &[]);
    query(folder.path(), COUNTS)
}

/// Runs for some epochs, and stops.
fn stopped_with_windows_open(folder: &Path) {
    let mut daemon = Daemon::start(folder, "daemon", &["--quiet"]);
    until_epoch(folder, 3);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.end().0, Some(0));
}

#[test]
fn a_second_daemon_takes_over_and_the_first_publishes_nothing_more() {
    let region = generated("events = 200_000");
    let expected = undisturbed(&region);

    let folder = folder(&region);
    let mut first = Daemon::start(folder.path(), "first", &["--quiet"]);
    until_epoch(folder.path(), 4);
    let mut second = Daemon::start(folder.path(), "second", &["--quiet"]);
    let (code, said) = first.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("another watershed owns this pipeline"), "{said}");
    assert_eq!(second.end(), (Some(0), String::new()));
    assert_eq!(query(folder.path(), COUNTS), expected);
}

#[test]
fn a_daemon_that_sleeps_through_a_takeover_changes_nothing_when_it_wakes() {
    let region = generated("events = 150_000");
    let expected = undisturbed(&region);

    let folder = folder(&region);
    let mut first = Daemon::start(folder.path(), "first", &["--quiet"]);
    until_epoch(folder.path(), 4);
    first.signal(Signal::SIGSTOP);
    report(folder.path(), &[]);
    let left = lake(folder.path());
    first.signal(Signal::SIGCONT);
    let (code, said) = first.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("another watershed owns this pipeline"), "{said}");
    assert_eq!(lake(folder.path()), left);
    assert_eq!(query(folder.path(), COUNTS), expected);
}

#[test]
fn a_stop_keeps_open_windows_and_a_drain_puts_them_out() {
    let folder = folder(&generated("").replace("100 milliseconds", "1 hour"));
    let mut daemon = Daemon::start(folder.path(), "daemon", &["--report", "report.json"]);
    until_epoch(folder.path(), 3);
    daemon.signal(Signal::SIGTERM);
    let (code, said) = daemon.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the checkpoint keeps them for the next run"), "{said}");
    let stopped: Value = serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    assert_eq!(stopped["pipelines"]["counts"]["open_windows"], 1);
    assert_eq!(lake(folder.path()).len(), 0);

    let shown = succeeds(folder.path(), &["state", "eu.toml"]);
    for part in ["region eu: epoch", "source orders: 2 splits", "pipeline counts: 1 windows open", "1 panes"] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    let json: Value = serde_json::from_str(&succeeds(folder.path(), &["state", "eu.toml", "--json"])).unwrap();
    assert_eq!(json["counters"]["read"], stopped["read"]);

    let drained = report(folder.path(), &["--drain"]);
    assert_eq!((&drained["read"], &drained["windows"]), (&Value::from(0), &Value::from(1)));
    assert_eq!(drained["lifetime"]["read"], stopped["read"]);
    assert_eq!(query(folder.path(), "SELECT sum(n) FROM counts"), stopped["aggregated"].to_string());
}

const FILES: &str = r#"
region = "eu"
[checkpoint]
url = "state"
[sources.events]
connector = "file"
path = "in/*.ndjson"
schema = { ts = { type = "timestamp", format = "epoch_s" }, id = "string", n = "bigint" }
event_time = "ts"
[sinks.lake]
connector = "parquet"
url = "lake"
[pipelines.sums]
sink = "lake"
sql = "SELECT window_start, sum(n) AS n FROM tumble(events, INTERVAL '10 seconds') GROUP BY window_start"
"#;

fn put(folder: &Path, name: &str, events: &[(i64, &str, i64)]) {
    fs::create_dir_all(folder.join("in")).unwrap();
    let line = |(ts, id, n): &(i64, &str, i64)| format!("{{\"ts\":{ts},\"id\":\"{id}\",\"n\":{n}}}\n");
    fs::write(folder.join("in").join(name), events.iter().map(line).collect::<String>()).unwrap();
}

const SUMS: &str = "SELECT CAST(extract(epoch FROM window_start) AS BIGINT), n FROM sums ORDER BY 1, 2";

#[test]
fn what_was_read_is_not_read_again_and_new_files_are() {
    let folder = folder(FILES);
    let folder = folder.path();
    put(folder, "a.ndjson", &[(0, "a", 1), (5, "b", 2), (12, "c", 4)]);
    assert_eq!(report(folder, &[])["read"], 3);
    assert_eq!(query(folder, SUMS), "0,3\n10,4");
    let again = run(folder, &["run", "eu.toml"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("nothing was left to read"), "{again:?}");

    // A file that is gone was read; a new one goes on where windows were closed.
    fs::remove_file(folder.join("in/a.ndjson")).unwrap();
    put(folder, "b.ndjson", &[(21, "d", 8), (19, "e", 16), (35, "f", 32)]);
    let second = report(folder, &[]);
    assert_eq!((&second["read"], &second["late"], &second["resumed"]), (&3.into(), &1.into(), &true.into()));
    assert_eq!(second["lifetime"]["read"], 6);
    assert_eq!(query(folder, SUMS), "0,3\n10,4\n20,8\n30,32");

    // Without its state it all comes again.
    assert_eq!(report(folder, &["--reset-state"])["read"], 3);
    assert_eq!(query(folder, SUMS), "0,3\n10,4\n20,8\n20,8\n30,32\n30,32");
}

#[test]
fn a_changed_pipeline_takes_the_state_it_can_take() {
    let folder = folder(&generated("").replace("100 milliseconds", "1 hour"));
    let folder = folder.path();
    stopped_with_windows_open(folder);
    let old = fs::read_to_string(folder.join("eu.toml")).unwrap();

    // Another aggregate can't take the old one's state, and neither can a pipeline that is gone.
    for new in [old.replace("count(*) AS n", "count(*) AS n, max(amount) AS most"), old.replace("counts]", "others]")] {
        write_region(folder, &new);
        let said = fails(folder, 2, &["run", "eu.toml"]);
        for part in ["pipeline `counts`", "--drain", "--reset-state"] {
            assert!(said.contains(part), "{said}");
        }
    }
    // What stands above the windows may change.
    write_region(folder, &old.replace("country\"", "country HAVING count(*) > 1000000000\""));
    let drained = report(folder, &["--drain"]);
    assert_eq!((&drained["windows"], &drained["rows_out"]), (&Value::from(1), &Value::from(0)));
    // With no windows open, anything goes.
    write_region(folder, &old.replace("count(*) AS n", "count(*) AS n, max(amount) AS most"));
    report(folder, &["--drain"]);
}

#[test]
fn a_sink_that_the_state_holds_rows_for_stays_in_its_pipeline() {
    let mirror =
        "[sinks.mirror]\nconnector = \"parquet\"\nurl = \"mirror\"\n[pipelines.rows]\nsinks = [\"lake\", \"mirror\"]";
    let region = FILES.replace("[pipelines.sums]\nsink = \"lake\"", mirror).replace("path =", "follow = true\npath =");
    let region = region.replace("url = \"state\"", "url = \"state\"\ninterval = \"100ms\"");
    let sql = "SELECT window_start, sum(n) AS n FROM tumble(events, INTERVAL '10 seconds') GROUP BY window_start";
    let region = region.replace(sql, "SELECT ts, id FROM events");
    let folder = folder(&region);
    let folder = folder.path();
    put(folder, "a.ndjson", &[(0, "a", 1), (5, "b", 2)]);
    let mut daemon = Daemon::start(folder, "first", &[]);
    let held = |sink: &str| {
        let json: Value = serde_json::from_slice(&fs::read(newest(folder)?.1).ok()?).ok()?;
        json["pipelines"]["rows"]["out"]["held"].get(sink).map(drop)
    };
    until("rows are in no file yet", || held("lake").and(held("mirror")));
    daemon.signal(Signal::SIGKILL);
    daemon.end();

    let before = newest(folder);
    write_region(folder, &region.replace("sinks = [\"lake\", \"mirror\"]", "sink = \"lake\""));
    let said = fails(folder, 2, &["run", "eu.toml"]);
    for part in ["pipeline `rows`", "sink `mirror`", "--drain", "--reset-state"] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(newest(folder), before, "the state is as it was");

    // With the sink back, its rows come out, and then it may go.
    write_region(folder, &region);
    report(folder, &["--drain"]);
    assert_eq!(query(folder, "SELECT count(*) FROM rows"), "2");
    write_region(folder, &region.replace("sinks = [\"lake\", \"mirror\"]", "sink = \"lake\""));
    report(folder, &["--drain"]);
}

#[test]
fn duplicates_are_told_across_files_and_runs() {
    let deduplicate = "event_time = \"ts\"\ndeduplicate = { key = \"id\", within = \"1m\" }\nmax_delay = \"1h\"";
    let folder = folder(&FILES.replace("event_time = \"ts\"", deduplicate));
    let folder = folder.path();
    put(folder, "a.ndjson", &[(100, "x", 1), (100, "x", 1), (101, "y", 2)]);
    put(folder, "b.ndjson", &[(100, "x", 1), (102, "z", 4)]);
    let first = report(folder, &[]);
    assert_eq!((&first["read"], &first["duplicates"], &first["aggregated"]), (&5.into(), &2.into(), &3.into()));
    assert_eq!(query(folder, SUMS), "100,7");
    // Of the next run, x and z are known still; a second y comes too long after the first to be the same.
    put(folder, "c.ndjson", &[(115, "x", 1), (140, "z", 4), (170, "y", 2), (171, "w", 8)]);
    let second = report(folder, &[]);
    assert_eq!((&second["read"], &second["duplicates"]), (&4.into(), &2.into()));
    assert_eq!(query(folder, SUMS), "100,7\n170,10");
}

#[test]
fn a_flipped_bit_in_the_state_is_told_and_never_answered_with_rows() {
    let folder = folder(&generated("").replace("100 milliseconds", "1 hour"));
    let folder = folder.path();
    stopped_with_windows_open(folder);

    let (_, manifest) = newest(folder).unwrap();
    let json: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    let panes = &json["pipelines"]["counts"]["cuts"][0]["panes"]["panes"];
    let piece = &panes[0]["pieces"][0];
    let segment = folder.join("state/segments").join(piece["segment"].as_str().unwrap());
    let (offset, length) = (piece["offset"].as_u64().unwrap(), piece["length"].as_u64().unwrap());
    let written = fs::read(&manifest).unwrap();
    let digit = written.iter().position(|byte| byte.is_ascii_digit()).unwrap() as u64;
    for (file, place) in [(&manifest, digit), (&segment, offset), (&segment, offset + length / 2)] {
        let whole = fs::read(file).unwrap();
        let mut damaged = whole.clone();
        damaged[place as usize] ^= 1;
        fs::write(file, damaged).unwrap();
        let said = fails(folder, 1, &["run", "eu.toml"]);
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(said.contains(name) && said.contains("--reset-state"), "{said}");
        assert_eq!(lake(folder).len(), 0);
        fs::write(file, whole).unwrap();
    }
    // Whole again, it can be used again.
    assert_eq!(report(folder, &["--drain"])["windows"], 1);
}

#[test]
fn there_is_no_state_before_the_first_run() {
    let folder = folder(FILES);
    assert!(fails(folder.path(), 1, &["state", "eu.toml"]).contains("there is no state at state yet"));
    assert!(!folder.path().join("state").exists());
    put(folder.path(), "a.ndjson", &[(0, "a", 1)]);
    fs::write(folder.path().join("state"), "a file").unwrap();
    let said = fails(folder.path(), 2, &["run", "eu.toml"]);
    assert!(said.contains("can't open the state folder state"), "{said}");
}

#[test]
fn a_state_folder_that_goes_away_is_told_and_a_stop_does_not_wait_for_it() {
    let folder = folder(&generated("").replace("lanes = 2", "lanes = 2\ndrain_timeout = \"1s\""));
    let folder = folder.path();
    let mut daemon = Daemon::start(folder, "daemon", &["--quiet"]);
    until_epoch(folder, 4);
    fs::rename(folder.join("state"), folder.join("moved")).unwrap();
    until("the daemon says so", || {
        let said = fs::read_to_string(&daemon.errors).unwrap();
        said.contains("the state folder is gone").then_some(())
    });
    daemon.signal(Signal::SIGTERM);
    let (code, said) = daemon.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("could not finish within drain_timeout"), "{said}");
    // Nothing was lost: where it is back, the next run goes on.
    fs::rename(folder.join("moved"), folder.join("state")).unwrap();
    assert_eq!(report(folder, &["--drain"])["resumed"], true);
}

#[test]
fn a_second_signal_ends_a_stop_that_hangs_and_loses_nothing() {
    let region = generated("events = 300_000");
    let expected = undisturbed(&region);

    let folder = folder(&region);
    let folder = folder.path();
    let mut daemon = Daemon::start(folder, "daemon", &["--quiet"]);
    until_epoch(folder, 4);
    fs::rename(folder.join("state"), folder.join("moved")).unwrap();
    let said = |words: &str| fs::read_to_string(folder.join("daemon.txt")).unwrap().contains(words);
    until("the daemon misses its state", || said("the state folder is gone").then_some(()));
    daemon.signal(Signal::SIGTERM);
    until("the daemon stops", || said("a second signal ends this at once").then_some(()));
    daemon.signal(Signal::SIGTERM);
    let (code, said) = daemon.end();
    assert!(code == Some(1) && said.contains("stopped by a second signal"), "{said}");

    fs::rename(folder.join("moved"), folder.join("state")).unwrap();
    assert_eq!(report(folder, &[])["resumed"], true);
    assert_eq!(query(folder, COUNTS), expected);
}
