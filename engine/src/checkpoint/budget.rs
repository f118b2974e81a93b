//! What the state of all pipelines may take of memory, and what it takes.
//!
//! The one idea: whoever keeps state holds its bytes in the budget for as long as it keeps it ([`Hold`]); lanes say what
//! their hash tables take. The budget frees nothing itself: it says by how much the limit is passed, and whoever asks
//! spills that much.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::Result;

use super::spill::SpillFolder;

/// The memory that state may take, and where it goes beyond that. The default has no limit and spills nothing.
#[derive(Debug, Default)]
pub struct Budget {
    limit: Option<usize>,
    folder: Option<Arc<SpillFolder>>,
    resident: AtomicUsize,
    active: Mutex<BTreeMap<usize, usize>>,
}

impl Budget {
    /// A budget of `limit_bytes` (0: no limit) that spills into `folder` (none: it never spills), which is made when it is
    /// first needed.
    pub fn new(limit_bytes: usize, folder: Option<PathBuf>) -> Self {
        let limit = (limit_bytes > 0).then_some(limit_bytes);
        Self { limit, folder: folder.map(|folder| Arc::new(SpillFolder::new(folder))), ..Self::default() }
    }

    /// Removes spill files that dead processes have left. Whoever calls it must own the pipelines that spilled them.
    pub fn sweep(&self) -> Result<()> {
        self.folder.as_ref().map_or(Ok(()), |folder| folder.sweep())
    }

    /// The limit in bytes.
    pub fn limit(&self) -> Option<usize> {
        self.limit
    }

    /// Bytes of state in memory, without the lanes' active hash tables.
    pub fn resident(&self) -> usize {
        self.resident.load(Ordering::Relaxed)
    }

    /// Says what the active hash tables of a lane take; takes the place of what the lane said before.
    pub fn set_active(&self, lane: usize, bytes: usize) {
        self.active.lock().unwrap_or_else(PoisonError::into_inner).insert(lane, bytes);
    }

    /// Bytes of all state in memory.
    pub fn used(&self) -> usize {
        let active: usize = self.active.lock().unwrap_or_else(PoisonError::into_inner).values().sum();
        self.resident().saturating_add(active)
    }

    /// Bytes above the limit.
    pub fn over(&self) -> usize {
        self.limit.map_or(0, |limit| self.used().saturating_sub(limit))
    }

    /// Bytes in spill files.
    pub fn spilled(&self) -> u64 {
        self.folder.as_ref().map_or(0, |folder| folder.bytes())
    }

    /// Counts bytes until the hold is dropped.
    pub fn hold(self: &Arc<Self>, bytes: usize) -> Hold {
        self.resident.fetch_add(bytes, Ordering::Relaxed);
        Hold { bytes, budget: self.clone() }
    }

    /// How many bytes of frozen state may be merged at once. The hash table takes about twice as much as its frozen state,
    /// and its results once more: an eighth of the limit becomes three.
    pub(crate) fn room(&self) -> Option<usize> {
        self.limit.map(|limit| (limit / 8).max(1))
    }

    /// From now on, the disk that it spills to has no room, or has some again.
    #[cfg(test)]
    pub(crate) fn fill_disk(&self, full: bool) {
        self.folder.iter().for_each(|folder| folder.fill(full));
    }

    pub(super) fn folder(&self) -> Option<&Arc<SpillFolder>> {
        self.folder.as_ref()
    }
}

/// Bytes that somebody keeps in memory.
#[derive(Debug)]
pub struct Hold {
    bytes: usize,
    budget: Arc<Budget>,
}

impl Hold {
    /// How many.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.budget.resident.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
