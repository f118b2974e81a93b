//! What Avro's types mean to columns, how schemas may change, and that a broken message costs nothing but itself.

use std::sync::Arc;

use super::formats::known;
use super::*;
use crate::decode::{Registered, RegisteredSchema, SchemaKind};

fn decode_as(writer: &str, columns: &[(&str, &str)], payloads: &[&[u8]]) -> Decoded {
    let schema = schema(columns);
    let mut decoder = decoder(&known(&[writer]), &schema, &all(&schema)).unwrap();
    let decoded = decoder.decode(&records(payloads));
    assert_eq!(decoded.batch.num_rows() + decoded.bad.len(), payloads.len());
    decoded
}

/// One value of Avro type `writer` in a column of type `declared`: what is in the column, or why it is not.
fn one(writer: &str, declared: &str, value: &[u8]) -> String {
    let writer = format!(r#"{{"type": "record", "name": "R", "fields": [{{"name": "c", "type": {writer}}}]}}"#);
    let decoded = decode_as(&writer, &[("c", declared)], &[value]);
    match decoded.bad.first() {
        Some(bad) => bad.reason.clone(),
        None => rows(&decoded.batch).remove(0),
    }
}

#[test]
fn types() {
    let int = r#""int""#;
    let millis = r#"{"type": "long", "logicalType": "timestamp-millis"}"#;
    let nanos = r#"{"type": "long", "logicalType": "local-timestamp-nanos"}"#;
    let time = r#"{"type": "int", "logicalType": "time-millis"}"#;
    let date = r#"{"type": "int", "logicalType": "date"}"#;
    let decimal = r#"{"type": "fixed", "name": "F", "size": 3, "logicalType": "decimal", "precision": 6, "scale": 2}"#;
    let uuid = r#"{"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}"#;
    let uuid_bytes = [0, 17, 34, 51, 68, 85, 102, 119, 136, 153, 170, 187, 204, 221, 238, 255];
    for (writer, declared, value, expected) in [
        (int, "bigint", &[0x04][..], "2"),
        (int, "double", &[0x04], "2.0"),
        (int, "decimal(4,1)", &[0x04], "2.0"),
        (int, "string", &[0x04], "2"),
        (int, "json", &[0x04], "2"),
        (int, "timestamp@epoch_s", &[0x04], "2000000"),
        (int, "timestamp", &[0x04], "c: expected timestamp (rfc3339), found 2 (int)"),
        (int, "boolean", &[0x04], "c: expected boolean, found 2 (int)"),
        (r#""long""#, "int", &[0x80, 0x80, 0x80, 0x80, 0x20], "c: expected int, found 4294967296 (long)"),
        (r#""double""#, "int", &3.0f64.to_le_bytes(), "3"),
        (r#""double""#, "int", &3.5f64.to_le_bytes(), "c: expected int, found 3.5 (double)"),
        (r#""double""#, "decimal(5,2)", &0.1f64.to_le_bytes(), "0.10"),
        (r#""double""#, "json", &f64::NAN.to_le_bytes(), "\"NaN\""),
        (r#""boolean""#, "string", &[1], "true"),
        (r#""boolean""#, "boolean", &[2], "not valid Avro at byte 0: a boolean is neither 0 nor 1"),
        (r#""string""#, "int", b"\x0412", "12"),
        (r#""string""#, "list<int>", b"\x0a[1,2]", "[1,2]"),
        (r#""string""#, "bytes", b"\x08AAH/", "0001ff"),
        (r#""string""#, "string", b"\x02\xff", "not valid Avro at byte 0: a string is not UTF-8"),
        (r#""bytes""#, "bytes", b"\x02\xff", "ff"),
        (r#""bytes""#, "string", b"\x02x", "x"),
        (r#""bytes""#, "string", b"\x02\xff", "c: expected string, found \u{fffd} (bytes)"),
        (millis, "timestamp", &[0xd0, 0x0f], "1000000"),
        (millis, "date", &[0xd0, 0x0f], "1970-01-01"),
        (millis, "string", &[0xd0, 0x0f], "1970-01-01T00:00:01Z"),
        (nanos, "timestamp", &[0x01], "-1"),
        (
            millis,
            "timestamp",
            &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            "c: expected timestamp (rfc3339), found 9223372036854775807 us since the epoch (long)",
        ),
        (time, "string", &[0xd0, 0x0f], "00:00:01"),
        (date, "date", &[0x02], "1970-01-02"),
        (date, "timestamp", &[0x02], "86400000000"),
        (date, "date", &[0xff, 0xff, 0xff, 0xff, 0x0f], "c: expected date (YYYY-MM-DD), found day -2147483648 (int)"),
        (decimal, "decimal(6,2)", &[0xff, 0xff, 0x00], "-2.56"),
        (decimal, "decimal(6,1)", &[0x00, 0x00, 0x7b], "c: expected decimal(6,1), found 1.23 (F)"),
        (decimal, "double", &[0x00, 0x00, 0x7b], "1.23"),
        (uuid, "string", &uuid_bytes, "00112233-4455-6677-8899-aabbccddeeff"),
        (uuid, "bytes", &uuid_bytes, "00112233445566778899aabbccddeeff"),
        (r#"["null", "int", "string"]"#, "string", &[0x00], "null"),
        (r#"["null", "int", "string"]"#, "string", &[0x02, 0x04], "2"),
        (r#"["null", "int", "string"]"#, "json", b"\x04\x061.5", "1.5"),
        (r#"["null", "int"]"#, "int", &[0x04], "not valid Avro at byte 0: there is no such symbol or branch"),
        (r#"{"type": "enum", "name": "E", "symbols": ["A", "B"]}"#, "string", &[0x02], "B"),
        (
            r#"{"type": "enum", "name": "E", "symbols": ["A", "B"]}"#,
            "string",
            &[0x04],
            "not valid Avro at byte 0: there is no such symbol or branch",
        ),
        (
            r#"{"type": "array", "items": "int"}"#,
            "list<bigint>",
            &[0x03, 0x04, 0x02, 0x04, 0x02, 0x06, 0x00],
            "[1,2,3]",
        ),
        (r#"{"type": "array", "items": "int"}"#, "json", &[0x04, 0x02, 0x04, 0x00], "[1,2]"),
        (
            r#"{"type": "array", "items": "string"}"#,
            "list<int>",
            b"\x04\x021\x02x\x00",
            "c[1]: expected int, found x (string)",
        ),
        (r#"{"type": "array", "items": "int"}"#, "string", &[0x00], "c: expected string, found a value of type array"),
        (
            r#"{"type": "map", "values": "int"}"#,
            "map<string, int>",
            b"\x06\x02a\x02\x02b\x04\x02a\x06\x00",
            "<a=3,b=2>",
        ),
        (r#"{"type": "map", "values": "bytes"}"#, "json", b"\x02\x02a\x04\x00\xff\x00", "{\"a\":\"AP8=\"}"),
        (int, "int", &[], "not valid Avro at byte 0: it ends too early"),
        (int, "int", &[0x04, 0x04], "1 bytes stand behind the value"),
    ] {
        assert_eq!(one(writer, declared, value), expected, "{writer} as {declared}: {value:02x?}");
    }
}

/// Fields that were added, promoted, renamed and taken away.
#[test]
fn a_schema_may_change() {
    let old = r#"{"type": "record", "name": "R", "fields": [{"name": "n", "type": "int"}, {"name": "user", "type": "string"}]}"#;
    let new = r#"{"type": "record", "name": "R", "fields": [
        {"name": "added", "type": {"type": "map", "values": "string"}},
        {"name": "user_id", "aliases": ["user"], "type": ["null", "string"]},
        {"name": "n", "type": "long"}]}"#;
    let columns = [("n", "bigint"), ("user", "string"), ("gone", "double")];
    let decoded = decode_as(old, &columns, &[b"\x04\x02x"]);
    assert_eq!(rows(&decoded.batch), ["2|x|null"]);
    let decoded = decode_as(new, &columns, &[b"\x02\x02k\x02v\x00\x02\x02y\x80\x80\x80\x80\x20"]);
    assert_eq!(rows(&decoded.batch), ["4294967296|y|null"]);
    // Both names declared: each field goes to its own.
    let decoded = decode_as(new, &[("user", "string"), ("user_id", "string")], &[b"\x00\x02\x02y\x04"]);
    assert_eq!(rows(&decoded.batch), ["null|y"]);
}

fn registered(kind: SchemaKind, text: &str, references: &[(&str, &str)]) -> Option<Arc<RegisteredSchema>> {
    let references = references.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
    Some(Arc::new(RegisteredSchema { kind, text: text.to_owned(), references }))
}

#[test]
fn messages_name_their_schema() {
    let schema = schema(&[("n", "bigint"), ("kind", "string")]);
    let mut decoder = decoder(&Format::Avro(AvroSchemas::Registry), &schema, &all(&schema)).unwrap();
    let kind = r#"{"type": "enum", "name": "Kind", "namespace": "a", "symbols": ["X", "Y"]}"#;
    let one = r#"{"type": "record", "name": "R", "namespace": "a", "fields": [{"name": "n", "type": "int"}, {"name": "kind", "type": "Kind"}]}"#;
    let two = r#"{"type": "record", "name": "R", "fields": [{"name": "n", "type": "long"}]}"#;
    let sent = records(&[
        &b"\x00\x00\x00\x00\x01\x04\x02"[..],
        b"\x00\x00\x00\x00\x02\x06",
        b"\x00\x00\x00\x00\x03\x06",
        b"\x00\x00\x00\x00\x04\x06",
        b"{\"n\": 1}",
        b"\x00\x00",
        b"",
        b"\x00\x00\x00\x00\x05\x06",
    ]);
    assert_eq!(crate::decode::schema_ids(&sent).into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let known: Registered = vec![
        (1, registered(SchemaKind::Avro, one, &[("kind", kind)])),
        (2, registered(SchemaKind::Avro, two, &[])),
        (3, None),
        (4, registered(SchemaKind::Protobuf, "syntax = \"proto3\";", &[])),
        (5, registered(SchemaKind::Avro, "\"long\"", &[])),
    ];
    decoder.learn(&known);
    let decoded = decoder.decode(&sent);
    assert_eq!(rows(&decoded.batch), ["2|Y", "3|null"]);
    let reasons: Vec<&str> = decoded.bad.iter().map(|bad| bad.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "the registry has no schema 3",
            "schema 4: it is not an Avro schema",
            "expected a zero and a schema id in front, found byte 0x7b",
            "it ends inside its schema id",
            "empty record",
            "the value is no record: declare columns that are fields of one",
        ]
    );
    // It was registered since.
    decoder.learn(&vec![(3, registered(SchemaKind::Avro, two, &[]))]);
    assert_eq!(rows(&decoder.decode(&records(&[b"\x00\x00\x00\x00\x03\x06"])).batch), ["3|null"]);
}

/// A record that is cut off leaves nothing behind in any column.
#[test]
fn a_broken_message_leaves_its_neighbours_alone() {
    let schema = super::schema(&[
        ("id", "bigint"),
        ("tags", "list<string>"),
        ("address", "struct<city: string>"),
        ("counts", "map<string, int>"),
    ]);
    let avsc = include_str!("../../../tests/formats/order.avsc");
    let mut decoder = decoder(&known(&[avsc]), &schema, &all(&schema)).unwrap();
    let good = super::formats::messages("orders.bare.messages");
    let whole = decoder.decode(&records(&good));
    for cut in 0..good[10].len() {
        let mut sent = good.clone();
        sent[10].truncate(cut);
        let decoded = decoder.decode(&records(&sent));
        assert_eq!(decoded.bad.iter().map(|bad| bad.index).collect::<Vec<_>>(), [10], "cut at {cut}");
        let mut expected = rows(&whole.batch);
        expected.remove(10);
        assert_eq!(rows(&decoded.batch), expected, "cut at {cut}");
    }
}
