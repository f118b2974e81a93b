//! Schemas from samples.

use super::super::infer::{InferError, event_time, infer_schema, to_toml};
use super::*;

fn infer(payloads: &[&str]) -> Vec<(String, String)> {
    infer_schema(&Format::Json, &records(payloads)).unwrap()
}

/// The type of field `v` after these values.
fn kind(values: &[&str]) -> String {
    named("v", values)
}

fn named(name: &str, values: &[&str]) -> String {
    let payloads: Vec<String> = values.iter().map(|v| format!("{{\"{name}\":{v}}}")).collect();
    let fields = infer(&payloads.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(fields.len(), 1);
    fields[0].1.clone()
}

#[test]
fn kinds_from_values() {
    let table: [(&[&str], &str); 31] = [
        (&["true", "null"], "boolean"),
        (&["1", "-2"], "bigint"),
        (&["1", "2.5"], "double"),
        (&["1.0"], "double"),
        (&["9223372036854775807"], "bigint"),
        (&["1", "18446744073709551615"], "decimal(38,0)"),
        (&["1", "1e300"], "double"),
        (&["18446744073709551615", "0.5"], "double"),
        (&["\"x\""], "string"),
        (&["null", "null"], "string"),
        (&["\"2026-03-01T12:00:00Z\""], "timestamp"),
        (&["\"2026-03-01 12:00:00\"", "\"2026-03-01\""], "timestamp"),
        (&["\"2026-03-01\""], "date"),
        (&["\"2026-03-01\"", "\"soon\""], "string"),
        (&["\"2026-02-30\""], "string"),
        (&["1700000000"], "bigint"),
        (&["1", "\"x\""], "json"),
        (&["1", "true"], "json"),
        (&["{}", "[]"], "json"),
        (&["{}"], "json"),
        (&["[]"], "list<json>"),
        (&["[1]", "[]", "[2.5, null]"], "list<double>"),
        (&["[1, \"x\"]"], "list<json>"),
        (&["[[1]]"], "list<list<bigint>>"),
        (&["{\"a\":1}", "{\"b\":\"x\"}", "{\"a\":0.5}"], "struct<a: double, b: string>"),
        (&["{\"a\":{\"b\":[{\"c\":true}]}}"], "struct<a: struct<b: list<struct<c: boolean>>>>"),
        (&["{\"a b\":1}"], "struct<`a b`: bigint>"),
        (&["{\"a\":1}", "{\"a\":\"x\"}"], "struct<a: json>"),
        (&["{\"a\":1}", "7"], "json"),
        (&["{\"at\":\"2026-03-01T12:00:00Z\"}"], "struct<at: timestamp>"),
        (&["{\"at\":1700000000}"], "struct<at: bigint>"),
    ];
    for (values, expected) in table {
        assert_eq!(kind(values), expected, "{values:?}");
    }
}

#[test]
fn epochs_where_the_name_speaks_of_time() {
    let epoch = |unit: &str| format!("{{ type = \"timestamp\", format = \"{unit}\" }}");
    for name in [
        "ts",
        "time",
        "timestamp",
        "load_timestamp",
        "created_at",
        "createdAt",
        "event-time",
        "eventTime",
        "date",
        "TS",
    ] {
        assert_eq!(named(name, &["1700000000123"]), epoch("epoch_ms"), "{name}");
    }
    for name in ["uptime", "at_home", "category", "id", "datum", "stats"] {
        assert_eq!(named(name, &["1700000000123"]), "bigint", "{name}");
    }
    assert_eq!(named("ts", &["1700000000", "1700000001.5"]), epoch("epoch_s"));
    assert_eq!(named("ts", &["1700000000123456"]), epoch("epoch_us"));
    assert_eq!(named("ts", &["1700000000123456789"]), epoch("epoch_ns"));
    assert_eq!(named("ts", &["1700000000", "1700000000123"]), "bigint");
    assert_eq!(named("ts", &["1700000000", "12"]), "bigint");
    assert_eq!(named("ts", &["1700000000", "null"]), epoch("epoch_s"));
}

#[test]
fn what_is_too_much_for_a_type_is_json() {
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    assert_eq!(kind(&[&deep]), "json");
    let wide: Vec<String> = (0..2000).map(|i| format!("\"some_key_{i}\":1")).collect();
    assert_eq!(kind(&[&format!("{{{}}}", wide.join(","))]), "json");
}

#[test]
fn unreadable_samples_say_why() {
    let infer = |payloads: &[&str]| infer_schema(&Format::Json, &records(payloads));
    assert_eq!(infer(&[]), Err(InferError::Empty));
    assert_eq!(infer(&["{}"]), Err(InferError::NoFields));
    let reason = "not valid JSON at byte 5: expected a value, but the record ends here".to_owned();
    assert_eq!(infer(&["{\"a\":", "[]"]), Err(InferError::Unreadable { reason }));
    assert_eq!(infer(&["{\"a\":", "{\"a\":1}"]).unwrap(), [("a".to_owned(), "bigint".to_owned())]);
}

#[test]
fn csv_columns() {
    let csv = |header: Option<&str>, payloads: &[&str]| {
        let mut sample = records(payloads);
        if let Some(header) = header {
            sample.set_header(header.as_bytes().into());
        }
        let options = CsvOptions { header: header.is_some(), ..CsvOptions::default() };
        infer_schema(&Format::Csv(options), &sample)
    };
    let fields = csv(
        Some("timestamp,value,zip,flag,day,text,ts,mixed,empty"),
        &[
            "2015-02-26 21:42:53,104,01234,true,2026-03-01,a,1700000000,1,",
            "2015-02-26 21:47:53,0.5,99999,FALSE,2026-03-02,\"b,c\",1700000001,x,",
            "short",
        ],
    )
    .unwrap();
    let types: Vec<&str> = fields.iter().map(|(_, t)| t.as_str()).collect();
    let epoch = "{ type = \"timestamp\", format = \"epoch_s\" }";
    assert_eq!(types, ["timestamp", "double", "string", "boolean", "date", "string", epoch, "string", "string"]);
    let fields = csv(None, &["1,x", "2,y"]).unwrap();
    assert_eq!(fields, [("column_1".to_owned(), "bigint".to_owned()), ("column_2".to_owned(), "string".to_owned())]);
    let sample = records(&["1,x"]);
    assert_eq!(infer_schema(&Format::Csv(CsvOptions::default()), &sample), Err(InferError::NoHeader));
    assert!(matches!(csv(Some("a,b"), &["\"1,x"]), Err(InferError::Unreadable { .. })));
}

#[test]
fn toml_to_paste() {
    let fields = infer(&[
        "{\"user\":{\"id\":1},\"created_at\":\"2026-03-01T12:00:00Z\",\"ts\":1700000000123,\"a \\\"b\\\"\":[true]}",
    ]);
    assert_eq!(event_time(&fields), Some("ts"));
    let text = to_toml("web.clicks", &fields);
    assert_eq!(
        text,
        r#"event_time = "ts"

[sources."web.clicks".schema]
user = "struct<id: bigint>"
created_at = "timestamp"
ts = { type = "timestamp", format = "epoch_ms" }
"a \"b\"" = "list<boolean>"
"#
    );
    let table: toml::Table = toml::from_str(&format!("[sources.\"web.clicks\"]\n{text}")).unwrap();
    let source = &table["sources"]["web.clicks"];
    assert_eq!(source["event_time"].as_str(), Some("ts"));
    assert_eq!(source["schema"]["a \"b\""].as_str(), Some("list<boolean>"));
    let timeless = to_toml("x", &infer(&["{\"n\":1}"]));
    assert!(timeless.starts_with("# event_time") && toml::from_str::<toml::Table>(&timeless).is_ok(), "{timeless}");
}

/// What is inferred from some records decodes all of them.
#[test]
fn an_inferred_schema_decodes_its_sample() {
    let payloads = [
        "{\"ts\":1700000000123,\"n\":1,\"user\":{\"id\":1,\"tags\":[\"a\"]},\"odd\":1,\"big\":18446744073709551615}",
        "{\"ts\":1700000000124,\"n\":2.5,\"user\":{\"id\":2,\"tags\":[]},\"odd\":\"x\",\"big\":1}",
        "{\"ts\":null,\"n\":null,\"user\":null,\"odd\":{},\"day\":\"2026-03-01\"}",
    ];
    let fields = infer(&payloads)
        .into_iter()
        .map(|(name, declared)| match declared.strip_prefix("{ type = \"timestamp\", format = \"") {
            Some(rest) => SourceField::parse(name, "timestamp", rest.split('"').next()).unwrap(),
            None => SourceField::parse(name, &declared, None).unwrap(),
        })
        .collect();
    let schema = SourceSchema { fields };
    let decoded = decode_json(&schema, &all(&schema), &payloads);
    assert_eq!(decoded.bad, []);
    assert_eq!(rows(&decoded.batch)[1], "1700000000124000|2.5|{id:2,tags:[]}|\"x\"|1|null");
}
