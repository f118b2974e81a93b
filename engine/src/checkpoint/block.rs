//! One immutable batch of state, and where it is.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arrow::array::RecordBatch;
use datafusion::common::Result;
use serde::{Deserialize, Serialize};

use super::budget::{Budget, Hold};
use super::spill::SpillFile;

/// Where a block is stored: a range of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Name of the segment below `segments/`.
    pub segment: String,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Rows in it.
    pub rows: u64,
    /// CRC-32 of the bytes, so that a flipped bit is found before it becomes a wrong row.
    pub crc32: u32,
}

/// Rows of state. Shared by reference: windows read it, a checkpoint stores it once.
#[derive(Debug)]
pub struct Block {
    place: Mutex<Place>,
    rows: usize,
    bytes: usize,
    budget: Arc<Budget>,
    stored: OnceLock<Piece>,
}

#[derive(Debug)]
enum Place {
    Memory { batch: RecordBatch, _hold: Hold },
    Disk(Arc<SpillFile>),
}

/// The rows of a block where they were when it was asked; a spill in the meantime does not disturb the reader.
#[derive(Debug, Clone)]
pub(crate) enum BlockRows {
    /// In memory.
    Memory(RecordBatch),
    /// In a file.
    Disk(Arc<SpillFile>),
}

impl Block {
    /// A new block, stored nowhere yet.
    pub fn new(batch: RecordBatch, budget: &Arc<Budget>) -> Arc<Self> {
        let bytes = batch.get_array_memory_size();
        let rows = batch.num_rows();
        let place = Mutex::new(Place::Memory { batch, _hold: budget.hold(bytes) });
        Arc::new(Self { place, rows, bytes, budget: budget.clone(), stored: OnceLock::new() })
    }

    /// A block that came out of the state store.
    pub fn restored(batch: RecordBatch, piece: Piece, budget: &Arc<Budget>) -> Arc<Self> {
        let block = Self::new(batch, budget);
        // Nobody else has the new block yet.
        let _ = block.stored.set(piece);
        block
    }

    /// The rows, read back if they were spilled. Those of a spilled block may stand in another order than before.
    pub fn batch(&self) -> Result<RecordBatch> {
        match self.look() {
            BlockRows::Memory(batch) => Ok(batch),
            BlockRows::Disk(file) => file.read(),
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes it takes in memory, or took before it was spilled.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes it takes in memory now.
    pub fn resident(&self) -> usize {
        if self.is_spilled() { 0 } else { self.bytes }
    }

    /// True if its rows are on disk.
    pub fn is_spilled(&self) -> bool {
        matches!(&*self.place(), Place::Disk(_))
    }

    /// Moves the rows to disk and says how many bytes that frees: none if they are there already, or if the budget has no
    /// folder. On an error they stay in memory.
    pub fn spill(&self) -> Result<usize> {
        self.spill_as(|batch| Ok(vec![batch]))
    }

    /// Spills the rows in the parts that `split` makes of them, so that each can be read alone.
    pub(crate) fn spill_as(&self, split: impl FnOnce(RecordBatch) -> Result<Vec<RecordBatch>>) -> Result<usize> {
        let (Some(folder), BlockRows::Memory(batch)) = (self.budget.folder(), self.look()) else { return Ok(0) };
        let file = Arc::new(folder.write(&split(batch)?)?);
        // The lock is not held while writing, so that readers need not wait; whoever was faster has spilled it.
        let mut place = self.place();
        if let Place::Disk(_) = &*place {
            return Ok(0);
        }
        *place = Place::Disk(file);
        Ok(self.bytes)
    }

    /// Where the rows are now.
    pub(crate) fn look(&self) -> BlockRows {
        match &*self.place() {
            Place::Memory { batch, .. } => BlockRows::Memory(batch.clone()),
            Place::Disk(file) => BlockRows::Disk(file.clone()),
        }
    }

    /// Where it is stored, once it is.
    pub fn stored(&self) -> Option<&Piece> {
        self.stored.get()
    }

    /// Says where it is stored. The first place stays.
    pub fn set_stored(&self, piece: Piece) {
        let _ = self.stored.set(piece);
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
