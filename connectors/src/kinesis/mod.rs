//! Amazon Kinesis Data Streams as a source.

use std::sync::Arc;

use serde::Deserialize;

use crate::error::SourceError;
use crate::metadata::MetadataField;
use crate::source::Source;
mod leases;
use crate::stream::{StreamOptions, Surroundings};

/// What to read, as written in the region file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KinesisOptions {
    /// The stream.
    pub stream: String,
}

impl StreamOptions for KinesisOptions {
    fn connector(&self) -> &'static str {
        "kinesis"
    }

    fn identity(&self) -> String {
        "kinesis".to_string()
    }

    fn metadata(&self) -> &'static [MetadataField] {
        &[]
    }

    fn source(&self, _around: &Surroundings) -> Result<Arc<dyn Source>, SourceError> {
        Err(SourceError::config("this connector cannot be opened yet"))
    }
}
