//! A queue held in memory as a source: for tests of whatever must take each record of a queue once.
//!
//! The one idea: it is as unkind as a queue may be. What a reader holds when it is dropped comes again, what is out comes
//! again when a test says so, on any split and in any order, and any copy that is acknowledged acknowledges the record.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::json;

use crate::error::SourceError;
use crate::metadata::{MetadataField, MetadataType, MetadataValue, Wanted};
use crate::records::Records;
use crate::source::{Position, ReadLimits, ReadStatus, Reader, Source, SplitId};

/// The column that names a record.
const ID: &str = "_message_id";

/// Records that are to be acknowledged.
#[derive(Debug, Clone, Default)]
pub struct MemoryQueue {
    state: Arc<Mutex<Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    records: Vec<Vec<u8>>,
    /// Those that are published: the first so many.
    published: usize,
    waiting: VecDeque<usize>,
    /// Who holds which record.
    held: Vec<(u64, usize)>,
    acknowledged: BTreeSet<usize>,
    sources: u64,
}

impl MemoryQueue {
    /// What its records have beside their payloads.
    pub const METADATA: &'static [MetadataField] =
        &[MetadataField { name: ID, kind: MetadataType::Text, doc: "the record's number" }];

    /// A queue of these records, named by their numbers, once they are [published](MemoryQueue::publish).
    pub fn new<R: Into<Vec<u8>>>(records: Vec<R>) -> Self {
        let records = records.into_iter().map(Into::into).collect();
        Self { state: Arc::new(Mutex::new(Queue { records, ..Queue::default() })) }
    }

    /// Publishes the next records, if there are any left.
    pub fn publish(&self, number: usize) {
        let mut queue = self.lock();
        let from = queue.published;
        queue.published = queue.records.len().min(from.saturating_add(number));
        let news = from..queue.published;
        queue.waiting.extend(news);
    }

    /// The queue as a process sees it, by so many splits. They end when this process has been given all that is not
    /// acknowledged.
    pub fn source(&self, splits: usize) -> QueueSource {
        let mut queue = self.lock();
        queue.sources += 1;
        QueueSource { queue: self.clone(), splits, number: queue.sources, wanted: Mutex::default() }
    }

    /// Delivers a record again that somebody holds; `chosen` is any number.
    pub fn deliver_again(&self, chosen: usize) {
        let mut queue = self.lock();
        if queue.held.is_empty() {
            return;
        }
        let (_, record) = queue.held[chosen % queue.held.len()];
        if !queue.waiting.contains(&record) {
            let place = chosen % (queue.waiting.len() + 1);
            queue.waiting.insert(place, record);
        }
    }

    /// How many records were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.lock().acknowledged.len()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A [`MemoryQueue`] as one process sees it.
#[derive(Debug)]
pub struct QueueSource {
    queue: MemoryQueue,
    splits: usize,
    number: u64,
    wanted: Mutex<Wanted>,
}

#[async_trait]
impl Source for QueueSource {
    async fn splits(&self) -> Result<Vec<SplitId>, SourceError> {
        Ok((0..self.splits).map(|split| SplitId::new(split.to_string())).collect())
    }

    async fn open(&self, _split: &SplitId, from: Option<&Position>) -> Result<Box<dyn Reader>, SourceError> {
        let delivered = from.and_then(|position| position.0["delivered"].as_u64()).unwrap_or(0);
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Box::new(QueueReader {
            queue: self.queue.clone(),
            source: self.number,
            wanted,
            delivered,
            out: VecDeque::new(),
        }))
    }

    fn bounded(&self) -> bool {
        true
    }

    fn acknowledges(&self) -> bool {
        true
    }

    fn redelivers(&self) -> Option<&'static str> {
        Some(ID)
    }

    fn describe(&self, wanted: Wanted) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
    }
}

struct QueueReader {
    queue: MemoryQueue,
    source: u64,
    wanted: Wanted,
    delivered: u64,
    out: VecDeque<usize>,
}

#[async_trait]
impl Reader for QueueReader {
    async fn read(&mut self, records: &mut Records, limits: ReadLimits) -> Result<ReadStatus, SourceError> {
        let held = records.byte_len();
        let mut queue = self.queue.lock();
        while let Some(record) = queue.waiting.pop_front() {
            queue.held.push((self.source, record));
            records.push(&queue.records[record], self.delivered);
            let name = record.to_string();
            records.describe(&self.wanted, |_| MetadataValue::Text(&name));
            self.out.push_back(record);
            self.delivered += 1;
            if records.byte_len() - held >= limits.bytes {
                return Ok(ReadStatus::More);
            }
        }
        let mine: BTreeSet<usize> =
            queue.held.iter().filter(|(source, _)| *source == self.source).map(|(_, record)| *record).collect();
        let all = (0..queue.records.len()).all(|record| mine.contains(&record) || queue.acknowledged.contains(&record));
        Ok(if all { ReadStatus::Ended } else { ReadStatus::CaughtUp })
    }

    fn position(&self) -> Position {
        Position(json!({ "delivered": self.delivered }))
    }

    async fn acknowledge(&mut self, position: &Position) -> Result<(), SourceError> {
        let before = position.0["delivered"].as_u64().unwrap_or(0);
        let mut queue = self.queue.lock();
        while self.delivered - (self.out.len() as u64) < before {
            let Some(record) = self.out.pop_front() else { break };
            queue.acknowledged.insert(record);
            queue.waiting.retain(|waiting| *waiting != record);
            queue.held.retain(|(_, held)| *held != record);
        }
        Ok(())
    }
}

impl Drop for QueueReader {
    /// What was not acknowledged comes again.
    fn drop(&mut self) {
        let mut queue = self.queue.lock();
        for record in std::mem::take(&mut self.out) {
            if let Some(place) = queue.held.iter().position(|held| *held == (self.source, record)) {
                queue.held.swap_remove(place);
            }
            let known = queue.acknowledged.contains(&record) || queue.waiting.contains(&record);
            if !known {
                queue.waiting.push_back(record);
            }
        }
    }
}
