//! Apache Kafka and what speaks its protocol as a source.

use std::sync::Arc;

use serde::Deserialize;

use crate::error::SourceError;
use crate::metadata::MetadataField;
use crate::source::Source;
use crate::stream::{StreamOptions, Surroundings};

/// What to read, as written in the region file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaOptions {
    /// The topic.
    pub topic: String,
}

impl StreamOptions for KafkaOptions {
    fn connector(&self) -> &'static str {
        "kafka"
    }

    fn identity(&self) -> String {
        "kafka".to_string()
    }

    fn metadata(&self) -> &'static [MetadataField] {
        &[]
    }

    fn source(&self, _around: &Surroundings) -> Result<Arc<dyn Source>, SourceError> {
        Err(SourceError::config("this connector cannot be opened yet"))
    }
}
