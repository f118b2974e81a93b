//! The event streams that this build can read: one line a connector.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use watershed_connectors::StreamOptions;

use super::document::Document;
use super::read::{Findings, fields_of, read_foreign};
use super::tree::Node;

/// Reads options from a table with a title.
type Read = fn(&Node, &str, &Document, &Findings) -> Option<Arc<dyn StreamOptions>>;

/// A connector, before its options are read.
pub(super) struct Stream {
    /// The value of `connector`.
    pub(super) name: &'static str,
    /// Its keys, beside those of every source.
    pub(super) fields: fn() -> &'static [&'static str],
    /// Reads its options.
    pub(super) read: Read,
}

/// Those of this build.
pub(super) static STREAMS: &[Stream] = &[
    #[cfg(feature = "kinesis")]
    stream::<watershed_connectors::KinesisOptions>("kinesis"),
    #[cfg(feature = "kafka")]
    stream::<watershed_connectors::KafkaOptions>("kafka"),
    #[cfg(feature = "eventhubs")]
    stream::<watershed_connectors::EventHubsOptions>("eventhubs"),
    #[cfg(feature = "pubsub")]
    stream::<watershed_connectors::PubSubOptions>("pubsub"),
    #[cfg(feature = "http")]
    stream::<watershed_connectors::HttpOptions>("http"),
    #[cfg(feature = "sse")]
    stream::<watershed_connectors::SseOptions>("sse"),
];

/// Keys whose values are secrets wherever they stand in a source or beside a URL, filled in or not.
pub(super) const SECRET_KEYS: &[&str] = &[
    "access_key_id",
    "account_key",
    "client_secret",
    "connection_string",
    "customer_key",
    "headers",
    "key_password",
    "password",
    "query_token",
    "sas_token",
    "secret",
    "secret_access_key",
    "session_token",
    "shared_access_key",
    "token",
];

/// True for connectors whose records come in through the daemon's own HTTP server.
pub(super) fn is_pushed(name: &str) -> bool {
    find(name).is_some() && name == "http"
}

/// The event stream called `name`.
pub(super) fn find(name: &str) -> Option<&'static Stream> {
    STREAMS.iter().find(|stream| stream.name == name)
}

const fn stream<T: StreamOptions + DeserializeOwned + 'static>(name: &'static str) -> Stream {
    Stream { name, fields: fields_of::<T>, read: read_stream::<T> }
}

fn read_stream<T: StreamOptions + DeserializeOwned + 'static>(
    table: &Node,
    title: &str,
    document: &Document,
    findings: &Findings,
) -> Option<Arc<dyn StreamOptions>> {
    Some(Arc::new(read_foreign::<T>(table, title, document, findings)?))
}
