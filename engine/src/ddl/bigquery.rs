//! BigQuery: an external table over Google Cloud Storage, with the folders as partition columns.
//!
//! A query without a filter on them would read the whole lake, and is refused.

use arrow::datatypes::DataType;
use watershed_sinks::parquet::{FolderLevel, LevelValues};

use super::place::Place;
use super::text::{Unread, declared, fields, key_and_value, list, literal, nests, quoted, unread};
use super::{LakeTable, Unfit};

const NAME: &str = "BigQuery";
/// What NUMERIC holds: digits before and behind the point.
const NUMERIC: (i16, i8) = (29, 9);

pub(super) fn statements(table: &LakeTable) -> Result<String, Unfit> {
    table.check_alone(NAME)?;
    let Place::Gcs(key) = table.place() else {
        return Err(table.unreachable(NAME, "Google Cloud Storage", "gs://BUCKET/PREFIX"));
    };
    let columns = list(declared(&table.columns(NAME, sql_type)?, '`'));
    let mut text = format!("CREATE OR REPLACE EXTERNAL TABLE {} (\n{columns}\n)\n", quoted(&table.name, '`'));
    // One asterisk is allowed; this one leaves out what lies beside the folders.
    let files = match table.levels().first() {
        Some(level) => format!("gs://{key}/{}=*", level.name),
        None => format!("gs://{key}/{}*.parquet", table.layout.prefix),
    };
    let mut options = vec!["format = 'PARQUET'".to_owned(), format!("uris = [{}]", literal(&files))];
    // A list is a list, and not a record that holds a repeated record.
    options.push("enable_list_inference = TRUE".to_owned());
    if !table.levels().is_empty() {
        let levels = table.levels().iter().map(|level| format!("{} {}", quoted(&level.name, '`'), level_type(level)));
        text.push_str(&format!("WITH PARTITION COLUMNS (\n{}\n)\n", list(levels)));
        options.push(format!("hive_partition_uri_prefix = {}", literal(&format!("gs://{key}"))));
        options.push("require_hive_partition_filter = TRUE".to_owned());
    }
    Ok(format!("{text}OPTIONS (\n{}\n);\n", list(options)))
}

/// Partition columns may be text, integers, dates or timestamps.
fn level_type(level: &FolderLevel) -> &'static str {
    match &level.values {
        LevelValues::Date | LevelValues::Column(DataType::Date32) => "DATE",
        LevelValues::Hour => "INT64",
        LevelValues::Column(of) if of.is_integer() => "INT64",
        LevelValues::Region | LevelValues::Column(_) => "STRING",
    }
}

fn sql_type(data_type: &DataType) -> Result<String, Unread> {
    Ok(match data_type {
        DataType::Boolean => "BOOL".to_owned(),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => "INT64".to_owned(),
        DataType::Float32 | DataType::Float64 => "FLOAT64".to_owned(),
        DataType::Decimal128(precision, scale) => {
            let before = i16::from(*precision) - i16::from(*scale);
            let name = if before <= NUMERIC.0 && *scale <= NUMERIC.1 { "NUMERIC" } else { "BIGNUMERIC" };
            format!("{name}({precision}, {scale})")
        }
        DataType::Utf8 => "STRING".to_owned(),
        DataType::Binary | DataType::FixedSizeBinary(_) => "BYTES".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Timestamp(..) => "TIMESTAMP".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".to_owned(),
        DataType::List(item) if matches!(item.data_type(), DataType::List(_)) => {
            return Err(nests("lists of lists", "a list of structs that hold the inner lists"));
        }
        DataType::List(item) => format!("ARRAY<{}>", sql_type(item.data_type())?),
        DataType::Struct(of) => {
            format!("STRUCT<{}>", fields(of, sql_type, |name, of| format!("{} {of}", quoted(name, '`')))?)
        }
        // Maps have no type: they are what they are made of in the file.
        DataType::Map(entries, _) => {
            let DataType::Struct(of) = entries.data_type() else { return Err(unread(data_type)) };
            let (key, value) = key_and_value(entries, sql_type)?;
            let pair = format!("{} {key}, {} {value}", quoted(of[0].name(), '`'), quoted(of[1].name(), '`'));
            format!("STRUCT<{} ARRAY<STRUCT<{pair}>>>", quoted(entries.name(), '`'))
        }
        other => return Err(unread(other)),
    })
}
