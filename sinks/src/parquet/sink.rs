//! The sink itself: from batches to the files of an epoch, and from those to visible ones.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Instant;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use serde::Deserialize;

use super::cursor::{Came, Cursor, Moment, Resumed, RowPlace};
use super::file::{Finished, Shape};
use super::files::OpenFiles;
use super::merge::Merger;
use super::names;
use super::options::ParquetOptions;
use super::partition;
use super::place::{Leftover, Place, PreparedFile};
use super::plan::{Level, Plan};
use super::rename::Renaming;
use super::retain::{Latest, Retention, lock};
use super::types::{sql_name, to_file_types};
use super::upload::Uploading;
use crate::error::SinkError;
use crate::numbers::Numbers;
use crate::sink::{Committed, Flush, Held, Prepared, Sink, SinkContext};
use crate::store::{self, Location, Patience, Store};
use crate::trouble::{Repeat, trouble};
use crate::units::Period;
use crate::upkeep::Upkeep;

/// Tells the time for rolling by age and idleness; tests move it by hand.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// Writes the rows of one pipeline as parquet files. Readers look at `*.parquet` below the url, in folders that do not
/// begin with `_`; nothing is there before its commit. Leftovers of a dead process are removed at the first commit of
/// what this process prepared, as it then owns the place; so what a checkpoint still holds must be committed before.
pub struct ParquetSink {
    pipeline: Arc<str>,
    region: Arc<str>,
    partition_by: Vec<String>,
    retain: Option<Period>,
    /// What the last commit showed.
    latest: Latest,
    shape: Arc<Shape>,
    clock: Clock,
    files: OpenFiles,
    numbers: Numbers,
    /// Of a dead process, until its batches have come again.
    resumed: Option<Resumed>,
    /// Its row groups that have not come yet: the folders they are of, and when the rows came.
    awaited: BTreeMap<u64, (String, Came)>,
    /// As of the last `prepare`.
    held: Option<Held>,
    /// The epoch that was prepared last, and how many files it has.
    numbered: (u64, u64),
    /// What dead processes left in the staging folder.
    leftovers: Vec<Leftover>,
    /// Hidden files that a commit named and could not show yet; they are nobody's leftovers.
    unpublished: BTreeSet<String>,
    prepared_here: bool,
    /// Why rows were lost in this process; from then on it takes no more.
    broken: Option<String>,
}

impl fmt::Debug for ParquetSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParquetSink")
            .field("pipeline", &self.pipeline)
            .field("url", &self.shape.place.shown(""))
            .field("open_files", &self.files.len())
            .field("epoch", &self.files.epoch)
            .finish_non_exhaustive()
    }
}

impl ParquetSink {
    /// A sink that writes to where `options.url` leads.
    pub fn at(options: ParquetOptions, context: SinkContext, clock: Clock) -> Result<Self, SinkError> {
        match Location::of(&options.url)? {
            Location::Folder(_) => Self::local(options, context, clock),
            Location::Store(_) => {
                let store = store::open(&options.url, &options.store, Patience::Sink)?;
                Self::new(options, context, store, clock)
            }
        }
    }

    /// A sink that writes to `store`, whatever the url. Checks everything that can be checked without touching the store.
    pub fn new(options: ParquetOptions, context: SinkContext, store: Store, clock: Clock) -> Result<Self, SinkError> {
        let plan = Plan::new(&options, &context)?;
        let place = Place::store(Uploading::new(store, &options.store, options.roll.size.0));
        Ok(Self::with_place(options, &context, plan, place, clock))
    }

    /// A sink that writes to the local folder `options.url`, which is made if it is missing.
    pub fn local(options: ParquetOptions, context: SinkContext, clock: Clock) -> Result<Self, SinkError> {
        Self::local_with(options, context, clock, |store| store)
    }

