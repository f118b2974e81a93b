//! An archive that one run writes, read again by another: the same windows, of all of it or of a stretch of time.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const WATERSHED: &str = env!("CARGO_BIN_EXE_watershed");

/// 2026-03-01T00:00:00Z in seconds.
const START: i64 = 1_772_323_200;

const SCHEMA: &str = "{ ts = { type = \"timestamp\", format = \"epoch_ms\" }, n = \"bigint\", country = \"string\", \
                      amount = \"double\", price = \"decimal(10,2)\", day = \"date\", raw = \"bytes\", tags = \"list<string>\", \
                      place = \"struct<city: string, at: timestamp>\", scores = \"map<string, bigint>\", any = \"json\" }";

const WINDOWS: &str = "SELECT window_start, window_end, country, count(*) AS n, sum(n) AS total, sum(amount) AS amount, \
                       sum(price) AS price, min(day) AS day, count(raw) AS raws, max(tags[1]) AS tag, \
                       max(place['city']) AS city, max(place['at']) AS at, sum(scores['a']) AS score, max(any) AS any \
                       FROM tumble(orders, INTERVAL '1 minute') GROUP BY window_start, window_end, country";

/// Events of two and a half hours, out of order by up to half a minute.
fn events() -> String {
    (0..3000i64)
        .map(|n| {
            let ms = (START + n * 3) * 1000 + 500 - (n * 7919 % 30_000);
            let country = ["\"DE\"", "\"US\"", "null"][(n % 3) as usize];
            format!(
                "{{\"ts\":{ms},\"n\":{n},\"country\":{country},\"amount\":{}.5,\"price\":\"{}.25\",\"day\":\"2026-03-0{}\",\
                 \"raw\":\"AAEC\",\"tags\":[\"t{}\",null],\"place\":{{\"city\":\"c{}\",\"at\":\"2026-03-01T00:00:0{}.5Z\"}},\
                 \"scores\":{{\"a\":{n}}},\"any\":[{}]}}\n",
                n % 10,
                n % 100,
                n % 9 + 1,
                n % 7,
                n % 11,
                n % 10,
                n % 5,
            )
        })
        .collect()
}

fn run(folder: &Path, name: &str, config: &str) -> (Vec<Value>, Value) {
    fs::write(folder.join(name), config).unwrap();
    let arguments = ["run", name, "--quiet", "--reset-state", "--report", "report.json"];
    let output = Command::new(WATERSHED).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows = String::from_utf8(output.stdout).unwrap();
    let mut rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    rows.sort_by_key(Value::to_string);
    let report: Value = serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap();
    let count = |key: &str| report[key].as_u64().unwrap();
    assert_eq!(count("read"), count("bad") + count("filtered") + count("late") + count("aggregated"), "{report}");
    assert_eq!((count("bad"), count("late")), (0, 0), "{report}");
    (rows, report)
}

/// A region of one source and one pipeline to standard output.
fn region(source: &str, sql: &str) -> String {
    format!(
        "region = \"eu\"\nlanes = 2\n[sources.orders]\n{source}\nschema = {SCHEMA}\nevent_time = \"ts\"\n\
         [sinks.out]\nconnector = \"stdout\"\n[pipelines.windows]\nsink = \"out\"\nsql = \"\"\"{sql}\"\"\"\n"
    )
}

/// Runs the windows once, and archives what they were made of. Gives back their rows.
fn archive(folder: &Path) -> Vec<Value> {
    let events = events();
    fs::create_dir(folder.join("in")).unwrap();
    for split in 0..2 {
        let lines: String = events.lines().skip(split).step_by(2).map(|line| format!("{line}\n")).collect();
        fs::write(folder.join(format!("in/{split}.ndjson")), lines).unwrap();
    }
    let config = region("connector = \"file\"\npath = \"in\"\nmax_delay = \"1d\"", WINDOWS)
        + "[sinks.lake]\nconnector = \"parquet\"\nurl = \"lake\"\npartition_by = [\"region\", \"date\", \"hour\"]\n\
           [pipelines.archive]\nsink = \"lake\"\nsql = \"SELECT * FROM orders\"\n";
    let (rows, report) = run(folder, "archive.toml", &config);
    assert_eq!(report["read"], 3000);
    assert!(folder.join("lake/region=eu/date=2026-03-01/hour=01").is_dir());
    rows
}

