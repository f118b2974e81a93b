//! The program as its users meet it: arguments in; files, text and an exit code out.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn watershed(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watershed"));
    command.current_dir(folder).env_remove("RUST_LOG").env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    watershed(folder).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs what must end with 0; gives what it printed.
fn succeeds(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{}{}", stdout(&output), stderr(&output));
    stdout(&output)
}

/// Runs what must end with `code`; gives what it said about it.
fn fails(folder: &Path, code: i32, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{}{}", stdout(&output), stderr(&output));
    stderr(&output)
}

fn folder_with(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

const ORDERS: &str = r#"
region = "eu"
[sources.orders]
connector = "file"
path = "orders.ndjson"
schema = { ts = "timestamp", country = "string", amount = "double" }
event_time = "ts"
[sinks.lake]
connector = "parquet"
url = "lake"
[pipelines.by_country]
sql = """
SELECT window_start, country, count(*) AS orders, sum(amount) AS revenue
FROM tumble(orders, INTERVAL '1 minute') GROUP BY window_start, country"""
sink = "lake"
"#;

const RECORDS: &str = r#"{"ts":"2026-03-01T00:00:01Z","country":"DE","amount":1.5}
{"ts":"2026-03-01T00:00:02Z","country":"DE","amount":2.5}
{"ts":"2026-03-01T00:00:03Z","country":"FR","amount":1.0}
{"ts":"2026-03-01T00:01:03Z","country":"FR","amount":8.0}
"#;

#[test]
fn init_check_run_query() {
    let folder = tempfile::tempdir().unwrap();
    let said = succeeds(folder.path(), &["init", "demo"]);
    assert!(said.contains("wrote demo/watershed.toml") && said.contains("cd demo"), "{said}");
    let demo = folder.path().join("demo");
    let config = fs::read_to_string(demo.join("watershed.toml")).unwrap();
    fs::write(demo.join("watershed.toml"), config.replace("1_000_000", "200_000")).unwrap();

    let said = succeeds(&demo, &["check", "watershed.toml"]);
    for line in ["source orders: generator", "pipeline first -> lake (parquet)", "window_start", "all right"] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    let output = run(&demo, &["run", "watershed.toml", "--report", "report.json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).starts_with("200,000 events"), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&fs::read(demo.join("report.json")).unwrap()).unwrap();
    let count = |key: &str| report[key].as_u64().unwrap();
    assert_eq!(count("read"), 200_000);
    assert_eq!(count("read"), count("bad") + count("filtered") + count("late") + count("aggregated"));

    let said = succeeds(&demo, &["query", "watershed.toml", "SELECT sum(orders) AS n FROM first", "--format", "csv"]);
    assert_eq!(said, format!("n\n{}\n", count("aggregated")));
    assert!(fails(folder.path(), 2, &["init", "demo"]).contains("is there already"));
}

#[test]
fn rows_of_a_query_come_in_many_shapes() {
    let folder = folder_with(&[("eu.toml", ORDERS), ("orders.ndjson", RECORDS)]);
    let quiet = run(folder.path(), &["run", "eu.toml", "--quiet"]);
    assert_eq!((quiet.status.code(), stderr(&quiet).as_str()), (Some(0), ""));
    let sql =
        "SELECT country, sum(revenue) AS revenue, max(date) AS date FROM by_country GROUP BY country ORDER BY country";
    let query = |format: &str| succeeds(folder.path(), &["query", "eu.toml", sql, "--format", format]);
    assert_eq!(query("csv"), "country,revenue,date\nDE,4.0,2026-03-01\nFR,9.0,2026-03-01\n");
    assert_eq!(
        query("ndjson"),
        "{\"country\":\"DE\",\"revenue\":4.0,\"date\":\"2026-03-01\"}\n\
         {\"country\":\"FR\",\"revenue\":9.0,\"date\":\"2026-03-01\"}\n"
    );
    let array: serde_json::Value = serde_json::from_str(&query("json")).unwrap();
    assert_eq!(
        array,
        serde_json::json!([
            { "country": "DE", "revenue": 4.0, "date": "2026-03-01" },
            { "country": "FR", "revenue": 9.0, "date": "2026-03-01" },
        ])
    );
    assert!(query("table").contains("| DE      | 4.0     | 2026-03-01 |"), "{}", query("table"));
}

#[test]
fn rows_of_a_query_go_into_a_file_that_is_whole_or_not_there() {
    let folder = folder_with(&[("eu.toml", ORDERS), ("orders.ndjson", RECORDS)]);
    succeeds(folder.path(), &["run", "eu.toml", "--quiet"]);
    let sql = "SELECT country, sum(orders) AS orders FROM by_country GROUP BY country ORDER BY country";
    let query = |more: &[&'static str]| [&["query", "eu.toml", sql], more].concat();
    assert_eq!(succeeds(folder.path(), &query(&["--output", "rows.csv"])), "");
    let written = || fs::read_to_string(folder.path().join("rows.csv")).unwrap();
    assert_eq!(written(), "country,orders\nDE,2\nFR,2\n");
    // By --format, whatever the name says; and a file takes the place of the last.
    succeeds(folder.path(), &query(&["--output", "rows.csv", "--format", "ndjson"]));
    assert_eq!(written(), "{\"country\":\"DE\",\"orders\":2}\n{\"country\":\"FR\",\"orders\":2}\n");
    succeeds(folder.path(), &query(&["--output", "rows.parquet"]));
    assert_eq!(&fs::read(folder.path().join("rows.parquet")).unwrap()[..4], b"PAR1");

    let broken = "SELECT arrow_cast(country, 'Int64') FROM by_country";
    let said = fails(folder.path(), 1, &["query", "eu.toml", broken, "--output", "rows.csv"]);
    assert!(said.contains("the query failed"), "{said}");
    assert!(written().starts_with("{\"country\""), "the file of before is still there");
    let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.contains("rows")).count(), 2);

    let said = fails(folder.path(), 2, &query(&["--format", "parquet"]));
    assert!(said.contains("--output rows.parquet"), "{said}");
    let said = fails(folder.path(), 1, &query(&["--output", "no/such/folder/rows.csv"]));
    assert!(said.contains("cannot write the rows to no/such/folder/rows.csv"), "{said}");
    let said = fails(folder.path(), 2, &["query", "eu.toml", "us.toml", "SELECT 1"]);
    assert!(said.contains("watershed query --all FILE... SQL"), "{said}");
}

#[test]
fn explain_says_which_files_were_opened() {
    let folder = folder_with(&[("eu.toml", ORDERS), ("orders.ndjson", RECORDS)]);
    let days: String = (1..=5).map(|day| RECORDS.replace("2026-03-01", &format!("2026-03-0{day}"))).collect();
    fs::write(folder.path().join("orders.ndjson"), days).unwrap();
    succeeds(folder.path(), &["run", "eu.toml", "--quiet"]);
    let explain = |sql: &str| succeeds(folder.path(), &["query", "eu.toml", sql, "--explain"]);
    let said = explain("SELECT sum(revenue + 1) FROM by_country WHERE date = '2026-03-03'");
    assert!(said.starts_with("1 row\ntable by_country: ") && said.contains("metrics=["), "{said}");
    // Those of the partition, and at most two for the columns.
    assert!(["1", "2", "3"].iter().any(|opened| said.contains(&format!(" {opened} of 5 files opened\n"))), "{said}");
    let said = explain("SELECT sum(revenue + 1) FROM by_country");
    assert!(said.contains("5 of 5 files opened"), "{said}");
}

#[test]
fn late_rows_and_reference_tables_are_tables_too() {
    let config = r#"
region = "eu"
[sources.orders]
connector = "generator"
profile = "orders"
events = 20_000
seed = 1
start = "2026-03-01T00:00:00Z"
disorder = "5s"
max_delay = "10ms"
[tables.countries]
url = "countries.csv"
[sinks.lake]
connector = "parquet"
url = "lake"
[sinks.late]
connector = "parquet"
url = "late"
partition_by = ["date"]
[pipelines.by_country]
sql = """
SELECT window_start, country, count(*) AS orders FROM tumble(orders, INTERVAL '10 milliseconds')
GROUP BY window_start, country"""
sink = "lake"
late = "late"
"#;
    let folder = folder_with(&[("eu.toml", config), ("countries.csv", "code,name\nDE,Germany\nFR,France\n")]);
    let report = succeeds(folder.path(), &["run", "eu.toml", "--quiet", "--report", "-"]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert!(report["late"].as_u64().unwrap() > 0, "{report}");
    let query = |sql: &str| succeeds(folder.path(), &["query", "eu.toml", sql, "--format", "csv"]);
    assert_eq!(query("SELECT count(*) AS n FROM by_country_late"), format!("n\n{}\n", report["late"]));
    let joined = "SELECT name, sum(orders) > 0 AS some FROM by_country JOIN countries ON code = country GROUP BY name ORDER BY name";
    assert_eq!(query(joined), "name,some\nFrance,true\nGermany,true\n");
    let said = fails(folder.path(), 2, &["query", "eu.toml", "SELECT * FROM contries"]);
    assert!(said.contains("did you mean `countries`?"), "{said}");
}

#[test]
fn the_report_goes_to_standard_output_for_a_dash() {
    let folder = folder_with(&[("eu.toml", ORDERS), ("orders.ndjson", RECORDS)]);
    let report: serde_json::Value =
        serde_json::from_str(&succeeds(folder.path(), &["run", "eu.toml", "--report", "-"])).unwrap();
    assert_eq!((report["read"].as_u64(), report["pipelines"]["by_country"]["aggregated"].as_u64()), (Some(4), Some(4)));
    let said = fails(folder.path(), 2, &["run", "eu.toml", "--report", "no/such/folder/r.json"]);
    assert!(said.contains("its folder does not exist"), "{said}");
}

#[test]
fn wrong_files_and_wrong_arguments_end_with_two() {
    let folder = folder_with(&[
        ("broken.toml", "region = \"eu\"\n[sources.a]\nconnector = \"stdin\"\nmax_dealy = \"2s\"\n"),
        ("empty.toml", "region = \"eu\"\n"),
    ]);
    let said = fails(folder.path(), 2, &["check", "broken.toml"]);
    let expected = "error: unknown key `max_dealy` in [sources.a]\n --> broken.toml:4:1\n  |\n4 | max_dealy = \"2s\"\n  \
                    | ^^^^^^^^^\n  = help: did you mean `max_delay`?\n";
    assert_eq!(said, expected);
    assert_eq!(fails(folder.path(), 2, &["run", "broken.toml"]), expected);
    assert!(fails(folder.path(), 2, &["check", "missing.toml"]).contains("cannot read `missing.toml`"));
    assert!(fails(folder.path(), 2, &["check", "."]).contains("it is a folder"));
    assert!(fails(folder.path(), 2, &["run", "empty.toml"]).contains("there are no pipelines to run"));
    assert!(fails(folder.path(), 2, &["fly"]).contains("fly"));
    assert!(fails(folder.path(), 2, &["run", "empty.toml", "--lanes", "0"]).contains("--lanes"));
    assert!(succeeds(folder.path(), &["check", "empty.toml"]).contains("there are no pipelines yet"));
}

#[test]
fn wrong_sql_is_shown_in_its_file() {
    let sql = "SELECT window_start, contry, count(*)\nFROM tumble(orders, INTERVAL '1 minute')\nGROUP BY window_start, contry\n";
    let config = ORDERS.replace("sql = \"\"\"", "sql_file = \"../sql/p.sql\"\n# \"\"\"");
    let config: String = config
        .lines()
        .filter(|line| !line.starts_with("SELECT window") && !line.starts_with("FROM"))
        .fold(String::new(), |text, line| text + line + "\n");
    let folder = folder_with(&[("regions/eu.toml", &config), ("sql/p.sql", sql)]);
    let said = fails(folder.path(), 2, &["check", "regions/eu.toml"]);
    for part in ["unknown column `contry`", "sql/p.sql:1:22", "did you mean", "country"] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    let inline = ORDERS.replace("sum(amount)", "sum(amuont)");
    fs::write(folder.path().join("inline.toml"), inline).unwrap();
    let said = fails(folder.path(), 2, &["check", "inline.toml"]);
    assert!(said.contains("inline.toml:13:55"), "{said}");
}

#[test]
fn a_schema_that_is_left_out_is_inferred_and_asked_for() {
    let config = ORDERS.replace("schema = {", "# schema = {").replace("event_time", "# event_time");
    let folder = folder_with(&[("eu.toml", &config), ("orders.ndjson", RECORDS)]);
    let said = fails(folder.path(), 2, &["run", "eu.toml"]);
    assert!(said.contains("source `orders` has no schema") && said.contains("run `watershed check eu.toml`"), "{said}");
    let said = succeeds(folder.path(), &["check", "eu.toml"]);
    for part in [
        "[sources.orders.schema]\nts = \"timestamp\"\ncountry = \"string\"\namount = \"double\"\n",
        "event_time = \"ts\"",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
}

#[test]
fn connect_opens_what_check_does_not() {
    let folder = folder_with(&[("eu.toml", ORDERS)]);
    assert!(succeeds(folder.path(), &["check", "eu.toml"]).contains("no splits now"));
    assert!(!folder.path().join("lake").exists(), "check touches nothing");
    // As a run of it would end.
    let said = fails(folder.path(), 2, &["check", "eu.toml", "--connect"]);
    assert!(said.contains("source `orders`") && said.contains("--> eu.toml:"), "{said}");
    fs::write(folder.path().join("orders.ndjson"), RECORDS).unwrap();
    let said = succeeds(folder.path(), &["check", "eu.toml", "--connect"]);
    assert!(said.contains("source orders: opened 1 splits"), "{said}");
    assert!(said.contains("sink lake of pipeline by_country: wrote, read, listed and removed a probe"), "{said}");
}

#[test]
fn a_query_before_the_first_run_says_so() {
    let folder = folder_with(&[("eu.toml", ORDERS)]);
    let said = fails(folder.path(), 1, &["query", "eu.toml", "SELECT * FROM by_country"]);
    assert!(said.contains("has written nothing to lake yet") && said.contains("watershed run eu.toml"), "{said}");
    let said = fails(folder.path(), 2, &["query", "eu.toml", "SELECT * FROM by_cuntry"]);
    assert!(said.contains("--> SQL:1:15") && said.contains("did you mean `by_country`?"), "{said}");
}

#[test]
fn what_a_variable_stands_for_is_never_printed() {
    let config = ORDERS.replace("orders.ndjson", "${WHERE}/orders.ndjson").replace("'1 minute'", "'${WHERE}'");
    let folder = folder_with(&[("eu.toml", &config)]);
    for arguments in [&["check", "eu.toml"][..], &["run", "eu.toml"], &["check", "eu.toml", "--connect", "-vv"]] {
        let output = watershed(folder.path()).args(arguments).env("WHERE", "hunter2secret").output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        let said = stdout(&output) + &stderr(&output);
        assert!(!said.contains("hunter2"), "{said}");
    }
    let unset = fails(folder.path(), 2, &["check", "eu.toml"]);
    assert!(unset.contains("`WHERE` is not set") && unset.contains("eu.toml:5:9"), "{unset}");
}

#[test]
fn a_signal_ends_an_endless_run_in_order() {
    let config = "region = \"eu\"\n[sources.s]\nconnector = \"generator\"\nprofile = \"orders\"\nrate = \"2000/s\"\n\
                  [sinks.out]\nconnector = \"stdout\"\n[pipelines.p]\nsql = \"SELECT country FROM s\"\nsink = \"out\"\n";
    let folder = folder_with(&[("eu.toml", config)]);
    let mut child = watershed(folder.path())
        .args(["run", "eu.toml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut rows = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    rows.read_line(&mut first).unwrap();
    assert!(first.starts_with("{\"country\":"), "{first}");
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    // The pipe must be drained, or the run could not write what it has.
    let left = rows.lines().map_while(Result::ok).count();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("stopping") && said.contains("rows out"), "{said}");
    let rows_out = said.split(" windows, ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().replace(',', "");
    assert_eq!(rows_out.parse::<usize>().unwrap(), left + 1, "every row that was counted was written");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let folder = folder_with(&[("eu.toml", ORDERS), ("orders.ndjson", RECORDS)]);
    succeeds(folder.path(), &["run", "eu.toml"]);
    let sql = "SELECT a.value FROM by_country, generate_series(1, 1000000) AS a";
    for format in ["csv", "json", "ndjson", "table"] {
        let mut child = watershed(folder.path())
            .args(["query", "eu.toml", sql, "--format", format])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{format}");
    }
}

#[test]
fn records_come_through_a_pipe() {
    let config = ORDERS.replace("connector = \"file\"\npath = \"orders.ndjson\"", "connector = \"stdin\"");
    let folder = folder_with(&[("eu.toml", &config)]);
    let mut child = watershed(folder.path())
        .args(["run", "eu.toml", "--report", "-", "-q"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(RECORDS.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), report["aggregated"].as_u64()), (Some(0), Some(4)));
}

#[test]
fn logs_are_json_by_request_and_filters_are_checked() {
    let folder = folder_with(&[("eu.toml", ORDERS), ("orders.ndjson", RECORDS)]);
    let output = watershed(folder.path())
        .args(["run", "eu.toml", "-q", "--log-format", "json"])
        .env("RUST_LOG", "trace")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let said = stderr(&output);
    assert!(!said.is_empty());
    for line in said.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["level"].is_string() && line["timestamp"].is_string(), "{line}");
    }
    let output = watershed(folder.path()).args(["check", "eu.toml"]).env("RUST_LOG", "a=b=c").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("RUST_LOG is not understood"), "{}", stderr(&output));
}

#[test]
fn completions_and_help_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        assert!(succeeds(folder.path(), &["completions", shell]).contains("watershed"), "{shell}");
    }
    assert!(succeeds(folder.path(), &["--help"]).contains("Exit codes:"));
    assert!(succeeds(folder.path(), &["run", "--help"]).contains("--report"));
    assert!(succeeds(folder.path(), &["--version"]).starts_with("watershed 0."));
}

#[test]
fn ddl_makes_tables_of_what_was_written() {
    let folder = folder_with(&[("region.toml", ORDERS), ("orders.ndjson", RECORDS)]);
    let duck = succeeds(folder.path(), &["ddl", "region.toml", "--for", "duckdb"]);
    let root = folder.path().canonicalize().unwrap().join("lake");
    assert!(duck.starts_with("CREATE OR REPLACE VIEW \"by_country\" AS"), "{duck}");
    assert!(duck.contains(&format!("'{}/region=*/date=*/hour=*/by_country-", root.display())), "{duck}");
    let place = ["--location", "s3://acme/orders/"];
    let athena = succeeds(folder.path(), &[&["ddl", "region.toml", "--for", "athena"], &place[..]].concat());
    assert!(
        athena.contains("'storage.location.template' = 's3://acme/orders/region=${region}/date=${date}/hour=${hour}/'")
    );
    assert!(athena.contains("'projection.region.values' = 'eu'"), "{athena}");
}

#[test]
fn ddl_says_why_a_lake_does_not_fit() {
    let folder = folder_with(&[("region.toml", ORDERS), ("orders.ndjson", RECORDS)]);
    let said = fails(folder.path(), 2, &["ddl", "region.toml", "--for", "athena"]);
    assert!(said.contains("Athena reads S3, and this lake is at lake") && said.contains("region.toml:"), "{said}");
    let said = fails(folder.path(), 2, &["ddl", "region.toml", "--for", "trino", "--pipeline", "by_contry"]);
    assert!(said.contains("did you mean `by_country`?"), "{said}");
    let said = fails(folder.path(), 2, &["ddl", "region.toml", "--for", "spark", "--apply", "x.duckdb"]);
    assert!(said.contains("--apply is for --for duckdb only"), "{said}");
    let filled = ORDERS.replace("url = \"lake\"", "url = \"${LAKE}\"");
    let folder = folder_with(&[("region.toml", &filled), ("orders.ndjson", RECORDS)]);
    let output = watershed(folder.path())
        .args(["ddl", "region.toml", "--for", "duckdb"])
        .env("LAKE", "var/marked-lake")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains("is filled in") && !said.contains("marked-lake"), "{said}");
}

