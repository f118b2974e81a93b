//! Which splits `start` is for.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::Start;
use crate::source::{Known, SplitId};

/// Decides where each split begins: `start` is for the splits of the first start. One that appears later holds only what
/// was written since, so it is read from its first record, whatever `start` says.
///
/// | split | checkpoint | begins at |
/// |---|---|---|
/// | listed first | none | `start` |
/// | listed later | none | earliest |
/// | any | knows others | earliest |
/// | any | knows it | its position: not decided here |
#[derive(Debug)]
pub(crate) struct Beginning {
    start: Start,
    first: Mutex<First>,
}

#[derive(Debug)]
enum First {
    /// Nothing was listed yet.
    Unlisted,
    /// Listed first, without a checkpoint.
    Splits(HashSet<SplitId>),
}

impl Beginning {
    pub(crate) fn new(start: Start) -> Self {
        Self { start, first: Mutex::new(First::Unlisted) }
    }

    /// Takes note of what a checkpoint knows.
    pub(crate) fn restore(&self, known: &[(SplitId, Known)]) {
        if !known.is_empty() {
            *self.lock() = First::Splits(HashSet::new());
        }
    }

    /// Takes note of the splits that there are.
    pub(crate) fn listed(&self, splits: &[SplitId]) {
        let mut first = self.lock();
        if matches!(*first, First::Unlisted) && !splits.is_empty() {
            *first = First::Splits(splits.iter().cloned().collect());
        }
    }

    /// Where `split` begins if the checkpoint does not know it.
    pub(crate) fn of(&self, split: &SplitId) -> Start {
        match &*self.lock() {
            First::Unlisted => self.start,
            First::Splits(first) if first.contains(split) => self.start,
            First::Splits(_) => Start::Earliest,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, First> {
        // Nobody panics while holding the lock.
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
