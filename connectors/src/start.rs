//! Where a stream is read from when no checkpoint says it.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::source::{Known, SplitId};

#[cfg(test)]
mod tests;

/// `start`: where the first read of a split begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record that is still there.
    #[default]
    Earliest,
    /// Behind the newest record there is at the first start.
    Latest,
    /// At the first record that arrived at or after this moment.
    At(DateTime<Utc>),
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            moment => match DateTime::parse_from_rfc3339(moment) {
                Ok(moment) => Ok(Self::At(moment.to_utc())),
                Err(_) => Err(Error::custom(format!(
                    "\"{text}\" is no place to start: write \"earliest\", \"latest\" or a moment such as \
                     \"2026-03-01T00:00:00Z\""
                ))),
            },
        }
    }
}

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
