//! What each engine is told, and what it is spared.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};

use super::place::Place;
use super::*;
use watershed_sinks::parquet::LevelValues;

const ALL: [Engine; 7] = [
    Engine::Athena,
    Engine::BigQuery,
    Engine::Synapse,
    Engine::Spark,
    Engine::Trino,
    Engine::DuckDb,
    Engine::Snowflake,
];

fn level(name: &str, values: LevelValues) -> FolderLevel {
    FolderLevel { name: name.to_owned(), values }
}

fn table(location: &str, columns: Vec<Field>) -> LakeTable {
    let levels = vec![
        level("region", LevelValues::Region),
        level("date", LevelValues::Date),
        level("hour", LevelValues::Hour),
        level("country", LevelValues::Column(DataType::Utf8)),
    ];
    LakeTable {
        name: "by_country".to_owned(),
        location: location.to_owned(),
        layout: Layout {
            columns: Arc::new(Schema::new(columns)),
            levels,
            prefix: "by_country-".to_owned(),
            region: "eu-west-1".to_owned(),
        },
        delta: false,
        neighbour: None,
    }
}

/// Where each engine can read.
fn home(engine: Engine) -> &'static str {
    match engine {
        Engine::BigQuery => "gs://lake/orders",
        Engine::Synapse => "abfss://lake@acme.dfs.core.windows.net/orders",
        _ => "s3://lake/orders",
    }
}

fn told(engine: Engine, data_type: DataType) -> String {
    let table = table(home(engine), vec![Field::new("it", data_type, true)]);
    statements(engine, &table).unwrap()
}

/// A type, and what Athena, BigQuery, Synapse, Spark, Trino and Snowflake call it. DuckDB asks the files.
#[test]
fn types_have_their_names_everywhere() {
    let moment = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let list = |of: DataType| DataType::List(Arc::new(Field::new("item", of, true)));
    let fields = Fields::from(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)]);
    let pair =
        Fields::from(vec![Field::new("keys", DataType::Utf8, false), Field::new("values", DataType::Int64, true)]);
    let map = DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair), false)), false);
    let rows: [(DataType, [&str; 6]); 15] = [
        (DataType::Boolean, ["boolean", "BOOL", "BIT", "BOOLEAN", "boolean", "BOOLEAN"]),
        (DataType::Int8, ["tinyint", "INT64", "SMALLINT", "TINYINT", "tinyint", "NUMBER(3, 0)"]),
        (DataType::Int16, ["smallint", "INT64", "SMALLINT", "SMALLINT", "smallint", "NUMBER(5, 0)"]),
        (DataType::Int32, ["int", "INT64", "INT", "INT", "integer", "NUMBER(10, 0)"]),
        (DataType::Int64, ["bigint", "INT64", "BIGINT", "BIGINT", "bigint", "NUMBER(19, 0)"]),
        (DataType::Float32, ["float", "FLOAT64", "REAL", "FLOAT", "real", "FLOAT"]),
        (DataType::Float64, ["double", "FLOAT64", "FLOAT", "DOUBLE", "double", "FLOAT"]),
        (
            DataType::Decimal128(18, 2),
            ["decimal(18,2)", "NUMERIC(18, 2)", "DECIMAL(18, 2)", "DECIMAL(18, 2)", "decimal(18, 2)", "NUMBER(18, 2)"],
        ),
        (
            DataType::Decimal128(38, 10),
            [
                "decimal(38,10)",
                "BIGNUMERIC(38, 10)",
                "DECIMAL(38, 10)",
                "DECIMAL(38, 10)",
                "decimal(38, 10)",
                "NUMBER(38, 10)",
            ],
        ),
        (
            DataType::Utf8,
            ["string", "STRING", "VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8", "STRING", "varchar", "VARCHAR"],
        ),
        (DataType::Binary, ["binary", "BYTES", "VARBINARY(8000)", "BINARY", "varbinary", "BINARY"]),
        (DataType::Date32, ["date", "DATE", "DATE", "DATE", "date", "DATE"]),
        (moment, ["timestamp", "TIMESTAMP", "DATETIME2(6)", "TIMESTAMP", "timestamp(6)", "TIMESTAMP_NTZ(6)"]),
        (
            list(DataType::Struct(fields)),
            [
                "array<struct<a:bigint, b:string>>",
                "ARRAY<STRUCT<`a` INT64, `b` STRING>>",
                "VARCHAR(MAX)",
                "ARRAY<STRUCT<`a`: BIGINT, `b`: STRING>>",
                "array(row(\"a\" bigint, \"b\" varchar))",
                "ARRAY",
            ],
        ),
        (
            map,
            [
                "map<string, bigint>",
                "STRUCT<`entries` ARRAY<STRUCT<`keys` STRING, `values` INT64>>>",
                "VARCHAR(MAX)",
                "MAP<STRING, BIGINT>",
                "map(varchar, bigint)",
                "OBJECT",
            ],
        ),
    ];
    let engines = [
        (Engine::Athena, '`', '`'),
        (Engine::BigQuery, '`', '`'),
        (Engine::Synapse, '[', ']'),
        (Engine::Spark, '`', '`'),
        (Engine::Trino, '"', '"'),
        (Engine::Snowflake, '"', '"'),
    ];
    for (data_type, names) in rows {
        for ((engine, open, close), name) in engines.into_iter().zip(names) {
            let text = told(engine, data_type.clone());
            let line = text.lines().map(str::trim).find(|line| line.starts_with(&format!("{open}it{close} {name}")));
            assert!(line.is_some(), "{data_type} is not {name} for {engine:?}:\n{text}");
        }
    }
}

