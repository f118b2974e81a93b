//! Azure Event Hubs as a source.

use std::sync::Arc;

use serde::Deserialize;

use crate::error::SourceError;
use crate::metadata::MetadataField;
use crate::source::Source;
use crate::stream::{StreamOptions, Surroundings};

/// What to read, as written in the region file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventHubsOptions {
    /// The event hub.
    pub hub: String,
}

impl StreamOptions for EventHubsOptions {
    fn connector(&self) -> &'static str {
        "eventhubs"
    }

    fn identity(&self) -> String {
        "eventhubs".to_string()
    }

    fn metadata(&self) -> &'static [MetadataField] {
        &[]
    }

    fn source(&self, _around: &Surroundings) -> Result<Arc<dyn Source>, SourceError> {
        Err(SourceError::config("this connector cannot be opened yet"))
    }
}
