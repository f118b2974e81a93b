//! `format` of a source: a name, or a table with the dialect.

use serde_spanned::Spanned as At;

use super::document::Span;
use super::resolve::Context;
use super::tree::{Node, Value};
use super::written::FormatKeys;
use crate::decode::{CsvOptions, Format};
use crate::diagnostic::nearest;

const BUILT: [&str; 3] = ["json", "csv", "parquet"];
const ELSEWHERE: [&str; 3] = ["avro", "protobuf", "arrow"];

/// The format of the source `table`; JSON where none is named.
pub(super) fn resolve(table: &Node, title: &str, context: &Context<'_>) -> Option<Format> {
    let Some(node) = table.get("format") else { return Some(Format::Json) };
    match &node.value {
        Value::String(text) => by_name(&text.text, &node.span, context),
        Value::Table(_) => {
            let keys: FormatKeys = context.read(node, &format!("{title}.format"))?;
            match by_name(keys.r#type.get_ref(), &keys.r#type.span(), context)? {
                Format::Json => {
                    refuse_dialect(node, "JSON", context);
                    Some(Format::Json)
                }
                Format::Parquet => {
                    refuse_dialect(node, "Parquet", context);
                    Some(Format::Parquet)
                }
                Format::Csv(_) => csv(&keys, context).map(Format::Csv),
            }
        }
        Value::Broken => None,
        _ => {
            let help = "write \"json\", \"csv\" or { type = \"csv\", delimiter = \";\" }";
            context.refuse(node.span.clone(), "`format` is a name or a table", help);
            None
        }
    }
}

fn by_name(name: &str, span: &Span, context: &Context<'_>) -> Option<Format> {
    let written = context.written(span);
    let have = format!("this build has {}", BUILT.join(", "));
    match name {
        "json" => return Some(Format::Json),
        "csv" => return Some(Format::Csv(CsvOptions::default())),
        "parquet" => return Some(Format::Parquet),
        other if ELSEWHERE.contains(&other) => {
            context.refuse(span.clone(), format!("format `{written}` is not part of this build"), have);
        }
        _ => {
            let help = nearest(&written, BUILT).map_or(have, |near| format!("did you mean `{near}`?"));
            context.refuse(span.clone(), format!("unknown format `{written}`"), help);
        }
    }
    None
}

fn refuse_dialect(node: &Node, format: &str, context: &Context<'_>) {
    for entry in node.entries().iter().filter(|entry| entry.key != "type") {
        let message = format!("`{}` is a key of CSV, not of {format}", entry.key);
        context.refuse(entry.key_span.clone(), message, "remove it, or write type = \"csv\"");
    }
}

fn csv(keys: &FormatKeys, context: &Context<'_>) -> Option<CsvOptions> {
    let default = CsvOptions::default();
    let delimiter = character(keys.delimiter.as_ref(), default.delimiter, "delimiter", context)?;
    let quote = character(keys.quote.as_ref(), default.quote, "quote", context)?;
    if let (true, Some(key)) = (delimiter == quote, keys.quote.as_ref().or(keys.delimiter.as_ref())) {
        context.refuse(key.span(), "`delimiter` and `quote` are the same character", "write two different ones");
        return None;
    }
    Some(CsvOptions {
        delimiter,
        quote,
        header: keys.header.as_ref().map_or(default.header, |header| *header.get_ref()),
        null: keys.null.as_ref().map_or(default.null, |null| null.get_ref().clone()),
    })
}

fn character(written: Option<&At<String>>, default: u8, key: &str, context: &Context<'_>) -> Option<u8> {
    let Some(text) = written else { return Some(default) };
    match text.get_ref().as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | 0) => Some(*byte),
        _ => {
            let help = "write one ASCII character, such as \";\" or \"\\t\"";
            context.refuse(text.span(), format!("`{key}` is one character"), help);
            None
        }
    }
}
