//! `[sinks.<name>]`.

use std::time::Duration;

use serde::Deserialize;
use serde_spanned::Spanned as At;
use watershed_sinks::{ByteSize, ParquetOptions};

use super::keys::KeySet;
use super::messages::{self, OUTLETS};
use super::place::{self, Purpose};
use super::read::{fields_of, read_foreign, without_unknown};
use super::region::{SinkConfig, SinkOptions, Spill, Standby};
use super::resolve::{Context, split};
use super::source::{connector_kind, hide_secrets};
use super::tree::{Entry, Node};
use super::written::{OnOutageKey, SinkKeys};

/// Sinks of every build.
const LOCAL: [&str; 4] = ["parquet", "delta", "stdout", "null"];

/// Sinks that a build may lack.
const ELSEWHERE: [&str; 6] = ["kafka", "kinesis", "pubsub", "eventhubs", "http", "postgres"];

/// Hours of a few thousand rows a second, and little for a disk.
const SPILL_LIMIT: ByteSize = ByteSize(10_000_000_000);

/// Longer than a store takes for a change of the guard, and shorter than people wait for rows.
const STANDBY_AFTER: Duration = Duration::from_secs(300);

/// A sink that has nothing to set.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoOptions {}

/// Sinks of this build.
pub(super) fn built() -> Vec<&'static str> {
    LOCAL.into_iter().chain(OUTLETS.iter().map(|outlet| outlet.name)).collect()
}

/// Keys that are of use only where a log says which files a table has.
const OF_A_LOG: [&str; 2] = ["compact", "vacuum"];

/// The keys of a sink, beside those of every sink.
pub(super) fn fields(kind: &str) -> Vec<&'static str> {
    match kind {
        "parquet" => fields_of::<ParquetOptions>().iter().copied().filter(|key| !OF_A_LOG.contains(key)).collect(),
        "delta" => fields_of::<ParquetOptions>().to_vec(),
        "stdout" | "null" => fields_of::<NoOptions>().to_vec(),
        other => messages::find(other).map_or(Vec::new(), |outlet| (outlet.fields)().to_vec()),
    }
}

pub(super) fn resolve(entry: &Entry, title: &str, context: &Context<'_>) -> Option<SinkConfig> {
    let common: Vec<&str> = SinkKeys::KEYS.iter().map(|key| key.name).collect();
    let (own, rest) = split(&entry.node, &common);
    let keys: SinkKeys = context.read(&own, title)?;
    let kind = connector_kind(&keys.connector, &built(), &ELSEWHERE, "sink", context)?;
    let own: Vec<&str> = match kind {
        "parquet" | "delta" => common,
        // A place of messages waits for them in the manifest; the others are on this machine, which is not down.
        _ => vec!["connector"],
    };
    let known = |kind: &str| -> Vec<&str> { own.iter().copied().chain(fields(kind)).collect() };
    let options = match kind {
        "parquet" | "delta" => {
            // Those of a log get an answer of their own, too.
            let (rest, store) = place::part(&rest, title, &known("delta"), context);
            let options = Box::new(parquet(&rest, &store, title, context)?);
            for key in OF_A_LOG {
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
        other => {
            let rest = without_unknown(&rest, title, &known(other), &context.document, &context.findings);
            match messages::find(other) {
                Some(outlet) => {
                    hide_secrets(&rest, false, context);
                    messages::hide_url(&rest, context);
                    let options = (outlet.read)(&rest, title, &context.document, &context.findings)?;
                    messages::check_residency(&*options, &rest, context);
                    SinkOptions::Messages(options)
                }
                None if kind == "stdout" => SinkOptions::Stdout,
                None => SinkOptions::Null,
            }
        }
    };
    let spill = spill(&keys, &options, context);
    let standby = standby(&keys, spill.is_some(), context);
    Some(SinkConfig {
        name: entry.key.clone(),
        options,
        spill,
        standby,
        location: context.document.location(entry.node.span.clone()),
        written: context.as_written(&entry.node),
    })
}

/// How rows wait for a place that does not answer; none: as everything waits.
fn spill(keys: &SinkKeys, options: &SinkOptions, context: &Context<'_>) -> Option<Spill> {
    let spills = (*keys.on_outage.get_ref() == OnOutageKey::Spill).then_some(&keys.on_outage);
    if let (None, Some(limit)) = (spills, &keys.spill_limit) {
        let help = "add on_outage = \"spill\", or take it out";
        context.refuse(limit.span(), "`spill_limit` is about a sink that spills", help);
    }
    let spills = spills?;
    let Some(files) = options.files() else {
        let help = "only parquet and delta sinks have a place that can be down: take it out";
        context.refuse(spills.span(), "this sink cannot spill", help);
        return None;
    };
    if let Some(limit) = keys.spill_limit.as_ref().filter(|limit| limit.get_ref().0 == 0) {
        context.refuse(limit.span(), "`spill_limit` cannot be zero", "leave it out for the default");
    }
    let limit = keys.spill_limit.as_ref().map_or(SPILL_LIMIT, |limit| *limit.get_ref());
    Some(Spill { limit: limit.0, after: files.store.timeout() })
}

/// Who takes rows while the place is down. Whether there is such a sink is asked once all are known.
fn standby(keys: &SinkKeys, spills: bool, context: &Context<'_>) -> Option<Standby> {
    let Some(sink) = &keys.standby else {
        if let Some(after) = &keys.standby_after {
            context.refuse(after.span(), "`standby_after` is about a `standby`", "name one, or take it out");
        }
        return None;
    };
    if !spills {
        let help = "add on_outage = \"spill\": until the standby takes over, rows have to wait somewhere";
        context.refuse(sink.span(), "`standby` is for a sink that spills", help);
    }
    let after = keys.standby_after.as_ref().map_or(STANDBY_AFTER, |after| context.positive("standby_after", after));
    Some(Standby { sink: sink.get_ref().clone(), after })
}

fn parquet(table: &Node, store: &Node, title: &str, context: &Context<'_>) -> Option<ParquetOptions> {
    let mut options: ParquetOptions = read_foreign(table, title, &context.document, &context.findings)?;
    let at = |key: &str| table.get(key).unwrap_or(table);
    let url = At::new(at("url").span.clone(), options.url.clone());
    if let Some(store) = place::resolve(store, title, &url, Purpose::Lake, context) {
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