/// Region files of three lakes in one folder; each has the four records as often as its place in the list says.
fn three_regions() -> TempDir {
    let folder = folder_with(&[]);
    for (place, region) in ["eu", "us", "asia"].into_iter().enumerate() {
        let config = ORDERS
            .replace("region = \"eu\"", &format!("region = \"{region}\""))
            .replace("orders.ndjson", &format!("{region}.ndjson"))
            .replace("\"lake\"\n[pipelines", &format!("\"lakes/{region}\"\npartition_by = [\"date\"]\n[pipelines"));
        // Each twice or three times where it stands: out of order they would be late.
        let records: String = RECORDS.split_inclusive('\n').map(|line| line.repeat(place + 1)).collect();
        fs::create_dir_all(folder.path().join("regions")).unwrap();
        fs::write(folder.path().join(format!("regions/{region}.toml")), config).unwrap();
        fs::write(folder.path().join(format!("{region}.ndjson")), records).unwrap();
        succeeds(folder.path(), &["run", &format!("regions/{region}.toml"), "--quiet"]);
    }
    folder
}

#[test]
fn many_regions_are_asked_as_one() {
    let folder = three_regions();
    let query = |sql: &str| succeeds(folder.path(), &["query", "--all", "regions/*.toml", sql, "--format", "csv"]);
    let sql = "SELECT region, sum(orders) AS n, avg(revenue) AS mean FROM by_country GROUP BY region ORDER BY region";
    assert_eq!(query(sql), "region,n,mean\nasia,12,13.0\neu,4,4.333333333333333\nus,8,8.666666666666666\n");
    assert_eq!(query("SELECT count(*) AS n FROM by_country WHERE region <> 'us'"), "n\n6\n");
    // No region keeps its rows, so they may move.
    let rows = query("SELECT region, country FROM by_country WHERE revenue > 20 ORDER BY region LIMIT 1");
    assert_eq!(rows, "region,country\nasia,FR\n");
}

