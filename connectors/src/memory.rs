//! Records held in memory as a source: for tests of whatever reads sources.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::json;
use tokio::time::sleep;

use crate::error::SourceError;
use crate::records::Records;
use crate::source::{Position, ReadLimits, ReadStatus, Reader, Source, SplitId};

mod queue;
#[cfg(test)]
mod tests;

pub use queue::{MemoryQueue, QueueSource};

type Split = Arc<Vec<Vec<u8>>>;

/// A source whose records are given beforehand. Splits are named `0`, `1` and so on; a record's position is its number.
#[derive(Debug)]
pub struct MemorySource {
    splits: Vec<Split>,
    endless: bool,
    header: Option<Arc<[u8]>>,
    acknowledged: Arc<Mutex<HashMap<SplitId, Position>>>,
}

impl MemorySource {
    /// One list of records a split.
    pub fn new<R: Into<Vec<u8>>>(splits: Vec<Vec<R>>) -> Self {
        let splits = splits.into_iter().map(|split| Arc::new(split.into_iter().map(Into::into).collect())).collect();
        Self { splits, endless: false, header: None, acknowledged: Arc::default() }
    }

    /// The same records, but no split ever ends: at its last record it is caught up.
    pub fn endless(mut self) -> Self {
        self.endless = true;
        self
    }

    /// The same records, standing under a CSV header.
    pub fn with_header(mut self, header: impl Into<Arc<[u8]>>) -> Self {
        self.header = Some(header.into());
        self
    }

    /// The last position that was acknowledged for `split`.
    pub fn acknowledged(&self, split: &SplitId) -> Option<Position> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).get(split).cloned()
    }
}

#[async_trait]
impl Source for MemorySource {
    async fn splits(&self) -> Result<Vec<SplitId>, SourceError> {
        Ok((0..self.splits.len()).map(|split| SplitId::new(split.to_string())).collect())
    }

    async fn open(&self, split: &SplitId, from: Option<&Position>) -> Result<Box<dyn Reader>, SourceError> {
        let records =
            split.as_str().parse().ok().and_then(|number: usize| self.splits.get(number)).ok_or_else(|| {
                SourceError::config(format!(
                    "split {split} does not exist: this source has {} splits",
                    self.splits.len()
                ))
            })?;
        let next = match from {
            None => 0,
            Some(position) => position.0["record"]
                .as_u64()
                .ok_or_else(|| SourceError::config(format!("split {split}: the checkpoint holds no record number")))?,
        };
        Ok(Box::new(MemoryReader {
            split: split.clone(),
            records: records.clone(),
            next: next as usize,
            endless: self.endless,
            header: self.header.clone(),
            acknowledged: self.acknowledged.clone(),
        }))
    }

    fn bounded(&self) -> bool {
        !self.endless
    }
}

struct MemoryReader {
    split: SplitId,
    records: Split,
    next: usize,
    endless: bool,
    header: Option<Arc<[u8]>>,
    acknowledged: Arc<Mutex<HashMap<SplitId, Position>>>,
}

#[async_trait]
impl Reader for MemoryReader {
    async fn read(&mut self, records: &mut Records, limits: ReadLimits) -> Result<ReadStatus, SourceError> {
        if let Some(header) = &self.header {
            records.set_header(header.clone());
        }
        let held = records.byte_len();
        while let Some(payload) = self.records.get(self.next) {
            records.push(payload, self.next as u64);
            self.next += 1;
            if records.byte_len() - held >= limits.bytes {
                return Ok(ReadStatus::More);
            }
        }
        if !self.endless {
            return Ok(ReadStatus::Ended);
        }
        if records.byte_len() == held {
            sleep(limits.wait).await;
        }
        Ok(ReadStatus::CaughtUp)
    }

    fn position(&self) -> Position {
        Position(json!({ "record": self.next }))
    }

    async fn acknowledge(&mut self, position: &Position) -> Result<(), SourceError> {
        let mut acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        acknowledged.insert(self.split.clone(), position.clone());
        Ok(())
    }
}
