//! What every event stream looks like to the engine: a [`Source`] has splits, a [`Reader`] drains one of them.
//!
//! The one idea: a reader hands out bytes (or columns as they were stored), never meaning. Decoding, time and windows are the engine's; order within
//! a split, positions that survive a restart, and saying "caught up" or "ended" truthfully are the connector's.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::SourceError;
use crate::metadata::Wanted;
use crate::predecessors::Predecessors;
use crate::records::Records;

/// Names one split of a source for ever: a file's path, a Kafka partition, a Kinesis shard.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SplitId(Arc<str>);

impl SplitId {
    /// Names a split; the name must stay the same across restarts.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name as written into checkpoints, metrics and dead letters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SplitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a reader stands: everything before it has been handed out, nothing after it.
///
/// The engine stores positions in checkpoints and gives them back to [`Source::open`]; only the connector that wrote
/// one reads it, so its inside is whatever JSON that connector needs (half-open: the position names the *next* record).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub serde_json::Value);

/// What a call of [`Reader::read`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadStatus {
    /// There is more right behind what was handed out.
    More,
    /// The end of the log for now: nothing more had been written when the reader looked. Only a split that says so may
    /// be taken for idle; silence alone may just be backpressure.
    CaughtUp,
    /// The split has ended for good. `read` is not called again. What continues it (the children of a shard) is listed by
    /// [`Source::splits`] from this moment on, and the engine asks at once: no window closes in between.
    Ended,
    /// Another process reads on from here. `read` is not called again, but [`acknowledge`](Reader::acknowledge) is, with
    /// the last position. The split may be listed again later; it is then opened anew.
    Left,
}

/// What the last checkpoint knows of a split.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The next record; none if nothing was read yet.
    pub position: Option<Position>,
    /// True if the split has ended for good.
    pub ended: bool,
    /// True if another process was to read on from `position`.
    pub left: bool,
}

/// How far a reader is behind the end of its split, as far as the origin tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lag {
    /// Records that were written and not handed out yet.
    pub records: Option<u64>,
    /// Time between the last record that was handed out and the end of the log.
    pub behind: Option<Duration>,
}

/// How much one call of [`Reader::read`] may take.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    /// Payload bytes after which the reader returns. A single record may exceed it, up to the source's own record limit.
    pub bytes: usize,
    /// How long the reader may wait for a first record before it returns [`ReadStatus::CaughtUp`] with none.
    pub wait: Duration,
}

/// A stream of events in one or more splits, each ordered in itself.
///
/// The engine calls [`splits`](Source::splits) at the start (and again on a timer where
/// [`discovers`](Source::discovers) is true), opens each split once, and drives its reader from one task.
#[async_trait]
pub trait Source: Send + Sync + fmt::Debug {
    /// True if splits change hands between processes, each with a state of its own: the engine then tells the source of
    /// [`predecessors`](Source::succeed).
    fn shares(&self) -> bool {
        false
    }

    /// Told once, before [`restore`](Source::restore): by what the source can ask for what others have made durable.
    fn succeed(&self, predecessors: Arc<dyn Predecessors>) {
        let _ = predecessors;
    }

    /// Told once, before the first call of [`splits`](Source::splits): the splits that the last checkpoint knows. None on
    /// the first start, and where it is forgotten.
    fn restore(&self, known: &[(SplitId, Known)]) {
        let _ = known;
    }

    /// The splits that exist now, in a stable order. A split once listed keeps its name. What must be read after another
    /// split is not listed before that one has ended, in this run or an earlier one.
    async fn splits(&self) -> Result<Vec<SplitId>, SourceError>;

    /// Opens `split` just where `from` says, or at the configured start if there is no position yet.
    async fn open(&self, split: &SplitId, from: Option<&Position>) -> Result<Box<dyn Reader>, SourceError>;

    /// True if every split ends some day, so that a run over this source ends by itself.
    fn bounded(&self) -> bool;

    /// True if new splits can appear while the source is read.
    fn discovers(&self) -> bool {
        false
    }

    /// True if the origin wants to hear what is durable: the engine then keeps each reader until it was told the last
    /// position. Others are never asked to [`acknowledge`](Reader::acknowledge).
    fn acknowledges(&self) -> bool {
        false
    }

    /// True if a reader can be opened in a later process where this one left off. Where it cannot, every process reads
    /// what it is given, as if it were another source.
    fn resumes(&self) -> bool {
        true
    }

