//! One file of many: read, merged in order, written as any other of the sink, and shown when its table says so.
//!
//! The one idea: a merged file is written as the files of an epoch are, by the same code, into the same folder, under a name of
//! the same make: so whoever knows the one knows the other. Only its number is one that no epoch's file has.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;

use super::cursor::{Came, Moment, RowPlace};
use super::file::{OpenFile, Shape};
use super::names;
use super::options::ParquetOptions;
use super::place::{Claim, PreparedFile};
use super::plan::Level;
use super::retain::{self, YOUNG};
use super::runs::{Merged, Source, Union};
use crate::error::SinkError;
use crate::sink::SinkContext;
use crate::upkeep::folder_of;

/// Batches that wait between reading and writing.
const WAITING: usize = 2;

/// A file to be merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Input {
    /// Where it lies.
    pub(crate) key: String,
    /// Its size, as the log has it.
    pub(crate) bytes: u64,
}

/// Merges files of one pipeline.
pub(crate) struct Merger {
    shape: Arc<Shape>,
    options: ParquetOptions,
    context: SinkContext,
    /// The folder below which all files lie.
    under: String,
    staging: Arc<str>,
    process: u64,
    begun: u64,
}

impl Merger {
    pub(super) fn new(shape: Arc<Shape>, options: ParquetOptions, context: SinkContext, under: String) -> Self {
        Self {
            shape,
            under,
            staging: names::merging_folder(&context.region, &context.pipeline).into(),
            process: names::merging_process(RandomState::new().hash_one(std::process::id())),
            begun: 0,
            options,
            context,
        }
    }

    /// Whether a key is that of a file of this pipeline: by its name, its levels, and its region where that is one of them.
    pub(crate) fn owns(&self, key: &str) -> bool {
        let mut folders: Vec<&str> = key.split('/').collect();
        let name = folders.pop().unwrap_or_default();
        let region = names::partition("region", Some(&self.context.region));
        let levels = &self.shape.plan.levels;
        folders.len() == levels.len()
            && levels.iter().zip(folders).all(|(level, folder)| *level != Level::Region || folder == region)
            && names::visible_epoch(name, &self.context.pipeline).is_some()
    }

    /// Whether regions keep apart what they have.
    pub(crate) fn tells_regions_apart(&self) -> bool {
        self.shape.plan.levels.contains(&Level::Region)
    }

    /// Whether the time of a file's partition ended `ago` before `now`; none if its folders name no time.
    pub(crate) fn is_over(&self, key: &str, ago: TimeDelta, now: DateTime<Utc>) -> Option<bool> {
        let levels = &self.shape.plan.levels;
        retain::end(levels, key)?;
        Some(retain::is_over(levels, key, ago, now))
    }

    /// Whether `partition_by` says of a file in which hour its rows are, and not only on which day.
    pub(crate) fn has_hours(&self) -> bool {
        self.shape.plan.levels.contains(&Level::Hour)
    }

    /// Orders files as their rows came.
    pub(crate) fn by_age(&self, key: &str) -> (Option<u64>, Option<u64>) {
        let name = key.rsplit('/').next().unwrap_or(key);
        let pipeline = &self.context.pipeline;
        (names::visible_epoch(name, pipeline), names::visible_number(name, pipeline))
    }

    /// Whether a file of this pipeline was merged from others.
    pub(crate) fn is_merged(&self, key: &str) -> bool {
        names::is_merged(key.rsplit('/').next().unwrap_or(key), &self.context.pipeline)
    }

    /// All files of this pipeline that lie there, with their sizes and when they were put there.
    pub(crate) async fn visible(&self) -> Result<Vec<(Input, DateTime<Utc>)>, SinkError> {
        let visible = self.shape.place.visible(&self.under).await?;
        let ours = visible.into_iter().filter(|(key, _)| self.owns(key));
        Ok(ours.map(|(key, file)| (Input { key, bytes: file.size }, file.last_modified)).collect())
    }

    /// Makes one file of `inputs`, which lie in one folder; it is durable, and seen by nobody. Its columns are theirs, in the
    /// order of `names`. None if one of them is gone, or has columns that are none of `names`, or not of the type that
    /// others have.
    pub(crate) async fn merge(
        &mut self,
        inputs: &[Input],
        names: &[String],
    ) -> Result<Option<PreparedFile>, SinkError> {
        let Some(folder) = inputs.first().map(|input| folder_of(&input.key).to_owned()) else { return Ok(None) };
        let Some(sources) = self.read(inputs).await? else { return Ok(None) };
        let mut union = Union::default();
        let known = |source: &Source| source.columns().fields().iter().all(|field| names.contains(field.name()));
        if !sources.iter().all(|source| known(source) && union.take(source.columns())) {
            return Ok(None);
        }
        let plan = self.shape.plan.with_columns(&self.options, &self.context, union.ordered(names))?;
        let shape = Arc::new(Shape {
            plan,
            place: self.shape.place.clone(),
            row_group_bytes: self.shape.row_group_bytes,
            stats: true,
        });
        self.begun += 1;
        // The greatest of theirs: a start that counts the epochs of files counts no further for it.
        let epoch = inputs.iter().filter_map(|input| self.by_age(&input.key).0).max().unwrap_or(1);
        let claim = Claim {
            pipeline: Arc::clone(&self.context.pipeline),
            staging: Arc::clone(&self.staging),
            folder,
            epoch,
            number: self.begun,
            process: self.process,
        };
        self.write(shape, claim, sources).await.map(Some)
    }

