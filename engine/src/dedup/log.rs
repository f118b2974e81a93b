//! What checkpoints store of the keys: what each took, as blocks.
//!
//! The one idea: as event time goes on, whole blocks expire and are dropped as they are. Only where that leaves the
//! blocks longer than twice what is remembered does the log begin again with all of it.

use std::sync::Arc;

use arrow::array::{Array, FixedSizeBinaryArray, Int64Array, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::cast::{as_fixed_size_binary_array, as_int64_array};
use datafusion::common::{Result, exec_datafusion_err, exec_err};

use super::shard::Entry;
use crate::checkpoint::{Block, Budget};

/// More blocks than this are brought together, the smallest first: each is named in every manifest.
const MAX_BLOCKS: usize = 64;
/// Bytes of a hash.
const WIDTH: usize = size_of::<u128>();

/// The blocks of the last checkpoint.
#[derive(Debug, Default)]
pub(super) struct SeenLog {
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    block: Arc<Block>,
    /// Greatest time in it.
    latest: i64,
}

impl SeenLog {
    pub(super) fn rows(&self) -> usize {
        self.parts.iter().map(|part| part.block.rows()).sum()
    }

    pub(super) fn blocks(&self) -> Vec<Arc<Block>> {
        self.parts.iter().map(|part| part.block.clone()).collect()
    }

    /// Takes a block of an earlier run, whose entries these are.
    pub(super) fn keep(&mut self, block: Arc<Block>, entries: &[Entry]) {
        if let Some(latest) = entries.iter().map(|entry| entry.time).max() {
            self.parts.push(Part { block, latest });
        }
    }

    /// Adds what a cut gave.
    pub(super) fn add(&mut self, batch: RecordBatch, budget: &Arc<Budget>) -> Result<()> {
        if let Some(latest) = as_int64_array(batch.column(1))?.values().iter().max() {
            self.parts.push(Part { latest: *latest, block: Block::new(batch, budget) });
        }
        Ok(())
    }

    /// Drops the blocks that have expired as a whole.
    pub(super) fn forget(&mut self, horizon: i64, within: i64) {
        self.parts.retain(|part| part.latest.saturating_add(within) >= horizon);
    }

    /// Goes on from all there is.
    pub(super) fn begin_again(&mut self, batch: RecordBatch, budget: &Arc<Budget>) -> Result<()> {
        self.parts.clear();
        self.add(batch, budget)
    }

    /// Makes one block of the smaller half, where there are too many.
    pub(super) fn merge(&mut self, horizon: i64, within: i64, budget: &Arc<Budget>) -> Result<()> {
        if self.parts.len() <= MAX_BLOCKS {
            return Ok(());
        }
        // Blocks of a size stay in order of age, so that those that meet expire together.
        self.parts.sort_by_key(|part| part.block.rows());
        let large = self.parts.split_off(MAX_BLOCKS / 2);
        let mut entries = Vec::new();
        for part in std::mem::replace(&mut self.parts, large) {
            let read = decode(&part.block.batch()?)?;
            entries.extend(read.into_iter().filter(|entry| !entry.expired(horizon, within)));
        }
        self.add(encode(&entries)?, budget)
    }
}

/// Entries as rows: hash and time.
pub(super) fn encode(entries: &[Entry]) -> Result<RecordBatch> {
    let keys: Vec<u8> = entries.iter().flat_map(|entry| entry.key.to_be_bytes()).collect();
    let keys = FixedSizeBinaryArray::try_new(WIDTH as i32, Buffer::from_vec(keys), None)?;
    let times = Int64Array::from_iter_values(entries.iter().map(|entry| entry.time));
    let schema = Schema::new(vec![
        Field::new("key", DataType::FixedSizeBinary(WIDTH as i32), false),
        Field::new("time", DataType::Int64, false),
    ]);
    Ok(RecordBatch::try_new(Arc::new(schema), vec![Arc::new(keys), Arc::new(times)])?)
}

/// Rows as entries, of an epoch before all others.
pub(super) fn decode(batch: &RecordBatch) -> Result<Vec<Entry>> {
    let [keys, times] = batch.columns() else {
        return exec_err!("a block of seen keys has {} columns where 2 are needed", batch.num_columns());
    };
    let (keys, times) = (as_fixed_size_binary_array(keys)?, as_int64_array(times)?);
    if keys.null_count() + times.null_count() > 0 {
        return exec_err!("a block of seen keys has nulls");
    }
    let entry = |(key, &time): (Option<&[u8]>, &i64)| {
        let key = key.and_then(|key| key.try_into().ok());
        let key = key.ok_or_else(|| exec_datafusion_err!("a block of seen keys has keys that are not hashes"))?;
        Ok(Entry { key: u128::from_be_bytes(key), time, epoch: 0 })
    };
    keys.iter().zip(times.values()).map(entry).collect()
}
