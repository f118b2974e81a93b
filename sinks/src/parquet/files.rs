//! The files that take rows: which one a row goes to, and which are due.
//!
//! The one idea: one open file for each folder. A file is finished when it is asked for and due; earlier if it is full,
//! or if more are half written than may be.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Instant;

use arrow::record_batch::RecordBatch;
use futures::{StreamExt, TryStreamExt, stream};

use super::cursor::{Came, OpenState, RowPlace};
use super::file::{Finished, OpenFile, Shape};
use super::names;
use super::options::Roll;
use super::place::Claim;
use crate::error::SinkError;
use crate::sink::{Flush, SinkContext};

/// How many files may be half written at a time. Each holds up to one part of its upload in memory and, on a disk, an
/// open file; 64 of both fit anywhere, and a day and its night in hours do not need half of it.
const OPEN_UPLOADS: usize = 64;

/// How many row groups' worth of rows may wait in all buffers together. With the default size that is 128 MB; with one
/// partition at a time, as windows have, it is never more than one.
const BUFFERED_ROW_GROUPS: usize = 4;

/// How many files are finished at a time: enough to hide the latency of a store, few enough that the row groups being
/// encoded do not add up.
const AT_A_TIME: usize = 4;

/// The files of a sink that are not handed over yet.
pub(super) struct OpenFiles {
    pipeline: Arc<str>,
    shape: Arc<Shape>,
    roll: Roll,
    /// Where files are staged.
    staging: Arc<str>,
    /// Tells this process's files from those of any other.
    pub(super) process: u64,
    /// The epoch that the next `prepare` is expected to have.
    pub(super) epoch: u64,
    /// By folder.
    open: BTreeMap<String, OpenFile>,
    /// Memory of the rows in their buffers.
    buffered_bytes: usize,
    /// Finished before they were asked for, by size or by the limit of open uploads.
    finished_early: Vec<Finished>,
    begun: u64,
    used: u64,
    /// Bytes of rows and of the row groups they became, to estimate what the next will shrink to.
    memory_bytes: u64,
    encoded_bytes: u64,
    warned_of_many: bool,
}

