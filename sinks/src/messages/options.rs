//! What the engine asks of the options of a sink that sends messages, whatever it sends them to.

use std::fmt;

use async_trait::async_trait;

use crate::error::SinkError;
use crate::sink::{Sink, SinkContext};
use crate::units::ByteSize;

/// What one epoch puts into the manifest, which is read as a whole at a restart: room for aggregates, not for raw events.
pub(crate) fn default_max_epoch_bytes() -> ByteSize {
    ByteSize(16_000_000)
}

/// Refuses a limit by which no row would ever leave.
pub(crate) fn check_max_epoch_bytes(limit: ByteSize) -> Result<(), SinkError> {
    match limit.0 {
        0 => Err(SinkError::config("`max_epoch_bytes` cannot be zero: leave it out for the default")),
        _ => Ok(()),
    }
}

/// The options of one sink, as written in the region file.
#[async_trait]
pub trait MessageOptions: Send + Sync + fmt::Debug {
    /// The value of `connector`.
    fn connector(&self) -> &'static str;

    /// The hosts that the rows are sent to, without ports, as far as the options name any.
    fn hosts(&self) -> Vec<String>;

    /// The region in which they lie, where the options say so.
    fn location(&self) -> Option<&str>;

    /// Checks them against the rows that are to be sent, without asking anybody.
    fn check(&self, context: &SinkContext) -> Result<(), SinkError>;

    /// A sink, which is called `name` in the region file.
    fn sink(&self, context: &SinkContext, name: &str) -> Result<Box<dyn Sink>, SinkError>;

    /// Looks whether the place can be reached, and disturbs nobody who writes to it; says what it found.
    async fn probe(&self, context: &SinkContext, name: &str) -> Result<String, SinkError>;
}

/// What the sink called `sink` calls itself to others. No two sinks have one name.
pub(crate) fn name_of(context: &SinkContext, sink: &str) -> String {
    [&*context.region, &*context.pipeline, sink].map(part).join("/")
}

/// A part of a name, such that no two lists of parts have one name.
fn part(text: &str) -> String {
    text.replace('%', "%25").replace('/', "%2F")
}
