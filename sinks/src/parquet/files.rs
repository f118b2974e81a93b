//! The files that take rows: which one a row goes to, and which are due.
//!
//! The one idea: one open file for each folder. A file is finished when it is asked for and due; earlier if it is full,
//! or if more are half written than may be. What may be is up to all sinks of the process together (`budget.rs`).

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Instant;

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::budget::Share;
use super::cursor::{Came, OpenState, RowPlace};
use super::file::{Finished, OpenFile, Shape};
use super::names;
use super::options::Roll;
use super::place::Claim;
use crate::error::SinkError;
use crate::sink::{Flush, SinkContext};

/// How many files are finished at a time: enough to hide the latency of a store, few enough that the row groups being
/// encoded do not add up.
const AT_A_TIME: usize = 4;

/// Rows that wait in a buffer are encoded when so many row groups' worth of rows has come behind them. All batches from theirs on
/// are kept in the state; and files whose row groups are small are slower to read.
const FAR_BEHIND: u64 = 8;

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
    /// What this sink may have of what all may.
    share: Share,
    /// By folder.
    open: BTreeMap<String, OpenFile>,
    /// Those of them that are half written, by when they were used last.
    half_written: BTreeMap<u64, String>,
    /// Memory of the rows in their buffers.
    buffered_bytes: usize,
    /// Memory of all rows that have come.
    came_bytes: u64,
    /// Finished before they were asked for, by size or by the limit of open uploads.
    finished_early: Vec<Finished>,
    begun: u64,
    /// Number of the row group that is encoded next.
    next_group: u64,
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
            share: context.writers.share(),
            open: BTreeMap::new(),
            half_written: BTreeMap::new(),
            buffered_bytes: 0,
            came_bytes: 0,
            finished_early: Vec::new(),
            begun: 0,
            next_group: 0,
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
            let mut file = match self.open.remove(&folder) {
                Some(file) => file,
                None => self.begin(folder.clone(), came)?,
            };
            let used = self.share.now();
            if let Some(folder) = self.half_written.remove(&file.used) {
                self.half_written.insert(used, folder);
            }
            file.used = used;
            let (count, before) = (rows.num_rows(), file.buffered_bytes());
            if file.buffered_bytes() == 0 {
                file.waits_since = self.came_bytes;
            }
            left = file.push(rows, begin, came.last);
            begin.rows += (count - left.as_ref().map_or(0, RecordBatch::num_rows)) as u64;
            self.buffered_bytes = self.buffered_bytes + file.buffered_bytes() - before;
            self.came_bytes += file.buffered_bytes().saturating_sub(before) as u64;
            let row_group_is_full = file.row_group_is_full();
            self.open.insert(folder.clone(), file);
            if row_group_is_full {
                self.flush(&folder).await?;
            }
            let full =
                self.open.get(&folder).is_some_and(|file| file.estimated_bytes(self.ratio()) >= self.roll.size.0);
            if full {
                self.finish_early(&folder).await?;
            }
        }
        self.tell();
        self.let_go().await
    }

    /// Sends a row group of one file, after making room for what will then be half written.
    async fn flush(&mut self, folder: &str) -> Result<(), SinkError> {
        if self.open.get(folder).is_some_and(|file| !file.has_started()) {
            self.make_room().await?;
        }
        if let Some(file) = self.open.get_mut(folder) {
            let (memory, before) = (file.buffered_bytes(), file.encoded_bytes());
            file.flush(self.next_group).await?;
            self.next_group += 1;
            let encoded = file.encoded_bytes() - before;
            if file.has_started() {
                self.half_written.insert(file.used, folder.to_owned());
            }
            self.buffered_bytes -= memory;
            self.learn(memory, encoded);
        }
        self.tell();
        Ok(())
    }

    fn learn(&mut self, memory: usize, encoded: u64) {
        self.memory_bytes += memory as u64;
        self.encoded_bytes += encoded;
    }

    /// Has the budget count what is here by now.
    fn tell(&self) {
        let oldest = self.half_written.first_key_value().map(|(used, _)| *used);
        self.share.tell(self.buffered_bytes, self.half_written.len(), oldest);
    }

    async fn make_room(&mut self) -> Result<(), SinkError> {
        if !self.share.is_full() {
            return Ok(());
        }
        if !std::mem::replace(&mut self.warned_of_many, true) {
            tracing::warn!(
                pipeline = %self.pipeline,
                partitions = self.open.len(),
                open_files = self.share.open_files(),
                "rows go to more partitions at a time than files may be half written; files will be small: partition by \
                 less, or raise open_files and memory"
            );
        }
        self.finish_oldest().await
    }

    async fn finish_oldest(&mut self) -> Result<(), SinkError> {
        match self.half_written.first_key_value().map(|(_, oldest)| oldest.clone()) {
            Some(oldest) => self.finish_early(&oldest).await,
            None => Ok(()),
        }
    }

    /// Lets go of what other sinks want to have, and of rows beyond the limit: the fullest buffers go first.
    async fn let_go(&mut self) -> Result<(), SinkError> {
        if self.share.is_asked() {
            self.finish_oldest().await?;
        }
        let excess = self.share.excess();
        if excess == 0 {
            return Ok(());
        }
        let goal = self.buffered_bytes - excess;
        let buffered = self.open.iter().map(|(folder, file)| (file.buffered_bytes(), folder.clone()));
        let mut fullest: Vec<_> = buffered.filter(|(bytes, _)| *bytes > 0).collect();
        fullest.sort_unstable_by(|a, b| b.cmp(a));
        for (_, folder) in fullest {
            if self.buffered_bytes <= goal {
                break;
            }
            self.flush(&folder).await?;
        }
        Ok(())
    }

    /// Encodes rows for which too much else is kept: those of folders that get few, or no more.
    async fn encode_far_behind(&mut self) -> Result<(), SinkError> {
        let far = FAR_BEHIND * self.shape.row_group_bytes as u64;
        let behind = |file: &OpenFile| self.came_bytes - file.waits_since > far;
        let waiting = self.open.iter().filter(|(_, file)| file.buffered_bytes() > 0 && behind(file));
        let waiting: Vec<_> = waiting.map(|(folder, file)| (folder.clone(), file.has_started())).collect();
        for (folder, has_started) in waiting {
            // No other file is ended for it: rows in the state cost less than small files.
            if has_started || !self.share.is_full() {
                self.flush(&folder).await?;
            }
        }
        Ok(())
    }

    async fn finish_early(&mut self, folder: &str) -> Result<(), SinkError> {
        if let Some(file) = self.open.remove(folder) {
            self.half_written.remove(&file.used);
            let (memory, before) = (file.buffered_bytes(), file.encoded_bytes());
            self.buffered_bytes -= memory;
            let finished = file.finish(self.epoch).await?;
            self.learn(memory, finished.bytes - before);
            self.finished_early.push(finished);
        }
        self.tell();
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
        self.half_written.retain(|_, folder| self.open.contains_key(folder));
        self.buffered_bytes -= files.iter().map(OpenFile::buffered_bytes).sum::<usize>();
        files
    }

    /// Finishes what is due, and hands over all that is finished, durable.
    pub(super) async fn finish(&mut self, flush: Flush, now: Instant) -> Result<Vec<Finished>, SinkError> {
        let due = self.take_due(flush, now);
        let ending = stream::iter(due).map(|file| file.finish(self.epoch)).buffered(AT_A_TIME);
        let ended = ending.try_collect::<Vec<_>>().await?;
        self.tell();
        self.let_go().await?;
        self.encode_far_behind().await?;
        let mut finished = std::mem::take(&mut self.finished_early);
        finished.extend(ended);
        self.shape.place.make_durable(&finished).await?;
        Ok(finished)
    }

    /// The open files as they travel in the manifest; `next` is the number of the batch that comes next. True of what was handed
    /// over only right behind [`Self::finish`].
    pub(super) fn state(&self, next: u64, now: Instant) -> BTreeMap<String, OpenState> {
        let behind = RowPlace { number: next, rows: 0 };
        let state = |file: &OpenFile| {
            let begin = file.waits_from().unwrap_or(behind);
            OpenState::new(begin, file.groups().to_vec(), file.first_row(), file.last_row(), now)
        };
        self.open.iter().map(|(folder, file)| (folder.clone(), state(file))).collect()
    }

    /// The row groups of open files that were encoded since the last call, by their numbers.
    pub(super) fn take_fresh(&mut self) -> BTreeMap<u64, Bytes> {
        self.open.values_mut().flat_map(OpenFile::take_fresh).collect()
    }

    /// Takes a row group of a dead process's file, which is begun anew with the first of them.
    pub(super) async fn resume(
        &mut self,
        folder: String,
        number: u64,
        group: Bytes,
        came: Came,
    ) -> Result<(), SinkError> {
        self.next_group = self.next_group.max(number + 1);
        let mut file = match self.open.remove(&folder) {
            Some(file) => file,
            None => {
                self.make_room().await?;
                let mut file = self.begin(folder.clone(), came)?;
                file.used = self.share.now();
                self.half_written.insert(file.used, folder.clone());
                file
            }
        };
        file.resume(number, group).await?;
        self.open.insert(folder, file);
        self.tell();
        Ok(())
    }

    fn begin(&mut self, folder: String, came: Came) -> Result<OpenFile, SinkError> {
        self.begun += 1;
        let claim = Claim {
            pipeline: Arc::clone(&self.pipeline),
            staging: Arc::clone(&self.staging),
            folder,
            epoch: self.epoch,
            number: self.begun,
            process: self.process,
        };
        OpenFile::new(&self.shape, claim, came)
    }
}
