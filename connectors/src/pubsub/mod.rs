//! Google Cloud Pub/Sub as a source: one subscription, read by several streaming pulls.
//!
//! The one idea: Pub/Sub has no log to go back to. What is not acknowledged comes again, on any stream and in any order;
//! so nothing is acknowledged before the checkpoint that holds it is durable, and what comes twice is told by its id
//! ([`Source::redelivers`]).

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use google_cloud_pubsub::client::Subscriber;
use serde::Deserialize;
use watershed_clients::google::Access;

use crate::duration::HumanDuration;
use crate::error::SourceError;
use crate::metadata::MetadataField;
use crate::size::ByteSize;
use crate::source::Source;
use crate::start::Start;
use crate::stream::{StreamOptions, Surroundings};

mod fault;
mod flow;
mod message;
mod outstanding;
mod pull;
mod reader;
mod source;
#[cfg(test)]
mod tests;

use flow::Flow;
use source::PubSubSource;

/// Streaming pulls of a source that does not say how many. Google allows one about 10 MB/s.
const STREAMS: usize = 4;
/// More would only be more connections.
const MOST_STREAMS: usize = 64;

/// What to read, as written in the region file.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PubSubOptions {
    /// The project that the subscription is in.
    pub project: String,
    /// The subscription's name, without the project.
    pub subscription: String,
    /// Where the service is, if not where Google has it. Nothing secret is sent to a plain `http` address.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// A file with credentials in Google's JSON; without it, the default chain.
    #[serde(default)]
    pub credentials: Option<PathBuf>,
    /// Which messages are taken at the first start; the others are acknowledged unread.
    #[serde(default)]
    pub start: Start,
    /// Streaming pulls side by side.
    #[serde(default)]
    pub streams: Option<usize>,
    /// Messages that all streams together may hold unacknowledged.
    #[serde(default)]
    pub max_outstanding_messages: Option<u64>,
    /// Bytes that all streams together may hold unacknowledged.
    #[serde(default)]
    pub max_outstanding_bytes: Option<ByteSize>,
    /// How long an id is kept to tell a message that comes again.
    #[serde(default)]
    pub dedup_for: Option<HumanDuration>,
}

/// Without the endpoint, which may hold what was filled in.
impl fmt::Debug for PubSubOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSubOptions").field("subscription", &self.name()).finish_non_exhaustive()
    }
}

impl PubSubOptions {
    /// The subscription as Google names it.
    fn name(&self) -> String {
        format!("projects/{}/subscriptions/{}", self.project, self.subscription)
    }

    fn check(&self) -> Result<(), SourceError> {
        for (key, value) in [("project", &self.project), ("subscription", &self.subscription)] {
            if value.is_empty() || value.contains('/') {
                return Err(SourceError::config(format!("`{key}` is a name alone, without slashes")));
            }
        }
        self.access().check()?;
        if !(1..=MOST_STREAMS).contains(&self.streams()) {
            return Err(SourceError::config(format!("`streams` is a number from 1 to {MOST_STREAMS}")));
        }
        Ok(())
    }

    /// Who pulls, and where.
    fn access(&self) -> Access<'_> {
        Access { endpoint: self.endpoint.as_deref(), credentials: self.credentials.as_deref() }
    }

    /// A client on connections of its own.
    async fn connect(&self) -> Result<Subscriber, SourceError> {
        let name = self.name();
        let mut builder = Subscriber::builder().with_credentials(self.access().credentials(&name).await?);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        builder.build().await.map_err(|error| SourceError::config(format!("{name}: {error}")))
    }

    fn streams(&self) -> usize {
        self.streams.unwrap_or(STREAMS)
    }

    fn flow(&self, interval: Duration) -> Result<Flow, SourceError> {
        Flow::new(
            interval,
            self.streams(),
            self.max_outstanding_messages,
            self.max_outstanding_bytes.map(|bytes| bytes.0),
            self.dedup_for.map(|keep| keep.0),
        )
    }
}

impl StreamOptions for PubSubOptions {
    fn connector(&self) -> &'static str {
        "pubsub"
    }

    fn identity(&self) -> String {
        format!("pubsub {}", self.name())
    }

    fn metadata(&self) -> &'static [MetadataField] {
        &message::METADATA
    }

    fn source(&self, around: &Surroundings) -> Result<Arc<dyn Source>, SourceError> {
        self.check()?;
        let flow = self.flow(around.checkpoint_interval)?;
        Ok(Arc::new(PubSubSource::new(self.clone(), flow)))
    }
}
