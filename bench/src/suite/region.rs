//! The region file of a run.

use watershed_connectors::{HumanDuration, profile_schema};

use super::spec::{Query, Suite};
use crate::generate::name_of;

/// The folder of state, beside the region file.
pub(super) const STATE: &str = "state";

/// Where events come from, as keys of the source.
pub(super) struct Origin {
    /// `connector = …` and what it needs.
    pub(super) keys: String,
    /// Tables beside it.
    pub(super) tables: String,
}

/// The region file that runs `query` over events from `origin` into `sink`, the keys of a sink.
pub(super) fn region(suite: &Suite, query: &Query, origin: &Origin, sink: &str) -> String {
    let name = source(suite);
    let schema = profile_schema(suite.events.profile);
    let field = |(name, sql_type): &(&str, &str)| format!("{} = {}", quoted(name), quoted(sql_type));
    let fields: Vec<String> = schema.fields.iter().map(field).collect();
    let HumanDuration(interval) = suite.daemon.checkpoint;
    format!(
        "region = \"bench\"\nlinger = \"{}\"\n\n{}\n[checkpoint]\ninterval = \"{}ms\"\nurl = \"{STATE}\"\n\n[sources.{name}]\n{}\n\
         schema = {{ {} }}\nevent_time = {}\nmax_delay = \"{}ms\"\n\n[sinks.out]\n{sink}\n\n\
         [pipelines.measured]\nsink = \"out\"\nsql = '''\n{}\n'''\n",
        suite.daemon.linger,
        origin.tables,
        interval.as_millis(),
        origin.keys,
        fields.join(", "),
        quoted(schema.event_time),
        suite.daemon.max_delay.0.as_millis(),
        query.sql.trim(),
    )
}

/// What queries call the source: as the profile.
pub(super) fn source(suite: &Suite) -> String {
    name_of(suite.events.profile)
}

/// A TOML string, which is written like one of JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
