//! Files that are right: what becomes of each key, and of each that is left out.

use std::time::Duration;

use arrow::datatypes::{DataType, TimeUnit};

use super::{errors, good, region_at};
use crate::config::{ConnectorOptions, OnBad, SinkOptions, TableFormat};
use crate::decode::{CsvOptions, Format};
use crate::schema::TimestampFormat;

const FULL: &str = r#"
region = "eu-west-1"
lanes = 3
linger = "2ms"
open_files = 40

[checkpoint]
url = "s3://acme-eu-state/watershed"
interval = "1m"

[http]
listen = "127.0.0.1:8080"

[residency]
allow = ["eu-*", "westeurope"]

[sources.orders]
connector = "file"
path = "data/*.ndjson.gz"
max_record_bytes = "1MiB"
format = "json"
schema = { ts = { type = "timestamp", format = "epoch_ms" }, country = "string", amount = "decimal(18,2)" }
event_time = "ts"
max_delay = "2s"
idle_after = "1m"
max_future = "5m"
on_bad = "skip"
dead_letters = "var/dead"

[sources.sheet]
connector = "stdin"
format = { type = "csv", delimiter = ";", quote = "'", header = false, null = "NA" }
schema = { a = "bigint" }

[sources.load]
connector = "generator"
profile = "orders"
events = 1_000
start = 2026-03-01T00:00:00Z

[sinks.lake]
connector = "parquet"
url = "var/lake"
partition_by = ["region", "date"]
roll = { size = "64MB", every = "1m" }

[sinks.out]
connector = "stdout"

[sinks.none]
connector = "null"

[tables.products]
url = "data/products.csv"
refresh = "1h"
schema = { id = "bigint", name = "string" }

[pipelines.by-country_1]
sql = "SELECT country FROM orders"
sinks = ["lake", "out"]
allowed_lateness = "30s"
late = "none"
"#;

#[test]
fn the_keys_beside_a_url_arrive_wherever_it_stands() {
    let keys = "aws_region = \"eu-west-1\"\naccess_key_id = \"id\"\nsecret_access_key = \"MARKED\"\nsse = \"aws:kms\"";
    let inline = keys.replace('\n', ", ");
    let region = good(&format!(
        r#"
region = "eu-west-1"
[residency]
allow = ["eu-*"]
[checkpoint]
url = "s3://acme/state"
{keys}
[sources.orders]
connector = "stdin"
schema = {{ a = "bigint" }}
dead_letters = {{ url = "s3://acme/letters", {inline} }}
[tables.products]
url = "s3://acme/products.csv"
{keys}
[sinks.lake]
connector = "parquet"
url = "s3://acme/orders"
timeout = "5s"
{keys}
"#
    ));
    let SinkOptions::Parquet(lake) = &region.sinks["lake"].options else { panic!("not parquet") };
    assert_eq!(region.sources["orders"].dead_letters, "s3://acme/letters");
    let sources = &region.sources["orders"];
    for store in [&region.checkpoint.store, &sources.dead_letters_store, &region.tables["products"].store, &lake.store]
    {
        assert_eq!(store.aws_region.as_deref(), Some("eu-west-1"));
        assert_eq!(store.secret_access_key.as_deref(), Some("MARKED"));
    }
    assert_eq!(lake.store.timeout(), Duration::from_secs(5));
    assert!(!format!("{region:?}").contains("MARKED"));
    assert!(!region.secrets.redact("it is MARKED").contains("MARKED"));
}

