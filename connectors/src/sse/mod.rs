//! server-sent events as a source.

use std::sync::Arc;

use serde::Deserialize;

use crate::error::SourceError;
use crate::metadata::MetadataField;
use crate::source::Source;
use crate::stream::{StreamOptions, Surroundings};

/// What to read, as written in the region file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SseOptions {
    /// The stream.
    pub url: String,
}

impl StreamOptions for SseOptions {
    fn connector(&self) -> &'static str {
        "sse"
    }

    fn identity(&self) -> String {
        "sse".to_string()
    }

    fn metadata(&self) -> &'static [MetadataField] {
        &[]
    }

    fn source(&self, _around: &Surroundings) -> Result<Arc<dyn Source>, SourceError> {
        Err(SourceError::config("this connector cannot be opened yet"))
    }
}
