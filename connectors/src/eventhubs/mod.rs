//! Azure Event Hubs as a source: a partition is a split, and its sequence number the position.
//!
//! The one idea: one reader is one connection with one receiver, and neither is ever mended. Whatever breaks, the reader
//! ends with an error that says so, and the engine opens a new one behind the last sequence number that was handed out.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use watershed_clients::Secret;
use watershed_clients::azure::ClientSecret;

use crate::duration::HumanDuration;
use crate::error::SourceError;
#[cfg(feature = "kafka")]
use crate::kafka::KafkaOptions;
use crate::metadata::{MetadataField, MetadataType};
use crate::source::Source;
use crate::start::Start;
use crate::stream::{StreamOptions, Surroundings};

mod client;
mod event;
mod failure;
#[cfg(feature = "kafka")]
mod kafka;
mod look;
mod mirror;
mod patience;
mod place;
mod reader;
mod receive;
mod settings;
mod source;
#[cfg(test)]
mod tests;

use settings::Settings;
use source::EventHubsSource;

/// What to read, as written in the region file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventHubsOptions {
    /// Host of the namespace; a connection string holds it already.
    pub namespace: Option<String>,
    /// The event hub.
    pub hub: String,
    /// A connection string with a key that may listen.
    pub connection_string: Option<Secret>,
    /// An application of Entra; without it and a connection string, the identity that the machine has.
    pub client_secret: Option<ClientSecret>,
    /// The consumer group.
    #[serde(default = "default_group")]
    pub consumer_group: String,
    /// How the broker is spoken to.
    #[serde(default)]
    pub protocol: Protocol,
    /// Shuts out readers of the same group with a lower level.
    pub owner_level: Option<i64>,
    /// Events of a partition that are on their way before they are asked for.
    #[serde(default = "default_prefetch")]
    pub prefetch: u32,
    /// Another address to connect to.
    pub endpoint: Option<String>,
    /// How the Kafka endpoint is trusted; AMQP's client takes the system's roots, or those of SSL_CERT_FILE.
    pub tls: Option<EventHubsTls>,
    /// Where the first read of a partition begins.
    #[serde(default)]
    pub start: Start,
    /// How often to look for new partitions.
    #[serde(default = "default_refresh")]
    pub refresh: HumanDuration,
    /// Where to copy checkpoints for the eyes of others.
    pub checkpoint_store: Option<CheckpointStoreOptions>,
}

/// How the Kafka endpoint is trusted.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventHubsTls {
    /// File with the certificates, in PEM, one of which has signed the server's.
    pub ca: PathBuf,
}

/// A container of Blob Storage in which Microsoft's clients look for checkpoints.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointStoreOptions {
    /// `az://container`.
    pub url: String,
    /// The storage account.
    pub account: Option<String>,
    /// Its key; without it, the identity that the machine has.
    pub account_key: Option<Secret>,
    /// Another address of the account.
    pub endpoint: Option<String>,
}

/// How the broker is spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// AMQP 1.0.
    #[default]
    Amqp,
    /// The namespace's Kafka endpoint.
    Kafka,
}

fn default_group() -> String {
    "$Default".to_string()
}

/// Half a second of a partition at 6,000 events a second: more than a round trip takes, and a few megabytes.
fn default_prefetch() -> u32 {
    3000
}

fn default_refresh() -> HumanDuration {
    HumanDuration(std::time::Duration::from_secs(10))
}

/// The columns beside the payload; their places are those of [`event::value`].
const METADATA: &[MetadataField] = &[
    MetadataField { name: "_partition", kind: MetadataType::Text, doc: "the partition" },
    MetadataField { name: "_offset", kind: MetadataType::Text, doc: "the offset in the partition" },
    MetadataField { name: "_sequence", kind: MetadataType::BigInt, doc: "the sequence number in the partition" },
    MetadataField { name: "_key", kind: MetadataType::Text, doc: "the partition key" },
    MetadataField { name: "_ingest_time", kind: MetadataType::Time, doc: "when the event was enqueued" },
    MetadataField { name: "_headers", kind: MetadataType::Map, doc: "the application properties" },
];

impl EventHubsOptions {
    /// As options of the Kafka connector, where its protocol is spoken.
    #[cfg(feature = "kafka")]
    fn by_kafka(&self) -> Option<Result<KafkaOptions, SourceError>> {
        (self.protocol == Protocol::Kafka).then(|| kafka::options(self))
    }
}

impl StreamOptions for EventHubsOptions {
    fn connector(&self) -> &'static str {
        "eventhubs"
    }

    /// Positions are sequence numbers of the hub, or offsets by Kafka, whoever reads them: the consumer group is no part of it.
    fn identity(&self) -> String {
        let named =
            Settings::new(&Self { endpoint: None, tls: None, ..self.clone() }).map(|settings| settings.hub.namespace);
        let namespace = named.unwrap_or_else(|_| self.namespace.clone().unwrap_or_default());
        let by = match self.protocol {
            Protocol::Amqp => "",
            Protocol::Kafka => " by kafka",
        };
        format!("eventhubs {namespace}/{}{by}", self.hub)
    }

    fn metadata(&self) -> &'static [MetadataField] {
        #[cfg(feature = "kafka")]
        if let Some(Ok(options)) = self.by_kafka() {
            return options.metadata();
        }
        METADATA
    }

    fn source(&self, around: &Surroundings) -> Result<Arc<dyn Source>, SourceError> {
        #[cfg(feature = "kafka")]
        if let Some(options) = self.by_kafka() {
            return options?.source(around);
        }
        if self.protocol == Protocol::Kafka {
            return Err(SourceError::config("`protocol` = \"kafka\" needs a build with the Kafka connector"));
        }
        Ok(Arc::new(EventHubsSource::new(Settings::new(self)?, around)?))
    }
}
