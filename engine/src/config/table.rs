//! `[tables.<name>]`: reference tables.

use std::path::Path;

use super::columns;
use super::region::{TableConfig, TableFormat};
use super::resolve::{Context, place};
use super::tree::Entry;
use super::written::{TableFormatKey, TableKeys};

pub(super) fn resolve(entry: &Entry, title: &str, context: &Context<'_>) -> Option<TableConfig> {
    let keys: TableKeys = context.read(&entry.node, title)?;
    let schema = columns::resolve(&entry.node, title, keys.schema_file.as_ref(), context);
    let refresh = keys.refresh.as_ref().map(|refresh| context.positive("refresh", refresh));
    place(&keys.url, "url", context)?;
    let format = match keys.format.map(|format| *format.get_ref()) {
        Some(TableFormatKey::Parquet) => TableFormat::Parquet,
        Some(TableFormatKey::Csv) => TableFormat::Csv,
        Some(TableFormatKey::Json) => TableFormat::Json,
        None => match by_extension(keys.url.get_ref()) {
            Some(format) => format,
            None => {
                let message = format!("the format of \"{}\" cannot be told", context.written(&keys.url.span()));
                context.refuse(keys.url.span(), message, "add format = \"parquet\", \"csv\" or \"json\"");
                return None;
            }
        },
    };
    Some(TableConfig {
        name: entry.key.clone(),
        url: keys.url.into_inner(),
        format,
        refresh,
        schema,
        location: context.document.location(entry.node.span.clone()),
        written: context.as_written(&entry.node),
    })
}

fn by_extension(url: &str) -> Option<TableFormat> {
    match Path::new(url).extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "parquet" => Some(TableFormat::Parquet),
        "csv" => Some(TableFormat::Csv),
        "json" | "ndjson" | "jsonl" => Some(TableFormat::Json),
        _ => None,
    }
}
