//! Which shards may be read: parents before their children.
//!
//! A split closes one shard and opens two, a merge closes two and opens one. Records of a key move from parent to child,
//! so a child is read only when its parents were read to their end.
//!
//! | shard | is |
//! |---|---|
//! | ended in this run or an earlier one | done |
//! | unknown to the checkpoint, but a descendant of it is known | past: it lay before the start |
//! | closed before the first start, with `start = "latest"` | past |
//! | all its parents are done, past, or not listed any more | to be read |
//! | any other | waiting |

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::source::{Known, SplitId};

#[cfg(test)]
mod tests;

/// A shard as the service lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) id: SplitId,
    /// None, one (after a split) or two (after a merge). They may be gone from the list.
    pub(super) parents: Vec<SplitId>,
    /// Takes no more records.
    pub(super) closed: bool,
    /// Its range of hash keys: first and last, as decimal numbers.
    pub(super) hash_keys: Option<(Arc<str>, Arc<str>)>,
}

/// What has been read of a stream.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    /// Those of the checkpoint.
    known: HashSet<SplitId>,
    /// Read to the end.
    ended: HashSet<SplitId>,
    /// Closed before the first start, and not wanted.
    past: HashSet<SplitId>,
}

impl Lineage {
    /// Takes note of what a checkpoint knows.
    pub(super) fn restore(&mut self, known: &[(SplitId, Known)]) {
        for (split, known) in known {
            self.known.insert(split.clone());
            if known.ended {
                self.ended.insert(split.clone());
            }
        }
    }

    /// Takes note of a shard that was read to its end.
    pub(super) fn drained(&mut self, split: &SplitId) {
        self.ended.insert(split.clone());
    }

    /// Leaves out what is closed already: nothing of it is wanted.
    pub(super) fn skip_closed(&mut self, shards: &[Shard]) {
        self.past.extend(shards.iter().filter(|shard| shard.closed).map(|shard| shard.id.clone()));
    }

    /// Those of `shards` to be read now, in their order.
    pub(super) fn to_read(&self, shards: &[Shard]) -> Vec<SplitId> {
        let listed: HashMap<&SplitId, &Shard> = shards.iter().map(|shard| (&shard.id, shard)).collect();
        let past = self.past_of(&listed);
        let over = |split: &SplitId| self.ended.contains(split) || past.contains(split);
        let ready = |shard: &&Shard| {
            !over(&shard.id) && shard.parents.iter().all(|parent| !listed.contains_key(parent) || over(parent))
        };
        shards.iter().filter(ready).map(|shard| shard.id.clone()).collect()
    }

    /// The unknown ancestors of known shards, and those that were left out.
    fn past_of<'a>(&'a self, listed: &HashMap<&'a SplitId, &'a Shard>) -> HashSet<&'a SplitId> {
        let mut past: HashSet<&SplitId> = self.past.iter().collect();
        let mut walk: Vec<&SplitId> = self.known.iter().collect();
        while let Some(split) = walk.pop() {
            let parents = listed.get(split).into_iter().flat_map(|shard| &shard.parents);
            for parent in parents.filter(|parent| !self.known.contains(*parent)) {
                if past.insert(parent) {
                    walk.push(parent);
                }
            }
        }
        past
    }
}