fn second(row: &Value, column: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(row[column].as_str().unwrap()).unwrap().timestamp() - START
}

#[test]
fn an_archive_replays_to_the_rows_of_the_first_run() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let first = archive(folder);
    assert!(first.len() > 400, "{} rows", first.len());
    let replay = "connector = \"replay\"\npath = \"lake\"\nformat = \"parquet\"";
    let (again, report) = run(folder, "replay.toml", &region(replay, WINDOWS));
    assert_eq!(report["read"], 3000);
    assert_eq!(again, first);
}

#[test]
fn a_stretch_of_time_replays_to_its_own_windows() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let first = archive(folder);
    // From 01:10 to 01:40: the files of the other hours need not be read.
    let range = "from = \"2026-03-01T01:10:00Z\"\nto = \"2026-03-01T02:40:00+01:00\"";
    let inside = |row: &&Value| second(row, "window_start") >= 4200 && second(row, "window_end") <= 6000;
    let expected: Vec<Value> = first.iter().filter(inside).cloned().collect();
    assert_eq!(expected.len(), 90);
    let parquet = format!("connector = \"replay\"\npath = \"lake\"\nformat = \"parquet\"\n{range}");
    let json = format!("connector = \"replay\"\npath = \"in/*.ndjson\"\n{range}");
    let (rows, report) = run(folder, "parquet.toml", &region(&parquet, WINDOWS));
    assert_eq!(rows, expected);
    let read = report["read"].as_u64().unwrap();
    assert!((600..=1300).contains(&read), "{read} rows of 3000 were read");
    assert_eq!(report["aggregated"], 600);
    let (rows, report) = run(folder, "json.toml", &region(&json, WINDOWS));
    assert_eq!(rows, expected);
    assert_eq!((&report["read"], &report["filtered"]), (&Value::from(3000), &Value::from(2400)));
    // Without windows too, although nothing else there asks for the event time.
    for (name, source) in [("parquet.toml", parquet), ("json.toml", json)] {
        let (rows, report) = run(folder, name, &region(&source, "SELECT n FROM orders WHERE n % 2 = 0"));
        assert_eq!(report["aggregated"].as_u64().unwrap() as usize, rows.len());
        let mut numbers: Vec<i64> = rows.iter().map(|row| row["n"].as_i64().unwrap()).collect();
        numbers.sort_unstable();
        let inside = |n: &i64| (4_200_000..6_000_000).contains(&(n * 3000 + 500 - (n * 7919 % 30_000)));
        let expected: Vec<i64> = (0..3000).step_by(2).filter(inside).collect();
        assert_eq!(numbers, expected);
    }
}

#[test]
fn a_value_that_does_not_fit_is_a_dead_letter_and_a_column_that_lacks_is_null() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    archive(folder);
    let source = |on_bad: &str, amount: &str| {
        format!(
            "region = \"eu\"\n[sources.orders]\nconnector = \"replay\"\npath = \"lake\"\nformat = \"parquet\"\n\
             on_bad = \"{on_bad}\"\ndead_letters = \"letters\"\n\
             schema = {{ n = \"int\", amount = \"{amount}\", more = \"string\" }}\n\
             [sinks.out]\nconnector = \"stdout\"\n\
             [pipelines.p]\nsink = \"out\"\nsql = \"SELECT n, amount, more FROM orders WHERE n = 77\"\n"
        )
    };
    let (rows, _) = run(folder, "good.toml", &source("fail", "decimal(5,1)"));
    assert_eq!(rows, [serde_json::json!({ "n": 77, "amount": 7.5, "more": null })]);
    fs::write(folder.join("bad.toml"), source("fail", "int")).unwrap();
    let run = |name: &str| {
        Command::new(WATERSHED).args(["run", name, "--quiet", "--reset-state"]).current_dir(folder).output().unwrap()
    };
    let failed = run("bad.toml");
    let told = String::from_utf8_lossy(&failed.stderr);
    assert!(!failed.status.success() && told.contains("amount: expected int, found"), "{told}");
    fs::write(folder.join("bad.toml"), source("dead_letter", "int")).unwrap();
    assert!(run("bad.toml").status.success());
    assert!(folder.join("letters").is_dir());
}