#[test]
fn a_region_that_keeps_its_rows_is_asked_by_its_daemon_or_not_at_all() {
    let folder = three_regions();
    let eu = folder.path().join("regions/eu.toml");
    let config = fs::read_to_string(&eu).unwrap();
    fs::write(&eu, format!("{config}[residency]\nallow = [\"eu\"]\n")).unwrap();
    let asked = |code, sql: &str| fails(folder.path(), code, &["query", "--all", "regions/*.toml", sql]);
    let said = asked(2, "SELECT sum(orders) FROM by_country");
    assert!(said.contains("region `eu` has [residency], and no daemon that answers queries"), "{said}");
    assert!(said.contains("query_token"), "{said}");
    let said = asked(2, "SELECT * FROM by_country");
    assert!(
        said.contains("rows of region `eu` stay there") && said.contains("watershed query regions/eu.toml"),
        "{said}"
    );
    // A port that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let http = format!("[http]\nlisten = \"127.0.0.1:{port}\"\nquery_token = \"marked-token\"\n");
    fs::write(&eu, format!("{config}[residency]\nallow = [\"eu\"]\n{http}")).unwrap();
    let said = asked(1, "SELECT sum(orders) FROM by_country");
    assert!(said.contains("the daemon of region `eu`") && said.contains("not read from here"), "{said}");
    assert!(!said.contains("marked-token"), "{said}");
    fs::write(&eu, format!("{config}{http}")).unwrap();
    let said =
        succeeds(folder.path(), &["query", "--all", "regions/eu.toml", "SELECT sum(orders) AS n FROM by_country"]);
    assert!(said.contains("| 4 |"), "{said}");
}

