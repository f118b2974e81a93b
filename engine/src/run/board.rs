//! What a run shows of itself while it runs: counts, watermarks, epochs, how far each split is behind.
//!
//! The one idea: those who work leave notes here and never wait for anybody who reads them; a look takes a copy.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
#[cfg(feature = "http")]
use watershed_connectors::Inlet;
use watershed_connectors::{Lag, SplitId};
use watershed_sinks::Swept;

use super::delays::{DelayView, Delays};
use super::tally::Tallies;
use crate::checkpoint::Budget;
use crate::report::Counts;
use crate::watermark::{BEGINNING, END};

/// A source and a split of it.
type Key = (Arc<str>, SplitId);

/// What a run shows.
#[derive(Debug)]
pub struct Board {
    made: Instant,
    shown: OnceLock<Shown>,
    epochs: Mutex<Epochs>,
    splits: Mutex<BTreeMap<Key, Arc<Mutex<Reading>>>>,
    /// What was done with files beside the flow, by pipeline and sink.
    swept: Mutex<BTreeMap<(Arc<str>, String), SweptView>>,
    /// Sinks that may be down, by pipeline and name.
    sinks: Mutex<BTreeMap<(Arc<str>, String), SinkView>>,
    #[cfg(feature = "http")]
    inlets: OnceLock<BTreeMap<String, Arc<Inlet>>>,
}

/// The parts of a run that can be looked at.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) pipelines: Vec<Arc<str>>,
    pub(super) tallies: Arc<Tallies>,
    pub(super) watermarks: Vec<(Arc<str>, watch::Receiver<i64>)>,
    pub(super) delays: Vec<(Arc<str>, Arc<Delays>)>,
    pub(super) memory: Arc<Budget>,
    pub(super) interval: Duration,
}

#[derive(Debug, Default)]
struct Epochs {
    last: Option<u64>,
    ended: u64,
    begun: Option<Instant>,
    ended_at: Option<Instant>,
    took: Option<Duration>,
}

#[derive(Debug)]
struct Reading {
    lag: Lag,
    moved: Instant,
}

/// What was done with the files of one pipeline in one sink, beside the flow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweptView {
    /// The pipeline.
    pub pipeline: String,
    /// The sink.
    pub sink: String,
    /// Files that went because their partition is old.
    pub expired: u64,
    /// Small files that larger ones took the place of.
    pub compacted: u64,
    /// Files that were deleted because the table no longer has them.
    pub vacuumed: u64,
}

/// One split's place on the board, taken down when it is dropped.
#[derive(Debug)]
pub(crate) struct Gauge {
    board: Arc<Board>,
    key: Key,
    reading: Arc<Mutex<Reading>>,
}

/// A look at a run.
#[derive(Debug, Clone)]
pub struct View {
    /// Counts of this run over all pipelines, as in its report.
    pub total: Counts,
    /// By pipeline.
    pub pipelines: Vec<PipelineView>,
    /// Bytes that state and rows on their way take of memory.
    pub memory_used: u64,
    /// How many they may take; none: any.
    pub memory_limit: Option<u64>,
    /// Bytes of state on the local disk.
    pub spilled: u64,
    /// The splits that are being read.
    pub splits: Vec<SplitView>,
    /// How long events take until they are in their panes, by source.
    pub delays: Vec<DelayView>,
    /// What was done with files beside the flow.
    pub swept: Vec<SweptView>,
    /// Sinks that may be down while the others go on: pipeline, sink, and how it stands.
    pub sinks: Vec<(String, String, SinkView)>,
    /// Epochs.
    pub epochs: EpochView,
    /// Time since the board was made.
    pub up: Duration,
}

/// A look at a sink that may be down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SinkView {
    /// Its place does not answer.
    pub down: bool,
    /// Bytes of the rows that wait for it.
    pub spilled: u64,
}

/// A look at a pipeline.
#[derive(Debug, Clone)]
pub struct PipelineView {
    /// Its name.
    pub name: String,
    /// Its counts.
    pub counts: Counts,
    /// Its watermark, in microseconds since the Unix epoch; none without windows, and before the first event.
    pub watermark: Option<i64>,
}

/// A look at a split.
#[derive(Debug, Clone)]
pub struct SplitView {
    /// Its source.
    pub source: String,
    /// Its name.
    pub split: String,
    /// How far its reader is behind.
    pub lag: Lag,
    /// Time since records were read.
    pub since_moved: Duration,
}

/// A look at the epochs of a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct EpochView {
    /// The last that was stored.
    pub last: Option<u64>,
    /// How many have ended in this run, those included in which nothing had to be stored.
    pub ended: u64,
    /// Time since one ended; since the start if none has.
    pub age: Duration,
    /// How long the last one took, from barrier to acknowledgement.
    pub took: Option<Duration>,
    /// Time between two; none until the run has begun.
    pub interval: Option<Duration>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            made: Instant::now(),
            shown: OnceLock::new(),
            epochs: Mutex::default(),
            splits: Mutex::default(),
            swept: Mutex::default(),
            sinks: Mutex::default(),
            #[cfg(feature = "http")]
            inlets: OnceLock::new(),
        }
    }
}

impl Board {
    /// The board of a run without pipelines.
    #[cfg(test)]
    pub(crate) fn shown_empty() -> Self {
        let board = Self::default();
        board.begin(Shown {
            pipelines: Vec::new(),
            tallies: Arc::new(Tallies::new(0)),
            watermarks: Vec::new(),
            delays: Vec::new(),
            memory: Arc::new(Budget::new(1, None)),
            interval: Duration::from_secs(10),
        });
        board
    }

