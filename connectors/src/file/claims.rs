//! Which path reads which file, so that a rotated file is not read again under its new name.
//!
//! The one idea: a file belongs to the first path under which it was opened, and stays with it through every renaming,
//! for as long as it can be seen.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::place::Identity;
use crate::source::SplitId;

#[derive(Debug)]
struct Claim {
    split: SplitId,
    open: bool,
    /// It was not in the last listing. One listing can miss a file that is renamed meanwhile.
    missed: bool,
}

/// The files of one source that are or were followed.
#[derive(Debug)]
pub(super) struct Claims {
    /// False where only one path is followed: no other can come across a finished file.
    keeps: bool,
    held: Mutex<HashMap<Identity, Claim>>,
}

impl Claims {
    pub(super) fn new(keeps: bool) -> Self {
        Self { keeps, held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Identity, Claim>> {
        // Every change is a single insertion or removal, so a panic elsewhere leaves the map whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims a file for `split`; false if it is or was read already.
    pub(super) fn take(&self, file: Identity, split: &SplitId) -> bool {
        let mut held = self.held();
        if held.contains_key(&file) {
            return false;
        }
        held.insert(file, Claim { split: split.clone(), open: true, missed: false });
        true
    }

    /// `file` was read to its end.
    pub(super) fn finish(&self, file: &Identity) {
        let mut held = self.held();
        if !self.keeps {
            held.remove(file);
        } else if let Some(claim) = held.get_mut(file) {
            claim.open = false;
        }
    }

    /// Starts `split` anew, with `done` as what it has read before.
    pub(super) fn restore(&self, split: &SplitId, done: &[Identity]) {
        let mut held = self.held();
        held.retain(|_, claim| claim.split != *split);
        for file in done {
            held.insert(*file, Claim { split: split.clone(), open: false, missed: false });
        }
    }

    /// What `split` has read to the end and others may still come across.
    pub(super) fn finished_by(&self, split: &SplitId) -> Vec<Identity> {
        let held = self.held();
        let mut done: Vec<_> =
            held.iter().filter(|(_, claim)| !claim.open && claim.split == *split).map(|(file, _)| *file).collect();
        done.sort_unstable();
        done
    }

    /// True if another path than `split` reads or has read `file`.
    pub(super) fn held_by_other(&self, file: &Identity, split: &SplitId) -> bool {
        self.held().get(file).is_some_and(|claim| claim.split != *split)
    }

    /// Lets go of finished files that two listings in a row did not show.
    pub(super) fn sweep(&self, listed: &HashSet<Identity>) {
        self.held().retain(|file, claim| {
            let missed_before = std::mem::replace(&mut claim.missed, !listed.contains(file));
            claim.open || !(claim.missed && missed_before)
        });
    }
}