#[test]
fn what_an_engine_cannot_read_is_refused_by_column() {
    for engine in [Engine::Athena, Engine::Spark, Engine::Trino] {
        let table = table(home(engine), vec![Field::new("at", DataType::Time64(TimeUnit::Microsecond), true)]);
        let unfit = statements(engine, &table).unwrap_err();
        assert!(unfit.message.contains("a time of day from Parquet, as column `at` is"), "{unfit}");
        assert!(unfit.help.contains("seconds since midnight"));
    }
    let item = |of| DataType::List(Arc::new(Field::new("item", of, true)));
    let nested = table("gs://lake", vec![Field::new("grid", item(item(DataType::Int64)), true)]);
    let unfit = statements(Engine::BigQuery, &nested).unwrap_err();
    assert!(unfit.message.contains("lists of lists from Parquet, as column `grid` is"), "{unfit}");
}

#[test]
fn places_that_an_engine_cannot_reach_are_refused() {
    for (engine, place) in [
        (Engine::Athena, "gs://lake"),
        (Engine::Athena, "var/lake"),
        (Engine::BigQuery, "s3://lake"),
        (Engine::Synapse, "s3://lake"),
        (Engine::Snowflake, "var/lake"),
        (Engine::Spark, "az://lake"),
        (Engine::Trino, "az://lake"),
        (Engine::DuckDb, "az://lake"),
    ] {
        let unfit = statements(engine, &table(place, vec![Field::new("n", DataType::Int64, true)])).unwrap_err();
        assert!(unfit.message.ends_with(&format!("this lake is at {place}")), "{unfit}");
        assert!(unfit.help.contains("--location"), "{}", unfit.help);
    }
}

#[test]
fn engines_that_read_whole_folders_want_them_for_themselves() {
    for engine in ALL {
        let mut shared = table(home(engine), vec![Field::new("n", DataType::Int64, true)]);
        shared.neighbour = Some("top_products".to_owned());
        let refused = statements(engine, &shared).is_err();
        let reads_folders = matches!(engine, Engine::Athena | Engine::BigQuery | Engine::Spark | Engine::Trino);
        assert_eq!(refused, reads_folders, "{engine:?}");
    }
}

#[test]
fn names_cannot_break_out() {
    let fields = vec![Field::new("a`b\"c]d'e", DataType::Int64, true)];
    let mut hostile = table("s3://lake/it's", fields);
    hostile.name = "x'; DROP TABLE y; --".to_owned();
    hostile.layout.levels.clear();
    let spark = statements(Engine::Spark, &hostile).unwrap();
    assert!(spark.contains("`a``b\"c]d'e` BIGINT") && spark.contains("LOCATION 's3a://lake/it''s'"), "{spark}");
    assert!(spark.contains("`x___drop_table_y____`"), "{spark}");
    let trino = statements(Engine::Trino, &hostile).unwrap();
    assert!(trino.contains("\"a`b\"\"c]d'e\" bigint"), "{trino}");
    let duck = statements(Engine::DuckDb, &hostile).unwrap();
    assert!(duck.contains("VIEW \"x'; DROP TABLE y; --\"") && duck.contains("'s3://lake/it''s/"), "{duck}");
}

#[test]
fn places_are_taken_apart() {
    let azure = Place::Azure { account: "acme", container: "lake", path: "a/b" };
    for (location, place) in [
        ("s3://lake/a", Place::S3("lake/a")),
        ("gs://lake", Place::Gcs("lake")),
        ("abfss://lake@acme.dfs.core.windows.net/a/b", azure),
        ("azure://acme.blob.core.windows.net/lake/a/b", azure),
        ("https://acme.dfs.core.windows.net/lake/a/b", azure),
        ("https://example.com/lake", Place::Other),
        ("az://lake/a", Place::Other),
        ("file:///var/lake", Place::Local("/var/lake")),
        ("var/lake", Place::Local("var/lake")),
    ] {
        assert_eq!(Place::of(location), place, "{location}");
    }
}

#[test]
fn a_delta_table_says_itself_what_it_holds() {
    let delta = |engine| {
        let table = LakeTable { delta: true, ..table(home(engine), vec![Field::new("kilos", DataType::Int64, true)]) };
        statements(engine, &table).unwrap()
    };
    for engine in ALL {
        let text = delta(engine);
        assert!(text.to_lowercase().contains("delta"), "{text}");
        assert!(text.contains("by_country") && text.contains("orders"), "{text}");
        assert!(!text.contains("kilos") && text.ends_with(";\n"), "{text}");
    }
    assert_eq!(
        delta(Engine::Athena),
        "CREATE EXTERNAL TABLE IF NOT EXISTS `by_country`\nLOCATION 's3://lake/orders/'\n\
         TBLPROPERTIES ('table_type' = 'DELTA');\n"
    );
}
