//! Why a run ended before its time.

use datafusion::common::DataFusionError;
use watershed_connectors::SourceError;
use watershed_sinks::SinkError;

use crate::checkpoint::StateError;
use crate::sql::SqlError;

/// A failure that ends the run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A source can't be opened or read.
    #[error("source `{source_name}`: {error}")]
    Source {
        /// The source.
        source_name: String,
        /// What happened.
        error: SourceError,
    },
    /// A sink can't be opened.
    #[error("pipeline `{pipeline}`: {error}")]
    Sink {
        /// The pipeline that writes.
        pipeline: String,
        /// What happened.
        error: SinkError,
    },
    /// A sink that was open can't take rows any more.
    #[error("pipeline `{pipeline}`: {error}")]
    Write {
        /// The pipeline that writes.
        pipeline: String,
        /// What happened.
        error: SinkError,
    },
    /// A source with `on_bad = "fail"` met a bad record.
    #[error("source `{source_name}`: bad record in {split} at {position}: {reason}")]
    BadRecord {
        /// The source.
        source_name: String,
        /// The split.
        split: String,
        /// Ordinal in the split.
        position: u64,
        /// Why it is bad.
        reason: String,
    },
    /// A query failed over its data: an overflow, a division by zero, a cast.
    #[error("pipeline `{pipeline}`: {message}")]
    Query {
        /// The pipeline.
        pipeline: String,
        /// What happened.
        message: String,
    },
    /// A reference table can't be read.
    #[error("pipeline `{pipeline}`: {error}")]
    Table {
        /// The pipeline.
        pipeline: String,
        /// What happened.
        error: SqlError,
    },
    /// The state store can't be opened, read or taken over.
    #[error(transparent)]
    Checkpoint(#[from] StateError),
    /// The state store failed while running, or another process took over.
    #[error("{0}")]
    Stopped(StateError),
    /// The state does not fit what is to be run.
    #[error("{0}")]
    State(String),
    /// The run was told to stop and could not do so in time.
    #[error(
        "could not finish within drain_timeout = {0:?}; nothing is lost: the next run goes on from the last checkpoint"
    )]
    DrainTimeout(std::time::Duration),
    /// The configuration does not allow this run.
    #[error("{0}")]
    Config(String),
    /// A part of the engine ended without saying why.
    #[error("{0} ended unexpectedly")]
    Lost(&'static str),
}

impl RunError {
    pub(crate) fn query(pipeline: &str, error: &DataFusionError) -> Self {
        let text = error.strip_backtrace();
        Self::Query { pipeline: pipeline.to_string(), message: text.lines().next().unwrap_or("failed").to_string() }
    }

    /// True if the user must change the configuration or the environment.
    pub fn is_config(&self) -> bool {
        matches!(
            self,
            Self::Config(_)
                | Self::State(_)
                | Self::Checkpoint(StateError::Config { .. })
                | Self::Table { .. }
                | Self::Source { error: SourceError::Config { .. }, .. }
                | Self::Sink { error: SinkError::Config { .. }, .. }
        )
    }
}
