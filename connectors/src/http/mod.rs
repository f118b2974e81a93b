//! HTTP push as a source: clients send records to the daemon's own server, at `POST /ingest/<source>`.
//!
//! The one idea: a request is answered by what has become of its records. With `ack = "durable"` that is the checkpoint
//! that holds them, so whoever was told 200 may forget them, and whoever was told nothing sends them again. A position
//! is how many records were handed out since the state began; a later process counts on from there.
//!
//! | room | what |
//! |---|---|
//! | `inlet` | answers one request: token, type, body, what became of it |
//! | `body` | the body, within bounds of size and time, and decompressed |
//! | `batch`, `array` | from a body to records, all or none |
//! | `queue`, `space` | records between a request and the reader; who waits for an answer |
//! | `reader` | the source's one split |

mod array;
mod batch;
mod body;
mod inlet;
mod queue;
mod reader;
mod refusal;
mod space;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::Deserialize;
use watershed_clients::Secret;

use crate::error::SourceError;
use crate::framing::{Framer, Framing};
use crate::metadata::{MetadataField, MetadataType};
use crate::size::ByteSize;
use crate::source::Source;
use crate::stream::{StreamOptions, Surroundings};

pub use inlet::Inlet;
use reader::HttpSource;

/// What to take, as written in the region file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpOptions {
    /// Bearer token that a request must carry; none: every request is taken.
    pub token: Option<Secret>,
    /// When a request is answered.
    #[serde(default)]
    pub ack: Ack,
    /// The largest body, compressed or not.
    #[serde(default = "max_body")]
    pub max_body: ByteSize,
    /// What may wait for the engine: more is refused until there is room.
    #[serde(default = "buffer")]
    pub buffer: ByteSize,
}

/// When a request is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ack {
    /// When its records are in a checkpoint: 200.
    #[default]
    Durable,
    /// When they are in memory: 202.
    Memory,
}

fn max_body() -> ByteSize {
    ByteSize(16_000_000)
}

/// Four of the largest bodies.
fn buffer() -> ByteSize {
    ByteSize(64_000_000)
}

/// Beside the payload.
const METADATA: [MetadataField; 1] =
    [MetadataField { name: "_ingest_time", kind: MetadataType::Time, doc: "when the request had come in" }];

impl StreamOptions for HttpOptions {
    fn connector(&self) -> &'static str {
        "http"
    }

    fn identity(&self) -> String {
        "http".to_string()
    }

    fn metadata(&self) -> &'static [MetadataField] {
        &METADATA
    }

    fn source(&self, around: &Surroundings) -> Result<Arc<dyn Source>, SourceError> {
        self.framed(Some(Framing::Lines), around)
    }

    fn framed(&self, framing: Option<Framing>, _around: &Surroundings) -> Result<Arc<dyn Source>, SourceError> {
        if self.token.as_ref().is_some_and(|token| token.expose().trim().is_empty()) {
            return Err(SourceError::config("token is empty: give it a value, or leave it out to take every request"));
        }
        if self.max_body.0 == 0 || self.max_body > Framer::MAX_RECORD {
            return Err(SourceError::config(format!("max_body is between 1B and {}", Framer::MAX_RECORD)));
        }
        if self.buffer < self.max_body {
            return Err(SourceError::config(format!(
                "buffer = \"{}\" has no room for the largest body: make it {} or more, or max_body smaller",
                self.buffer, self.max_body
            )));
        }
        if let Some(framing) = framing {
            framing.check()?;
        }
        Ok(Arc::new(HttpSource::new(Inlet::new(self, framing))))
    }
}
