//! What lies between requests and the reader: batches that wait to be read, and requests that wait to be durable.
//!
//! The one idea: records are numbered as they come, across restarts. A batch of records `[a, b)` is read when `b` records
//! were handed out, and durable when a position of `b` or more was acknowledged; so two queues in the order of numbers
//! are all there is to remember.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::space::Space;
use crate::error::SourceError;
use crate::metadata::{MetadataValue, Wanted};
use crate::records::Records;

/// The records of one request, in part read already.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) records: Records,
    /// The next to be read.
    pub(super) next: usize,
    /// When the request had come in, in microseconds since the Unix epoch.
    pub(super) arrived: i64,
    /// What the records take, given back when they are read.
    pub(super) _space: Space,
}

/// A request that is answered when all records before `end` are durable.
#[derive(Debug)]
struct Waiting {
    end: u64,
    durable: oneshot::Sender<()>,
}

/// What lies between requests and the reader.
#[derive(Debug, Default)]
pub(super) struct Queue {
    batches: VecDeque<Batch>,
    waiting: VecDeque<Waiting>,
    /// Records that were taken, since the state began.
    taken: u64,
    /// Records that were handed out, since the state began.
    handed: u64,
    begun: bool,
    reading: bool,
    closed: bool,
}

impl Queue {
    /// True while requests can be taken: somebody reads, and the run does not stop.
    pub(super) fn is_open(&self) -> bool {
        self.reading && !self.closed
    }

    /// Takes nothing in any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Tells everybody who waits that it will not be.
    pub(super) fn give_up(&mut self) {
        self.closed = true;
        self.waiting.clear();
    }

    /// Takes a batch; gives what tells when it is durable.
    pub(super) fn push(&mut self, batch: Batch) -> oneshot::Receiver<()> {
        let (durable, told) = oneshot::channel();
        self.taken += batch.records.len() as u64;
        self.waiting.push_back(Waiting { end: self.taken, durable });
        self.batches.push_back(batch);
        told
    }

    /// Begins to read where `position` records had been handed out.
    pub(super) fn begin(&mut self, position: Option<u64>) -> Result<(), SourceError> {
        if self.reading {
            return Err(SourceError::config("this source is being read already and has one reader only"));
        }
        let position = position.unwrap_or(self.handed);
        if !self.begun {
            // Another process has handed these out. What it did not is sent again, and has no number yet.
            self.taken += position;
            self.handed = position;
            self.waiting.iter_mut().for_each(|waiting| waiting.end += position);
        } else if position != self.handed {
            return Err(SourceError::config(format!(
                "{} records were handed out, and what came after {position} does not come again",
                self.handed
            )));
        }
        (self.begun, self.reading) = (true, true);
        Ok(())
    }

    /// The reader is gone.
    pub(super) fn end(&mut self) {
        self.reading = false;
    }

    /// Hands out records until they take `limit` bytes of `records`; all of them stand under one header.
    pub(super) fn read(&mut self, records: &mut Records, wanted: &Wanted, limit: usize) {
        let held = records.byte_len();
        while let Some(batch) = self.batches.front_mut() {
            match batch.records.header() {
                header if records.is_empty() || records.header() == header => {
                    header.into_iter().for_each(|header| records.set_header(header.clone()));
                }
                _ => return,
            }
            while batch.next < batch.records.len() {
                if records.byte_len() - held >= limit {
                    return;
                }
                records.push(batch.records.payload(batch.next), self.handed);
                records.describe(wanted, |_| MetadataValue::Time(batch.arrived));
                batch.next += 1;
                self.handed += 1;
            }
            self.batches.pop_front();
        }
    }

    /// Everything before `position` is durable.
    pub(super) fn acknowledge(&mut self, position: u64) {
        while let Some(waiting) = self.waiting.pop_front_if(|waiting| waiting.end <= position) {
            // A client that went away does not hear it.
            let _ = waiting.durable.send(());
        }
    }

    /// Records handed out since the state began.
    pub(super) fn handed(&self) -> u64 {
        self.handed
    }

    /// Records that wait to be read.
    pub(super) fn len(&self) -> u64 {
        self.taken - self.handed
    }

    /// True if none does.
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// When the oldest that waits had come in.
    pub(super) fn oldest(&self) -> Option<i64> {
        self.batches.front().map(|batch| batch.arrived)
    }
}
