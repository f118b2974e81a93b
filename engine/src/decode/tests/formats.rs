//! Files and messages that others wrote (see `engine/tests/formats/make.py`) mean what the same rows mean as JSON.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use watershed_connectors::avro::Schema;
use watershed_connectors::{Container, FileOptions, FileSource, ReadLimits, ReadStatus, Source};

use super::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats")
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

fn text(name: &str) -> String {
    String::from_utf8(file(name)).unwrap()
}

/// Messages with their lengths in front.
pub(super) fn messages(name: &str) -> Vec<Vec<u8>> {
    let bytes = file(name);
    let (mut rest, mut messages) = (&bytes[..], Vec::new());
    while let Some((len, behind)) = rest.split_first_chunk() {
        let (message, behind) = behind.split_at(u32::from_le_bytes(*len) as usize);
        messages.push(message.to_vec());
        rest = behind;
    }
    messages
}

const COLUMNS: [(&str, &str); 16] = [
    ("counts", "map<string, bigint>"),
    ("id", "bigint"),
    ("small", "int"),
    ("ts", "timestamp"),
    ("day", "date"),
    ("amount", "decimal(14,3)"),
    ("price", "double"),
    ("ratio", "float"),
    ("paid", "boolean"),
    ("country", "string"),
    ("kind", "string"),
    ("token", "string"),
    ("blob", "bytes"),
    ("tags", "list<string>"),
    ("address", "struct<zip: bigint, city: string, lacking: double>"),
    ("lacking", "struct<a: int>"),
];

/// The rows as JSON has them.
fn expected(schema: &SourceSchema) -> Decoded {
    let lines = text("orders.ndjson");
    let decoded = decode_json(schema, &all(schema), &lines.lines().collect::<Vec<_>>());
    assert_eq!(decoded.bad, []);
    assert_eq!(decoded.batch.num_rows(), 24);
    decoded
}

fn decode(format: &Format, schema: &SourceSchema, records: &Records) -> Decoded {
    let mut decoder = super::super::decoder(format, schema, &all(schema)).unwrap();
    match decoder.unpack(records, &|_| true) {
        Some(unpacked) => {
            assert_eq!(unpacked.records.rejected(), []);
            decoder.decode(&unpacked.records)
        }
        None => decoder.decode(records),
    }
}

pub(super) fn known(schemas: &[&str]) -> Format {
    let schemas = schemas.iter().map(|text| Arc::new(Schema::parse(text, &[]).unwrap())).collect();
    Format::Avro(AvroSchemas::Known(schemas))
}

pub(super) fn order_proto() -> Format {
    Format::Protobuf(ProtobufMessage::Known(
        from_proto_file(&folder().join("order.proto"), Some("acme.Order")).unwrap(),
    ))
}

#[test]
fn avro_messages() {
    let schema = schema(&COLUMNS);
    let avsc = text("order.avsc");
    for name in ["orders.bare.messages", "orders.single.messages"] {
        let decoded = decode(&known(&[&avsc]), &schema, &records(&messages(name)));
        assert_same(&decoded, &expected(&schema), name);
    }
    // A single object names its schema, whichever stands first.
    let other = r#"{"type": "record", "name": "Other", "fields": [{"name": "id", "type": "string"}]}"#;
    let decoded = decode(&known(&[other, &avsc]), &schema, &records(&messages("orders.single.messages")));
    assert_same(&decoded, &expected(&schema), "by fingerprint");
    let decoded = decode(&known(&[other]), &schema, &records(&messages("orders.single.messages")));
    assert_eq!(decoded.bad.len(), 24);
    assert!(decoded.bad[0].reason.contains("`schema_file` lacks the schema with fingerprint"), "{:?}", decoded.bad[0]);
}

#[test]
fn protobuf_messages() {
    let schema = schema(&COLUMNS);
    let sent = records(&messages("orders.protobuf.messages"));
    assert_same(&decode(&order_proto(), &schema, &sent), &expected(&schema), "compiled here");
    let descriptor = from_descriptor_set(&file("orders.desc"), Some("acme.Order")).unwrap();
    let format = Format::Protobuf(ProtobufMessage::Known(descriptor));
    assert_same(&decode(&format, &schema, &sent), &expected(&schema), "compiled by protoc");
}

#[test]
fn arrow_messages() {
    let schema = schema(&COLUMNS);
    for name in ["orders.plain.arrows", "orders.lz4.arrows", "orders.zstd.arrows"] {
        let decoded = decode(&Format::Arrow, &schema, &records(&[file(name)]));
        assert_same(&decoded, &expected(&schema), name);
    }
}

