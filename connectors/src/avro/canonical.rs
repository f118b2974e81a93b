//! The canonical form of a schema, and the fingerprint that single objects carry of it (Avro's specification, "Parsing
//! Canonical Form for Schemas" and "Schema Fingerprints").

use std::collections::HashSet;
use std::fmt::Write;

use super::schema::{Kind, NodeId, Schema};

/// The schema with nothing in it but what decides how values are encoded.
pub(super) fn form(schema: &Schema) -> String {
    let mut out = String::new();
    write(schema, schema.root(), &mut HashSet::new(), &mut out);
    out
}

/// Writes a named type whole the first time and by its name from then on. The depth is the schema's, which is bounded.
fn write<'s>(schema: &'s Schema, id: NodeId, defined: &mut HashSet<&'s str>, out: &mut String) {
    match &schema.node(id).kind {
        Kind::Fixed { name, .. } | Kind::Enum { name, .. } | Kind::Record { name, .. } if !defined.insert(name) => {
            quote(name, out);
        }
        Kind::Fixed { name, size } => {
            head(name, "fixed", out);
            // Writing to a string does not fail; here and below.
            let _ = write!(out, ",\"size\":{size}}}");
        }
        Kind::Enum { name, symbols } => {
            head(name, "enum", out);
            out.push_str(",\"symbols\":[");
            list(symbols, out, |symbol, out| quote(symbol, out));
            out.push_str("]}");
        }
        Kind::Record { name, fields } => {
            head(name, "record", out);
            out.push_str(",\"fields\":[");
            list(fields, out, |field, out| {
                out.push_str("{\"name\":");
                quote(&field.name, out);
                out.push_str(",\"type\":");
                write(schema, field.node, defined, out);
                out.push('}');
            });
            out.push_str("]}");
        }
        Kind::Array(items) => {
            out.push_str("{\"type\":\"array\",\"items\":");
            write(schema, *items, defined, out);
            out.push('}');
        }
        Kind::Map(values) => {
            out.push_str("{\"type\":\"map\",\"values\":");
            write(schema, *values, defined, out);
            out.push('}');
        }
        Kind::Union(branches) => {
            out.push('[');
            list(branches, out, |branch, out| write(schema, *branch, defined, out));
            out.push(']');
        }
        _ => quote(schema.type_name(id), out),
    }
}

fn head(name: &str, kind: &str, out: &mut String) {
    out.push_str("{\"name\":");
    quote(name, out);
    out.push_str(",\"type\":");
    quote(kind, out);
}

fn list<T>(items: &[T], out: &mut String, mut write: impl FnMut(&T, &mut String)) {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write(item, out);
    }
}

fn quote(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// CRC-64-AVRO, bit by bit: schemas are short.
pub(super) fn fingerprint(bytes: &[u8]) -> u64 {
    const EMPTY: u64 = 0xc15d_213a_a4d7_a795;
    bytes.iter().fold(EMPTY, |crc, byte| {
        (0..8).fold(crc ^ u64::from(*byte), |crc, _| (crc >> 1) ^ (EMPTY & (crc & 1).wrapping_neg()))
    })
}
