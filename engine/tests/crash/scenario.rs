//! What is run while it is being killed.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A region in a folder of its own.
pub(crate) struct Scenario {
    folder: TempDir,
    name: &'static str,
    /// Folders of the lake, by name of the table. Some are of plain files, some have a log.
    pub(crate) tables: Vec<&'static str>,
    /// True if the program itself is to be run, not the engine inside the test.
    pub(crate) program: bool,
}

impl std::fmt::Debug for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "scenario {} in {}", self.name, self.folder.path().display())
    }
}

/// The scenarios whose lives run inside the test; each takes a number of events.
pub(crate) const ALL: [fn(usize) -> Scenario; 2] = [many_splits, late_rows];

impl Scenario {
    fn new(name: &'static str, tables: &[&'static str], region: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_str().unwrap();
        std::fs::write(folder.path().join("region.toml"), region.replace("{root}", root)).unwrap();
        Self { folder, name, tables: tables.to_vec(), program: false }
    }

    pub(crate) fn region_file(&self) -> PathBuf {
        self.folder.path().join("region.toml")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

const HEAD: &str = r#"
region = "eu"
[checkpoint]
url = "{root}/state"
interval = "15ms"
[sources.orders]
connector = "file"
path = "{root}/in/*.ndjson"
event_time = "ts"
schema = { ts = { type = "timestamp", format = "epoch_ms" }, id = "bigint", user_id = "bigint", country = "string", amount = "bigint" }
dead_letters = "{root}/dead_letters"
"#;

/// Plain files.
const PARQUET: &str = r#"connector = "parquet""#;
/// The same files in a table.
const DELTA: &str = r#"connector = "delta""#;
/// A table of which small files are merged all the time.
const MERGED: &str = "connector = \"delta\"\ncompact = { every = \"50ms\", after = \"0s\" }";

fn pipeline(name: &str, lake: &str, sql: &str) -> String {
    format!(
        r#"
[sinks.{name}]
{lake}
url = "{{root}}/{name}"
roll = {{ size = "60kB", every = "100ms", idle = "1h" }}
[pipelines.{name}]
sink = "{name}"
sql = """{sql}"""
"#
    )
}

/// Several files, every kind of window, rows without one, and records that cannot be read.
fn many_splits(events: usize) -> Scenario {
    let mut region = format!("{HEAD}max_delay = \"30s\"\n");
    for (name, lake, sql) in [
        (
            "tumbles",
            PARQUET,
            "SELECT window_start, country, count(*) AS events, sum(amount) AS amount FROM tumble(orders, INTERVAL '10 seconds') GROUP BY window_start, country",
        ),
        (
            "hops",
            PARQUET,
            "SELECT window_start, user_id, count(*) AS events, max(amount) AS most FROM hop(orders, INTERVAL '10 seconds', INTERVAL '1 minute') GROUP BY window_start, user_id",
        ),
        (
            "sessions",
            PARQUET,
            "SELECT window_start, window_end, user_id, count(*) AS events, sum(amount) AS amount FROM session(orders, INTERVAL '5 seconds', user_id) GROUP BY window_start, window_end, user_id",
        ),
        ("raw", MERGED, "SELECT ts, id, user_id, country, amount FROM orders WHERE amount >= 10"),
        (
            "best",
            DELTA,
            "SELECT * FROM (SELECT window_start, country, sum(amount) AS amount, row_number() OVER (PARTITION BY window_start ORDER BY sum(amount) DESC, country) AS place FROM tumble(orders, INTERVAL '20 seconds') GROUP BY window_start, country) WHERE place <= 2",
        ),
        (
            "joined",
            PARQUET,
            "SELECT a.window_start, a.id, b.id AS other FROM tumble(orders, INTERVAL '5 seconds') a JOIN tumble(orders, INTERVAL '5 seconds') b ON a.window_start = b.window_start AND a.window_end = b.window_end AND a.user_id = b.amount AND a.id < 500",
        ),
    ] {
        region.push_str(&pipeline(name, lake, sql));
    }
    let tables = ["tumbles", "hops", "sessions", "raw", "best", "joined", "dead_letters"];
    let scenario = Scenario::new("many_splits", &tables, &region);
    write_events(&scenario.path("in"), events, 5, 25_000);
    scenario
}

/// One file whose rows come later than allowed: which ones are late must not depend on any death.
fn late_rows(events: usize) -> Scenario {
    let mut region = format!("{HEAD}max_delay = \"2s\"\n");
    for (name, lake, sql) in [
        (
            "tumbles",
            PARQUET,
            "SELECT window_start, country, count(*) AS events FROM tumble(orders, INTERVAL '5 seconds') GROUP BY window_start, country",
        ),
        (
            "hops",
            DELTA,
            "SELECT window_start, count(*) AS events, sum(amount) AS amount FROM hop(orders, INTERVAL '5 seconds', INTERVAL '15 seconds') GROUP BY window_start",
        ),
    ] {
        region.push_str(&pipeline(name, lake, sql));
        let _ = writeln!(region, "late = \"late_{name}\"\n[sinks.late_{name}]\n{lake}\nurl = \"{{root}}/late_{name}\"");
    }
    let scenario = Scenario::new("late_rows", &["tumbles", "hops", "late_tumbles", "late_hops"], &region);
    write_events(&scenario.path("in"), events, 1, 20_000);
    scenario
}

/// The built-in generator, at a rate that leaves time to be killed in, through the program itself.
pub(crate) fn generated() -> Scenario {
    let mut region = r#"
region = "eu"
memory = "64MB"
spill = "{root}/spill"
[checkpoint]
url = "{root}/state"
interval = "40ms"
[sources.orders]
connector = "generator"
profile = "orders"
events = 400_000
rate = "300000/s"
splits = 3
seed = 7
start = "2026-03-01T00:00:00Z"
disorder = "2s"
max_delay = "2s"
bad = 0.0005
dead_letters = "{root}/dead_letters"
"#
    .to_string();
    for (name, lake, sql) in [
        (
            "tumbles",
            DELTA,
            "SELECT window_start, country, type, count(*) AS events, max(amount) AS most FROM tumble(orders, INTERVAL '1 second') GROUP BY window_start, country, type",
        ),
        (
            "users",
            PARQUET,
            "SELECT window_start, user_id, count(*) AS events FROM hop(orders, INTERVAL '500 milliseconds', INTERVAL '1 second') GROUP BY window_start, user_id",
        ),
        ("raw", MERGED, "SELECT event_id, ts, user_id FROM orders WHERE country = 'DE'"),
    ] {
        region.push_str(&pipeline(name, lake, sql));
    }
    let mut scenario = Scenario::new("generated", &["tumbles", "users", "raw", "dead_letters"], &region);
    scenario.program = true;
    scenario
}

/// Events of some minutes, a little out of order, over `splits` files; every 97th record is broken.
fn write_events(folder: &Path, events: usize, splits: usize, disorder_ms: u64) {
    std::fs::create_dir_all(folder).unwrap();
    let mut files = vec![String::new(); splits];
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: u64| {
        // Xorshift (Marsaglia, 2003): the same events every time.
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        chance % below
    };
    for id in 0..events {
        let time = 1_772_323_200_000 + id as u64 * 20 + disorder_ms - next(disorder_ms);
        let (user, amount) = (next(40), next(100));
        let country = ["DE", "FR", "US", "JP", "BR"][next(5) as usize];
        let file = &mut files[next(splits as u64) as usize];
        match id % 97 {
            96 => writeln!(file, "{{\"ts\":{time},\"id\":\"no number {id}\"}}").unwrap(),
            _ => writeln!(
                file,
                "{{\"ts\":{time},\"id\":{id},\"user_id\":{user},\"country\":\"{country}\",\"amount\":{amount}}}"
            )
            .unwrap(),
        }
    }
    for (number, text) in files.into_iter().enumerate() {
        std::fs::write(folder.join(format!("{number}.ndjson")), text).unwrap();
    }
}
