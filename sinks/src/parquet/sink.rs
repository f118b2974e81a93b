//! The sink itself: which file takes a row, and which files are due.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Instant;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use serde::Deserialize;

use super::file::{Finished, OpenFile, Shape};
use super::names;
use super::options::{ParquetOptions, Roll};
use super::partition;
use super::place::{Place, PreparedFile};
use super::plan::{Level, Plan};
use super::trouble::{Repeat, trouble};
use super::types::to_file_types;
use crate::error::SinkError;
use crate::sink::{Committed, Flush, Prepared, Sink, SinkContext};

/// How many files may be half written at a time. Each holds up to one part of its upload in memory and, on a disk, an
/// open file; 64 of both fit anywhere, and a day and its night in hours do not need half of it.
const OPEN_UPLOADS: usize = 64;

/// How many row groups' worth of rows may wait in all buffers together. With the default size that is 128 MB; with one
/// partition at a time, as windows have, it is never more than one.
const BUFFERED_ROW_GROUPS: usize = 4;

/// How many files are finished or published at a time: enough to hide the latency of a store, few enough that the row
/// groups being encoded do not add up.
const AT_A_TIME: usize = 4;

/// Tells the time for rolling by age and idleness; tests move it by hand.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// Writes the rows of one pipeline as parquet files. Readers look at `*.parquet` below the url, in folders that do not
/// begin with `_`; nothing is there before its commit. Leftovers of a dead process are removed at the first commit of
/// what this process prepared, as it then owns the place; so what a checkpoint still holds must be committed before.
pub struct ParquetSink {
    pipeline: Arc<str>,
    region: Arc<str>,
    shape: Arc<Shape>,
    roll: Roll,
    clock: Clock,
    /// Tells this process's staged files from those of any other.
    nonce: String,
    /// By folder.
    files: BTreeMap<String, OpenFile>,
    /// Memory of the rows in their buffers.
    buffered_bytes: usize,
    /// Finished before they were asked for, by size or by the limit of open uploads.
    finished_early: Vec<Finished>,
    /// The epoch that the next `prepare` is expected to have.
    epoch: u64,
    /// The epoch that was prepared last, and how many files it has.
    numbered: (u64, u64),
    begun: u64,
    used: u64,
    /// Bytes of rows and of the row groups they became, to estimate what the next will shrink to.
    memory_bytes: u64,
    encoded_bytes: u64,
    leftovers: Vec<String>,
    prepared_here: bool,
    warned_of_many: bool,
    /// Why rows were lost in this process; from then on it takes no more.
    broken: Option<String>,
}

