//! What the files that take rows may have together, over all sinks of a process: rows in buffers, and half-written files.
//!
//! The one idea: here it is only counted. Each sink lets go of its own, as it writes and when an epoch ends, so that none
//! ever waits for the place of another.
//!
//! | beyond the limit | who lets go, and of what |
//! |---|---|
//! | rows in buffers | each sink that has more than its even share, of its fullest buffers |
//! | half-written files | the sink that has the least recently used one, of that; until it does, who wants to begin one closes its own oldest |

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much of a file may wait for its part of an upload to be full.
const PART: usize = 5 << 20;

/// So many half-written files fit whatever is said of memory: a day and its night in hours, in each of a few sinks.
const LEAST_FILES: usize = 16;

/// And no more than so many: a process may have 1024 files open at most systems, and has others.
const MOST_FILES: usize = 256;

/// What the sinks of a process may have together, and what they have.
#[derive(Debug)]
pub struct WriterBudget {
    /// Bytes of rows that wait in buffers.
    buffered: usize,
    /// Half-written files.
    files: usize,
    sinks: Mutex<Sinks>,
}

#[derive(Debug, Default)]
struct Sinks {
    made: u64,
    /// Counts up with each use of a file.
    used: u64,
    taken: BTreeMap<u64, Taken>,
}

/// What one sink has.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    buffered: usize,
    files: usize,
    /// When its least recently used half-written file was used; of no meaning if it has none.
    oldest: u64,
    /// It is to close that one.
    is_asked: bool,
}

impl WriterBudget {
    /// A budget in these limits.
    pub fn new(buffered_bytes: usize, open_files: usize) -> Arc<Self> {
        Arc::new(Self { buffered: buffered_bytes, files: open_files.max(1), sinks: Mutex::default() })
    }

    /// A quarter of `memory` for rows in buffers, and as many half-written files as another quarter has room for, or
    /// `open_files`.
    pub fn of_memory(memory: usize, open_files: Option<usize>) -> Arc<Self> {
        Self::new(memory / 4, open_files.unwrap_or_else(|| (memory / 4 / PART).clamp(LEAST_FILES, MOST_FILES)))
    }

    /// Bytes of rows that wait in buffers now.
    pub fn buffered(&self) -> usize {
        self.sinks().buffered()
    }

    /// Files that are half written now.
    pub fn half_written(&self) -> usize {
        self.sinks().files()
    }

    /// The part of a new sink.
    pub(super) fn share(self: &Arc<Self>) -> Share {
        let mut sinks = self.sinks();
        sinks.made += 1;
        let number = sinks.made;
        sinks.taken.insert(number, Taken::default());
        drop(sinks);
        Share { budget: Arc::clone(self), number }
    }

    fn sinks(&self) -> MutexGuard<'_, Sinks> {
        // Every change is whole, so a panic elsewhere leaves nothing half done.
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sinks {
    fn buffered(&self) -> usize {
        self.taken.values().map(|taken| taken.buffered).sum()
    }

    fn files(&self) -> usize {
        self.taken.values().map(|taken| taken.files).sum()
    }

    fn oldest(&self) -> Option<u64> {
        let with_files = self.taken.iter().filter(|(_, taken)| taken.files > 0);
        with_files.min_by_key(|(_, taken)| taken.oldest).map(|(number, _)| *number)
    }
}

/// One sink's part of the budget, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<WriterBudget>,
    number: u64,
}

impl Share {
    /// How many files may be half written, of all sinks.
    pub(super) fn open_files(&self) -> usize {
        self.budget.files
    }

    /// The moment of a use of a file: counts up over all sinks.
    pub(super) fn now(&self) -> u64 {
        let mut sinks = self.budget.sinks();
        sinks.used += 1;
        sinks.used
    }

    /// Says what the sink has: bytes in buffers, half-written files, and when the oldest of those was used.
    pub(super) fn tell(&self, buffered: usize, files: usize, oldest: Option<u64>) {
        if let Some(taken) = self.budget.sinks().taken.get_mut(&self.number) {
            let is_asked = taken.is_asked && files > 0;
            *taken = Taken { buffered, files, oldest: oldest.unwrap_or_default(), is_asked };
        }
    }

    /// How many bytes the sink is to send out of its buffers: to a quarter below the limit, so that it is not asked again at
    /// the next row.
    pub(super) fn excess(&self) -> usize {
        let sinks = self.budget.sinks();
        let all = sinks.buffered();
        let own = sinks.taken.get(&self.number).map_or(0, |taken| taken.buffered);
        let (limit, share) = (self.budget.buffered, self.budget.buffered / sinks.taken.len().max(1));
        if all <= limit || own <= share {
            return 0;
        }
        (all - limit / 4 * 3).min(own - share / 4 * 3)
    }

    /// True if the sink has to close its oldest file before it begins another. Asks the one that has the oldest of all to
    /// close that.
    pub(super) fn is_full(&self) -> bool {
        let mut sinks = self.budget.sinks();
        if sinks.files() < self.budget.files {
            return false;
        }
        if let Some(oldest) = sinks.oldest().filter(|oldest| *oldest != self.number)
            && let Some(taken) = sinks.taken.get_mut(&oldest)
        {
            taken.is_asked = true;
        }
        sinks.taken.get(&self.number).is_some_and(|taken| taken.files > 0)
    }

    /// True, once, if another asked the sink to close its oldest file.
    pub(super) fn is_asked(&self) -> bool {
        let mut sinks = self.budget.sinks();
        sinks.taken.get_mut(&self.number).is_some_and(|taken| std::mem::take(&mut taken.is_asked))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.sinks().taken.remove(&self.number);
    }
}
