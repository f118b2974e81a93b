//! What is done with a table's files beside the flow: old partitions go, small files are merged, and what nobody reads any more
//! is deleted.
//!
//! The one idea: an entry of the log is only written as the next one behind the state that it was made for. So whatever others do
//! meanwhile, an entry is true of the table as it is, or it is not there; who was too late looks again.
//!
//! | a merge, from planned to logged | if it ends here |
//! |---|---|
//! | its rows are in a file that nobody sees | it is removed an hour later |
//! | the file is shown, the log does not name it | no reader looks at it; the next sweep removes it |
//! | one entry takes the small files out and the large one in | it is done |
//! | the small files lie there still | they are deleted when they have been out of the table for long |

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Timelike, Utc};
use deltalake_core::kernel::{Action, Add, DeletionVectorDescriptor, Remove};
use deltalake_core::protocol::DeltaOperation;
use object_store::ObjectStore;

use super::log::{Location, Log};
use super::plan::{Bins, Small, bins, is_small};
use super::sink::{log, with_stats};
use super::vacuum::Vacuum;
use crate::error::SinkError;
use crate::parquet::{Clock, Compact, Input, Merger, ParquetOptions, ParquetSink, PreparedFile};
use crate::sink::SinkContext;
use crate::store::{self, Patience, Store};
use crate::upkeep::{Amount, Compacted, EVERY, Stop, Swept, Upkeep};

/// How often an entry is tried. Each time somebody else was quicker, and a table is not written to all the time.
const TRIES: usize = 20;

/// Looks after the files that one pipeline has in a table.
pub struct TableUpkeep {
    pub(super) log: Log,
    pub(super) merger: Merger,
    pub(super) vacuum: Vacuum,
    compact: Option<Compact>,
    retain: Option<Duration>,
    /// Size that files are to have.
    target: u64,
    /// The transaction by which sweeps call off the merges of others.
    pub(super) calls_off: String,
}

/// A file that the table has.
#[derive(Debug, Clone)]
pub(super) struct Logged {
    pub(super) input: Input,
    /// When it was written, in milliseconds since 1970.
    pub(super) written: i64,
    pub(super) partition: BTreeMap<String, Option<String>>,
    /// Which rows of it are deleted, if any are.
    pub(super) holes: Option<DeletionVectorDescriptor>,
}

impl fmt::Debug for TableUpkeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableUpkeep")
            .field("log", &self.log)
            .field("compact", &self.compact)
            .field("retain", &self.retain)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Upkeep for TableUpkeep {
    fn every(&self) -> Duration {
        self.compact.map_or(EVERY, |compact| compact.every.0)
    }

    async fn sweep(&mut self, now: DateTime<Utc>, stop: Stop<'_>, swept: &mut Swept) -> Result<(), SinkError> {
        let done = self.work(now, stop, swept).await;
        // It has every file of the table, and the next sweep is far away.
        self.log.forget();
        done
    }
}

impl TableUpkeep {
    /// For the files of a pipeline that writes to the table at `options.url`.
    pub fn at(options: ParquetOptions, context: SinkContext, clock: Clock) -> Result<Self, SinkError> {
        match store::Location::of(&options.url)? {
            store::Location::Folder(_) => Self::local(&options, &context, clock, |store| store),
            store::Location::Store(_) => {
                let store = store::open(&options.url, &options.store, Patience::Sink)?;
                Self::new(&options, &context, store, clock)
            }
        }
    }

    /// For a table in `store`, whatever the url.
    pub(super) fn new(
        options: &ParquetOptions,
        context: &SinkContext,
        store: Store,
        clock: Clock,
    ) -> Result<Self, SinkError> {
        let place = Location::store(&store);
        // It uploads on its own account, and is cleared up after on its own, too.
        let files = ParquetSink::new(with_stats(options.clone()), context.clone(), store, clock)?;
        Self::of(place, &files, options, context)
    }