    /// As [`Self::local`], through what `wrap` makes of the store of that folder: one that fails on demand, say. Syncing
    /// and the listing and sweeping of leftovers look at the disk directly.
    pub fn local_with(
        options: ParquetOptions,
        context: SinkContext,
        clock: Clock,
        wrap: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>,
    ) -> Result<Self, SinkError> {
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
        let place = Place::folder(Renaming::new(wrap(Arc::new(store)), &options.url, disk));
        Ok(Self::with_place(options, &context, plan, place, clock))
    }

    fn with_place(options: ParquetOptions, context: &SinkContext, plan: Plan, place: Place, clock: Clock) -> Self {
        let shape =
            Arc::new(Shape { plan, place, row_group_bytes: options.row_group_size.as_usize(), stats: options.stats });
        Self {
            pipeline: Arc::clone(&context.pipeline),
            region: Arc::clone(&context.region),
            partition_by: options.partition_by,
            retain: options.retain,
            latest: Latest::default(),
            files: OpenFiles::new(Arc::clone(&shape), options.roll, context),
            shape,
            clock,
            numbers: Numbers::default(),
            resumed: None,
            awaited: BTreeMap::new(),
            held: None,
            numbered: (0, 0),
            leftovers: Vec::new(),
            unpublished: BTreeSet::new(),
            prepared_here: false,
            broken: None,
        }
    }

    /// Finds out whether everything that a run will ask of the place is allowed, as [`Sink::open`] does and beyond that.
    /// Says what it found; nothing stays there.
    pub async fn probe(&mut self) -> Result<String, SinkError> {
        self.open().await?;
        let staging = names::staged_folder(&self.region, &self.pipeline);
        self.shape.place.probe_uploads(&format!("{staging}/probe-{}", self.files.process)).await
    }

    /// The folder below which all files of this sink lie: where the region is the outermost one, the others' files need
    /// not be listed.
    fn under(&self) -> String {
        match self.shape.plan.levels.first() {
            Some(Level::Region) => names::partition("region", Some(&self.region)),
            _ => String::new(),
        }
    }

    /// What merges the files of such a sink.
    pub(crate) fn merger(&self, options: ParquetOptions, context: SinkContext) -> Merger {
        Merger::new(Arc::clone(&self.shape), options, context, self.under())
    }

