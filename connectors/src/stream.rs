//! What the region file says of an event stream, and what a connector makes of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::SourceError;
use crate::framing::Framing;
use crate::metadata::MetadataField;
use crate::source::Source;

/// What a connector may want to know of the region file beside its own options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// Name of the region.
    pub region: Arc<str>,
    /// Name of the source.
    pub source: Arc<str>,
    /// Time between two checkpoints: nothing is acknowledged sooner.
    pub checkpoint_interval: Duration,
}

/// The options of an event stream, as the keys below `connector = "…"` give them.
///
/// `Debug` shows no secret. Reading options touches nothing; [`source`](StreamOptions::source) neither.
pub trait StreamOptions: fmt::Debug + Send + Sync {
    /// The value of `connector`.
    fn connector(&self) -> &'static str;

    /// What positions belong to, without what may change while they stay right: the topic, not the brokers' addresses.
    fn identity(&self) -> String;

    /// The columns that come beside the payload on request.
    fn metadata(&self) -> &'static [MetadataField];

    /// The region of its cloud in which the stream lies, as far as the options say.
    fn lies_in(&self) -> Option<String> {
        None
    }

    /// The source; it connects when it is asked for splits.
    ///
    /// # Errors
    /// [`SourceError::Config`] for options that are well-typed and make no sense together; the message names the key.
    fn source(&self, around: &Surroundings) -> Result<Arc<dyn Source>, SourceError>;

    /// The same, told how several records lie in one text; `framing` is none where a message is always one record. Only a
    /// connector that takes several at once looks at it.
    ///
    /// # Errors
    /// As [`source`](StreamOptions::source).
    fn framed(&self, framing: Option<Framing>, around: &Surroundings) -> Result<Arc<dyn Source>, SourceError> {
        let _ = framing;
        self.source(around)
    }
}