    /// True if readers work the CPU or the local disk instead of waiting for a network: the engine then gives each
    /// open reader a thread of its own, so that it never holds up an I/O worker.
    fn blocks(&self) -> bool {
        false
    }

    /// The metadata column that names a record for ever, where the origin may deliver one record several times: the
    /// engine then takes each once. None where positions make sure of that.
    fn redelivers(&self) -> Option<&'static str> {
        None
    }

    /// How long records that the origin [may deliver several times](Source::redelivers) are told from each other: a record
    /// that comes again after more than this, in time in which records came, is taken again.
    fn remembers(&self) -> Duration {
        Duration::from_secs(600)
    }

    /// Told once, before the first split is opened: only these columns will be looked at. A source whose records are
    /// columns may leave the others out; every other source hands out whole records.
    fn project(&self, columns: &[String]) {
        let _ = columns;
    }

    /// Told once, before the first split is opened: these columns are wanted beside each record, and come by
    /// [`Records::describe`] in this order. Never told where none is.
    fn describe(&self, wanted: Wanted) {
        let _ = wanted;
    }

    /// True if those who send records wait until they are durable: the engine then ends an epoch soon after it has taken some,
    /// and not only when the interval is over.
    fn awaited(&self) -> bool {
        false
    }

    /// Where the daemon's own HTTP server brings requests to this source; none if nobody sends it any.
    #[cfg(feature = "http")]
    fn inlet(&self) -> Option<Arc<crate::http::Inlet>> {
        None
    }

    /// Told when the run stops: from here on nothing is taken in that was not before. True if what was is still to be read:
    /// each reader is then read until it is caught up with nothing handed out. Others are not read any more.
    fn stop(&self) -> bool {
        false
    }

    /// Connects and tries everything that a run will need, reading nothing: what is missing is an error that names it and
    /// says what to do. Gives what was found, in words.
    async fn probe(&self) -> Result<String, SourceError> {
        let splits = self.splits().await?;
        for split in &splits {
            self.open(split, None).await?;
        }
        Ok(format!("opened {} splits", splits.len()))
    }

    /// Lets go of what other processes wait for. Called once, when every reader is gone and everything durable was
    /// acknowledged.
    async fn close(&self) {}

    /// An event time, in microseconds since the Unix epoch, before which no record of `split` lies; none if there is
    /// no telling. Known as soon as [`splits`](Source::splits) has listed the split, so that windows before it need not
    /// wait until it is opened. Records outside the source's own time range do not count.
    fn promise(&self, split: &SplitId) -> Option<i64> {
        let _ = split;
        None
    }
}

/// Reads one split in order.
///
/// Contract:
/// - Records come out in the split's order, each once, between `open` and `Ended`.
/// - Cancellation: when the future of [`read`](Reader::read) is dropped, `records` may hold whole records only, and
///   [`position`](Reader::position) counts exactly those that were handed out.
/// - Errors: the same holds for records that a read has handed out before it fails. After [`SourceError::Retry`] the split is
///   opened anew at `position`.
/// - A record that cannot be framed (too long, cut off, compressed data broken) is handed out as rejected, with its
///   reason, instead of ending the stream.
/// - `acknowledge` is called after the checkpoint that holds `position` is durable, never before, in growing order;
///   it may be called again with the same position after a crash.
#[async_trait]
pub trait Reader: Send {
    /// Appends records to `records`, which may hold some of this split already, until a limit is met or the log ends for
    /// now. Returns as soon as it has something; appending nothing is legal with every status.
    async fn read(&mut self, records: &mut Records, limits: ReadLimits) -> Result<ReadStatus, SourceError>;

    /// The position right after the last record handed out.
    fn position(&self) -> Position;

    /// Tells the origin that everything before `position` is durable here.
    async fn acknowledge(&mut self, position: &Position) -> Result<(), SourceError>;

    /// As [`Source::promise`], of what is still to come: an event time before which no record lies that has not been
    /// handed out yet. Never goes back; `i64::MAX` if nothing is to come.
    fn promise(&self) -> Option<i64> {
        None
    }

    /// The moment up to which the origin is known to have given all it had, where that is not the moment of the last read:
    /// one that has been cut off may have more since. Only silence before it counts as idleness.
    fn searched(&self) -> Option<Instant> {
        Some(Instant::now())
    }

    /// How far behind the end of the split the reader is, as of the last read.
    fn lag(&self) -> Lag {
        Lag::default()
    }
}