    fn check_whole(&self) -> Result<(), SinkError> {
        if let Some(number) = self.awaited.keys().next() {
            let what = format!("row group {number} of pipeline {:?} was not given back", self.pipeline);
            return Err(SinkError::fatal(what, "going on would lose its rows"));
        }
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

    /// Takes the rows of one batch, but for those that a dead process put into finished files.
    async fn append(&mut self, number: u64, portions: Vec<partition::Portion>) -> Result<(), SinkError> {
        let now = (self.clock)();
        // Two portions of a batch may have the same folder, such as `hour=07` of two days.
        let mut places: HashMap<String, u64> = HashMap::new();
        for (folder, rows) in portions {
            let count = rows.num_rows();
            let place = places.entry(folder.clone()).or_default();
            let finished = self.resumed.as_ref().map_or(0, |resumed| resumed.finished(&folder, number));
            let skipped = finished.saturating_sub(*place).min(count as u64);
            let begin = RowPlace { number, rows: *place + skipped };
            *place += count as u64;
            let skipped = skipped as usize;
            if skipped < count {
                let came = self.came(&folder, now);
                self.files.append(folder, begin, rows.slice(skipped, count - skipped), came).await?;
            }
        }
        Ok(())
    }

    fn came(&self, folder: &str, now: Instant) -> Came {
        let before = self.resumed.as_ref().and_then(|resumed| resumed.came(folder));
        before.unwrap_or(Came { first: Moment::now(now), last: Moment::now(now) })
    }

    /// Finishes what is due, gives each file its name, and notes which rows are in none.
    async fn hand_over(&mut self, epoch: u64, flush: Flush) -> Result<Vec<PreparedFile>, SinkError> {
        let now = (self.clock)();
        self.files.epoch = epoch;
        let finished = self.files.finish(flush, now).await?;
        self.held = self.hold(now)?;
        if self.numbered.0 != epoch {
            self.numbered = (epoch, 0);
        }
        let mut prepared = Vec::with_capacity(finished.len());
        for Finished { folder, written, rows, bytes, stats } in finished {
            let target = written.target.unwrap_or_else(|| {
                self.numbered.1 += 1;
                let name = names::visible(&self.pipeline, epoch, self.numbered.1);
                if folder.is_empty() { name } else { format!("{folder}/{name}") }
            });
            prepared.push(PreparedFile { hidden: written.hidden, target, rows, bytes, stats });
        }
        Ok(prepared)
    }

    fn hold(&mut self, now: Instant) -> Result<Option<Held>, SinkError> {
        let through = self.numbers.next();
        let cursor = Cursor { partition_by: self.partition_by.clone(), through, open: self.files.state(through, now) };
        let Some(first) = cursor.first() else { return Ok(None) };
        let encoded = cursor.open.values().flat_map(|file| file.encoded.iter().copied()).collect();
        let cursor = serde_json::to_value(cursor).map_err(|error| SinkError::fatal("parquet sink", error))?;
        Ok(Some(Held { first, cursor, encoded, bytes: self.files.take_fresh() }))
    }

    async fn publish(&mut self, files: &[PreparedFile]) -> Result<(), SinkError> {
        self.unpublished.extend(files.iter().map(|file| file.handle().to_owned()));
        let place = &self.shape.place;
        let publishing = files.iter().cloned().map(|file| {
            let place = place.clone();
            async move { place.publish(&file).await }
        });
        stream::iter(publishing).buffered(place.at_a_time()).try_collect::<()>().await?;
        place.settle(files).await?;
        for file in files {
            self.unpublished.remove(file.handle());
        }
        Ok(())
    }
}

/// Refuses columns that have other types than in the newest file: most readers take the types of a lake from one file of it,
/// and then fail at the others.
async fn check_types(shape: &Shape, pipeline: &str, newest: &str, bytes: u64) -> Result<(), SinkError> {
    // Where there is a log, that has the columns.
    if shape.stats {
        return Ok(());
    }
    let Some(theirs) = shape.place.columns(newest, bytes).await? else { return Ok(()) };
    for ours in shape.plan.file.fields() {
        let Ok(theirs) = theirs.field_with_name(ours.name()) else { continue };
        if !theirs.data_type().equals_datatype(ours.data_type()) {
            return Err(SinkError::config(format!(
                "column {:?} is {} in {} and {} in pipeline {pipeline:?}: cast it in the SQL, or write to another url",
                ours.name(),
                sql_name(theirs.data_type()),
                shape.place.shown(newest),
                sql_name(ours.data_type()),
            )));
        }
    }
    Ok(())
}

#[async_trait]
impl Sink for ParquetSink {
    async fn open(&mut self) -> Result<u64, SinkError> {
        let place = &self.shape.place;
        let staging = names::staged_folder(&self.region, &self.pipeline);
        place.probe(&format!("{staging}/probe-{}", self.files.process)).await?;
        let leftovers = place.leftovers(&staging).await?;
        let newest = place.newest(&self.under(), &self.pipeline).await?;
        if let Some((_, newest, bytes)) = &newest {
            check_types(&self.shape, &self.pipeline, newest, *bytes).await?;
        }
        let visible = newest.map(|(epoch, ..)| epoch);
        let staged = leftovers.iter().filter_map(|left| names::staged_epoch(left.name())).max();
        self.leftovers = leftovers;
        self.files.epoch = visible.max(staged).unwrap_or(0) + 1;
        Ok(self.files.epoch)
    }

    async fn write(&mut self, number: u64, batch: RecordBatch) -> Result<(), SinkError> {
        self.check_whole()?;
        self.numbers.check(number)?;
        let batch = to_file_types(&batch, &self.shape.plan.columns)?;
        let portions = partition::split(&batch, &self.shape.plan, &self.region)?;
        self.broken = Some("a write was cut short".to_owned());
        if let Err(error) = self.append(number, portions).await {
            self.broken = Some(error.to_string());
            return Err(error);
        }
        self.broken = None;
        self.numbers.take(number);
        if !self.numbers.is_again() {
            self.resumed = None;
        }
        Ok(())
    }

