//! What records mean, checked on every path at once: exact, fast, and arrow-json where it applies.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod avro;
mod chunks;
mod columnar;
mod csv;
mod formats;
mod hostile;
mod infer;
mod json;
mod oracle;
mod property;
mod scalars;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use watershed_connectors::Records;

use super::*;
use crate::schema::SourceField;

/// A schema from names and types; a format stands behind an `@`: `timestamp@epoch_ms`.
fn schema(fields: &[(&str, &str)]) -> SourceSchema {
    let field = |(name, declared): &(&str, &str)| {
        let (sql, format) = declared.split_once('@').map_or((*declared, None), |(sql, format)| (sql, Some(format)));
        SourceField::parse(*name, sql, format).unwrap()
    };
    SourceSchema { fields: fields.iter().map(field).collect() }
}

fn records<P: AsRef<[u8]>>(payloads: &[P]) -> Records {
    let mut records = Records::default();
    for (i, payload) in payloads.iter().enumerate() {
        records.push(payload.as_ref(), i as u64);
    }
    records
}

fn all(schema: &SourceSchema) -> Vec<usize> {
    (0..schema.fields.len()).collect()
}

/// Decodes on every path and insists that they agree.
fn decode_json<P: AsRef<[u8]>>(schema: &SourceSchema, projection: &[usize], payloads: &[P]) -> Decoded {
    let records = records(payloads);
    let exact = super::json::exact(schema, projection).unwrap().decode(&records);
    let mut fast = super::json::fast(schema, projection).unwrap();
    // Twice: at first it learns the layout, then it knows it.
    assert_same(&fast.decode(&records), &exact, "fast, first");
    assert_same(&fast.decode(&records), &exact, "fast, again");
    if let Some(mut arrow) = super::json::arrow(schema, projection).unwrap() {
        assert_same(&arrow.decode(&records), &exact, "arrow");
        assert_same(&arrow.decode(&records), &exact, "arrow, again");
    }
    assert_eq!(exact.batch.num_rows() + exact.bad.len(), payloads.len());
    exact
}

fn assert_same(one: &Decoded, exact: &Decoded, path: &str) {
    assert_eq!(one.bad, exact.bad, "{path}");
    assert_eq!(one.batch, exact.batch, "{path}");
    // Equality of floats takes -0.0 for 0.0; the text does not.
    assert_eq!(rows(&one.batch), rows(&exact.batch), "{path}");
}

/// Rows as text: fields joined by a bar.
fn rows(batch: &RecordBatch) -> Vec<String> {
    let row = |i| batch.columns().iter().map(|c| show(c, i)).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(row).collect()
}

/// A value as text; timestamps as microseconds, bytes in hex.
fn show(array: &dyn Array, i: usize) -> String {
    if array.is_null(i) {
        return "null".to_owned();
    }
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(i).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(i).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(i).to_string(),
        DataType::Float32 => format!("{:?}", array.as_primitive::<Float32Type>().value(i)),
        DataType::Float64 => format!("{:?}", array.as_primitive::<Float64Type>().value(i)),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value_as_string(i),
        DataType::Date32 => array.as_primitive::<arrow::datatypes::Date32Type>().value_as_date(i).unwrap().to_string(),
        DataType::Timestamp(..) => array.as_primitive::<TimestampMicrosecondType>().value(i).to_string(),
        DataType::Utf8View => array.as_string_view().value(i).to_owned(),
        DataType::Utf8 => array.as_string::<i32>().value(i).to_owned(),
        DataType::BinaryView => array.as_binary_view().value(i).iter().map(|b| format!("{b:02x}")).collect(),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(i);
            format!("[{}]", (0..items.len()).map(|i| show(&items, i)).collect::<Vec<_>>().join(","))
        }
        DataType::Struct(fields) => {
            let children = array.as_struct().columns().iter().zip(fields);
            format!(
                "{{{}}}",
                children.map(|(c, f)| format!("{}:{}", f.name(), show(c, i))).collect::<Vec<_>>().join(",")
            )
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(i);
            let entry = |i| format!("{}={}", show(entries.column(0), i), show(entries.column(1), i));
            format!("<{}>", (0..entries.len()).map(entry).collect::<Vec<_>>().join(","))
        }
        other => panic!("{other}"),
    }
}