#[test]
fn regions_that_do_not_go_together_are_refused() {
    let folder = three_regions();
    let asked =
        |files: &[&str]| fails(folder.path(), 2, &[&["query", "--all"], files, &["SELECT 1 FROM by_country"]].concat());
    assert!(asked(&["regions/eu.toml", "regions/e?.toml"]).contains("are both of region `eu`"));
    assert!(asked(&["regions/*.tml"]).contains("there is no such file"));
    let us = folder.path().join("regions/us.toml");
    fs::write(&us, fs::read_to_string(&us).unwrap().replace("[pipelines.by_country]", "[pipelines.other]")).unwrap();
    let said = asked(&["regions/*.toml"]);
    assert!(said.contains("there is no table `by_country` in region `us`"), "{said}");
    let said = fails(folder.path(), 2, &["query", "--all", "SELECT 1"]);
    assert!(said.contains("takes their files and the SQL"), "{said}");
}

/// The parquet files below a folder, made `hours` older than they are.
fn age(folder: &Path, hours: u64) -> Vec<String> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path if path.extension().is_some_and(|extension| extension == "parquet") => {
                    let file = fs::File::options().append(true).open(&path).unwrap();
                    let modified = file.metadata().unwrap().modified().unwrap();
                    file.set_modified(modified - std::time::Duration::from_secs(hours * 3600)).unwrap();
                    files.push(path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_string());
                }
                _ => {}
            }
        }
    }
    files.sort();
    files
}

