//! `[sinks.<name>]`.

use serde::Deserialize;
use serde_spanned::Spanned as At;
use watershed_sinks::ParquetOptions;

use super::keys::KeySet;
use super::place;
use super::read::{fields_of, read_foreign, without_unknown};
use super::region::{SinkConfig, SinkOptions};
use super::resolve::{Context, split};
use super::source::connector_kind;
use super::tree::{Entry, Node};
use super::written::SinkKeys;

/// Sinks of this build.
pub(super) const BUILT: [&str; 4] = ["parquet", "delta", "stdout", "null"];

/// Sinks that the design knows and this build lacks.
const ELSEWHERE: [&str; 2] = ["kafka", "http"];

/// A sink that has nothing to set.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoOptions {}

pub(super) fn resolve(entry: &Entry, title: &str, context: &Context<'_>) -> Option<SinkConfig> {
    let common: Vec<&str> = SinkKeys::KEYS.iter().map(|key| key.name).collect();
    let (own, rest) = split(&entry.node, &common);
    let keys: SinkKeys = context.read(&own, title)?;
    let kind = connector_kind(&keys.connector, &BUILT, &ELSEWHERE, "sink", context)?;
    let fields = match kind {
        "parquet" | "delta" => fields_of::<ParquetOptions>(),
        _ => fields_of::<NoOptions>(),
    };
    let known: Vec<&str> = common.iter().chain(fields).copied().collect();
    let options = match kind {
        "parquet" | "delta" => {
            let (rest, store) = place::part(&rest, title, &known, context);
            let options = Box::new(parquet(&rest, &store, title, context)?);
            for key in ["compact", "vacuum"] {
                if let (true, Some(node)) = (kind == "parquet", rest.get(key)) {
                    let way_out = "take it out, or write to connector = \"delta\"; `roll` keeps files few here, too";
                    context.refuse(
                        node.span.clone(),
                        format!("`{key}` needs a log, which plain Parquet does not have"),
                        way_out,
                    );
                }
            }
            if kind == "delta" { SinkOptions::Delta(options) } else { SinkOptions::Parquet(options) }
        }
        _ => {
            without_unknown(&rest, title, &known, &context.document, &context.findings);
            if kind == "stdout" { SinkOptions::Stdout } else { SinkOptions::Null }
        }
    };
    Some(SinkConfig {
        name: entry.key.clone(),
        options,
        location: context.document.location(entry.node.span.clone()),
        written: context.as_written(&entry.node),
    })
}

fn parquet(table: &Node, store: &Node, title: &str, context: &Context<'_>) -> Option<ParquetOptions> {
    let mut options: ParquetOptions = read_foreign(table, title, &context.document, &context.findings)?;
    let at = |key: &str| table.get(key).unwrap_or(table);
    let url = At::new(at("url").span.clone(), options.url.clone());
    if let Some(store) = place::resolve(store, title, &url, context) {
        options.store = store;
    }
    let roll = at("roll");
    let sizes = [
        ("size", options.roll.size.0 == 0, roll),
        ("every", options.roll.every.0.is_zero(), roll),
        ("idle", options.roll.idle.0.is_zero(), roll),
        ("row_group_size", options.row_group_size.0 == 0, table),
        ("retain", options.retain.is_some_and(|retain| retain.0.is_zero()), table),
        ("every", options.compact.is_some_and(|compact| compact.every.0.is_zero()), at("compact")),
    ];
    for (key, is_zero, table) in sizes {
        if is_zero {
            let node = table.get(key).unwrap_or(table);
            context.refuse(node.span.clone(), format!("`{key}` cannot be zero"), "leave it out for the default");
        }
    }
    Some(options)
}