#[test]
fn every_key_arrives() {
    let region = good(FULL);
    assert_eq!((&*region.name, region.lanes, region.linger), ("eu-west-1", 3, Duration::from_millis(2)));
    assert_eq!(region.open_files, Some(40));
    assert_eq!(region.checkpoint.url, "s3://acme-eu-state/watershed");
    assert_eq!(region.checkpoint.interval, Duration::from_secs(60));
    assert_eq!(region.http.unwrap().listen.port(), 8080);
    assert_eq!(region.residency.as_ref().unwrap().allow, ["eu-*", "westeurope"]);

    let orders = &region.sources["orders"];
    let ConnectorOptions::File(file) = &orders.connector else { panic!("not a file") };
    assert_eq!((file.path.as_str(), file.follow, file.max_record_bytes.0), ("data/*.ndjson.gz", false, 1 << 20));
    assert_eq!((orders.max_delay, orders.idle_after), (Duration::from_secs(2), Duration::from_secs(60)));
    assert_eq!((orders.max_future, orders.on_bad), (Some(Duration::from_secs(300)), OnBad::Skip));
    assert_eq!((orders.event_time.as_deref(), orders.dead_letters.as_str()), (Some("ts"), "var/dead"));
    assert_eq!((orders.location.line, orders.location.source_line.as_str()), (17, "[sources.orders]"));

    let csv = CsvOptions { delimiter: b';', quote: b'\'', header: false, null: "NA".to_string() };
    assert_eq!(region.sources["sheet"].format, Format::Csv(csv));

    let SinkOptions::Parquet(parquet) = &region.sinks["lake"].options else { panic!("not parquet") };
    assert_eq!(parquet.partition_by, ["region", "date"]);
    assert_eq!((parquet.roll.size.0, parquet.roll.every.0), (64_000_000, Duration::from_secs(60)));
    assert!(matches!(region.sinks["out"].options, SinkOptions::Stdout));
    assert!(matches!(region.sinks["none"].options, SinkOptions::Null));

    let products = &region.tables["products"];
    assert_eq!((products.format, products.refresh), (TableFormat::Csv, Some(Duration::from_secs(3600))));
    assert_eq!(products.schema.as_ref().unwrap().fields.len(), 2);

    let pipeline = &region.pipelines["by-country_1"];
    assert_eq!(pipeline.sql, "SELECT country FROM orders");
    assert_eq!(pipeline.sinks, ["lake", "out"]);
    assert_eq!((pipeline.allowed_lateness, pipeline.late.as_deref()), (Duration::from_secs(30), Some("none")));
}

