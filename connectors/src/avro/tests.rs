#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

fn schema(text: &str) -> Schema {
    Schema::parse(text, &[]).unwrap()
}

fn refused(text: &str) -> String {
    Schema::parse(text, &[]).unwrap_err().to_string()
}

/// Values of the Java and Python implementations.
#[test]
fn fingerprints_are_those_of_others() {
    for (text, expected) in [
        (r#""null""#, 0x63dd_24e7_cc25_8f8a),
        (r#"{"type": "int", "logicalType": "date"}"#, 0x7275_d51a_3f39_5c8f),
        (r#""string""#, 0x8f01_4872_6345_03c7),
        (
            r#"{"type":"fixed","name":"foo","size":15,"doc":"no part of it"}"#,
            i64::cast_unsigned(1_756_455_273_707_447_556),
        ),
        (
            r#"{"fields":[{"default":true,"type":{"type":"boolean"},"name":"f"}],"aliases":["x"],"name":"foo","type":"record"}"#,
            0xac5977d7ce0fa2db,
        ),
    ] {
        assert_eq!(schema(text).fingerprint(), expected, "{text}");
    }
}

#[test]
fn names_follow_their_namespaces() {
    let text = r#"{"type": "record", "name": "a.Outer", "fields": [
        {"name": "x", "type": {"type": "enum", "name": "E", "symbols": ["A"]}},
        {"name": "y", "type": "a.E"}, {"name": "z", "type": ["null", "E", "Outer"]}]}"#;
    let schema = schema(text);
    let Kind::Record { name, fields } = &schema.node(schema.root()).kind else { panic!("no record") };
    assert_eq!(name, "a.Outer");
    assert_eq!(fields[0].node, fields[1].node);
    assert_eq!(schema.type_name(fields[1].node), "a.E");
    let referenced = Schema::parse(
        r#"{"type": "array", "items": "b.E"}"#,
        &[r#"{"type": "fixed", "name": "E", "namespace": "b", "size": 2}"#],
    );
    assert!(referenced.is_ok());
}

#[test]
fn what_is_no_schema_is_refused() {
    assert_eq!(refused("{"), "the schema is no JSON: EOF while parsing an object at line 1 column 1");
    assert_eq!(refused("7"), "`7` is no type");
    assert_eq!(refused(r#""Order""#), "there is no type `Order`");
    assert_eq!(refused("[]"), "a union has branches, and none of them is a union");
    assert_eq!(refused(r#"{"type": "array"}"#), "a type `array` lacks its `items`");
    assert_eq!(refused(r#"{"type": "record", "fields": []}"#), "a named type lacks its name");
    assert_eq!(refused(r#"{"type": "record", "name": "R"}"#), "record `R` lacks its fields");
    assert_eq!(
        refused(r#"{"type": "fixed", "name": "F", "size": -1}"#),
        "the size of a fixed type is no number of bytes"
    );
    let twice =
        r#"{"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}, {"name": "a", "type": "int"}]}"#;
    assert_eq!(refused(twice), "record `R` has two fields `a`");
    let deep = format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(100), "}".repeat(100));
    assert_eq!(refused(&deep), "the schema is nested more than 64 levels deep");
    assert_eq!(refused(&"[".repeat(2 << 20)), "the schema takes more than 1048576 bytes");
}

#[test]
fn numbers_of_every_length() {
    for value in [0, -1, 1, 63, -64, 64, 1 << 31, i64::MAX, i64::MIN] {
        let mut bits = ((value << 1) ^ (value >> 63)) as u64;
        let mut bytes = Vec::new();
        while bits >= 0x80 {
            bytes.push(bits as u8 | 0x80);
            bits >>= 7;
        }
        bytes.push(bits as u8);
        assert_eq!(Cursor::new(&bytes).long(), Ok(value));
        bytes.pop();
        assert!(Cursor::new(&bytes).long().is_err());
    }
    assert_eq!(Cursor::new(&[0xff; 11]).long().unwrap_err().what, "a number has more than 64 bits");
    assert_eq!(Cursor::new(&[0x80, 0x80, 0x80, 0x80, 0x20]).int().unwrap_err().what, "an int has more than 32 bits");
    assert_eq!(Cursor::new(&[0x01]).bytes().unwrap_err().what, "a length is negative");
}