#[test]
fn a_damaged_file_ends_the_run_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    archive(folder);
    fs::write(folder.join("lake/region=eu/broken.parquet"), "PAR1").unwrap();
    let replay = "connector = \"replay\"\npath = \"lake\"\nformat = \"parquet\"";
    fs::write(folder.join("replay.toml"), region(replay, WINDOWS)).unwrap();
    let output = Command::new(WATERSHED)
        .args(["run", "replay.toml", "--quiet", "--reset-state"])
        .current_dir(folder)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && told.contains("lake/region=eu/broken.parquet cannot be read as Parquet"),
        "{told}"
    );
}

#[test]
fn check_infers_the_schema_of_an_archive() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    archive(folder);
    let config = "region = \"eu\"\n[sources.orders]\nconnector = \"replay\"\npath = \"lake\"\nformat = \"parquet\"\n\
                  [sinks.out]\nconnector = \"stdout\"\n\
                  [pipelines.p]\nsink = \"out\"\nsql = \"SELECT n, country, ts FROM orders\"\n";
    fs::write(folder.join("replay.toml"), config).unwrap();
    let output = Command::new(WATERSHED).args(["check", "replay.toml"]).current_dir(folder).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for column in ["ts = \"timestamp\"", "n = \"bigint\"", "country = \"string\"", "amount = \"double\""] {
        assert!(told.contains(column), "{told}");
    }
}

/// Runs `watershed replay` and gives the rows of a pipeline as CSV.
fn replayed(folder: &Path, into: &str, arguments: &[&str]) -> Vec<String> {
    let all = [&["replay", "archive.toml", "--quiet", "--into", into], arguments].concat();
    let output = Command::new(WATERSHED).args(all).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::write(
        folder.join("read.toml"),
        format!("region = \"eu\"\n[sources.orders]\nconnector = \"stdin\"\nschema = {SCHEMA}\nevent_time = \"ts\"\n[sinks.lake]\nconnector = \"parquet\"\nurl = \"{into}/windows\"\n\
                 [pipelines.windows]\nsink = \"lake\"\nsql = \"\"\"{WINDOWS}\"\"\"\n"),
    )
    .unwrap();
    rows_of(folder, "read.toml")
}

fn rows_of(folder: &Path, name: &str) -> Vec<String> {
    let sql = "SELECT * EXCLUDE (region, date, hour) FROM windows ORDER BY window_start, country NULLS FIRST";
    let output =
        Command::new(WATERSHED).args(["query", name, sql, "--format", "ndjson"]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_string).collect()
}

#[test]
fn the_command_replays_the_archive_that_the_region_file_names() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let events = events();
    fs::create_dir(folder.join("in")).unwrap();
    fs::write(folder.join("in/0.ndjson"), &events).unwrap();
    // Windows and archive share a sink's folder: each finds its own files there.
    let region = region("connector = \"file\"\npath = \"in\"\nmax_delay = \"1d\"", WINDOWS)
        .replace("connector = \"stdout\"", "connector = \"parquet\"\nurl = \"lake\"");
    fs::write(
        folder.join("archive.toml"),
        region + "[pipelines.bronze]\nsink = \"out\"\nsql = \"SELECT * FROM orders\"\n",
    )
    .unwrap();
    let output = Command::new(WATERSHED).args(["run", "archive.toml", "--quiet"]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let first = rows_of(folder, "archive.toml");
    assert!(first.len() > 400, "{} rows", first.len());

    assert_eq!(replayed(folder, "again", &[]), first);
    // A second time there is nothing left to do, and nothing comes twice.
    assert_eq!(replayed(folder, "again", &[]), first);
    // From the files themselves, too.
    assert_eq!(replayed(folder, "raw", &["--archive", "orders=in/0.ndjson"]), first);
    // Only windows that lie wholly in the range.
    let range = ["--from", "2026-03-01T00:30:30Z", "--to", "2026-03-01T01:10:30Z"];
    let minute = |row: &String| (second(&serde_json::from_str(row).unwrap(), "window_start")) / 60;
    let inside: Vec<String> = first.iter().filter(|row| (31..70).contains(&minute(row))).cloned().collect();
    assert_eq!(replayed(folder, "part", &range), inside);

    let refused = |arguments: &[&str]| {
        let all = [&["replay", "archive.toml", "--quiet"], arguments].concat();
        let output = Command::new(WATERSHED).args(all).current_dir(folder).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused(&["--into", "part"]).contains("holds a replay of another range"));
    assert!(refused(&["--into", "x", "--from", "tomorrow"]).contains("--from tomorrow: this is no moment"));
    assert!(refused(&["--into", "x", "--pipeline", "nobody"]).contains("there is no pipeline `nobody`"));
    assert!(refused(&["--into", "x", "--archive", "orders"]).contains("write SOURCE=PLACE"));
    // What keeps some rows only is no archive.
    let text = fs::read_to_string(folder.join("archive.toml")).unwrap();
    fs::write(
        folder.join("archive.toml"),
        text.replace("SELECT * FROM orders\"", "SELECT * FROM orders WHERE n > 1\""),
    )
    .unwrap();
    assert!(refused(&["--into", "x"]).contains("no pipeline here archives source `orders`"));
}

