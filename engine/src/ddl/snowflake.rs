//! Snowflake: a stage over the place, and an external table over the stage.

use arrow::datatypes::DataType;
use watershed_sinks::parquet::{FolderLevel, LevelValues};

use super::place::{Place, in_container};
use super::text::{Unread, list, literal, quoted, unread};
use super::{EPOCH_DIGITS, LakeTable, NO_VALUE, Unfit};

const NAME: &str = "Snowflake";
const INTEGRATION: &str = "\
-- An administrator makes the storage integration that the stage names:
-- it is what may read the place.
";

pub(super) fn statements(table: &LakeTable) -> Result<String, Unfit> {
    let url = match table.place() {
        Place::S3(key) => format!("s3://{key}/"),
        Place::Gcs(key) => format!("gcs://{key}/"),
        Place::Azure { account, container, path } => {
            format!("azure://{account}.blob.core.windows.net/{}/", in_container(container, path))
        }
        Place::Local(_) | Place::Other => {
            return Err(table.unreachable(NAME, "S3, Google Cloud Storage and Azure", "s3://BUCKET/PREFIX"));
        }
    };
    let stage = quoted(&format!("{}_files", table.name), '"');
    let columns = table.columns(NAME, sql_type)?;
    let columns = columns.iter().map(|column| {
        let (name, sql_type) = (quoted(&column.name, '"'), &column.sql_type);
        format!("{name} {sql_type} AS (value:{name}::{sql_type})")
    });
    let levels = table.levels().iter().map(level_column);
    let mut text = format!(
        "{INTEGRATION}CREATE STAGE IF NOT EXISTS {stage}\n    URL = {}\n    STORAGE_INTEGRATION = watershed;\n\n\
         CREATE OR REPLACE EXTERNAL TABLE {} (\n{}\n)\n",
        literal(&url),
        quoted(&table.name, '"'),
        list(columns.chain(levels)),
    );
    if !table.levels().is_empty() {
        let names: Vec<_> = table.levels().iter().map(|level| quoted(&level.name, '"')).collect();
        text.push_str(&format!("PARTITION BY ({})\n", names.join(", ")));
    }
    let folders: String = table.levels().iter().map(|level| format!("{}=[^/]*/", exactly(&level.name))).collect();
    let prefix = exactly(&table.layout.prefix);
    let pattern = format!(".*{folders}{prefix}[0-9]{{{EPOCH_DIGITS}}}-[0-9]+[.]parquet");
    text.push_str(&format!(
        "LOCATION = @{stage}\nPATTERN = {}\nFILE_FORMAT = (TYPE = PARQUET)\nAUTO_REFRESH = FALSE;\n\
         -- Once more whenever there are new files:\nALTER EXTERNAL TABLE {} REFRESH;\n",
        literal(&pattern),
        quoted(&table.name, '"'),
    ));
    Ok(text)
}

/// A level is taken from the file's path.
fn level_column(level: &FolderLevel) -> String {
    let sql_type = match &level.values {
        LevelValues::Date | LevelValues::Column(DataType::Date32) => "DATE",
        LevelValues::Hour => "NUMBER(2, 0)",
        LevelValues::Column(of) if of.is_integer() => "NUMBER(19, 0)",
        LevelValues::Region | LevelValues::Column(_) => "VARCHAR",
    };
    let pattern = literal(&format!("(^|/){}=([^/]*)/", exactly(&level.name)));
    let value = format!("REGEXP_SUBSTR(METADATA$FILENAME, {pattern}, 1, 1, 'e', 2)");
    let value = format!("NULLIF({value}, {})", literal(NO_VALUE));
    format!("{} {sql_type} AS (CAST({value} AS {sql_type}))", quoted(&level.name, '"'))
}

/// A regular expression for `name` alone. Names of folders and files hold no backslash, bracket or caret.
fn exactly(name: &str) -> String {
    let one = |c: char| {
        if c.is_alphanumeric() || matches!(c, '_' | '-' | '=' | '%') { c.to_string() } else { format!("[{c}]") }
    };
    name.chars().map(one).collect()
}

fn sql_type(data_type: &DataType) -> Result<String, Unread> {
    Ok(match data_type {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "NUMBER(3, 0)".to_owned(),
        DataType::Int16 => "NUMBER(5, 0)".to_owned(),
        DataType::Int32 => "NUMBER(10, 0)".to_owned(),
        DataType::Int64 => "NUMBER(19, 0)".to_owned(),
        DataType::Float32 | DataType::Float64 => "FLOAT".to_owned(),
        DataType::Decimal128(precision, scale) => format!("NUMBER({precision}, {scale})"),
        DataType::Utf8 => "VARCHAR".to_owned(),
        DataType::Binary | DataType::FixedSizeBinary(_) => "BINARY".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        // Moments in UTC.
        DataType::Timestamp(..) => "TIMESTAMP_NTZ(6)".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME(6)".to_owned(),
        DataType::List(_) => "ARRAY".to_owned(),
        DataType::Struct(_) | DataType::Map(..) => "OBJECT".to_owned(),
        other => return Err(unread(other)),
    })
}
