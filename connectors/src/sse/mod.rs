//! Server-sent events as a source: one HTTP answer that never ends, one record an event.
//!
//! The one idea: the server names its events, and the position is the name of the last one that was handed out, sent back
//! as `Last-Event-ID` with the next request. What the name means is the server's own business.
//!
//! | room | what |
//! |---|---|
//! | `parser` | from bytes to events, whatever pieces they come in |
//! | `connection` | one request: what it says, what its refusal means |
//! | `reader` | the one split: connected again for ever |

mod connection;
mod parser;
mod reader;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use watershed_clients::Secret;

use crate::duration::HumanDuration;
use crate::error::SourceError;
use crate::metadata::{MetadataField, MetadataType};
use crate::source::Source;
use crate::stream::{StreamOptions, Surroundings};
use connection::Origin;
use reader::SseSource;

/// What to read, as written in the region file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SseOptions {
    /// The stream. May hold a key in its query, and is not shown.
    pub url: Secret,
    /// Bearer token to send.
    pub token: Option<Secret>,
    /// Headers to send.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// How the server is trusted; none: by the system's roots.
    pub tls: Option<SseTls>,
    /// Silence, without even a comment, after which the connection is taken for dead.
    #[serde(default = "silence")]
    pub silence: HumanDuration,
}

/// How the server is trusted.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SseTls {
    /// File with the certificates, in PEM, one of which has signed the server's.
    pub ca: PathBuf,
}

/// Servers are asked to send a comment each 15 seconds or so.
fn silence() -> HumanDuration {
    HumanDuration(Duration::from_secs(120))
}

/// Beside the payload, in the order of their places.
const METADATA: [MetadataField; 3] = [
    MetadataField {
        name: "_id",
        kind: MetadataType::Text,
        doc: "the event's id; that of an earlier one if it has none",
    },
    MetadataField { name: "_event", kind: MetadataType::Text, doc: "the event's type" },
    MetadataField { name: "_ingest_time", kind: MetadataType::Time, doc: "when the event came in" },
];

impl StreamOptions for SseOptions {
    fn connector(&self) -> &'static str {
        "sse"
    }

    /// Without the query, where keys and places to start are written.
    fn identity(&self) -> String {
        format!("sse {}", connection::shown(self.url.expose()))
    }

    fn metadata(&self) -> &'static [MetadataField] {
        &METADATA
    }

    fn source(&self, _around: &Surroundings) -> Result<Arc<dyn Source>, SourceError> {
        Ok(Arc::new(SseSource::new(Origin::new(self)?)))
    }
}
