//! A sink in memory, for the tests of other crates: two-step like the real ones, with a handle to look at what is visible.
//!
//! The one idea: [`MemoryRows`] is the place, [`MemorySink`] a process that writes there. A second sink on the same place
//! is a restart. It is strict: what a careless engine would get away with elsewhere, is an error here.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::SinkError;
use crate::numbers::Numbers;
use crate::sink::{Committed, Flush, Held, Prepared, Sink};

/// Where memory sinks write. A clone is another handle to the same rows.
#[derive(Debug, Clone, Default)]
pub struct MemoryRows(Arc<Mutex<Places>>);

#[derive(Debug, Default)]
struct Places {
    staged: BTreeMap<Part, Vec<RecordBatch>>,
    committed: BTreeMap<Part, Vec<RecordBatch>>,
}

/// What one `prepare` handed over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Part {
    pipeline: String,
    epoch: u64,
    n: u64,
}

impl MemoryRows {
    /// An empty place.
    pub fn new() -> Self {
        Self::default()
    }

    /// What `pipeline` has committed, in the order of epochs and within one as written.
    pub fn batches(&self, pipeline: &str) -> Vec<RecordBatch> {
        let places = self.lock();
        let parts = places.committed.iter().filter(|(part, _)| part.pipeline == pipeline);
        parts.flat_map(|(_, batches)| batches.iter().cloned()).collect()
    }

    /// How many rows `pipeline` has committed.
    pub fn rows(&self, pipeline: &str) -> usize {
        self.batches(pipeline).iter().map(RecordBatch::num_rows).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        // A test that panics while it holds the lock has failed already; the rows are still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps what it is given, and shows it in [`MemoryRows`] once it is committed. Everything is due at every `prepare`, unless
/// it is [told to hold rows back](Self::holding).
#[derive(Debug)]
pub struct MemorySink {
    pipeline: String,
    rows: MemoryRows,
    written: VecDeque<(u64, RecordBatch)>,
    /// How many batches are handed over together.
    group: usize,
    numbers: Numbers,
    /// Rows of the batches that come again, in their order.
    again: VecDeque<usize>,
    held: Option<Held>,
}

/// How many rows each of the held batches has. More is not needed to go on; it shows an engine that keeps others.
type Cursor = VecDeque<usize>;

impl MemorySink {
    /// A sink of `pipeline` that writes to `rows`.
    pub fn new(pipeline: impl Into<String>, rows: MemoryRows) -> Self {
        Self {
            pipeline: pipeline.into(),
            rows,
            written: VecDeque::new(),
            group: 1,
            numbers: Numbers::default(),
            again: VecDeque::new(),
            held: None,
        }
    }

    /// Hands batches over in groups of `batches` only, and holds the rest back until it is told to flush everything.
    pub fn holding(self, batches: usize) -> Self {
        Self { group: batches.max(1), ..self }
    }

    fn failed(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SinkError {
        SinkError::fatal(format!("memory sink of {:?}", self.pipeline), error)
    }

    fn hold(&self) -> Result<Option<Held>, SinkError> {
        let needed = || self.written.iter().skip_while(|(_, batch)| batch.num_rows() == 0);
        let Some((first, _)) = needed().next() else { return Ok(None) };
        let cursor: Cursor = needed().map(|(_, batch)| batch.num_rows()).collect();
        let cursor = serde_json::to_value(cursor).map_err(|error| self.failed(error))?;
        Ok(Some(Held { first: *first, cursor }))
    }

    fn stage(&self, epoch: u64, batches: Vec<RecordBatch>) -> Result<Prepared, SinkError> {
        let mut places = self.rows.lock();
        let mut part = Part { pipeline: self.pipeline.clone(), epoch, n: 1 };
        while places.staged.contains_key(&part) || places.committed.contains_key(&part) {
            part.n += 1;
        }
        let prepared = serde_json::to_value(&part).map_err(|error| self.failed(error))?;
        places.staged.insert(part, batches);
        Ok(Prepared(prepared))
    }
}

#[async_trait]
impl Sink for MemorySink {
    async fn open(&mut self) -> Result<u64, SinkError> {
        let places = self.rows.lock();
        let parts = places.staged.keys().chain(places.committed.keys());
        let seen = parts.filter(|part| part.pipeline == self.pipeline).map(|part| part.epoch).max();
        Ok(seen.unwrap_or(0) + 1)
    }

    async fn write(&mut self, number: u64, batch: RecordBatch) -> Result<(), SinkError> {
        self.numbers.check(number)?;
        let rows = batch.num_rows();
        match self.again.pop_front() {
            Some(held) if held != rows => {
                return Err(self.failed(format!("batch {number} had {held} rows, and comes again with {rows}")));
            }
            _ => self.numbers.take(number),
        }
        self.written.push_back((number, batch));
        Ok(())
    }

    async fn prepare(&mut self, epoch: u64, flush: Flush) -> Result<Prepared, SinkError> {
        self.numbers.check_whole()?;
        let due = match flush {
            Flush::All => self.written.len(),
            Flush::Due => self.written.len() / self.group * self.group,
        };
        let due = self.written.drain(..due).map(|(_, batch)| batch).filter(|batch| batch.num_rows() > 0);
        let due: Vec<RecordBatch> = due.collect();
        self.held = self.hold()?;
        if due.is_empty() { Ok(Prepared::nothing()) } else { self.stage(epoch, due) }
    }

    fn held(&self) -> Option<Held> {
        self.held.clone()
    }

    fn held_bytes(&self) -> usize {
        self.written.iter().map(|(_, batch)| batch.get_array_memory_size()).sum()
    }

    async fn resume(&mut self, held: &Held) -> Result<(), SinkError> {
        let again = Cursor::deserialize(&held.cursor).map_err(|error| self.failed(error))?;
        self.numbers.resume(held.first, held.first.saturating_add(again.len() as u64));
        self.again = again;
        self.held = Some(held.clone());
        Ok(())
    }

    async fn commit(&mut self, prepared: &Prepared) -> Result<Committed, SinkError> {
        if prepared.is_nothing() {
            return Ok(Committed::default());
        }
        let part = Part::deserialize(&prepared.0)
            .map_err(|error| SinkError::fatal("memory sink: what was prepared cannot be read", error))?;
        let mut places = self.rows.lock();
        match places.staged.remove(&part) {
            Some(batches) => {
                places.committed.insert(part, batches);
            }
            None if places.committed.contains_key(&part) => {}
            None => return Err(SinkError::fatal(format!("memory sink: epoch {}", part.epoch), "prepared rows lost")),
        }
        Ok(Committed::default())
    }
}
