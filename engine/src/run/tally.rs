//! Counts by epoch, so that a manifest records just what its epoch brought about.
//!
//! The one idea: lanes pass a barrier at different moments, so each carries the counters of the epoch it is in. An
//! epoch's counters are complete once every lane and every pipeline has left it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::report::{Counters, Counts};

/// The counters of one epoch.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) total: Arc<Counters>,
    pub(crate) pipelines: Vec<Arc<Counters>>,
}

impl Tally {
    fn new(pipelines: usize) -> Arc<Self> {
        let counters = Arc::<Counters>::default;
        Arc::new(Self { total: counters(), pipelines: (0..pipelines).map(|_| counters()).collect() })
    }
}

/// Counts over everything, and by pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) total: Counts,
    pub(crate) pipelines: Vec<Counts>,
}

impl Totals {
    fn add(&mut self, tally: &Tally) {
        self.total += tally.total.counts();
        for (sum, counters) in self.pipelines.iter_mut().zip(&tally.pipelines) {
            *sum += counters.counts();
        }
    }
}

/// The counters of all epochs of a run.
#[derive(Debug)]
pub(crate) struct Tallies {
    pipelines: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Epochs that are complete.
    settled: Totals,
    open: BTreeMap<u64, Arc<Tally>>,
}

impl Tallies {
    /// No counts yet.
    pub(crate) fn new(pipelines: usize) -> Self {
        let settled = Totals { total: Counts::default(), pipelines: vec![Counts::default(); pipelines] };
        Self { pipelines, inner: Mutex::new(Inner { settled, open: BTreeMap::new() }) }
    }

    /// The counters of `epoch`.
    pub(crate) fn of(&self, epoch: u64) -> Arc<Tally> {
        self.lock().open.entry(epoch).or_insert_with(|| Tally::new(self.pipelines)).clone()
    }

    /// Counts of this run up to and with `epoch`, which everyone has left.
    pub(crate) fn settle(&self, epoch: u64) -> Totals {
        let mut inner = self.lock();
        let later = inner.open.split_off(&(epoch + 1));
        for tally in std::mem::replace(&mut inner.open, later).into_values() {
            inner.settled.add(&tally);
        }
        inner.settled.clone()
    }

    /// Counts of this run so far.
    pub(crate) fn so_far(&self) -> Totals {
        let inner = self.lock();
        let mut totals = inner.settled.clone();
        inner.open.values().for_each(|tally| totals.add(tally));
        totals
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nobody panics while holding the lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_holds_only_what_was_counted_in_it() {
        let tallies = Tallies::new(1);
        let (first, second) = (tallies.of(1), tallies.of(2));
        Counters::add(&first.total.read, 3);
        Counters::add(&second.total.read, 4);
        Counters::add(&first.pipelines[0].windows, 1);
        let settled = tallies.settle(1);
        assert_eq!((settled.total.read, settled.pipelines[0].windows), (3, 1));
        assert_eq!(tallies.so_far().total.read, 7);
        assert_eq!(tallies.settle(2).total.read, 7);
    }
}