    /// The files, whole; none if one is gone.
    async fn read(&self, inputs: &[Input]) -> Result<Option<Vec<Source>>, SinkError> {
        let place = &self.shape.place;
        let reading = inputs.iter().cloned().map(|input| async move {
            let Some(file) = place.read(&input.key).await? else { return Ok(None) };
            let shown = || format!("cannot merge {}", place.shown(&input.key));
            if file.len() as u64 != input.bytes {
                let why = format!("it has {} bytes, and its log says {}", file.len(), input.bytes);
                return Err(SinkError::fatal(shown(), why));
            }
            Source::new(file).map(Some).map_err(|error| SinkError::fatal(shown(), error))
        });
        let sources: Vec<Option<Source>> = stream::iter(reading).buffered(place.at_a_time()).try_collect().await?;
        Ok(sources.into_iter().collect())
    }

    async fn write(&self, shape: Arc<Shape>, claim: Claim, sources: Vec<Source>) -> Result<PreparedFile, SinkError> {
        let shown = shape.place.shown(&claim.folder);
        let failed = |error: &dyn std::fmt::Display| {
            SinkError::fatal(format!("cannot merge files in {shown}"), error.to_string())
        };
        let expected: u64 = sources.iter().map(Source::rows).sum();
        let (epoch, number) = (claim.epoch, names::uploaded(claim.process, claim.number));
        let (begin, now) = (RowPlace { number: 0, rows: 0 }, Moment::now(Instant::now()));
        let mut file = OpenFile::new(&shape, claim, Came { first: now, last: now })?;
        let (sender, mut merged) = mpsc::channel(WAITING);
        let (schema, sort) = (Arc::clone(&shape.plan.file), shape.plan.sort.clone());
        // It ends with the receiver, if this is dropped.
        let reading = tokio::task::spawn_blocking(move || send(&sources, schema, sort, &sender));
        while let Some(rows) = merged.recv().await {
            let mut left = Some(rows);
            while let Some(rows) = left {
                left = file.push(rows, begin, now);
                if file.row_group_is_full() {
                    file.flush_unkept().await?;
                }
            }
        }
        reading.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
        let finished = file.finish(epoch).await?;
        if finished.rows != expected {
            return Err(failed(&format!("{} rows came of {expected}", finished.rows)));
        }
        shape.place.make_durable(std::slice::from_ref(&finished)).await?;
        let target = finished.written.target.unwrap_or_else(|| {
            let name = names::visible(&self.context.pipeline, epoch, number);
            if finished.folder.is_empty() { name } else { format!("{}/{name}", finished.folder) }
        });
        let (hidden, rows, bytes) = (finished.written.hidden, finished.rows, finished.bytes);
        Ok(PreparedFile { hidden, target, rows, bytes, stats: finished.stats })
    }

    /// Shows files, where nobody looks before their log names them.
    pub(crate) async fn show(&self, files: &[PreparedFile]) -> Result<(), SinkError> {
        for file in files {
            self.shape.place.publish(file).await?;
        }
        self.shape.place.settle(files).await
    }

    /// Removes a visible file, if it is there.
    pub(crate) async fn remove(&self, key: &str) -> Result<(), SinkError> {
        self.shape.place.remove(key).await
    }

    pub(crate) fn at_a_time(&self) -> usize {
        self.shape.place.at_a_time()
    }

    /// Removes what processes that have died since left half written.
    pub(crate) async fn tidy(&self, now: DateTime<Utc>) -> Result<(), SinkError> {
        let mut left = self.shape.place.leftovers(&self.staging).await?;
        // One that still writes has touched it by now.
        left.retain(|left| left.put.is_some_and(|put| put + YOUNG <= now) && !left.is_of(self.process));
        if !left.is_empty() {
            self.shape.place.sweep(left, &self.context.pipeline, &self.under, &Default::default()).await;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Merger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Merger")
            .field("pipeline", &self.context.pipeline)
            .field("url", &self.shape.place.shown(""))
            .finish_non_exhaustive()
    }
}

/// Sends the rows of `sources`, until nobody takes them any more.
fn send(
    sources: &[Source],
    schema: arrow::datatypes::SchemaRef,
    sort: Vec<usize>,
    sender: &mpsc::Sender<RecordBatch>,
) -> Result<(), ArrowError> {
    let mut merged = Merged::new(sources, schema, sort)?;
    while let Some(rows) = merged.next()? {
        if sender.blocking_send(rows).is_err() {
            break;
        }
    }
    Ok(())
}
