//! A sink in memory, for the tests of other crates: two-step like the real ones, with a handle to look at what is visible.
//!
//! The one idea: [`MemoryRows`] is the place, [`MemorySink`] a process that writes there. A second sink on the same place
//! is a restart. It is strict: what a careless engine would get away with elsewhere, is an error here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
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
    /// Whether batches that are held are encoded, but for the last.
    encodes: bool,
    /// Those that are.
    encoded: BTreeSet<u64>,
    /// Those that have not come back yet.
    missing: BTreeSet<u64>,
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
            encodes: false,
            encoded: BTreeSet::new(),
            missing: BTreeSet::new(),
            numbers: Numbers::default(),
            again: VecDeque::new(),
            held: None,
        }
    }

    /// Hands batches over in groups of `batches` only, and holds the rest back until it is told to flush everything.
    pub fn holding(self, batches: usize) -> Self {
        Self { group: batches.max(1), ..self }
    }

    /// Encodes what it holds back, as sinks do that write large files; the last batch waits in a buffer.
    pub fn encoding(self) -> Self {
        Self { encodes: true, ..self }
    }

    fn failed(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SinkError {
        SinkError::fatal(format!("memory sink of {:?}", self.pipeline), error)
    }

    /// Refuses to go on before everything that was encoded has come.
    fn check_encoded(&self) -> Result<(), SinkError> {
        match self.missing.is_empty() {
            true => Ok(()),
            false => Err(self.failed(format!("encoded rows {:?} did not come", self.missing))),
        }
    }

    fn hold(&mut self) -> Result<Option<Held>, SinkError> {
        let mut needed: Vec<_> = self.written.iter().skip_while(|(_, batch)| batch.num_rows() == 0).collect();
        let waiting = match (self.encodes, needed.len().checked_sub(1)) {
            (true, Some(last)) => needed.split_off(last),
            _ => std::mem::take(&mut needed),
        };
        let Some((first, _)) = waiting.first() else { return Ok(None) };
        let cursor: Cursor = waiting.iter().map(|(_, batch)| batch.num_rows()).collect();
        let cursor = serde_json::to_value(cursor).map_err(|error| self.failed(error))?;
        let fresh = needed.iter().filter(|(number, _)| !self.encoded.contains(number));
        let bytes = fresh.map(|(number, batch)| Ok((*number, encode(batch)?)));
        let bytes = bytes.collect::<Result<BTreeMap<_, _>, ArrowError>>().map_err(|error| self.failed(error))?;
        let encoded: BTreeSet<u64> = needed.iter().map(|(number, _)| *number).collect();
        let held = Held { first: *first, cursor, encoded: encoded.clone(), bytes };
        self.encoded = encoded;
        Ok(Some(held))
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

fn encode(batch: &RecordBatch) -> Result<Bytes, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
    writer.write(batch)?;
    Ok(writer.into_inner()?.into())
}

fn decode(bytes: &[u8]) -> Result<RecordBatch, ArrowError> {
    let missing = || Err(ArrowError::IpcError("no batch".to_owned()));
    StreamReader::try_new(bytes, None)?.next().unwrap_or_else(missing)
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
        self.check_encoded()?;
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
        self.check_encoded()?;
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
        (self.encoded, self.missing) = (held.encoded.clone(), held.encoded.clone());
        self.numbers.resume(held.first, held.first.saturating_add(again.len() as u64));
        self.again = again;
        self.held = Some(held.clone());
        Ok(())
    }

    async fn resume_encoded(&mut self, number: u64, bytes: Bytes) -> Result<(), SinkError> {
        match self.missing.pop_first() {
            Some(missing) if missing == number => {}
            other => return Err(self.failed(format!("encoded rows {number} came where {other:?} were expected"))),
        }
        self.written.push_back((number, decode(&bytes).map_err(|error| self.failed(error))?));
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
