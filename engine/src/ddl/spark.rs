//! Apache Spark SQL: a table over the folder, whose partitions are looked for once and again when there are new ones.

use arrow::datatypes::DataType;
use watershed_sinks::parquet::{FolderLevel, LevelValues};

use super::text::{Unread, declared, fields, key_and_value, list, literal, plain, quoted, unread};
use super::{AZURE, LakeTable, Unfit};

const NAME: &str = "Spark";

pub(super) fn statements(table: &LakeTable) -> Result<String, Unfit> {
    // There is an option that selects files by name, but Spark forgets it where partitions are in its catalog.
    table.check_alone(NAME)?;
    let Some(location) = table.place().url("s3a") else {
        return Err(table.unreachable(NAME, "s3://, gs://, abfss:// and folders", AZURE));
    };
    let name = quoted(&plain(&table.name), '`');
    let mut columns = declared(&table.columns(NAME, sql_type)?, '`');
    for level in table.levels() {
        columns.push(format!("{} {}", quoted(&level.name, '`'), level_type(level)));
    }
    let mut text = format!("CREATE TABLE IF NOT EXISTS {name} (\n{}\n)\nUSING PARQUET\n", list(columns));
    if !table.levels().is_empty() {
        let levels: Vec<_> = table.levels().iter().map(|level| quoted(&level.name, '`')).collect();
        text.push_str(&format!("PARTITIONED BY ({})\n", levels.join(", ")));
    }
    text.push_str(&format!("LOCATION {};\n", literal(&location)));
    if !table.levels().is_empty() {
        text.push_str(&format!("-- Once more whenever there are new folders:\nMSCK REPAIR TABLE {name};\n"));
    }
    Ok(text)
}

fn level_type(level: &FolderLevel) -> String {
    match &level.values {
        LevelValues::Region => "STRING".to_owned(),
        LevelValues::Date => "DATE".to_owned(),
        LevelValues::Hour => "INT".to_owned(),
        LevelValues::Column(of) => sql_type(of).unwrap_or_else(|_| "STRING".to_owned()),
    }
}

fn sql_type(data_type: &DataType) -> Result<String, Unread> {
    Ok(match data_type {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Float32 => "FLOAT".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 => "STRING".to_owned(),
        DataType::Binary | DataType::FixedSizeBinary(_) => "BINARY".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Timestamp(..) => "TIMESTAMP".to_owned(),
        DataType::List(item) => format!("ARRAY<{}>", sql_type(item.data_type())?),
        DataType::Struct(of) => {
            format!("STRUCT<{}>", fields(of, sql_type, |name, of| format!("{}: {of}", quoted(name, '`')))?)
        }
        DataType::Map(entries, _) => {
            let (key, value) = key_and_value(entries, sql_type)?;
            format!("MAP<{key}, {value}>")
        }
        other => return Err(unread(other)),
    })
}
