//! Work on what a sink has written, beside the flow: old partitions go, small files become larger ones.
//!
//! The one idea: a sweep may be cut short at any point, by anything, and the next one makes up for it. So nobody waits for one, and
//! its failure is no failure of the run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::error::SinkError;

/// Partitions are hours or days long, and each look lists a lake.
pub(crate) const EVERY: Duration = Duration::from_secs(3600);

/// Says whether a sweep is to end soon. It is asked between two files.
pub type Stop<'a> = &'a (dyn Fn() -> bool + Sync);

/// Looks after the files that one pipeline has in one place. It works beside the sink that it comes from, beside others like
/// itself, and beside writers of other makes.
#[async_trait]
pub trait Upkeep: Send + fmt::Debug {
    /// The pause between two sweeps.
    fn every(&self) -> Duration;

    /// Does what is due at `now`, and notes it in `swept`, also what came before a failure. May be dropped, and repeated.
    async fn sweep(&mut self, now: DateTime<Utc>, stop: Stop<'_>, swept: &mut Swept) -> Result<(), SinkError>;
}

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// What went because its partition is old.
    pub expired: Expired,
    /// By partition, what its small files were and what they became.
    pub compacted: BTreeMap<String, Compacted>,
    /// Files that no reader needs any more, and that were deleted.
    pub vacuumed: Amount,
}

/// What a sweep removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expired {
    /// Folders of the partitions.
    pub partitions: BTreeSet<String>,
    /// Files in them.
    pub files: u64,
    /// Bytes of those.
    pub bytes: u64,
}

/// A partition's small files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// What they were.
    pub before: Amount,
    /// What they are now.
    pub after: Amount,
}

/// So many files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub files: u64,
    /// Bytes of all together.
    pub bytes: u64,
}

impl Expired {
    pub(crate) fn add(&mut self, key: &str, bytes: u64) {
        self.partitions.insert(folder_of(key).to_owned());
        self.files += 1;
        self.bytes += bytes;
    }
}

impl Amount {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

impl std::iter::Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), |a, b| Self { files: a.files + b.files, bytes: a.bytes + b.bytes })
    }
}

/// The folder that a key lies in; empty for the root.
pub(crate) fn folder_of(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(folder, _)| folder)
}
