//! DuckDB: a view over the files, which knows the types of their columns by itself.

use arrow::datatypes::DataType;
use watershed_sinks::parquet::{FolderLevel, LevelValues};

use super::place::{Place, in_container};
use super::text::{list, literal, quoted};
use super::{AZURE, LakeTable, Unfit};

const NAME: &str = "DuckDB";

pub(super) fn statements(table: &LakeTable) -> Result<String, Unfit> {
    let (extension, root) = match table.place() {
        Place::S3(key) => (Some("httpfs"), format!("s3://{key}")),
        Place::Gcs(key) => (Some("httpfs"), format!("gs://{key}")),
        Place::Azure { account, container, path } => {
            (Some("azure"), format!("abfss://{account}.dfs.core.windows.net/{}", in_container(container, path)))
        }
        Place::Local(path) => {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
            (None, path.display().to_string())
        }
        Place::Other => {
            return Err(table.unreachable(NAME, "s3://, gs://, abfss:// and folders", AZURE));
        }
    };
    let files = format!("{}/{}{}", escaped(&root), table.folders(), table.files());
    let mut arguments = vec![literal(&files), "union_by_name = true".to_owned()];
    let types: Vec<_> = table.levels().iter().map(level_type).collect();
    arguments.push(format!("hive_partitioning = {}", !table.levels().is_empty()));
    if !types.is_empty() {
        arguments.push(format!("hive_types = {{{}}}", types.join(", ")));
    }
    let load = extension.map_or_else(String::new, |name| format!("INSTALL {name};\nLOAD {name};\n"));
    Ok(format!(
        "{load}CREATE OR REPLACE VIEW {} AS\nSELECT * FROM read_parquet(\n{}\n);\n",
        quoted(&table.name, '"'),
        list(arguments)
    ))
}

/// What glob characters in a folder's own name have to be written as.
fn escaped(path: &str) -> String {
    path.chars().map(|c| if matches!(c, '*' | '?' | '[') { format!("[{c}]") } else { c.to_string() }).collect()
}

/// A level and its type.
fn level_type(level: &FolderLevel) -> String {
    let sql_type = match &level.values {
        LevelValues::Region => "VARCHAR".to_owned(),
        LevelValues::Date => "DATE".to_owned(),
        LevelValues::Hour => "INTEGER".to_owned(),
        LevelValues::Column(of) => match of {
            DataType::Boolean => "BOOLEAN".to_owned(),
            DataType::Date32 => "DATE".to_owned(),
            DataType::Timestamp(..) => "TIMESTAMPTZ".to_owned(),
            DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
            of if of.is_integer() => "BIGINT".to_owned(),
            _ => "VARCHAR".to_owned(),
        },
    };
    format!("{}: {sql_type}", literal(&level.name))
}