    /// Shows the parts of a run that begins.
    pub(super) fn begin(&self, shown: Shown) {
        // A board is of one run.
        let _ = self.shown.set(shown);
    }

    /// Shows what can be pushed to, by name of the source.
    #[cfg(feature = "http")]
    pub(super) fn offer(&self, inlets: impl Iterator<Item = (String, Arc<Inlet>)>) {
        let _ = self.inlets.set(inlets.collect());
    }

    /// What is pushed to `source` goes here. None if there is no such source, which is sure once
    /// [`has_sources`](Board::has_sources).
    #[cfg(feature = "http")]
    pub fn inlet(&self, source: &str) -> Option<Arc<Inlet>> {
        self.inlets.get()?.get(source).cloned()
    }

    /// True once the sources of the run are known.
    #[cfg(feature = "http")]
    pub fn has_sources(&self) -> bool {
        self.inlets.get().is_some()
    }

    /// Files of a sink were looked after.
    pub(super) fn swept(&self, pipeline: &Arc<str>, sink: &str, swept: &Swept) {
        let mut all = lock(&self.swept);
        let view = all.entry((pipeline.clone(), sink.to_string())).or_default();
        (view.pipeline, view.sink) = (pipeline.to_string(), sink.to_string());
        view.expired += swept.expired.files;
        view.compacted += swept.compacted.values().map(|compacted| compacted.before.files).sum::<u64>();
        view.vacuumed += swept.vacuumed.files;
    }

    /// A sink stands like this.
    pub(super) fn sink(&self, pipeline: &Arc<str>, sink: &str, view: SinkView) {
        lock(&self.sinks).insert((pipeline.clone(), sink.to_string()), view);
    }

    /// An epoch begins to end.
    pub(super) fn epoch_begun(&self) {
        lock(&self.epochs).begun = Some(Instant::now());
    }

    /// An epoch has ended; `last` is the last that was stored.
    pub(super) fn epoch_ended(&self, last: u64) {
        let mut epochs = lock(&self.epochs);
        let now = Instant::now();
        epochs.last = Some(last);
        epochs.ended += 1;
        epochs.took = epochs.begun.take().map(|begun| now - begun);
        epochs.ended_at = Some(now);
    }

    /// Puts a split on the board.
    pub(crate) fn gauge(self: &Arc<Self>, source: &Arc<str>, split: &SplitId) -> Gauge {
        let reading = Arc::new(Mutex::new(Reading { lag: Lag::default(), moved: Instant::now() }));
        let key = (source.clone(), split.clone());
        lock(&self.splits).insert(key.clone(), reading.clone());
        Gauge { board: self.clone(), key, reading }
    }

    /// How the epochs stand.
    pub fn epochs(&self) -> EpochView {
        let epochs = lock(&self.epochs);
        EpochView {
            last: epochs.last,
            ended: epochs.ended,
            age: epochs.ended_at.unwrap_or(self.made).elapsed(),
            took: epochs.took,
            interval: self.shown.get().map(|shown| shown.interval),
        }
    }

    /// A look at everything; none until the run has begun.
    pub fn view(&self) -> Option<View> {
        let shown = self.shown.get()?;
        let totals = shown.tallies.so_far();
        let watermark = |name: &Arc<str>| {
            let (_, watermark) = shown.watermarks.iter().find(|(of, _)| of == name)?;
            Some(*watermark.borrow()).filter(|watermark| *watermark != BEGINNING && *watermark != END)
        };
        let pipeline = |(name, counts): (&Arc<str>, Counts)| PipelineView {
            name: name.to_string(),
            counts,
            watermark: watermark(name),
        };
        let splits = lock(&self.splits);
        let split = |((source, split), reading): (&Key, &Arc<Mutex<Reading>>)| {
            let reading = lock(reading);
            SplitView {
                source: source.to_string(),
                split: split.to_string(),
                lag: reading.lag,
                since_moved: reading.moved.elapsed(),
            }
        };
        Some(View {
            total: totals.total,
            pipelines: shown.pipelines.iter().zip(totals.pipelines).map(pipeline).collect(),
            memory_used: shown.memory.used() as u64,
            memory_limit: shown.memory.limit().map(|limit| limit as u64),
            spilled: shown.memory.spilled(),
            splits: splits.iter().map(split).collect(),
            delays: shown.delays.iter().map(|(source, delays)| delays.view(source)).collect(),
            swept: lock(&self.swept).values().cloned().collect(),
            sinks: lock(&self.sinks)
                .iter()
                .map(|((pipeline, sink), view)| (pipeline.to_string(), sink.clone(), *view))
                .collect(),
            epochs: self.epochs(),
            up: self.made.elapsed(),
        })
    }
}

impl Gauge {
    /// Shows how far the reader is behind; `moved` if it has just read records.
    pub(crate) fn set(&self, lag: Lag, moved: bool) {
        let mut reading = lock(&self.reading);
        reading.lag = lag;
        if moved {
            reading.moved = Instant::now();
        }
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        let mut splits = lock(&self.board.splits);
        // A split that left and came back has a new one.
        if splits.get(&self.key).is_some_and(|reading| Arc::ptr_eq(reading, &self.reading)) {
            splits.remove(&self.key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nobody panics while holding one of these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
