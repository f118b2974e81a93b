//! One part of the keys.

use ahash::RandomState;
use hashbrown::HashTable;

/// Expired keys are looked for when the watermark has gone on by this share of `within`: each key is looked at a few
/// times in its life, and a few too many are kept.
const SWEEPS: i64 = 8;

/// A record that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Hash of its key.
    pub(super) key: u128,
    /// Its event time.
    pub(super) time: i64,
    /// The epoch of the lane that took it.
    pub(super) epoch: u64,
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admitted {
    Taken,
    /// One was taken before.
    Dropped,
    /// One was taken before, by a lane that was in a later epoch.
    DroppedForLater,
}

impl Entry {
    pub(super) fn expired(&self, horizon: i64, within: i64) -> bool {
        self.time.saturating_add(within) < horizon
    }
}

/// The keys of one shard.
#[derive(Debug)]
pub(super) struct Shard {
    hasher: RandomState,
    /// A key stands in it once for each of its records taken: all of them are further apart than `within`.
    table: HashTable<Entry>,
    /// Entries that no cut has given yet.
    fresh: Vec<Entry>,
    /// Up to where expired keys were looked for.
    swept: Option<i64>,
}

impl Shard {
    pub(super) fn new(hasher: RandomState) -> Self {
        Self { hasher, table: HashTable::new(), fresh: Vec::new(), swept: None }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.table.allocation_size() + self.fresh.capacity() * size_of::<Entry>()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.table.iter()
    }

    /// Says whether the record is to be taken; then it is remembered.
    pub(super) fn admit(&mut self, entry: Entry, within: i64) -> Admitted {
        let near = |other: &Entry| other.key == entry.key && other.time.abs_diff(entry.time) <= within.unsigned_abs();
        if let Some(before) = self.table.find(self.hasher.hash_one(entry.key), near) {
            return if before.epoch > entry.epoch { Admitted::DroppedForLater } else { Admitted::Dropped };
        }
        self.remember(entry);
        self.fresh.push(entry);
        Admitted::Taken
    }

    /// Puts an entry in.
    pub(super) fn remember(&mut self, entry: Entry) {
        let hash = |entry: &Entry| self.hasher.hash_one(entry.key);
        self.table.insert_unique(hash(&entry), entry, hash);
    }

    /// Moves the entries that were taken in `epoch` or before, and are new, to `into`.
    pub(super) fn cut(&mut self, epoch: u64, into: &mut Vec<Entry>) {
        into.extend(self.fresh.extract_if(.., |entry| entry.epoch <= epoch));
    }

    /// Forgets keys, if it is time to.
    pub(super) fn expire(&mut self, horizon: i64, within: i64) {
        if self.swept.is_some_and(|swept| horizon.saturating_sub(swept) <= within / SWEEPS) {
            return;
        }
        self.swept = Some(horizon);
        self.table.retain(|entry| !entry.expired(horizon, within));
        self.fresh.retain(|entry| !entry.expired(horizon, within));
        // A burst's memory goes when its keys have.
        if self.table.len() < self.table.capacity() / 4 {
            self.table.shrink_to(self.table.len() * 2, |entry| self.hasher.hash_one(entry.key));
            self.fresh.shrink_to(self.fresh.len() * 2);
        }
    }
}