impl OpenFiles {
    pub(super) fn new(shape: Arc<Shape>, roll: Roll, context: &SinkContext) -> Self {
        Self {
            pipeline: Arc::clone(&context.pipeline),
            shape,
            roll,
            staging: names::staged_folder(&context.region, &context.pipeline).into(),
            // Hash keys are random in each process, and each `RandomState` has others.
            process: names::process(RandomState::new().hash_one(std::process::id())),
            epoch: 1,
            open: BTreeMap::new(),
            buffered_bytes: 0,
            finished_early: Vec::new(),
            begun: 0,
            used: 0,
            memory_bytes: 0,
            encoded_bytes: 0,
            warned_of_many: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Takes rows of one folder; `begin` is the place of the first.
    pub(super) async fn append(
        &mut self,
        folder: String,
        mut begin: RowPlace,
        rows: RecordBatch,
        came: Came,
    ) -> Result<(), SinkError> {
        let mut left = Some(rows);
        while let Some(rows) = left.take() {
            self.used += 1;
            let file = match self.open.entry(folder.clone()) {
                Entry::Occupied(file) => file.into_mut(),
                Entry::Vacant(place) => {
                    self.begun += 1;
                    let claim = Claim {
                        pipeline: Arc::clone(&self.pipeline),
                        staging: Arc::clone(&self.staging),
                        folder: folder.clone(),
                        epoch: self.epoch,
                        number: self.begun,
                        process: self.process,
                    };
                    place.insert(OpenFile::new(&self.shape, claim, begin, came)?)
                }
            };
            file.used = self.used;
            let (count, before) = (rows.num_rows(), file.buffered_bytes());
            left = file.push(rows, came.last);
            begin.rows += (count - left.as_ref().map_or(0, RecordBatch::num_rows)) as u64;
            self.buffered_bytes += file.buffered_bytes() - before;
            if file.row_group_is_full() {
                self.flush(&folder).await?;
            }
            let full =
                self.open.get(&folder).is_some_and(|file| file.estimated_bytes(self.ratio()) >= self.roll.size.0);
            if full {
                self.finish_early(&folder).await?;
            }
        }
        self.shrink().await
    }

    /// Sends a row group of one file, after making room for its upload.
    async fn flush(&mut self, folder: &str) -> Result<(), SinkError> {
        if self.open.get(folder).is_some_and(|file| !file.has_started()) {
            self.make_room_for_upload().await?;
        }
        if let Some(file) = self.open.get_mut(folder) {
            let (memory, before) = (file.buffered_bytes(), file.encoded_bytes());
            file.flush().await?;
            let encoded = file.encoded_bytes() - before;
            self.buffered_bytes -= memory;
            self.learn(memory, encoded);
        }
        Ok(())
    }

    fn learn(&mut self, memory: usize, encoded: u64) {
        self.memory_bytes += memory as u64;
        self.encoded_bytes += encoded;
    }

    async fn make_room_for_upload(&mut self) -> Result<(), SinkError> {
        let Some(oldest) = self.oldest_of_too_many() else { return Ok(()) };
        if !self.warned_of_many {
            self.warned_of_many = true;
            tracing::warn!(
                pipeline = %self.pipeline,
                partitions = OPEN_UPLOADS,
                "rows go to more partitions at a time than files are kept open; files will be small"
            );
        }
        self.finish_early(&oldest).await
    }

    /// The least recently used of the half-written files, if no more may be begun.
    fn oldest_of_too_many(&self) -> Option<String> {
        let started = || self.open.iter().filter(|(_, file)| file.has_started());
        if started().count() < OPEN_UPLOADS {
            return None;
        }
        started().min_by_key(|(_, file)| file.used).map(|(folder, _)| folder.clone())
    }

    /// Keeps all buffers together below their limit: the fullest goes out first.
    async fn shrink(&mut self) -> Result<(), SinkError> {
        let limit = self.shape.row_group_bytes.saturating_mul(BUFFERED_ROW_GROUPS);
        while self.buffered_bytes > limit {
            let fullest = self.open.iter().max_by_key(|(_, file)| file.buffered_bytes());
            let Some(folder) = fullest.map(|(folder, _)| folder.clone()) else { break };
            self.flush(&folder).await?;
        }
        Ok(())
    }

    async fn finish_early(&mut self, folder: &str) -> Result<(), SinkError> {
        if let Some(file) = self.open.remove(folder) {
            let (memory, before) = (file.buffered_bytes(), file.encoded_bytes());
            self.buffered_bytes -= memory;
            let finished = file.finish(self.epoch).await?;
            self.learn(memory, finished.bytes - before);
            self.finished_early.push(finished);
        }
        Ok(())
    }

    /// What rows shrink to when they are encoded; until that is known, nothing.
    fn ratio(&self) -> f64 {
        if self.memory_bytes == 0 { 1.0 } else { self.encoded_bytes as f64 / self.memory_bytes as f64 }
    }

    fn is_due(&self, file: &OpenFile, now: Instant) -> bool {
        file.estimated_bytes(self.ratio()) >= self.roll.size.0
            || file.first_row().age(now) >= self.roll.every.0
            || file.last_row().age(now) >= self.roll.idle.0
    }

    fn take_due(&mut self, flush: Flush, now: Instant) -> Vec<OpenFile> {
        let due = self.open.iter().filter(|(_, file)| flush == Flush::All || self.is_due(file, now));
        let folders: Vec<String> = due.map(|(folder, _)| folder.clone()).collect();
        let files: Vec<_> = folders.iter().filter_map(|folder| self.open.remove(folder)).collect();
        self.buffered_bytes -= files.iter().map(OpenFile::buffered_bytes).sum::<usize>();
        files
    }

    /// Finishes what is due, and hands over all that is finished, durable.
    pub(super) async fn finish(&mut self, flush: Flush, now: Instant) -> Result<Vec<Finished>, SinkError> {
        let due = self.take_due(flush, now);
        let mut finished = std::mem::take(&mut self.finished_early);
        let ending = stream::iter(due).map(|file| file.finish(self.epoch)).buffered(AT_A_TIME);
        finished.extend(ending.try_collect::<Vec<_>>().await?);
        self.shape.place.make_durable(&finished).await?;
        Ok(finished)
    }

    /// The open files as they travel in the manifest. True of what was handed over only right behind [`Self::finish`].
    pub(super) fn state(&self, now: Instant) -> BTreeMap<String, OpenState> {
        let state = |file: &OpenFile| OpenState::new(file.begin(), file.first_row(), file.last_row(), now);
        self.open.iter().map(|(folder, file)| (folder.clone(), state(file))).collect()
    }
}