#[tokio::test]
async fn files() {
    let schema = schema(&COLUMNS);
    let expected = expected(&schema);
    let avro = Format::Avro(AvroSchemas::Container);
    for (name, kind, format) in [
        ("orders.null.avro", Container::Avro, &avro),
        ("orders.deflate.avro", Container::Avro, &avro),
        ("orders.snappy.avro", Container::Avro, &avro),
        ("orders.zstandard.avro", Container::Avro, &avro),
        ("orders.arrow", Container::Arrow, &Format::Arrow),
        ("orders.plain.arrows", Container::Arrow, &Format::Arrow),
        ("orders.lz4.arrows", Container::Arrow, &Format::Arrow),
        ("orders.zstd.arrows", Container::Arrow, &Format::Arrow),
    ] {
        for bytes in [1, 1000, 1 << 20] {
            let batches = read(name, kind, bytes).await;
            let decoded: Vec<Decoded> = batches.iter().map(|records| decode(format, &schema, records)).collect();
            assert!(decoded.iter().all(|decoded| decoded.bad.is_empty()), "{name}: {decoded:?}");
            let rows: Vec<String> = decoded.iter().flat_map(|decoded| rows(&decoded.batch)).collect();
            assert_eq!(rows, super::rows(&expected.batch), "{name}");
        }
    }
}

async fn read(name: &str, kind: Container, bytes: usize) -> Vec<Records> {
    let options = FileOptions::new(folder().join(name).to_str().unwrap());
    let source = FileSource::new(options, watershed_connectors::FileContent::Container(kind)).unwrap();
    let [split] = source.splits().await.unwrap().try_into().unwrap();
    let mut reader = source.open(&split, None).await.unwrap();
    let mut all = Vec::new();
    loop {
        let mut records = Records::default();
        let status = reader.read(&mut records, ReadLimits { bytes, wait: std::time::Duration::ZERO }).await.unwrap();
        assert_eq!(records.rejected(), []);
        all.push(records);
        if status == ReadStatus::Ended {
            return all;
        }
    }
}

/// What protobuf's own library makes of the message in JSON.
#[test]
fn every_kind_of_field_as_json() {
    let format = from_descriptor_set(&file("orders.desc"), Some("acme.Every")).unwrap();
    let format = Format::Protobuf(ProtobufMessage::Known(format));
    let shown: serde_json::Value = serde_json::from_str(&text("every.shown.json")).unwrap();
    let names: Vec<&str> = shown.as_object().unwrap().keys().map(String::as_str).collect();
    // A column for each, as JSON where it has an inside.
    let columns: Vec<(&str, &str)> = names.iter().map(|name| (*name, "json")).collect();
    let schema = schema(&columns);
    let decoded = decode(&format, &schema, &records(&messages("every.protobuf.messages")));
    assert_eq!(decoded.bad, []);
    for (column, name) in decoded.batch.columns().iter().zip(&names) {
        let text = show(column, 0);
        let mut found: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{name}: {text}"));
        // At the top a column knows its own type: only what lies inside follows JSON's rules for large numbers.
        if let (true, Some(number)) = (shown[name].is_string(), found.as_number()) {
            found = number.to_string().into();
        }
        if matches!(*name, "wrapped" | "took") && found.is_object() {
            panic!("{name} has its short form");
        }
        assert_eq!(&found, &shown[*name], "{name}");
    }
}

#[test]
fn every_kind_of_field() {
    let format = from_descriptor_set(&file("orders.desc"), Some("acme.Every")).unwrap();
    let format = Format::Protobuf(ProtobufMessage::Known(format));
    let schema = schema(&[
        ("a_uint32", "bigint"),
        ("a_uint64", "decimal(20,0)"),
        ("a_int64", "bigint"),
        ("took", "double"),
        ("wrapped", "int"),
        ("lacking", "string"),
        ("by_name", "string"),
        ("by_number", "string"),
        ("packed", "list<bigint>"),
        ("addresses", "list<struct<city: string, zip: int>>"),
        ("by_zip", "map<int, struct<city: string>>"),
        ("inner", "struct<a_int32: int, by_name: string, by_number: int, inner: json>"),
        ("zero", "int"),
        ("implicit", "int"),
        ("kinds", "list<string>"),
        ("detail", "json"),
    ]);
    let decoded = decode(&format, &schema, &records(&messages("every.protobuf.messages")));
    assert_eq!(decoded.bad, []);
    let row = "4294967295|18446744073709551615|-9223372036854775808|3.25|77|null|null|3|[1,-1,300]|\
               [{city:a,zip:1},{city:,zip:0}]|<-6={city:},5={city:five}>|{a_int32:1,by_name:in\"ner,by_number:null,inner:null}|\
               0|0|[PAID,NEW]|{\"x\":[1.0,\"two\",null,{\"y\":true}],\"z\":1.5}";
    assert_eq!(rows(&decoded.batch), [row]);
    // A number too large for its column is no other number.
    let narrow = super::schema(&[("a_uint64", "bigint")]);
    let decoded = decode(&format, &narrow, &records(&messages("every.protobuf.messages")));
    assert_eq!(decoded.bad[0].reason, "a_uint64: expected bigint, found 18446744073709551615 (uint64)");
}
