//! Azure Synapse, serverless: a view over OPENROWSET.
//!
//! `filepath(n)` is what the n-th asterisk of the path stands for; a filter on it leaves folders unopened.

use arrow::datatypes::DataType;
use watershed_sinks::parquet::{FolderLevel, LevelValues};

use super::place::{Place, in_container};
use super::text::{Unread, list, literal, unread};
use super::{AZURE, EPOCH_DIGITS, LakeTable, NO_VALUE, Unfit};

const NAME: &str = "Synapse";
/// Compares bytes, as statistics in files do: only so are row groups left out by a filter on text.
const TEXT: &str = "VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8";

pub(super) fn statements(table: &LakeTable) -> Result<String, Unfit> {
    let Place::Azure { account, container, path } = table.place() else {
        return Err(table.unreachable(NAME, "Azure storage accounts", AZURE));
    };
    let columns = table.columns(NAME, sql_type)?;
    let root = format!("https://{account}.dfs.core.windows.net/{}", in_container(container, path));
    let files = format!("{root}/{}{}*.parquet", table.folders(), table.layout.prefix);
    let selected = columns.iter().map(|column| format!("files.{}", bracketed(&column.name)));
    let levels = table.levels().iter().enumerate().map(|(at, level)| level_column(at + 1, level));
    let declared = columns.iter().map(|column| format!("{} {}", bracketed(&column.name), column.sql_type));
    let mut text = format!(
        "CREATE OR ALTER VIEW {} AS\nSELECT\n{}\nFROM OPENROWSET(\n    BULK {},\n    FORMAT = 'PARQUET'\n)\nWITH (\n{}\n) AS files",
        bracketed(&table.name),
        list(selected.chain(levels)),
        literal(&files),
        list(declared),
    );
    if table.neighbour.is_some() {
        let pattern = format!("{}{}-%", like(&table.layout.prefix), "[0-9]".repeat(EPOCH_DIGITS));
        text.push_str(&format!("\nWHERE files.filename() LIKE {}", literal(&pattern)));
    }
    Ok(text + ";\n")
}

fn level_column(number: usize, level: &FolderLevel) -> String {
    let sql_type = match &level.values {
        LevelValues::Date | LevelValues::Column(DataType::Date32) => "DATE",
        LevelValues::Hour => "INT",
        LevelValues::Column(of) if of.is_integer() => "BIGINT",
        LevelValues::Region | LevelValues::Column(_) => "VARCHAR(255)",
    };
    let value = format!("NULLIF(files.filepath({number}), {})", literal(NO_VALUE));
    format!("CAST({value} AS {sql_type}) AS {}", bracketed(&level.name))
}

fn bracketed(name: &str) -> String {
    format!("[{}]", name.replace(']', "]]"))
}

/// `text` as LIKE takes it for itself.
fn like(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '_' | '%' | '[') { format!("[{c}]") } else { c.to_string() }).collect()
}

/// Nested values come as JSON.
fn sql_type(data_type: &DataType) -> Result<String, Unread> {
    Ok(match data_type {
        DataType::Boolean => "BIT".to_owned(),
        // TINYINT has no sign.
        DataType::Int8 | DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Float32 => "REAL".to_owned(),
        DataType::Float64 => "FLOAT".to_owned(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 => TEXT.to_owned(),
        DataType::Binary | DataType::FixedSizeBinary(_) => "VARBINARY(8000)".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Timestamp(..) => "DATETIME2(6)".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME(6)".to_owned(),
        DataType::List(_) | DataType::Struct(_) | DataType::Map(..) => "VARCHAR(MAX)".to_owned(),
        other => return Err(unread(other)),
    })
}
