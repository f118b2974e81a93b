//! The keys of `connector = "eventhubs"` as they are written, spelled as at the source of that name.

use async_trait::async_trait;
use serde::Deserialize;
use watershed_clients::Secret;
use watershed_clients::azure::{ClientSecret, Hub, HubKeys};

use super::publisher::HubPublisher;
use crate::error::SinkError;
use crate::messages::{
    Limits, MessageOptions, MessageSink, Publisher as _, check_json, check_max_epoch_bytes, key_column, name_of,
};
use crate::sink::{Sink, SinkContext};
use crate::units::ByteSize;

/// Where the events go, as written in the region file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventHubsOptions {
    /// Host of the namespace; a connection string holds it already.
    #[serde(default)]
    pub(super) namespace: Option<String>,
    /// The event hub. It has to exist.
    pub(super) hub: String,
    /// A connection string with a key that may send.
    #[serde(default)]
    pub(super) connection_string: Option<Secret>,
    /// An application of Entra; without it and a connection string, the identity that the machine has.
    #[serde(default)]
    pub(super) client_secret: Option<ClientSecret>,
    /// Another address to connect to.
    #[serde(default)]
    pub(super) endpoint: Option<String>,
    /// The column whose text is the event's partition key; none if left out.
    #[serde(default)]
    pub(super) key: Option<String>,
    /// Bytes of events that one epoch sends; the rest goes with the next.
    #[serde(default = "crate::messages::default_max_epoch_bytes")]
    pub(super) max_epoch_bytes: ByteSize,
    /// The region in which the namespace lies.
    #[serde(default)]
    pub(super) location: Option<String>,
}

#[async_trait]
impl MessageOptions for EventHubsOptions {
    fn connector(&self) -> &'static str {
        "eventhubs"
    }

    fn hosts(&self) -> Vec<String> {
        // Whoever listens at another address hands the events on to the namespace, or is it.
        let Ok(hub) = self.hub() else { return Vec::new() };
        let endpoint = hub.endpoint.as_ref().and_then(|url| url.host_str().map(str::to_owned));
        endpoint.into_iter().chain([hub.namespace]).collect()
    }

    fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    fn check(&self, context: &SinkContext) -> Result<(), SinkError> {
        self.hub()?;
        check_max_epoch_bytes(self.max_epoch_bytes)?;
        key_column(self.key.as_deref(), context)?;
        check_json(context)
    }

    fn sink(&self, context: &SinkContext, name: &str) -> Result<Box<dyn Sink>, SinkError> {
        self.check(context)?;
        let publisher = HubPublisher::new(self.hub()?, name_of(context, name));
        let key = key_column(self.key.as_deref(), context)?;
        // What is sent at once is cut as it is sent, by what the hub takes: events, not parts, have names here.
        Ok(Box::new(MessageSink::new(publisher, key, Limits::whole(self.max_epoch_bytes.as_usize()))))
    }

    async fn probe(&self, context: &SinkContext, name: &str) -> Result<String, SinkError> {
        self.check(context)?;
        HubPublisher::new(self.hub()?, name_of(context, name)).probe().await
    }
}

impl EventHubsOptions {
    /// The hub, and who sends.
    pub(super) fn hub(&self) -> Result<Hub, SinkError> {
        Ok(Hub::new(HubKeys {
            namespace: self.namespace.as_deref(),
            hub: &self.hub,
            connection_string: self.connection_string.as_ref(),
            client_secret: self.client_secret.as_ref(),
            endpoint: self.endpoint.as_deref(),
        })?)
    }
}