    async fn prepare(&mut self, epoch: u64, flush: Flush) -> Result<Prepared, SinkError> {
        self.check_whole()?;
        self.numbers.check_whole()?;
        self.broken = Some("a prepare was cut short".to_owned());
        let prepared = match self.hand_over(epoch, flush).await {
            Ok(prepared) => prepared,
            Err(error) => {
                self.broken = Some(error.to_string());
                return Err(error);
            }
        };
        self.broken = None;
        self.files.epoch = epoch + 1;
        self.prepared_here = true;
        if prepared.is_empty() {
            return Ok(Prepared::nothing());
        }
        let prepared = serde_json::to_value(prepared).map_err(|error| SinkError::fatal("parquet sink", error))?;
        Ok(Prepared(prepared))
    }

    fn held(&self) -> Option<Held> {
        self.held.clone()
    }

    async fn resume(&mut self, held: &Held) -> Result<(), SinkError> {
        let what = || format!("what the parquet sink of {:?} held cannot be read", self.pipeline);
        let cursor = Cursor::deserialize(&held.cursor).map_err(|error| SinkError::fatal(what(), error))?;
        if cursor.first() != Some(held.first) || cursor.through < held.first {
            return Err(SinkError::fatal(what(), "its numbers contradict each other"));
        }
        if cursor.partition_by != self.partition_by {
            return Err(SinkError::config(format!(
                "partition_by: was {:?} and is now {:?}, but pipeline {:?} has files half written; \
                 run once more with the former and stop it, which closes all files, then change it",
                cursor.partition_by, self.partition_by, self.pipeline
            )));
        }
        let now = (self.clock)();
        for (folder, file) in &cursor.open {
            let group = |number: &u64| (*number, (folder.clone(), file.came(now)));
            self.awaited.extend(file.encoded.iter().map(group));
        }
        self.numbers.resume(held.first, cursor.through);
        self.resumed = self.numbers.is_again().then(|| Resumed::new(cursor, now));
        self.held = Some(held.clone());
        Ok(())
    }

    async fn resume_encoded(&mut self, number: u64, bytes: Bytes) -> Result<(), SinkError> {
        match self.awaited.pop_first() {
            Some((next, (folder, came))) if next == number => self.files.resume(folder, number, bytes, came).await,
            _ => {
                let what = format!("row group {number} came to pipeline {:?}", self.pipeline);
                Err(SinkError::fatal(what, "it was not expected then"))
            }
        }
    }

    fn upkeep(&mut self) -> Option<Box<dyn Upkeep>> {
        let (shape, pipeline, latest) = (self.shape.clone(), self.pipeline.clone(), self.latest.clone());
        let retention = Retention::new(shape, pipeline, self.under(), self.retain?.0, latest)?;
        Some(Box::new(retention))
    }

    async fn commit(&mut self, prepared: &Prepared) -> Result<Committed, SinkError> {
        let mut committed = Committed::default();
        if !prepared.is_nothing() {
            let files = Vec::<PreparedFile>::deserialize(&prepared.0).map_err(|error| {
                SinkError::fatal(format!("what the parquet sink of {:?} prepared cannot be read", self.pipeline), error)
            })?;
            *lock(&self.latest) = files.iter().map(|file| file.target.clone()).collect();
            self.publish(&files).await?;
            committed.files = files.len() as u64;
            committed.bytes = files.iter().map(|file| file.bytes).sum();
        }
        if self.prepared_here && !self.leftovers.is_empty() {
            let leftovers = std::mem::take(&mut self.leftovers);
            self.shape.place.sweep(leftovers, &self.pipeline, &self.under(), &self.unpublished).await;
        }
        Ok(committed)
    }
}
