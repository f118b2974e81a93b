//! Trino's Hive connector: an external table whose partitions are projected, as Athena's are.
//!
//! The catalog has to allow that (`hive.partition-projection-enabled`), to pass over hours in which nothing came
//! (`hive.ignore-absent-partitions`: a query fails on them where folders are more than a part of a name), and to keep what
//! timestamps have behind their milliseconds (`hive.timestamp-precision`).

use arrow::datatypes::DataType;
use watershed_sinks::parquet::{FolderLevel, LevelValues};

use super::text::{Unread, declared, fields, key_and_value, list, literal, plain, quoted, unread};
use super::{AZURE, LakeTable, Unfit};

const NAME: &str = "Trino";
const CATALOG: &str = "\
-- In the catalog: hive.partition-projection-enabled=true, hive.ignore-absent-partitions=true,
-- hive.timestamp-precision=MICROSECONDS
";

pub(super) fn statements(table: &LakeTable) -> Result<String, Unfit> {
    table.check_alone(NAME)?;
    let Some(location) = table.place().url("s3") else {
        return Err(table.unreachable(NAME, "s3://, gs:// and abfss://", AZURE));
    };
    let mut columns = declared(&table.columns(NAME, sql_type)?, '"');
    columns.extend(table.levels().iter().map(|level| level_column(level, &table.layout.region)));
    let mut properties = vec!["format = 'PARQUET'".to_owned(), format!("external_location = {}", literal(&location))];
    if !table.levels().is_empty() {
        let names: Vec<_> = table.levels().iter().map(|level| literal(&level.name)).collect();
        properties.push(format!("partitioned_by = ARRAY[{}]", names.join(", ")));
        properties.push("partition_projection_enabled = true".to_owned());
    }
    Ok(format!(
        "{CATALOG}CREATE TABLE IF NOT EXISTS {} (\n{}\n)\nWITH (\n{}\n);\n",
        quoted(&plain(&table.name), '"'),
        list(columns),
        list(properties),
    ))
}

/// Values of an output column are unknown: a query has to name them.
fn level_column(level: &FolderLevel, region: &str) -> String {
    let (sql_type, projection) = match &level.values {
        LevelValues::Region => (
            "varchar",
            format!("partition_projection_type = 'ENUM', partition_projection_values = ARRAY[{}]", literal(region)),
        ),
        LevelValues::Date => (
            "date",
            "partition_projection_type = 'DATE', partition_projection_format = 'yyyy-MM-dd', \
             partition_projection_range = ARRAY['2000-01-01', 'NOW+1DAYS'], partition_projection_interval = 1, \
             partition_projection_interval_unit = 'DAYS'"
                .to_owned(),
        ),
        LevelValues::Hour => (
            "integer",
            "partition_projection_type = 'INTEGER', partition_projection_range = ARRAY['0', '23'], \
             partition_projection_digits = 2"
                .to_owned(),
        ),
        LevelValues::Column(_) => ("varchar", "partition_projection_type = 'INJECTED'".to_owned()),
    };
    format!("{} {sql_type} WITH ({projection})", quoted(&level.name, '"'))
}

fn sql_type(data_type: &DataType) -> Result<String, Unread> {
    Ok(match data_type {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "integer".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision}, {scale})"),
        DataType::Utf8 => "varchar".to_owned(),
        DataType::Binary | DataType::FixedSizeBinary(_) => "varbinary".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(..) => "timestamp(6)".to_owned(),
        DataType::List(item) => format!("array({})", sql_type(item.data_type())?),
        DataType::Struct(of) => {
            format!("row({})", fields(of, sql_type, |name, of| format!("{} {of}", quoted(name, '"')))?)
        }
        DataType::Map(entries, _) => {
            let (key, value) = key_and_value(entries, sql_type)?;
            format!("map({key}, {value})")
        }
        other => return Err(unread(other)),
    })
}
