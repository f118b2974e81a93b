//! The sinks of this build that send rows as messages: one line a connector; and whether their places may have data.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use watershed_sinks::{MessageOptions, Whereabouts};

use super::document::Document;
use super::place::check_inside;
use super::read::{Findings, fields_of, read_foreign};
use super::resolve::Context;
use super::tree::Node;

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
    #[cfg(feature = "http")]
    outlet::<watershed_sinks::WebhookOptions>("http"),
    #[cfg(feature = "postgres")]
    outlet::<watershed_sinks::PostgresOptions>("postgres"),
];

/// The sink called `name`.
pub(super) fn find(name: &str) -> Option<&'static Outlet> {
    OUTLETS.iter().find(|outlet| outlet.name == name)
}

/// Where the keys of hosts are.
const HOSTS: [&str; 2] = ["brokers", "url"];

/// Refuses hosts outside of `[residency]`, and those of which nobody knows where they lie: a server can be anywhere, and is
/// not asked. `table` is what the options were read from.
pub(super) fn check_residency(options: &dyn MessageOptions, table: &Node, context: &Context<'_>) {
    if context.allowed.borrow().is_none() {
        return;
    }
    let named = HOSTS.iter().find_map(|key| table.get(key)).unwrap_or(table);
    if let Some(region) = options.location() {
        check_inside(region, table.get("location").unwrap_or(table), context);
    }
    for host in options.hosts() {
        match Whereabouts::of(&host) {
            Whereabouts::Here => {}
            Whereabouts::Region(region) => check_inside(&region, named, context),
            Whereabouts::Unknown if options.location().is_some() => {}
            Whereabouts::Unknown => {
                let message = "nothing says in which region this place lies, and there is [residency]";
                context.refuse(named.span.clone(), message, "add its region, as in location = \"eu-west-1\"");
                return;
            }
        }
    }
}

const fn outlet<T: MessageOptions + DeserializeOwned + 'static>(name: &'static str) -> Outlet {
    Outlet { name, fields: fields_of::<T>, read: read_outlet::<T> }
}

fn read_outlet<T: MessageOptions + DeserializeOwned + 'static>(
    table: &Node,
    title: &str,
    document: &Document,
    findings: &Findings,
) -> Option<Arc<dyn MessageOptions>> {
    Some(Arc::new(read_foreign::<T>(table, title, document, findings)?))
}
