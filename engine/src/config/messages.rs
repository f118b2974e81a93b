//! The sinks of this build that send rows as messages: one line a connector; and whether their places may have data.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use url::Url;
use watershed_sinks::{MessageOptions, Whereabouts};

use super::document::Document;
use super::read::{Findings, fields_of, read_foreign};
use super::residency::check_inside;
use super::resolve::Context;
use super::tree::{Node, Value};

/// Reads options from a table with a title.
type Read = fn(&Node, &str, &Document, &Findings) -> Option<Arc<dyn MessageOptions>>;

/// A connector, before its options are read.
pub(super) struct Outlet {
    /// The value of `connector`.
    pub(super) name: &'static str,
    /// Its keys, beside those of every sink.
    pub(super) fields: fn() -> &'static [&'static str],
    /// Reads its options.
    pub(super) read: Read,
}

/// Those of this build.
pub(super) static OUTLETS: &[Outlet] = &[
    #[cfg(feature = "kafka")]
    outlet::<watershed_sinks::KafkaOptions>("kafka"),
    #[cfg(feature = "kinesis")]
    outlet::<watershed_sinks::KinesisOptions>("kinesis"),
    #[cfg(feature = "pubsub")]
    outlet::<watershed_sinks::PubSubOptions>("pubsub"),
    #[cfg(feature = "eventhubs")]
    outlet::<watershed_sinks::EventHubsOptions>("eventhubs"),
    #[cfg(feature = "http")]
    outlet::<watershed_sinks::WebhookOptions>("http"),
    #[cfg(feature = "postgres")]
    outlet::<watershed_sinks::PostgresOptions>("postgres"),
];

/// The sink called `name`.
pub(super) fn find(name: &str) -> Option<&'static Outlet> {
    OUTLETS.iter().find(|outlet| outlet.name == name)
}

/// Keys that say where a place is.
const HOSTS: [&str; 8] =
    ["brokers", "url", "namespace", "connection_string", "endpoint", "aws_region", "stream", "topic"];

/// What in `table` names `region`, or a place of which nobody knows where it is.
fn named<'a>(table: &'a Node, region: Option<&str>) -> &'a Node {
    let names = |node: &&Node| match (&node.value, region) {
        (Value::String(text), Some(region)) => text.text.contains(region),
        _ => false,
    };
    let keys = || HOSTS.iter().filter_map(|key| table.get(key));
    keys().find(names).or_else(|| keys().next()).unwrap_or(table)
}

/// Refuses hosts outside of `[residency]`, and those of which nobody knows where they lie: a server can be anywhere, and is
/// not asked. `table` is what the options were read from.
pub(super) fn check_residency(options: &dyn MessageOptions, table: &Node, context: &Context<'_>) {
    if context.allowed.borrow().is_none() {
        return;
    }
    if let Some(region) = options.location() {
        check_inside(region, table.get("location").unwrap_or(table), context);
    }
    for host in options.hosts() {
        match Whereabouts::of(&host) {
            Whereabouts::Here => {}
            Whereabouts::Region(region) => check_inside(&region, named(table, Some(&region)), context),
            Whereabouts::Unknown if options.location().is_some() => {}
            Whereabouts::Unknown => {
                let message = "nothing says in which region this place lies, and there is [residency]";
                let help = "add its region, as in location = \"eu-west-1\"";
                context.refuse(named(table, None).span.clone(), message, help);
                return;
            }
        }
    }
}

/// Values in a query that are shorter than this are words, which messages may have, too.
const SHORTEST_KEY: usize = 8;

/// Takes note of an address that may be a secret: that of a web server is one by its path or its query, that of a database by
/// its user. Of a web server, scheme, host and port may be shown.
pub(super) fn hide_url(table: &Node, context: &Context<'_>) {
    let Some(Value::String(text)) = table.get("url").map(|node| &node.value) else { return };
    let text = text.text.trim();
    let mut filler = context.filler.borrow_mut();
    let secrets = &mut filler.secrets;
    let url = Url::parse(text).ok();
    match url.as_ref().filter(|url| matches!(url.scheme(), "http" | "https")) {
        Some(url) => {
            let origin = url.origin().ascii_serialization();
            if text.trim_end_matches('/') != origin {
                secrets.show_as(text, &format!("{origin}/***"));
            }
            let values = url.query().into_iter().flat_map(|query| query.split('&'));
            for value in values.map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value)) {
                if value.len() >= SHORTEST_KEY {
                    secrets.hide(value);
                }
            }
        }
        // The other way to write that of a database is a list of keys and values.
        None if text.contains(['@', '?', '=']) => secrets.hide(text),
        None => {}
    }
    if let Some(password) = url.as_ref().and_then(Url::password) {
        secrets.hide(password);
    }
}

#[cfg_attr(
    not(any(
        feature = "eventhubs",
        feature = "http",
        feature = "kafka",
        feature = "kinesis",
        feature = "postgres",
        feature = "pubsub"
    )),
    allow(dead_code, reason = "none is there")
)]
const fn outlet<T: MessageOptions + DeserializeOwned + 'static>(name: &'static str) -> Outlet {
    Outlet { name, fields: fields_of::<T>, read: read_outlet::<T> }
}

#[cfg_attr(
    not(any(
        feature = "eventhubs",
        feature = "http",
        feature = "kafka",
        feature = "kinesis",
        feature = "postgres",
        feature = "pubsub"
    )),
    allow(dead_code, reason = "none is there")
)]
fn read_outlet<T: MessageOptions + DeserializeOwned + 'static>(
    table: &Node,
    title: &str,
    document: &Document,
    findings: &Findings,
) -> Option<Arc<dyn MessageOptions>> {
    Some(Arc::new(read_foreign::<T>(table, title, document, findings)?))
}
