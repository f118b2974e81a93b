//! One immutable batch of state, and where it is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use datafusion::common::Result;
use serde::{Deserialize, Serialize};

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

/// What the state of all pipelines may take of memory, and what it takes.
#[derive(Debug, Default)]
pub struct Budget {
    resident: AtomicUsize,
}

impl Budget {
    /// Bytes of all blocks that are in memory.
    pub fn resident(&self) -> usize {
        self.resident.load(Ordering::Relaxed)
    }
}

/// Rows of state. Shared by reference: windows read it, a checkpoint stores it once.
#[derive(Debug)]
pub struct Block {
    batch: RecordBatch,
    bytes: usize,
    budget: Arc<Budget>,
    stored: OnceLock<Piece>,
}

impl Block {
    /// A new block, stored nowhere yet.
    pub fn new(batch: RecordBatch, budget: &Arc<Budget>) -> Arc<Self> {
        let bytes = batch.get_array_memory_size();
        budget.resident.fetch_add(bytes, Ordering::Relaxed);
        Arc::new(Self { batch, bytes, budget: budget.clone(), stored: OnceLock::new() })
    }

    /// A block that came out of the state store.
    pub fn restored(batch: RecordBatch, piece: Piece, budget: &Arc<Budget>) -> Arc<Self> {
        let block = Self::new(batch, budget);
        // Nobody else has the new block yet.
        let _ = block.stored.set(piece);
        block
    }

    /// The rows.
    pub fn batch(&self) -> Result<RecordBatch> {
        Ok(self.batch.clone())
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// Bytes it takes in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where it is stored, once it is.
    pub fn stored(&self) -> Option<&Piece> {
        self.stored.get()
    }

    /// Says where it is stored. The first place stays.
    pub fn set_stored(&self, piece: Piece) {
        let _ = self.stored.set(piece);
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.budget.resident.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