    /// For a table in the local folder `options.url`, which is made if it is missing, through what `wrap` makes of its stores.
    pub(super) fn local(
        options: &ParquetOptions,
        context: &SinkContext,
        clock: Clock,
        wrap: impl Fn(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>,
    ) -> Result<Self, SinkError> {
        let files = ParquetSink::local_with(with_stats(options.clone()), context.clone(), clock, &wrap)?;
        Self::of(Location::folder(options)?.through(&wrap), &files, options, context)
    }

    fn of(
        place: Location,
        files: &ParquetSink,
        options: &ParquetOptions,
        context: &SinkContext,
    ) -> Result<Self, SinkError> {
        let merger = files.merger(options.clone(), context.clone());
        // Where regions have no folders of their own, any of them may have merged what lies there.
        let region = if merger.tells_regions_apart() { format!("{}/", context.region) } else { String::new() };
        Ok(Self {
            log: log(place, options, context)?,
            merger,
            vacuum: Vacuum::new(options.vacuum.map(|period| period.0)),
            compact: options.compact,
            retain: options.retain.map(|period| period.0),
            target: options.roll.size.0,
            calls_off: format!("watershed/{region}{}/upkeep", context.pipeline),
        })
    }

    /// True if there is something to do for this, beside the flow.
    pub(super) fn is_wanted(&self) -> bool {
        self.compact.is_some() || self.retain.is_some()
    }

    /// Merges small files as well, where nothing was said of that.
    pub fn compacting(mut self) -> Self {
        self.compact = Some(self.compact.unwrap_or_default());
        self
    }

    /// What a sweep would merge; by partition, what its small files are, and how many they would become.
    pub async fn plan(&mut self, now: DateTime<Utc>) -> Result<BTreeMap<String, Compacted>, SinkError> {
        if !self.log.look_again().await? {
            return Ok(BTreeMap::new());
        }
        let planned = self.small_files(now).into_iter().map(|(folder, bins)| {
            let before = size(bins.iter().flatten().map(|input| input.bytes));
            // What they will be compressed to is known when they are.
            (folder, Compacted { before, after: Amount { files: bins.len() as u64, bytes: before.bytes } })
        });
        let planned = planned.collect();
        self.log.forget();
        Ok(planned)
    }

    /// What can be done is done, whatever else cannot; the first error is told at the end.
    async fn work(&mut self, now: DateTime<Utc>, stop: Stop<'_>, swept: &mut Swept) -> Result<(), SinkError> {
        if !self.log.look_again().await? {
            return Ok(());
        }
        let mut first = Ok(());
        if let Some(retain) = self.retain.and_then(|retain| TimeDelta::from_std(retain).ok()) {
            note(&mut first, self.expire(now, retain, swept).await);
        }
        if self.compact.is_some() {
            note(&mut first, self.merger.tidy(now).await);
            for (folder, bins) in self.small_files(now) {
                for bin in bins {
                    if stop() {
                        return first;
                    }
                    note(&mut first, self.compact(&folder, &bin, swept).await);
                }
            }
        }
        note(&mut first, self.clear(now, stop, swept).await);
        first
    }

    /// Takes the files of old partitions out of the table.
    async fn expire(&mut self, now: DateTime<Utc>, retain: TimeDelta, swept: &mut Swept) -> Result<(), SinkError> {
        for _ in 0..TRIES {
            let mut files = self.log.files(|key| self.merger.owns(key));
            files.retain(|file| self.merger.is_over(&file.input.key, retain, now) == Some(true));
            if files.is_empty() {
                return Ok(());
            }
            if self.log.is_append_only() {
                return Err(SinkError::config(
                    "retain: the table has delta.appendOnly, so no row may go; unset that, or take retain out",
                ));
            }
            let operation = DeltaOperation::Delete { predicate: Some(self.before(now - retain)) };
            let actions = files.iter().map(|file| Action::Remove(removed(file, true))).collect();
            if self.log.append(actions, operation, None).await? {
                files.iter().for_each(|file| swept.expired.add(&file.input.key, file.input.bytes));
                return Ok(());
            }
            self.log.look_again().await?;
        }
        Err(self.log.is_busy())
    }

    /// The condition on rows that went, for whoever reads the table's history.
    fn before(&self, cut: DateTime<Utc>) -> String {
        let day = cut.date_naive();
        match self.merger.has_hours() {
            true => format!("date < '{day}' OR (date = '{day}' AND hour < {})", cut.hour()),
            false => format!("date < '{day}'"),
        }
    }

    /// What is to be merged, by folder.
    fn small_files(&self, now: DateTime<Utc>) -> BTreeMap<String, Bins> {
        let Some(after) = self.compact.and_then(|compact| TimeDelta::from_std(compact.after.0).ok()) else {
            return BTreeMap::new();
        };
        let oldest = now.checked_sub_signed(after).map_or(i64::MIN, |moment| moment.timestamp_millis());
        let is_due = |file: &Logged| {
            file.holes.is_none()
                && is_small(file.input.bytes, self.target)
                && self.merger.is_over(&file.input.key, after, now).unwrap_or(file.written <= oldest)
        };
        let files = self.log.files(|key| self.merger.owns(key)).into_iter().filter(is_due);
        let small = files.map(|file| Small { age: self.merger.by_age(&file.input.key), input: file.input });
        bins(small.collect(), self.target)
    }

    /// Merges small files of one partition to one file, and has the log say so in an entry.
    async fn compact(&mut self, folder: &str, inputs: &[Input], swept: &mut Swept) -> Result<(), SinkError> {
        // Before anything is shown: whoever removes what was shown, and is not logged, says so first.
        let called_off = self.log.version_of(&self.calls_off).await?;
        let names = self.log.columns();
        // Somebody has taken one away, or changed what it is: the next sweep sees what there is then.
        let Some(merged) = self.merger.merge(inputs, &names).await? else { return Ok(()) };
        self.merger.show(std::slice::from_ref(&merged)).await?;
        // On an error the entry may be there all the same, so the file stays. If it is not, the next sweep finds it.
        if self.replace(inputs, &merged, called_off).await? {
            let compacted = swept.compacted.entry(folder.to_owned()).or_default();
            inputs.iter().for_each(|input| compacted.before.add(input.bytes));
            compacted.after.add(merged.bytes);
            return Ok(());
        }
        tracing::info!(%folder, "others have changed what was being merged; it stays as it is");
        // It was logged after all, if others have taken it out again.
        if !self.log.tombstones().await?.contains_key(&merged.target) {
            self.merger.remove(&merged.target).await?;
        }
        Ok(())
    }

    /// Puts `merged` in the place of `inputs`; false if they are no longer what they were, so that nothing may be said of
    /// `merged` ever.
    pub(super) async fn replace(
        &mut self,
        inputs: &[Input],
        merged: &PreparedFile,
        called_off: Option<i64>,
    ) -> Result<bool, SinkError> {
        let keys: BTreeSet<&str> = inputs.iter().map(|input| input.key.as_str()).collect();
        for _ in 0..TRIES {
            self.log.look_again().await?;
            let files = self.log.files(|key| keys.contains(key) || key == merged.target);
            // An attempt of which the answer was lost.
            if files.iter().any(|file| file.input.key == merged.target) {
                self.log.settle().await?;
                return Ok(true);
            }
            let same = files.len() == inputs.len() && files.iter().all(|file| file.holes.is_none());
            let alike = files.windows(2).all(|pair| pair[0].partition == pair[1].partition);
            if !same || !alike || self.log.version_of(&self.calls_off).await? != called_off {
                return Ok(false);
            }
            let partition = files.first().map(|file| file.partition.clone()).unwrap_or_default();
            let removes = files.iter().map(|file| Action::Remove(removed(file, false)));
            let add = Action::Add(added(merged, &partition));
            let target_size = i64::try_from(self.target).unwrap_or(i64::MAX);
            let operation = DeltaOperation::Optimize { predicate: None, target_size };
            match self.log.append(removes.chain([add]).collect(), operation, None).await {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                // It may have got there: the next look tells, if there is one.
                Err(error) if self.log.look_again().await.is_err() => return Err(error),
                Err(error) => tracing::warn!(%error, "the entry of a merge is tried again"),
            }
        }
        // The last attempt may be on its way, for all that is known.
        Err(self.log.is_busy())
    }
}

/// Keeps the first error; those behind it are only logged.
fn note(first: &mut Result<(), SinkError>, done: Result<(), SinkError>) {
    match done {
        Ok(()) => {}
        Err(error) if first.is_err() => tracing::warn!(%error, "and so did another part of the sweep fail"),
        Err(error) => *first = Err(error),
    }
}

/// What the log says of a file that goes.
pub(super) fn removed(file: &Logged, data_change: bool) -> Remove {
    Remove {
        path: file.input.key.clone(),
        data_change,
        deletion_timestamp: Some(Utc::now().timestamp_millis()),
        extended_file_metadata: Some(true),
        partition_values: Some(file.partition.clone().into_iter().collect()),
        size: i64::try_from(file.input.bytes).ok(),
        // To the log, a file is its path and this: without it, none would go.
        deletion_vector: file.holes.clone(),
        ..Remove::default()
    }
}

/// What the log says of a merged file.
fn added(file: &PreparedFile, partition: &BTreeMap<String, Option<String>>) -> Add {
    Add {
        path: file.target.clone(),
        partition_values: partition.clone().into_iter().collect(),
        size: i64::try_from(file.bytes).unwrap_or(i64::MAX),
        modification_time: Utc::now().timestamp_millis(),
        data_change: false,
        stats: file.stats.clone(),
        ..Add::default()
    }
}

fn size(bytes: impl Iterator<Item = u64>) -> Amount {
    bytes.map(|bytes| Amount { files: 1, bytes }).sum()
}
