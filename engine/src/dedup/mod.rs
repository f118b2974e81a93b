//! Deduplication: which records were taken before, across lanes, restarts and time.
//!
//! The one idea: of each record taken, the hash of its key and its event time are remembered, with the epoch in which it
//! was taken. A record is a duplicate if one with its key was taken whose time lies within `within` of its own. What
//! lies further apart is another record: it is taken and remembered beside the first, whichever way time runs, so that
//! duplicates of either are found. The time of the record that was taken counts; a duplicate moves nothing.
//!
//! | | time of the key's records taken so far, `within` = 10 | record | |
//! |---|---|---|---|
//! | the same again | 100 | 100 | dropped |
//! | just within, later or earlier | 100 | 110, 90 | dropped |
//! | just beyond, later or earlier | 100 | 111, 89 | taken |
//! | near any of them | 100, 120 | 93, 110, 130 | dropped |
//! | a duplicate was dropped at 110 | 100 | 111 | taken: 110 was not |
//! | no key (null) | | any | taken |
//!
//! # What is forgotten
//!
//! A key is remembered until the watermark has passed its time by more than `within`. So `within` is also how late a
//! duplicate may come and be found. Without event time the clock is the time of both.
//!
//! # Epochs
//!
//! Lanes pass a checkpoint's barrier one after the other. While one is in epoch n+1 already, another may still be in n;
//! both ask the same [`SeenKeys`]. A crash goes back to what was committed, so what epoch n stores must be what its
//! lanes had taken before the barrier, and nothing that any took behind it: [`SeenKeys::cut`] gives just that.
//!
//! Say lane A, in n+1, takes a record of key k, and then lane B, in n, drops another of k. Epoch n is committed and the
//! process dies. B's record lies before B's position: it is not read again. A's lies behind A's: it is read again, and
//! as k is not in what epoch n stored, it is taken. So k was taken in A's first life (whose output was never committed)
//! and in its second: once in what counts. Had A's entry gone into epoch n, A's record would have been dropped in its
//! second life, and k lost. The other way round, B takes k in n and A drops its own in n+1: k is in epoch n, and A drops
//! it again. As lanes pass barriers in order, an entry taken in n is never older than a decision of n-1 that is durable.
//!
//! This holds where the source gives a record again until its position is committed: B's record may go because A's
//! comes back. A client that sends a record until any copy of it is acknowledged may hear of B's and not repeat A's: its
//! copies must come through one split, or B's must not be acknowledged yet (below). HTTP push has one split for that
//! reason. There both copies pass one lane: if the first is taken in epoch n, the second is dropped in n or later, and
//! whichever is acknowledged, n is durable and holds the record. If n never is, neither is acknowledged, and the client
//! sends it again. If n is durable and the answer was lost, k is in what n stored, and the copy sent again is dropped.
//!
//! Where all records of a key lie within `within` of each other, as true duplicates do, exactly one is taken, whatever the
//! order in which they come back. Records strung out further (0, 8, 16 with `within` = 10) have no one answer: which of
//! them are taken depends on the order in which lanes meet them, with or without a crash.
//!
//! # Records that the origin delivers again
//!
//! A queue gives a record again until it is acknowledged: after a crash, after a lost acknowledgement, or just so. Such a
//! source has [`SeenKeys`] of its own, beside those that the user may ask for, with three differences:
//! - The key is the origin's name for the record, and its time is that of arrival, not of the event. The time is counted
//!   by an [`ArrivalClock`], which stands still while nothing comes: after a crash everything unacknowledged is delivered
//!   again, however long the program was down, and its keys are still there.
//! - Records are told before they are decoded, so that a bad one is set aside once.
//! - Any copy acknowledges the record. In the story above, B's acknowledgement after epoch n would take k from the queue
//!   while A's k is in no manifest yet. So [`SeenKeys::leans_ahead`] says that in epoch n something was dropped on the word
//!   of n+1, and nothing of the source is acknowledged until n+1 is durable too.
//!
//! So each record counts once if its copies come within `within` of each other, in time in which records come: an id that
//! has been forgotten is taken for a new one.
//!
//! # Collisions
//!
//! Keys are told apart by 128-bit hashes (XXH3, seed 0). The chance that any two of n keys remembered at one time share a
//! hash is below n² / 2¹²⁹: 10⁻²¹ for a billion. XXH3 withstands chance, not malice: whoever may choose keys could
//! construct two that collide, and have one of the two records dropped.

