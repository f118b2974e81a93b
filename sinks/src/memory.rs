//! A sink in memory, for the tests of other crates: two-step like the real ones, with a handle to look at what is visible.
//!
//! The one idea: [`MemoryRows`] is the place, [`MemorySink`] a process that writes there. A second sink on the same place
//! is a restart.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::SinkError;
use crate::sink::{Committed, Flush, Prepared, Sink};

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

/// Keeps what it is given, and shows it in [`MemoryRows`] once it is committed. Everything is due at every `prepare`.
#[derive(Debug)]
pub struct MemorySink {
    pipeline: String,
    rows: MemoryRows,
    written: Vec<RecordBatch>,
}

impl MemorySink {
    /// A sink of `pipeline` that writes to `rows`.
    pub fn new(pipeline: impl Into<String>, rows: MemoryRows) -> Self {
        Self { pipeline: pipeline.into(), rows, written: Vec::new() }
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

    async fn write(&mut self, batch: RecordBatch) -> Result<(), SinkError> {
        if batch.num_rows() > 0 {
            self.written.push(batch);
        }
        Ok(())
    }

    async fn prepare(&mut self, epoch: u64, _flush: Flush) -> Result<Prepared, SinkError> {
        if self.written.is_empty() {
            return Ok(Prepared::nothing());
        }
        let mut places = self.rows.lock();
        let mut part = Part { pipeline: self.pipeline.clone(), epoch, n: 1 };
        while places.staged.contains_key(&part) || places.committed.contains_key(&part) {
            part.n += 1;
        }
        let prepared = serde_json::to_value(&part).map_err(|error| SinkError::fatal("memory sink", error))?;
        places.staged.insert(part, std::mem::take(&mut self.written));
        Ok(Prepared(prepared))
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
