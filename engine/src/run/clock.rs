//! The watermarks of all splits, written by lanes and read by pipelines.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, RwLock};

use crate::watermark::{BEGINNING, END, SplitTime, least};

/// One split's watermark, as the others see it.
#[derive(Debug)]
pub(crate) struct SplitClock {
    watermark: AtomicI64,
    idle: AtomicBool,
}

impl SplitClock {
    fn new(watermark: i64) -> Self {
        Self { watermark: AtomicI64::new(watermark), idle: AtomicBool::new(false) }
    }

    /// Publishes a watermark. What the split has brought up to it must have been handed over before.
    pub(crate) fn publish(&self, watermark: i64) {
        self.watermark.fetch_max(watermark, Ordering::AcqRel);
    }

    /// Something has come.
    pub(crate) fn set_busy(&self) {
        self.idle.store(false, Ordering::Release);
    }

    pub(crate) fn set_idle(&self) {
        self.idle.store(true, Ordering::Release);
    }

    pub(crate) fn end(&self) {
        self.publish(END);
        self.set_busy();
    }

    fn time(&self) -> SplitTime {
        SplitTime { watermark: self.watermark.load(Ordering::Acquire), idle: self.idle.load(Ordering::Acquire) }
    }
}

/// The splits of one source.
#[derive(Debug)]
pub(crate) struct SourceClock {
    splits: RwLock<Vec<Arc<SplitClock>>>,
    /// More splits may come at any time: that there is none now is silence, not the end.
    endless: bool,
}

impl SourceClock {
    pub(crate) fn new(endless: bool) -> Self {
        Self { splits: RwLock::default(), endless }
    }

    /// Adds a split whose watermark is known to be `watermark`. At [`BEGINNING`], it holds its pipelines back until it shows
    /// a record.
    pub(crate) fn add(&self, watermark: i64) -> Arc<SplitClock> {
        let clock = Arc::new(SplitClock::new(watermark));
        // Nobody panics while holding the lock.
        let mut splits = self.splits.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        splits.retain(|split| split.time().watermark != END);
        splits.push(clock.clone());
        clock
    }

    /// The least watermark of the splits that are not idle; none if all are.
    pub(crate) fn least(&self) -> Option<i64> {
        least(self.times(None))
    }

    fn times(&self, except: Option<&Arc<SplitClock>>) -> Vec<SplitTime> {
        let splits = self.splits.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let others = splits.iter().filter(|split| !except.is_some_and(|own| Arc::ptr_eq(own, split)));
        let coming = self.endless.then_some(SplitTime { watermark: BEGINNING, idle: true });
        others.map(|split| split.time()).chain(coming).collect()
    }
}

/// The watermark of one pipeline: over the splits of all its sources, and never going back.
#[derive(Debug)]
pub(crate) struct PipelineClock {
    sources: Vec<Arc<SourceClock>>,
    reached: AtomicI64,
}

impl PipelineClock {
    /// A clock that has reached `reached`.
    pub(crate) fn new(sources: Vec<Arc<SourceClock>>, reached: i64) -> Self {
        Self { sources, reached: AtomicI64::new(reached) }
    }

    /// The watermark that windows have been closed by.
    pub(crate) fn reached(&self) -> i64 {
        self.reached.load(Ordering::Acquire)
    }

    /// Moves on to what the splits allow, or, where all are idle, to `clock` if there is one.
    pub(crate) fn advance(&self, clock: Option<i64>) -> i64 {
        let times = self.sources.iter().flat_map(|source| source.times(None));
        let now = least(times).or(clock).unwrap_or(BEGINNING);
        self.reached.fetch_max(now, Ordering::AcqRel).max(now)
    }

    /// What holds besides one split of the pipeline: the least of the others, and never less than what was reached.
    pub(crate) fn besides(&self, own: &Arc<SplitClock>) -> Besides {
        let times = self.sources.iter().flat_map(|source| source.times(Some(own)));
        Besides { others: least(times).unwrap_or(END), reached: self.reached() }
    }
}

/// The part of a pipeline's watermark that one split does not decide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Besides {
    others: i64,
    reached: i64,
}

impl Besides {
    /// The pipeline's watermark if the split's own is `own`.
    pub(crate) fn with(self, own: i64) -> i64 {
        self.others.min(own).max(self.reached)
    }
}
