//! Where rows leave the engine: a [`Sink`] takes rows, prepares what is due, and makes it visible after the commit.
//!
//! The one idea: writing and showing are two steps. `prepare` makes data durable where no reader looks; the engine then
//! records the epoch (the commit point); `commit` shows it. A crash between the two repeats `commit`, which is idempotent.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::SinkError;

/// What a sink is told about the rows it will get.
#[derive(Debug, Clone)]
pub struct SinkContext {
    /// Name of the pipeline that writes; part of file names and file metadata.
    pub pipeline: Arc<str>,
    /// The region file's `region`.
    pub region: Arc<str>,
    /// Hash of the pipeline's SQL, for file metadata.
    pub sql_hash: Arc<str>,
    /// Schema of every batch that will be written.
    pub schema: SchemaRef,
    /// The column that gives a row its date and hour: `window_start`, or the event time; none if the output has neither.
    pub time_column: Option<String>,
    /// The columns by which rows are sorted inside a file (the first group key, usually). May be empty.
    pub sort_by: Vec<String>,
}

/// How much [`Sink::prepare`] has to hand over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// Only what is due by size, age or idleness; the rest stays open.
    Due,
    /// Everything: the run ends.
    All,
}

/// What an epoch will make visible: durable already, listed nowhere yet. It travels in the checkpoint manifest, so only the sink
/// that wrote it reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Prepared(pub serde_json::Value);

impl Prepared {
    /// Nothing to make visible.
    pub fn nothing() -> Self {
        Self(serde_json::Value::Null)
    }

    /// True if there is nothing to make visible.
    pub fn is_nothing(&self) -> bool {
        self.0.is_null()
    }
}

/// What a commit made visible.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Committed {
    /// Files that readers can see now. Zero for sinks without files.
    pub files: u64,
    /// Bytes of those files.
    pub bytes: u64,
}

/// Takes the rows of one pipeline.
///
/// Contract, in the order of calls: `open` once; then `write` any number of times; at each epoch `prepare`, then (after
/// the engine has made the epoch durable) `commit` with exactly what `prepare` returned, possibly more than once.
/// After a crash, what the last durable epoch prepared is committed first, before or after `open`, but before anything that
/// this process prepared: then it owns the place, and may remove what is left of the dead one.
/// - Rows that were written but not handed over by `prepare` stay with the sink.
/// - Nothing that was not committed is visible to a reader who looks where the sink's documentation says to look.
/// - `commit` is idempotent, and also right in a new process that only has the `Prepared` value.
/// - Cancellation: dropping a `write` may lose that batch for this process; the engine then ends the run.
#[async_trait]
pub trait Sink: Send + fmt::Debug {
    /// Makes ready to write: checks the place, sweeps what a dead process left unfinished, and returns the first epoch that
    /// this process may use (greater than every epoch seen at the place).
    async fn open(&mut self) -> Result<u64, SinkError>;

    /// Takes rows; all of one window, or a part of a stream without windows.
    async fn write(&mut self, batch: RecordBatch) -> Result<(), SinkError>;

    /// Makes durable what is due, under names that readers do not look at.
    async fn prepare(&mut self, epoch: u64, flush: Flush) -> Result<Prepared, SinkError>;

    /// Makes it visible.
    async fn commit(&mut self, prepared: &Prepared) -> Result<Committed, SinkError>;
}
