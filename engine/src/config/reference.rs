//! The config reference, made from the same declarations that read the file.

use super::keys::{Default, Key, KeySet};
use super::written::{
    CheckpointKeys, DeduplicateKeys, FieldKeys, FormatKeys, HttpKeys, PipelineKeys, RegionKeys, ResidencyKeys,
    SinkKeys, SourceKeys, StoreKeys, TableKeys,
};
use super::{sink, source};

/// Every key of a region file as Markdown: one table of keys for each table of the file.
pub fn reference() -> String {
    let sets: [(&str, &[Key]); 12] = [
        ("At the top of the file", RegionKeys::KEYS),
        ("`[checkpoint]`", CheckpointKeys::KEYS),
        ("`[http]`", HttpKeys::KEYS),
        ("`[residency]`", ResidencyKeys::KEYS),
        ("`[sources.NAME]`", SourceKeys::KEYS),
        ("A column of `schema`, written as a table", FieldKeys::KEYS),
        ("`deduplicate` of a source, written as a table", DeduplicateKeys::KEYS),
        ("`format` of a source, written as a table", FormatKeys::KEYS),
        ("`[sinks.NAME]`", SinkKeys::KEYS),
        ("`[tables.NAME]`", TableKeys::KEYS),
        ("`[pipelines.NAME]`", PipelineKeys::KEYS),
        ("Beside a `url` that leads to an object store", StoreKeys::KEYS),
    ];
    let mut out = String::new();
    for (title, keys) in sets {
        out.push_str(&format!("## {title}\n\n| key | default | meaning |\n|---|---|---|\n"));
        for key in keys {
            out.push_str(&row(key));
        }
        out.push('\n');
    }
    out.push_str("## Keys of each connector\n\n| connector | keys |\n|---|---|\n");
    for kind in source::built() {
        out.push_str(&format!("| source `{kind}` | {} |\n", names(source::fields(kind))));
    }
    for kind in sink::built() {
        out.push_str(&format!("| sink `{kind}` | {} |\n", names(&sink::fields(kind))));
    }
    out
}

fn row(key: &Key) -> String {
    let default = match key.default {
        Default::Value(toml) => format!("`{toml}`"),
        Default::Words(words) => words.to_string(),
        Default::Required => "required".to_string(),
    };
    let doc: Vec<&str> = key.doc.iter().map(|line| line.trim()).collect();
    format!("| `{}` | {default} | {} |\n", key.name, doc.join(" "))
}

fn names(fields: &[&str]) -> String {
    if fields.is_empty() {
        return "none".to_string();
    }
    let names: Vec<_> = fields.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
