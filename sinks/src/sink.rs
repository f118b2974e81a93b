//! Where rows leave the engine: a [`Sink`] takes rows, prepares what is due, and makes it visible after the commit.
//!
//! The one idea: writing and showing are two steps. `prepare` makes data durable where no reader looks; the engine then
//! records the epoch (the commit point); `commit` shows it. A crash between the two repeats `commit`, which is idempotent.
//!
//! Files roll when they are due, not when an epoch ends. So batches have numbers: after each `prepare` a sink says which
//! of them it still [holds](Held), the engine keeps those in its checkpoint, and a new process gets them once more.
//!
//! | rows at the crash | come to readers by |
//! |---|---|
//! | in a file that a durable epoch prepared | `commit` of what it prepared, once more |
//! | written before that epoch, in no finished file | `resume`, then `write` under the old number, but for those that the sink had encoded |
//! | written after it | the engine, which reads their source again; the numbers may then hold other rows |

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::SinkError;
use crate::parquet::WriterBudget;
use crate::upkeep::Upkeep;

/// What a sink is told about the rows it will get.
#[derive(Debug, Clone)]
pub struct SinkContext {
    /// Name of the pipeline that writes; part of file names and file metadata.
    pub pipeline: Arc<str>,
    /// Whether the rows are those that came too late for the pipeline.
    pub late: bool,
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
    /// What all sinks with files that write at the same time may have of memory and of half-written files.
    pub writers: Arc<WriterBudget>,
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

/// Rows that were written but are in nothing that was prepared. It travels in the checkpoint manifest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// Number of the first batch of which some row is neither in a finished file nor encoded.
    pub first: u64,
    /// Which parts of the batches from `first` on are finished or encoded already; only the sink that wrote it reads it.
    pub cursor: serde_json::Value,
    /// Rows that have the form already in which they will be handed over, by numbers of the sink's own. In place of the rows,
    /// which it needs no more, the engine keeps these bytes until it is told otherwise.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub encoded: BTreeSet<u64>,
    /// The bytes of those that came since the last `prepare`.
    #[serde(skip)]
    pub bytes: BTreeMap<u64, Bytes>,
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
/// Contract, in the order of calls: `open` once; `resume` if the last durable epoch says that rows are held, then
/// `resume_encoded` and `write` of those; then `write` any number of times; at each epoch `prepare`, then `held`, then (after
/// the engine has made both durable) `commit` with exactly what `prepare` returned, possibly more than once.
/// After a crash, what the last durable epoch prepared is committed first, before or after `open`, but before anything that
/// this process prepared: then it owns the place, and may remove what is left of the dead one.
/// - Rows that were written but not handed over by `prepare` stay with the sink.
/// - Nothing that was not committed is visible to a reader who looks where the sink's documentation says to look.
/// - `commit` is idempotent, and also right in a new process that only has the `Prepared` value. It may be repeated after
///   [`SinkError::Retry`], and however late: a process that was paused in it changes nothing when it wakes, though another
///   has committed the same and gone on.
/// - Any other failure of `write` or `prepare` may have lost rows for this process; the engine then ends the run, and a
///   new process gets them back from the last durable epoch. The same is true of a `write` or `prepare` that was dropped.
#[async_trait]
pub trait Sink: Send + fmt::Debug {
    /// Makes ready to write: checks the place, looks for what a dead process left unfinished, and returns the first epoch
    /// that this process may use (greater than every epoch seen at the place).
    async fn open(&mut self) -> Result<u64, SinkError>;

    /// Takes rows; all of one window, or a part of a stream without windows. Numbers are consecutive, also over empty
    /// batches. The first of a process may be any; after `resume` it is `held.first`.
    async fn write(&mut self, number: u64, batch: RecordBatch) -> Result<(), SinkError>;

    /// Makes durable what is due, under names that readers do not look at.
    async fn prepare(&mut self, epoch: u64, flush: Flush) -> Result<Prepared, SinkError>;

    /// True if rows may be held between two epochs: the engine then keeps what it writes until it is told otherwise.
    fn holds(&self) -> bool {
        true
    }

    /// What is still to be kept for this sink, as of the last `prepare`; none if every row is in what was prepared, or was
    /// shown when it was written.
    fn held(&self) -> Option<Held>;

    /// Bytes of memory that the rows take which it holds: the engine counts them in its own, and takes in no more beyond its
    /// limit until epochs have taken some. None by default, for who holds little, or bounds it by itself.
    fn held_bytes(&self) -> usize {
        0
    }

    /// Takes up what a dead process held. The engine then writes the batches from `held.first` on, all that there were at
    /// that epoch, before it prepares the next; of these the sink takes just the rows that were neither in a finished file nor
    /// encoded.
    async fn resume(&mut self, held: &Held) -> Result<(), SinkError>;

    /// Takes up rows that a dead process had encoded: behind `resume` and before any `write`, once for each number of
    /// `held.encoded`, ascending. An error loses nothing, since the engine has them still: another sink may be made and resumed.
    async fn resume_encoded(&mut self, number: u64, _bytes: Bytes) -> Result<(), SinkError> {
        Err(SinkError::fatal(format!("rows that were encoded, number {number}"), "this sink encodes none"))
    }

    /// What looks after the files of this sink, beside the flow, where that is asked for. It is given once.
    fn upkeep(&mut self) -> Option<Box<dyn Upkeep>> {
        None
    }

    /// Makes it visible.
    async fn commit(&mut self, prepared: &Prepared) -> Result<Committed, SinkError>;
}