#[test]
fn columns_keep_their_order_and_their_types() {
    let region = good(
        "region = \"eu\"\n[sources.a]\nconnector = \"stdin\"\nschema = { z = \"bigint\", a = \"string\", m = \"date\" }\n\
         [sources.b]\nconnector = \"stdin\"\n[sources.b.schema]\nz = \"json\"\nb.type = \"timestamp\"\na = \"double\"\n",
    );
    let names = |source: &str| -> Vec<String> {
        region.sources[source].schema.as_ref().unwrap().fields.iter().map(|field| field.name.clone()).collect()
    };
    assert_eq!(names("a"), ["z", "a", "m"]);
    assert_eq!(names("b"), ["z", "b", "a"]);
    let ts = &good(FULL).sources["orders"].schema.as_ref().unwrap().fields[0].clone();
    assert_eq!(ts.data_type, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
    assert_eq!(ts.timestamp, "epoch_ms".parse::<TimestampFormat>().ok());
}

#[test]
fn what_is_left_out_has_its_default() {
    let region = good(
        "region = \"eu-1\"\n[sources.a]\nconnector = \"file\"\npath = \"x\"\nfollow = true\n\
         [pipelines.p]\nsql = \"SELECT 1\"\nsink = \"out\"\n[sinks.out]\nconnector = \"stdout\"\n\
         [tables.t]\nurl = \"t.parquet\"\n",
    );
    assert_eq!((region.lanes, region.linger, region.open_files), (4, Duration::from_millis(5), None));
    assert_eq!(
        (region.checkpoint.url.as_str(), region.checkpoint.interval),
        ("var/eu-1/state", Duration::from_secs(10))
    );
    assert!(region.http.is_none() && region.residency.is_none());
    let source = &region.sources["a"];
    assert_eq!((source.max_delay, source.idle_after), (Duration::ZERO, Duration::from_secs(10)));
    assert_eq!((source.on_bad, source.dead_letters.as_str()), (OnBad::DeadLetter, "var/eu-1/dead_letters/a"));
    assert_eq!((&source.format, source.schema.is_none(), source.event_time.is_none()), (&Format::Json, true, true));
    assert_eq!(region.pipelines["p"].allowed_lateness, Duration::ZERO);
    assert_eq!((region.tables["t"].format, region.tables["t"].refresh), (TableFormat::Parquet, None));
}

#[test]
fn only_live_sources_are_held_against_the_clock() {
    let hour = Some(Duration::from_secs(3600));
    let cases = [
        ("connector = \"file\"\npath = \"x\"", None),
        ("connector = \"file\"\npath = \"x\"\nfollow = true", hour),
        ("connector = \"file\"\npath = \"x\"\nmax_future = \"1h\"", hour),
        ("connector = \"file\"\npath = \"x\"\nfollow = true\nmax_future = \"off\"", None),
        ("connector = \"stdin\"", None),
        ("connector = \"generator\"\nprofile = \"orders\"", hour),
        ("connector = \"generator\"\nprofile = \"orders\"\nevents = 5", None),
        ("connector = \"generator\"\nprofile = \"orders\"\nstart = \"2026-03-01T00:00:00Z\"", None),
    ];
    for (source, expected) in cases {
        let region = good(&format!("region = \"eu\"\n[sources.a]\n{source}\n"));
        assert_eq!(region.sources["a"].max_future, expected, "{source}");
    }
}

#[test]
fn a_generator_brings_schema_and_event_time() {
    let region = good("region = \"eu\"\n[sources.load]\nconnector = \"generator\"\nprofile = \"orders\"\n");
    let source = &region.sources["load"];
    assert_eq!(source.event_time.as_deref(), Some("ts"));
    let schema = source.schema.as_ref().unwrap();
    assert!(schema.fields.iter().any(|field| field.name == "amount" && field.data_type == DataType::Float64));
}

#[test]
fn every_profile_of_the_generator_has_a_schema_that_reads() {
    for profile in ["orders", "sensors", "trades", "clicks", "nexmark_person", "nexmark_auction", "nexmark_bid"] {
        let region =
            good(&format!("region = \"eu\"\n[sources.a]\nconnector = \"generator\"\nprofile = \"{profile}\"\n"));
        let ConnectorOptions::Generator(options) = &region.sources["a"].connector else { panic!("no generator") };
        let declared = watershed_connectors::profile_schema(options.profile).fields.len();
        assert_eq!(region.sources["a"].schema.as_ref().unwrap().fields.len(), declared, "{profile}");
    }
}

#[test]
fn sql_and_schemas_stand_in_files_beside_the_region_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("regions")).unwrap();
    std::fs::create_dir(at("pipelines")).unwrap();
    std::fs::write(at("pipelines/p.sql"), "SELECT 1\n").unwrap();
    std::fs::write(at("pipelines/empty.sql"), " \n").unwrap();
    std::fs::write(at("orders.toml"), "ts = \"timestamp\"\nn = \"bigint\"\n").unwrap();
    std::fs::write(at("wrong.toml"), "ts = \"timestamp\"\n\nn = \"bigit\"\n").unwrap();
    let toml = |schema: &str, sql: &str| {
        format!(
            "region = \"eu\"\n[sources.a]\nconnector = \"stdin\"\nschema_file = \"../{schema}\"\nevent_time = \"ts\"\n\
             [sinks.out]\nconnector = \"stdout\"\n[pipelines.p]\nsql_file = \"../pipelines/{sql}\"\nsink = \"out\"\n"
        )
    };
    let file = at("regions/eu.toml");
    let region = region_at(&file, &toml("orders.toml", "p.sql"), &[]).unwrap();
    assert_eq!(region.sources["a"].schema.as_ref().unwrap().fields.len(), 2);
    assert_eq!(region.pipelines["p"].sql, "SELECT 1\n");

    let wrong = region_at(&file, &toml("wrong.toml", "empty.sql"), &[]).unwrap_err();
    let shown: Vec<_> = wrong.iter().map(|error| (error.message.as_str(), error.line_column)).collect();
    assert_eq!(shown[0], ("the SQL file `../pipelines/empty.sql` is empty", Some((9, 12))));
    assert!(shown[1].0.starts_with("unknown type `bigit`") && shown[1].1 == Some((3, 6)), "{shown:?}");
    assert!(wrong[1].file.as_ref().unwrap().ends_with("wrong.toml"));
}

#[test]
fn errors_come_in_the_order_of_the_file_and_all_at_once() {
    let shown = errors(
        "region = \"EU\"\nlanes = 0\n[pipelines.p]\nsql = \"\"\nsink = \"x\"\n[sources.a]\nconnector = \"kafkka\"\n\
         [checkpoint]\ninterval = \"0s\"\nurll = \"x\"\n",
    );
    let lines: Vec<usize> = shown
        .lines()
        .filter_map(|line| line.trim().strip_prefix("--> region.toml:")?.split(':').next()?.parse().ok())
        .collect();
    assert_eq!(lines, [1, 2, 4, 5, 7, 9, 10], "{shown}");
}