mod arrival;
mod key;
mod log;
mod shard;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use datafusion::common::{Result, exec_err};

pub use arrival::{ArrivalClock, LONGEST_GAP};
pub use key::supports_key;

use self::log::SeenLog;
use self::shard::{Admitted, Entry, Shard};
use crate::checkpoint::{Block, Budget};

/// The keys of the records that a source has taken, shared by all lanes.
///
/// Keys are spread over shards, each behind its own lock, which a lane takes once per batch.
#[derive(Debug)]
pub struct SeenKeys {
    within: i64,
    /// A power of two of them.
    shards: Vec<Mutex<Shard>>,
    /// Everything whose time plus `within` lies before this is forgotten.
    horizon: AtomicI64,
    /// The last epoch that dropped a record on the word of a later one.
    leaning: AtomicU64,
    log: Mutex<SeenLog>,
}

/// What a checkpoint stores of the keys: each entry once, in any order. Blocks that the checkpoint before held come
/// again as they were.
#[derive(Debug, Clone, Default)]
pub struct SeenState {
    /// Hashes and times.
    pub blocks: Vec<Arc<Block>>,
}

impl SeenKeys {
    /// Nothing seen. `within_us` are microseconds; `shards` should be some times the number of lanes.
    pub fn new(within_us: i64, shards: usize) -> Self {
        let hasher = ahash::RandomState::new();
        let shards = shards.clamp(1, 1 << 16).next_power_of_two();
        Self {
            within: within_us.max(0),
            shards: (0..shards).map(|_| Mutex::new(Shard::new(hasher.clone()))).collect(),
            horizon: AtomicI64::new(i64::MIN),
            leaning: AtomicU64::new(0),
            log: Mutex::default(),
        }
    }

