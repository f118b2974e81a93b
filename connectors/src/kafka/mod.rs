//! Apache Kafka, and what speaks its protocol, as a source.
//!
//! The one idea: librdkafka fetches, decompresses and reconnects; where to read is ours. Partitions are assigned by hand at
//! the offsets of our own checkpoint. What a group has committed is written for others to see, and never read.

use std::sync::Arc;

use crate::error::SourceError;
use crate::metadata::{MetadataField, MetadataType};
use crate::source::Source;
use crate::stream::{StreamOptions, Surroundings};

mod advice;
mod client;
mod columns;
mod health;
mod listing;
mod lost;
mod options;
mod probe;
mod progress;
mod properties;
mod reader;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod token;
mod topics;

pub use options::KafkaOptions;

use columns::Column;
use source::KafkaSource;

/// The metadata columns, and below what each holds, in the same order.
const METADATA: &[MetadataField] = &[
    MetadataField { name: "_topic", kind: MetadataType::Text, doc: "the topic" },
    MetadataField { name: "_partition", kind: MetadataType::Int, doc: "number of the partition" },
    MetadataField { name: "_offset", kind: MetadataType::BigInt, doc: "offset in the partition" },
    MetadataField { name: "_key", kind: MetadataType::Text, doc: "the message's key" },
    MetadataField { name: "_ingest_time", kind: MetadataType::Time, doc: "the message's timestamp" },
    MetadataField { name: "_headers", kind: MetadataType::Map, doc: "the message's headers" },
];
const COLUMNS: &[Column] =
    &[Column::Topic, Column::Partition, Column::Offset, Column::Key, Column::Time, Column::Headers];

impl StreamOptions for KafkaOptions {
    fn connector(&self) -> &'static str {
        "kafka"
    }

    fn identity(&self) -> String {
        format!("kafka {}", self.subject())
    }

    fn metadata(&self) -> &'static [MetadataField] {
        METADATA
    }

    fn source(&self, around: &Surroundings) -> Result<Arc<dyn Source>, SourceError> {
        Ok(Arc::new(KafkaSource::new(self.resolve(around)?)))
    }
}