#[test]
fn a_replay_takes_the_place_of_what_it_repeats() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("in")).unwrap();
    fs::write(folder.join("in/0.ndjson"), events()).unwrap();
    let region = region("connector = \"file\"\npath = \"in\"\nmax_delay = \"1d\"", WINDOWS)
        .replace("connector = \"stdout\"", "connector = \"parquet\"\nurl = \"lake\"")
        + "[pipelines.bronze]\nsink = \"out\"\nsql = \"SELECT * FROM orders\"\n";
    // The first run had it wrong.
    fs::write(folder.join("archive.toml"), region.replace("sum(n) AS total", "sum(n) + 1 AS total")).unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(WATERSHED).args(arguments).current_dir(folder).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(run(&["run", "archive.toml", "--quiet"]), (Some(0), String::new()));
    let wrong = rows_of(folder, "archive.toml");
    fs::write(folder.join("archive.toml"), &region).unwrap();

    // A range that ends inside of a file can't be exchanged; nothing is touched then.
    let cut = ["replay", "archive.toml", "--into", "cut", "--replace", "--from", "2026-03-01T00:30:00Z"];
    let (code, said) = run(&cut);
    assert!(code == Some(2) && said.contains("holds windows inside and outside of the range"), "{said}");
    assert_eq!(rows_of(folder, "archive.toml"), wrong);

    // The second hour, whose files are those of its partition.
    let hour = ["--from", "2026-03-01T01:00:00Z", "--to", "2026-03-01T02:00:00Z"];
    let replace = [&["replay", "archive.toml", "--into", "again", "--replace"][..], &hour].concat();
    let (code, said) = run(&replace);
    assert!(code == Some(0) && said.contains("1 files took the place of 1"), "{said}");
    let mended = rows_of(folder, "archive.toml");
    let total = |row: &String| serde_json::from_str::<Value>(row).unwrap()["total"].as_i64().unwrap();
    let start = |row: &String| second(&serde_json::from_str(row).unwrap(), "window_start");
    assert_eq!(mended.len(), wrong.len());
    for (mended, wrong) in mended.iter().zip(&wrong) {
        let mends = i64::from((3600..7200).contains(&start(wrong)));
        assert_eq!((start(mended), total(mended)), (start(wrong), total(wrong) - mends));
    }
    // A second time nothing is left to do.
    assert_eq!(run(&replace).0, Some(0));
    assert_eq!(rows_of(folder, "archive.toml"), mended);
    // And the lake still takes the next run.
    assert_eq!(run(&["run", "archive.toml", "--quiet"]).0, Some(0));
    assert_eq!(rows_of(folder, "archive.toml"), mended);

    // Of rows that a standby may have taken nothing is known here.
    let standby = "url = \"lake\"\non_outage = \"spill\"\nstandby = \"backup\"";
    let region =
        region.replace("url = \"lake\"", standby) + "[sinks.backup]\nconnector = \"parquet\"\nurl = \"backup\"\n";
    fs::write(folder.join("archive.toml"), region).unwrap();
    let (code, said) = run(&["replay", "archive.toml", "--into", "x"]);
    assert!(code == Some(2) && said.contains("without the rows that `backup` took"), "{said}");
    let (code, said) = run(&["replay", "archive.toml", "--into", "x", "--replace"]);
    assert!(code == Some(2) && said.contains("may lie in `backup`, which stands by for `out`"), "{said}");
    let (code, said) = run(&["query", "archive.toml", "SELECT count(*) FROM windows"]);
    assert!(code == Some(0) && said.contains("rows that the standby took are not in the answer"), "{said}");
}
