//! `[pipelines.<name>]`.

use std::sync::Arc;

use serde_spanned::Spanned as At;

use super::mapping::Mapping;
use super::origin::SqlOrigin;
use super::region::PipelineConfig;
use super::resolve::Context;
use super::tree::{Entry, Value};
use super::written::PipelineKeys;
use crate::diagnostic::nearest;

/// Resolves a pipeline; `declared` are the names of all sinks, right or wrong.
pub(super) fn resolve(entry: &Entry, title: &str, declared: &[&str], context: &Context<'_>) -> Option<PipelineConfig> {
    let keys: PipelineKeys = context.read(&entry.node, title)?;
    let sinks = sinks(entry, &keys, declared, context);
    if let Some(late) = &keys.late {
        check_sink(late, declared, context);
        if sinks.contains(late.get_ref()) {
            let message = format!("`late` names `{}`, which takes the pipeline's rows", context.written(&late.span()));
            context.refuse(late.span(), message, "late rows are shaped otherwise: give them a sink of their own");
        }
    }
    let allowed_lateness = keys.allowed_lateness.get_ref().0;
    let (sql, origin) = sql(entry, &keys, context)?;
    Some(PipelineConfig {
        name: entry.key.clone(),
        sql,
        origin,
        sinks,
        allowed_lateness,
        emit_empty: *keys.emit_empty.get_ref(),
        late: keys.late.map(At::into_inner),
        location: context.document.location(entry.node.span.clone()),
        written: context.as_written(&entry.node),
    })
}

/// The names under `sink` or `sinks`; what is wrong with them has been reported.
fn sinks(entry: &Entry, keys: &PipelineKeys, declared: &[&str], context: &Context<'_>) -> Vec<String> {
    let wrong_already = |key: &str| entry.node.get(key).is_some();
    let names: Vec<&At<String>> = match (&keys.sink, &keys.sinks) {
        (Some(_), Some(sinks)) => {
            context.refuse(sinks.span(), "`sink` and `sinks` are both given", "keep one of them");
            return Vec::new();
        }
        (Some(sink), None) => vec![sink],
        (None, Some(sinks)) => {
            if sinks.get_ref().is_empty() {
                context.refuse(sinks.span(), "`sinks` is empty", "name at least one sink, such as [\"lake\"]");
            }
            sinks.get_ref().iter().collect()
        }
        (None, None) => {
            if !wrong_already("sink") && !wrong_already("sinks") {
                let message = format!("pipeline `{}` has no sink", entry.key);
                context.refuse(entry.node.span.clone(), message, "add sink = \"NAME\" for one of [sinks.NAME]");
            }
            return Vec::new();
        }
    };
    let mut seen: Vec<String> = Vec::new();
    for name in names {
        check_sink(name, declared, context);
        if seen.contains(name.get_ref()) {
            let message = format!("sink `{}` is named twice", context.written(&name.span()));
            context.refuse(name.span(), message, "its rows would be written twice: remove one");
        }
        seen.push(name.get_ref().clone());
    }
    seen
}

fn check_sink(name: &At<String>, declared: &[&str], context: &Context<'_>) {
    if declared.contains(&name.get_ref().as_str()) {
        return;
    }
    let written = context.written(&name.span());
    let help = match nearest(&written, declared.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if declared.is_empty() => "this file declares no sinks: add [sinks.NAME]".to_string(),
        None => format!("the sinks here are {}", declared.join(", ")),
    };
    context.refuse(name.span(), format!("there is no sink `{written}`"), help);
}

fn sql(entry: &Entry, keys: &PipelineKeys, context: &Context<'_>) -> Option<(String, SqlOrigin)> {
    let secrets = || context.filler.borrow().secrets.clone();
    match (&keys.sql, &keys.sql_file) {
        (Some(_), Some(file)) => {
            context.refuse(file.span(), "`sql` and `sql_file` are both given", "keep one of them");
            None
        }
        (None, None) => {
            if entry.node.get("sql").is_none() && entry.node.get("sql_file").is_none() {
                let message = format!("pipeline `{}` has no SQL", entry.key);
                context.refuse(
                    entry.node.span.clone(),
                    message,
                    "add sql = \"\"\"SELECT …\"\"\" or sql_file = \"PATH\"",
                );
            }
            None
        }
        (Some(sql), None) => {
            if sql.get_ref().trim().is_empty() {
                context.refuse(sql.span(), "`sql` is empty", "a pipeline is one SELECT");
                return None;
            }
            let Value::String(text) = &entry.node.get("sql")?.value else { return None };
            let origin =
                SqlOrigin { document: context.document.clone(), mapping: text.mapping.clone(), secrets: secrets() };
            Some((sql.get_ref().clone(), origin))
        }
        (None, Some(file)) => {
            let document = context.open(file, "SQL")?;
            let sql = document.text().to_string();
            if sql.trim().is_empty() {
                let message = format!("the SQL file `{}` is empty", context.written(&file.span()));
                context.refuse(file.span(), message, "a pipeline is one SELECT");
                return None;
            }
            Some((sql, SqlOrigin { document: Arc::new(document), mapping: Mapping::identity(), secrets: secrets() }))
        }
    }
}
