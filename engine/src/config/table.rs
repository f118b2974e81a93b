//! `[tables.<name>]`: reference tables.

use std::path::Path;

use super::keys::KeySet;
use super::place::Purpose;
use super::region::{TableConfig, TableFormat};
use super::resolve::Context;
use super::tree::Entry;
use super::written::{TableFormatKey, TableKeys};
use super::{columns, place};

pub(super) fn resolve(entry: &Entry, title: &str, context: &Context<'_>) -> Option<TableConfig> {
    let own: Vec<&str> = TableKeys::KEYS.iter().map(|key| key.name).collect();
    let (own, store) = place::part(&entry.node, title, &own, context);
    let keys: TableKeys = context.read(&own, title)?;
    let schema = columns::resolve(&entry.node, title, keys.schema_file.as_ref(), context);
    let refresh = keys.refresh.as_ref().map(|refresh| context.positive("refresh", refresh));
    let store = place::resolve(&store, title, &keys.url, Purpose::Table, context)?;
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
        store,
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