impl fmt::Debug for ParquetSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParquetSink")
            .field("pipeline", &self.pipeline)
            .field("url", &self.shape.place.shown(""))
            .field("open_files", &self.files.len())
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl ParquetSink {
    /// A sink that writes below `root` in `store`. Checks everything that can be checked without touching the store.
    pub fn new(
        options: ParquetOptions,
        context: SinkContext,
        store: Arc<dyn ObjectStore>,
        root: Path,
        clock: Clock,
    ) -> Result<Self, SinkError> {
        let plan = Plan::new(&options, &context)?;
        let place = Place::new(store, root, &options.url, None);
        Ok(Self::with_place(&options, &context, plan, place, clock))
    }

    /// A sink that writes to the local folder `options.url`, which is made if it is missing.
    pub fn local(options: ParquetOptions, context: SinkContext, clock: Clock) -> Result<Self, SinkError> {
        let plan = Plan::new(&options, &context)?;
        let folder = options.local_path()?;
        let cannot_make = |error: io::Error| {
            // Making a folder where a file is fails like this; if it were a folder, it would be no failure.
            let error = if error.kind() == ErrorKind::AlreadyExists { ErrorKind::NotADirectory.into() } else { error };
            trouble(format!("make the folder {}", folder.display()), error, Repeat::Safe)
        };
        std::fs::create_dir_all(&folder).map_err(cannot_make)?;
        let disk = folder.canonicalize().map_err(cannot_make)?;
        let store = LocalFileSystem::new_with_prefix(&disk)
            .map_err(|error| trouble(format!("write to {}", folder.display()), error, Repeat::Safe))?;
        let place = Place::new(Arc::new(store), Path::ROOT, &options.url, Some(disk));
        Ok(Self::with_place(&options, &context, plan, place, clock))
    }

    fn with_place(options: &ParquetOptions, context: &SinkContext, plan: Plan, place: Place, clock: Clock) -> Self {
        Self {
            pipeline: Arc::clone(&context.pipeline),
            region: Arc::clone(&context.region),
            shape: Arc::new(Shape { plan, place, row_group_bytes: options.row_group_size.as_usize() }),
            roll: options.roll,
            clock,
            // Hash keys are random in each process, and each `RandomState` has others.
            nonce: format!("{:016x}", RandomState::new().hash_one(std::process::id())),
            files: BTreeMap::new(),
            buffered_bytes: 0,
            finished_early: Vec::new(),
            epoch: 1,
            numbered: (0, 0),
            begun: 0,
            used: 0,
            memory_bytes: 0,
            encoded_bytes: 0,
            leftovers: Vec::new(),
            prepared_here: false,
            warned_of_many: false,
            broken: None,
        }
    }

    fn check_whole(&self) -> Result<(), SinkError> {
        match &self.broken {
            Some(why) => Err(SinkError::fatal(
                format!(
                    "parquet sink of pipeline {:?} lost rows; restart to take them from the checkpoint",
                    self.pipeline
                ),
                why.clone(),
            )),
            None => Ok(()),
        }
    }

    async fn append(&mut self, folder: String, rows: RecordBatch) -> Result<(), SinkError> {
        let now = (self.clock)();
        let mut left = Some(rows);
        while let Some(rows) = left.take() {
            self.used += 1;
            let file = match self.files.entry(folder.clone()) {
                Entry::Occupied(file) => file.into_mut(),
                Entry::Vacant(place) => {
                    self.begun += 1;
                    let staged = names::staged(self.epoch, self.begun, &self.nonce);
                    let staged = format!("{}/{staged}", names::staged_folder(&self.region, &self.pipeline));
                    place.insert(OpenFile::new(&self.shape, &folder, staged, now)?)
                }
            };
            file.used = self.used;
            let before = file.buffered_bytes();
            left = file.push(rows, now);
            self.buffered_bytes += file.buffered_bytes() - before;
            if file.row_group_is_full() {
                self.flush(&folder).await?;
            }
            let full =
                self.files.get(&folder).is_some_and(|file| file.estimated_bytes(self.ratio()) >= self.roll.size.0);
            if full {
                self.finish_early(&folder).await?;
            }
        }
        self.shrink().await
    }

    /// Sends a row group of one file, after making room for its upload.
    async fn flush(&mut self, folder: &str) -> Result<(), SinkError> {
        if self.files.get(folder).is_some_and(|file| !file.has_started()) {
            self.make_room_for_upload().await?;
        }
        if let Some(file) = self.files.get_mut(folder) {
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
        let started = || self.files.iter().filter(|(_, file)| file.has_started());
        if started().count() < OPEN_UPLOADS {
            return None;
        }
        started().min_by_key(|(_, file)| file.used).map(|(folder, _)| folder.clone())
    }

    /// Keeps all buffers together below their limit: the fullest goes out first.
    async fn shrink(&mut self) -> Result<(), SinkError> {
        let limit = self.shape.row_group_bytes.saturating_mul(BUFFERED_ROW_GROUPS);
        while self.buffered_bytes > limit {
            let fullest = self.files.iter().max_by_key(|(_, file)| file.buffered_bytes());
            let Some(folder) = fullest.map(|(folder, _)| folder.clone()) else { break };
            self.flush(&folder).await?;
        }
        Ok(())
    }

    async fn finish_early(&mut self, folder: &str) -> Result<(), SinkError> {
        if let Some(file) = self.files.remove(folder) {
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
            || now.saturating_duration_since(file.first_row()) >= self.roll.every.0
            || now.saturating_duration_since(file.last_row()) >= self.roll.idle.0
    }

    fn take_due(&mut self, flush: Flush) -> Vec<OpenFile> {
        let now = (self.clock)();
        let due = self.files.iter().filter(|(_, file)| flush == Flush::All || self.is_due(file, now));
        let folders: Vec<String> = due.map(|(folder, _)| folder.clone()).collect();
        let files: Vec<_> = folders.iter().filter_map(|folder| self.files.remove(folder)).collect();
        self.buffered_bytes -= files.iter().map(OpenFile::buffered_bytes).sum::<usize>();
        files
    }

    /// Finishes what is due and gives each file its name.
    async fn hand_over(&mut self, epoch: u64, flush: Flush) -> Result<Vec<PreparedFile>, SinkError> {
        let due = self.take_due(flush);
        let mut finished = std::mem::take(&mut self.finished_early);
        let ending = stream::iter(due).map(|file| file.finish(epoch)).buffered(AT_A_TIME);
        finished.extend(ending.try_collect::<Vec<_>>().await?);
        self.shape.place.sync_files(finished.iter().map(|file| file.staged.clone()).collect()).await?;

        if self.numbered.0 != epoch {
            self.numbered = (epoch, 0);
        }
        let mut prepared = Vec::with_capacity(finished.len());
        for Finished { folder, staged, rows, bytes } in finished {
            self.numbered.1 += 1;
            let name = names::visible(&self.pipeline, epoch, self.numbered.1);
            let target = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            prepared.push(PreparedFile { staged, target, rows, bytes });
        }
        Ok(prepared)
    }
}

#[async_trait]
impl Sink for ParquetSink {
    async fn open(&mut self) -> Result<u64, SinkError> {
        let place = &self.shape.place;
        let staging = names::staged_folder(&self.region, &self.pipeline);
        place.probe(&format!("{staging}/probe-{}", self.nonce)).await?;
        let leftovers = place.staged(&staging).await?;
        // Where the region is the outermost folder, the others' files need not be listed.
        let under = match self.shape.plan.levels.first() {
            Some(Level::Region) => names::partition("region", Some(&self.region)),
            _ => String::new(),
        };
        let visible = place.last_epoch(&under, &self.pipeline).await?;
        let staged = leftovers.iter().filter_map(|key| names::staged_epoch(key.rsplit('/').next()?)).max();
        self.leftovers = leftovers;
        self.epoch = visible.max(staged).unwrap_or(0) + 1;
        Ok(self.epoch)
    }

    async fn write(&mut self, batch: RecordBatch) -> Result<(), SinkError> {
        self.check_whole()?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = to_file_types(&batch, &self.shape.plan.columns)?;
        let portions = partition::split(&batch, &self.shape.plan, &self.region)?;
        self.broken = Some("a write was cut short".to_owned());
        for (folder, rows) in portions {
            if let Err(error) = self.append(folder, rows).await {
                self.broken = Some(error.to_string());
                return Err(error);
            }
        }
        self.broken = None;
        Ok(())
    }

    async fn prepare(&mut self, epoch: u64, flush: Flush) -> Result<Prepared, SinkError> {
        self.check_whole()?;
        self.broken = Some("a prepare was cut short".to_owned());
        let prepared = match self.hand_over(epoch, flush).await {
            Ok(prepared) => prepared,
            Err(error) => {
                self.broken = Some(error.to_string());
                return Err(error);
            }
        };
        self.broken = None;
        self.epoch = epoch + 1;
        self.prepared_here = true;
        if prepared.is_empty() {
            return Ok(Prepared::nothing());
        }
        let prepared = serde_json::to_value(prepared).map_err(|error| SinkError::fatal("parquet sink", error))?;
        Ok(Prepared(prepared))
    }

    async fn commit(&mut self, prepared: &Prepared) -> Result<Committed, SinkError> {
        let mut committed = Committed::default();
        if !prepared.is_nothing() {
            let files = Vec::<PreparedFile>::deserialize(&prepared.0).map_err(|error| {
                SinkError::fatal(format!("what the parquet sink of {:?} prepared cannot be read", self.pipeline), error)
            })?;
            let place = &self.shape.place;
            let publishing = files.iter().cloned().map(|file| {
                let place = place.clone();
                async move { place.publish(&file).await }
            });
            stream::iter(publishing).buffered(AT_A_TIME).try_collect::<()>().await?;
            place.sync_folders(files.iter().map(|file| file.target.clone()).collect()).await?;
            committed.files = files.len() as u64;
            committed.bytes = files.iter().map(|file| file.bytes).sum();
        }
        if self.prepared_here && !self.leftovers.is_empty() {
            self.shape.place.sweep(std::mem::take(&mut self.leftovers)).await;
        }
        Ok(committed)
    }
}
