//! The keys of `connector = "pubsub"` as they are written.

use std::fmt;
use std::path::PathBuf;

use async_trait::async_trait;
use serde::Deserialize;
use watershed_clients::google::Access;

use super::broker::{LONGEST_ATTRIBUTE, PubSubBroker};
use crate::error::SinkError;
use crate::messages::{
    Delivery, Limits, MessageOptions, MessageSink, Publisher as _, check_json, check_max_epoch_bytes, host_of_url,
    key_column, name_of,
};
use crate::sink::{Sink, SinkContext};
use crate::units::ByteSize;

/// What one request may hold.
const REQUEST_MESSAGES: usize = 1_000;
/// Below the 10 MB of a request, with room for ids.
const REQUEST_BYTES: usize = 8_000_000;

/// Letters of an id behind the sink's name: two numbers and a digest.
const BEHIND_NAME: usize = 50;

/// Where the service is, if the region file does not say.
const GLOBAL_HOST: &str = "pubsub.googleapis.com";

/// Where the rows go, as written in the region file.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PubSubOptions {
    /// The project that the topic is in.
    pub(super) project: String,
    /// The topic's name, without the project. It has to exist.
    pub(super) topic: String,
    /// Where the service is, if not where Google has it. Nothing secret is sent to a plain `http` address.
    #[serde(default)]
    pub(super) endpoint: Option<String>,
    /// A file with credentials in Google's JSON; without it, the default chain.
    #[serde(default)]
    pub(super) credentials: Option<PathBuf>,
    /// The column whose text is the ordering key; none: messages come in any order.
    #[serde(default)]
    pub(super) key: Option<String>,
    /// Bytes of messages that one epoch sends; the rest goes with the next.
    #[serde(default = "crate::messages::default_max_epoch_bytes")]
    pub(super) max_epoch_bytes: ByteSize,
    /// The region in which the topic lies.
    #[serde(default)]
    pub(super) location: Option<String>,
}

/// Without the endpoint, which may hold what was filled in.
impl fmt::Debug for PubSubOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSubOptions").field("topic", &self.name()).finish_non_exhaustive()
    }
}

#[async_trait]
impl MessageOptions for PubSubOptions {
    fn connector(&self) -> &'static str {
        "pubsub"
    }

    fn hosts(&self) -> Vec<String> {
        vec![self.endpoint.as_deref().and_then(host_of_url).unwrap_or_else(|| GLOBAL_HOST.to_owned())]
    }

    fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    fn check(&self, context: &SinkContext) -> Result<(), SinkError> {
        for (key, value) in [("project", &self.project), ("topic", &self.topic)] {
            if value.is_empty() || value.contains('/') {
                return Err(SinkError::config(format!("`{key}` is a name alone, without slashes")));
            }
        }
        self.access().check()?;
        key_column(self.key.as_deref(), context)?;
        check_max_epoch_bytes(self.max_epoch_bytes)?;
        check_json(context)
    }

    fn sink(&self, context: &SinkContext, name: &str) -> Result<Box<dyn Sink>, SinkError> {
        let limits = Limits {
            epoch_bytes: self.max_epoch_bytes.as_usize(),
            part_rows: REQUEST_MESSAGES,
            part_bytes: REQUEST_BYTES,
        };
        let key = key_column(self.key.as_deref(), context)?;
        Ok(Box::new(MessageSink::new(self.publisher(context, name)?, key, limits)))
    }

    async fn probe(&self, context: &SinkContext, name: &str) -> Result<String, SinkError> {
        self.publisher(context, name)?.probe().await
    }
}

impl PubSubOptions {
    fn publisher(&self, context: &SinkContext, name: &str) -> Result<Delivery<PubSubBroker>, SinkError> {
        self.check(context)?;
        let name = name_of(context, name);
        if name.len() + BEHIND_NAME > LONGEST_ATTRIBUTE {
            return Err(SinkError::config(
                "region, pipeline and sink have names too long for an attribute, which tells repetitions: shorten one",
            ));
        }
        Ok(Delivery::new(PubSubBroker::new(self.clone()), name))
    }

    /// The topic as Google names it.
    pub(super) fn name(&self) -> String {
        format!("projects/{}/topics/{}", self.project, self.topic)
    }

    /// Who publishes, and where.
    pub(super) fn access(&self) -> Access<'_> {
        Access { endpoint: self.endpoint.as_deref(), credentials: self.credentials.as_deref() }
    }
}
