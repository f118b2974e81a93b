//! The sinks of this build that send rows as messages: one line a connector; and whether their places may have data.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use watershed_sinks::{MessageOptions, Whereabouts};

use super::document::Document;
use super::place::is_inside;
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
];

/// The sink called `name`.
pub(super) fn find(name: &str) -> Option<&'static Outlet> {
    OUTLETS.iter().find(|outlet| outlet.name == name)
}

/// Refuses hosts outside of `[residency]`. `table` is what the options were read from.
pub(super) fn check_residency(options: &dyn MessageOptions, table: &Node, context: &Context<'_>) {
    let allowed = context.allowed.borrow();
    let Some(allowed) = allowed.as_ref() else { return };
    let help = "data may go to the regions that `allow` names, and to no others";
    let outside = |key: Option<&Node>, region: &str| {
        let span = key.map_or_else(|| table.span.clone(), |node| node.span.clone());
        let shown = if key.is_some_and(Node::is_filled) { context.written(&span) } else { region.to_owned() };
        context.refuse(span, format!("`{shown}`, where this place lies, is outside [residency]"), help);
    };
    if let Some(region) = options.location()
        && !is_inside(allowed, region)
    {
        return outside(table.get("location"), region);
    }
    let hosts = ["brokers", "url", "host"].iter().find_map(|key| table.get(key));
    for host in options.hosts() {
        match Whereabouts::of(&host) {
            Whereabouts::Here => {}
            Whereabouts::Region(region) if is_inside(allowed, &region) => {}
            Whereabouts::Region(region) => return outside(hosts, &region),
            Whereabouts::Unknown if options.location().is_some() => {}
            Whereabouts::Unknown => {
                let span = hosts.map_or_else(|| table.span.clone(), |node| node.span.clone());
                let message = "nothing says in which region this place lies, and there is [residency]";
                context.refuse(span, message, "add `location` with its region, as in location = \"eu-west-1\"");
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
