//! Amazon Athena: an external table whose partitions are projected.
//!
//! Projection works out folders from the values of `date` and `hour`, so no crawler and no `MSCK REPAIR` is needed, and a
//! new hour is there as soon as its first file is. Athena skips names that begin with an underscore.

use arrow::datatypes::DataType;
use watershed_sinks::parquet::{FolderLevel, LevelValues};

use super::place::Place;
use super::text::{Unread, declared, fields, key_and_value, list, literal, plain, quoted, unread};
use super::{LakeTable, Unfit};

const NAME: &str = "Athena";

pub(super) fn statements(table: &LakeTable) -> Result<String, Unfit> {
    table.check_alone(NAME)?;
    let Place::S3(key) = table.place() else {
        return Err(table.unreachable(NAME, "S3", "s3://BUCKET/PREFIX"));
    };
    let columns = list(declared(&table.columns(NAME, hive_type)?, '`'));
    let name = quoted(&plain(&table.name), '`');
    let mut text = format!("CREATE EXTERNAL TABLE IF NOT EXISTS {name} (\n{columns}\n)\n");
    if !table.levels().is_empty() {
        let levels = table.levels().iter().map(|level| format!("{} {}", quoted(&level.name, '`'), level_type(level)));
        text.push_str(&format!("PARTITIONED BY (\n{}\n)\n", list(levels)));
    }
    text.push_str(&format!("STORED AS PARQUET\nLOCATION {}", literal(&format!("s3://{key}/"))));
    if !table.levels().is_empty() {
        let folders: Vec<_> = table.levels().iter().map(|level| format!("{0}=${{{0}}}", level.name)).collect();
        let template = format!("s3://{key}/{}/", folders.join("/"));
        let mut properties = vec![("projection.enabled".to_owned(), "true".to_owned())];
        properties.extend(table.levels().iter().flat_map(|level| projection(level, &table.layout.region)));
        properties.push(("storage.location.template".to_owned(), template));
        let properties = properties.iter().map(|(key, value)| format!("{} = {}", literal(key), literal(value)));
        text.push_str(&format!("\nTBLPROPERTIES (\n{}\n)", list(properties)));
    }
    Ok(text + ";\n")
}

/// How the values of a level are worked out. Those of an output column are unknown: a query has to name them.
fn projection(level: &FolderLevel, region: &str) -> Vec<(String, String)> {
    let settings: &[(&str, &str)] = match &level.values {
        LevelValues::Region => &[("type", "enum"), ("values", region)],
        LevelValues::Date => &[
            ("type", "date"),
            ("format", "yyyy-MM-dd"),
            ("range", "2000-01-01,NOW+1DAYS"),
            ("interval", "1"),
            ("interval.unit", "DAYS"),
        ],
        LevelValues::Hour => &[("type", "integer"), ("range", "0,23"), ("digits", "2")],
        LevelValues::Column(_) => &[("type", "injected")],
    };
    let setting = |(key, value): &(&str, &str)| (format!("projection.{}.{key}", level.name), (*value).to_owned());
    settings.iter().map(setting).collect()
}

/// Dates as text, which compares as dates do: Athena's own examples project dates so. Only text can be injected.
fn level_type(level: &FolderLevel) -> &'static str {
    match &level.values {
        LevelValues::Region | LevelValues::Date | LevelValues::Column(_) => "string",
        LevelValues::Hour => "int",
    }
}

/// Hive's types. Names of nested fields stand bare, as Athena's catalog wants them.
fn hive_type(data_type: &DataType) -> Result<String, Unread> {
    Ok(match data_type {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Utf8 => "string".to_owned(),
        DataType::Binary | DataType::FixedSizeBinary(_) => "binary".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(..) => "timestamp".to_owned(),
        DataType::List(item) => format!("array<{}>", hive_type(item.data_type())?),
        DataType::Struct(of) => format!("struct<{}>", fields(of, hive_type, |name, of| format!("{name}:{of}"))?),
        DataType::Map(entries, _) => {
            let (key, value) = key_and_value(entries, hive_type)?;
            format!("map<{key}, {value}>")
        }
        other => return Err(unread(other)),
    })
}
