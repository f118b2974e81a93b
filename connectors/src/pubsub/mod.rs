//! Google Cloud Pub/Sub as a source.

use std::sync::Arc;

use serde::Deserialize;

use crate::error::SourceError;
use crate::metadata::MetadataField;
use crate::source::Source;
use crate::stream::{StreamOptions, Surroundings};

/// What to read, as written in the region file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PubSubOptions {
    /// The subscription.
    pub subscription: String,
}

impl StreamOptions for PubSubOptions {
    fn connector(&self) -> &'static str {
        "pubsub"
    }

    fn identity(&self) -> String {
        "pubsub".to_string()
    }

    fn metadata(&self) -> &'static [MetadataField] {
        &[]
    }

    fn source(&self, _around: &Surroundings) -> Result<Arc<dyn Source>, SourceError> {
        Err(SourceError::config("this connector cannot be opened yet"))
    }
}