    /// Number of keys remembered, each as often as records of it were taken.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// True if nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the keys take in memory, without the blocks.
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).bytes()).sum()
    }

    /// Says which rows to take, and remembers those; of duplicates in the batch, the first is taken.
    ///
    /// `epoch` is the lane's: that of the checkpoint which will hold the rows. `keys` are the key columns, `times` the
    /// event time of each row. A row with a null among its keys is taken always. Fails for column types that
    /// [`supports_key`] does not know.
    pub fn admit(&self, epoch: u64, keys: &[ArrayRef], times: &[i64]) -> Result<BooleanArray> {
        if let Some(column) = keys.iter().find(|column| column.len() != times.len()) {
            return exec_err!("{} keys to deduplicate by, but {} times", column.len(), times.len());
        }
        let hashes = key::hashes(keys, times.len())?;
        let mut take = vec![true; times.len()];
        let (rows, bounds) = self.by_shard(&hashes);
        // Lanes begin at different shards, so that they do not follow each other from lock to lock.
        let first = hashes.iter().flatten().next().map_or(0, |&hash| self.shard_of(hash));
        for shard in (first..self.shards.len()).chain(0..first) {
            let rows = &rows[bounds[shard]..bounds[shard + 1]];
            if rows.is_empty() {
                continue;
            }
            let mut shard = lock(&self.shards[shard]);
            for &row in rows {
                let row = row as usize;
                if let Some(key) = hashes[row] {
                    let admitted = shard.admit(Entry { key, time: times[row], epoch }, self.within);
                    take[row] = admitted == Admitted::Taken;
                    if admitted == Admitted::DroppedForLater {
                        self.leaning.fetch_max(epoch, Ordering::Relaxed);
                    }
                }
            }
        }
        Ok(BooleanArray::new(BooleanBuffer::from(take), None))
    }

    /// True if a record was dropped in `epoch` as one with its key had been taken by a lane that was in the next already:
    /// a crash that comes back to the end of `epoch` forgets the one that was taken. To be asked when all lanes have passed
    /// the barrier of `epoch`, and before any passes that of the next.
    pub fn leans_ahead(&self, epoch: u64) -> bool {
        self.leaning.load(Ordering::Relaxed) >= epoch
    }

    /// The high bits choose the shard.
    fn shard_of(&self, hash: u128) -> usize {
        (hash >> 96) as usize & (self.shards.len() - 1)
    }

    /// Rows in order of their shards, and where each shard's begin and end. Rows of a shard keep their order.
    fn by_shard(&self, hashes: &[Option<u128>]) -> (Vec<u32>, Vec<usize>) {
        let mut bounds = vec![0; self.shards.len() + 1];
        hashes.iter().flatten().for_each(|&hash| bounds[self.shard_of(hash) + 1] += 1);
        for shard in 0..self.shards.len() {
            bounds[shard + 1] += bounds[shard];
        }
        let mut next = bounds.clone();
        let mut rows = vec![0; bounds[self.shards.len()]];
        for (row, hash) in hashes.iter().enumerate() {
            if let Some(hash) = *hash {
                let place = &mut next[self.shard_of(hash)];
                rows[*place] = row as u32;
                *place += 1;
            }
        }
        (rows, bounds)
    }

    /// The entries taken since the last cut in `epoch` or before: all of them, and none that is newer. To be called when
    /// all lanes have passed the barrier of `epoch`.
    pub fn cut(&self, epoch: u64) -> Result<RecordBatch> {
        let mut entries = Vec::new();
        self.shards.iter().for_each(|shard| lock(shard).cut(epoch, &mut entries));
        log::encode(&entries)
    }

    /// Forgets the keys whose time plus `within` lies before `watermark`.
    ///
    /// The watermark must be that of the last cut, from which a restart goes on: with a later one, keys would be missing
    /// that the records read again need. The work is put off until a fair share of the keys has expired.
    pub fn expire(&self, watermark: i64) {
        let horizon = self.horizon.fetch_max(watermark, Ordering::Relaxed).max(watermark);
        self.shards.iter().for_each(|shard| lock(shard).expire(horizon, self.within));
    }

    /// What epoch `epoch` stores: blocks, of which only those are new that hold what was taken since the last checkpoint.
    /// Forgets what `watermark`, that of the epoch, has passed. To be called when all lanes have passed the barrier.
    pub fn checkpoint(&self, epoch: u64, watermark: i64, budget: &Arc<Budget>) -> Result<SeenState> {
        let mut log = lock(&self.log);
        let delta = self.cut(epoch)?;
        self.expire(watermark);
        log.forget(self.horizon.load(Ordering::Relaxed), self.within);
        log.add(delta, budget)?;
        if log.rows() > 2 * self.len() {
            log.begin_again(self.snapshot(epoch)?, budget)?;
        }
        log.merge(self.horizon.load(Ordering::Relaxed), self.within, budget)?;
        Ok(SeenState { blocks: log.blocks() })
    }

    /// Every entry that was taken in `epoch` or before and is not forgotten.
    fn snapshot(&self, epoch: u64) -> Result<RecordBatch> {
        let horizon = self.horizon.load(Ordering::Relaxed);
        let mut entries = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            let kept = |entry: &&Entry| entry.epoch <= epoch && !entry.expired(horizon, self.within);
            entries.extend(shard.entries().filter(kept));
        }
        log::encode(&entries)
    }

    /// Takes back what a checkpoint stored, before any lane asks.
    pub fn restore(&self, state: SeenState) -> Result<()> {
        let mut log = lock(&self.log);
        for block in state.blocks {
            let entries = log::decode(&block.batch()?)?;
            for entry in &entries {
                lock(&self.shards[self.shard_of(entry.key)]).remember(*entry);
            }
            log.keep(block, &entries);
        }
        Ok(())
    }

    /// The blocks of the last checkpoint.
    pub fn blocks(&self) -> Vec<Arc<Block>> {
        lock(&self.log).blocks()
    }
}

/// A lane that panicked ends the run; until then the entries are as whole as they were.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