#[test]
fn partitions_that_are_older_than_a_sink_retains_go() {
    let config = ORDERS
        .replace("path = \"orders.ndjson\"", "path = \"orders*.ndjson\"")
        .replace("url = \"lake\"", "url = \"lake\"\npartition_by = [\"date\"]\nretain = \"30days\"");
    let today = chrono::Utc::now().format("%Y-%m-%d").to_string();
    let dated = |day: &str| RECORDS.replace("2026-03-01", day);
    let records = dated("2026-01-01") + &dated("2026-02-01");
    let folder = folder_with(&[("eu.toml", &config), ("orders1.ndjson", &records)]);
    let said = succeeds(folder.path(), &["check", "eu.toml"]);
    assert!(said.contains("lake keeps partitions for 30days, counted from their end"), "{said}");
    let run = || {
        let output = run(folder.path(), &["run", "eu.toml", "--quiet", "-v"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stderr(&output)
    };
    let lake = folder.path().join("lake");
    // A file of another pipeline lies beside them.
    run();
    fs::copy(newest(&lake, "date=2026-01-01"), lake.join("date=2026-01-01/other-00000001-0001.parquet")).unwrap();
    assert_eq!(age(&lake, 0), ["date=2026-01-01", "date=2026-01-01", "date=2026-02-01"]);
    // They are no longer young.
    age(&lake, 2);
    fs::write(folder.path().join("orders2.ndjson"), dated(&today)).unwrap();
    let said = run();
    assert!(said.contains("old partitions are removed") && said.contains("date=2026-01-01, date=2026-02-01"), "{said}");
    assert_eq!(age(&lake, 0), ["date=2026-01-01".to_string(), format!("date={today}")]);
    assert!(!run().contains("old partitions"));
    let said =
        succeeds(folder.path(), &["query", "eu.toml", "SELECT DISTINCT date FROM by_country", "--format", "csv"]);
    assert_eq!(said, format!("date\n{today}\n"));

    let undated = config.replace("[\"date\"]", "[\"hour\"]");
    fs::write(folder.path().join("undated.toml"), undated).unwrap();
    let said = fails(folder.path(), 2, &["check", "undated.toml"]);
    assert!(said.contains("retain: ") && said.contains("put \"date\" into partition_by"), "{said}");
}

/// A region that writes a Delta table, and several small files in one partition of it.
fn with_small_files() -> TempDir {
    let config = ORDERS
        .replace("connector = \"parquet\"", "connector = \"delta\"")
        .replace("path = \"orders.ndjson\"", "path = \"orders*.ndjson\"");
    let folder = folder_with(&[("eu.toml", &config)]);
    for n in 0..3 {
        let records = RECORDS.replace("T00:0", &format!("T00:{n}"));
        fs::write(folder.path().join(format!("orders{n}.ndjson")), records).unwrap();
        succeeds(folder.path(), &["run", "eu.toml", "--quiet"]);
    }
    folder
}

const ASKED: &str = "SELECT window_start, country, orders, revenue FROM by_country ORDER BY window_start, country";

#[test]
fn compact_merges_the_small_files_of_a_table() {
    let folder = with_small_files();
    let ask = |sql: &str| succeeds(folder.path(), &["query", "eu.toml", sql, "--format", "csv"]);
    let before = ask(ASKED);
    assert_eq!(before.lines().count(), 10);
    let entries = || fs::read_dir(folder.path().join("lake/_delta_log")).unwrap().count();
    let log = entries();
    let said = succeeds(folder.path(), &["compact", "eu.toml", "--dry-run"]);
    assert!(
        said.contains("by_country in lake: in 1 partition 3 files (") && said.contains("would become 1 file"),
        "{said}"
    );
    assert!(said.contains("  region=eu/date=2026-03-01/hour=00: 3 files ("), "{said}");
    assert_eq!(entries(), log, "nothing was written");
    let said = succeeds(folder.path(), &["compact", "eu.toml", "--sink", "lake"]);
    assert!(said.contains("3 files (") && said.contains(") became 1 file"), "{said}");
    assert_eq!((ask(ASKED), entries()), (before.clone(), log + 1));
    let opened = run(folder.path(), &["query", "eu.toml", ASKED, "--explain"]);
    let said = stdout(&opened) + &stderr(&opened);
    assert!(said.contains("1 of 1 files opened"), "{said}");
    assert!(succeeds(folder.path(), &["compact", "eu.toml"]).contains("no small files to merge"));
    // The daemon goes on behind it.
    fs::write(folder.path().join("orders9.ndjson"), RECORDS.replace("T00:0", "T00:5")).unwrap();
    succeeds(folder.path(), &["run", "eu.toml", "--quiet"]);
    assert_eq!(ask(ASKED).lines().count(), 13);
}

#[test]
fn compact_says_what_it_cannot_do() {
    let folder = folder_with(&[("eu.toml", ORDERS), ("orders.ndjson", RECORDS)]);
    for arguments in [&["compact", "eu.toml"][..], &["compact", "eu.toml", "--sink", "lake"]] {
        let said = fails(folder.path(), 2, arguments);
        assert!(said.contains("in one step") && said.contains("connector = \"delta\""), "{said}");
    }
    let said = fails(folder.path(), 2, &["compact", "eu.toml", "--sink", "lak"]);
    assert!(said.contains("there is no sink `lak`") && said.contains("did you mean `lake`?"), "{said}");
    let wrong = ORDERS.replace("url = \"lake\"", "url = \"lake\"\ncompact = { every = \"1h\" }");
    fs::write(folder.path().join("wrong.toml"), wrong).unwrap();
    let said = fails(folder.path(), 2, &["check", "wrong.toml"]);
    assert!(said.contains("`compact` needs a log") && said.contains("connector = \"delta\""), "{said}");
    let delta = ORDERS.replace("connector = \"parquet\"", "connector = \"delta\"");
    fs::write(folder.path().join("delta.toml"), &delta).unwrap();
    let said = succeeds(folder.path(), &["compact", "delta.toml"]);
    assert_eq!(said, "by_country in lake: nothing is written yet\n");
    assert!(!folder.path().join("lake").exists(), "nothing was made");
    let zero = delta.replace("url = \"lake\"", "url = \"lake\"\ncompact = { every = \"0s\" }");
    fs::write(folder.path().join("zero.toml"), zero).unwrap();
    assert!(fails(folder.path(), 2, &["check", "zero.toml"]).contains("`every` cannot be zero"));
}

#[test]
fn a_delta_sink_retains_by_its_log() {
    let folder = with_small_files();
    let path = folder.path().join("eu.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("url = \"lake\"", "url = \"lake\"\nretain = \"1h\"")).unwrap();
    assert!(succeeds(folder.path(), &["check", "eu.toml"]).contains("lake keeps partitions for 1h"));
    let output = run(folder.path(), &["run", "eu.toml", "--quiet", "-v"]);
    assert!(stderr(&output).contains("old partitions are removed"), "{}", stderr(&output));
    let entry = folder.path().join("lake/_delta_log/00000000000000000004.json");
    let entry = fs::read_to_string(entry).unwrap();
    assert_eq!((entry.matches("\"remove\"").count(), entry.matches("\"dataChange\":true").count()), (3, 3), "{entry}");
    assert!(entry.contains("\"DELETE\""), "{entry}");
    assert!(newest(&folder.path().join("lake"), "region=eu/date=2026-03-01/hour=00").exists(), "until vacuum");
}

/// The file in a partition that comes last by name.
fn newest(lake: &Path, partition: &str) -> std::path::PathBuf {
    fs::read_dir(lake.join(partition)).unwrap().map(|entry| entry.unwrap().path()).max().unwrap()
}
