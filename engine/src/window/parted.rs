//! Merging many groups in parts, by the hash of their keys.
//!
//! The one idea: a hash table that does not fit a cache costs a miss for every row that meets it. Keys of different parts never
//! meet, so each part is merged alone, in a table that fits, and by whichever core is free: the radix join of Manegold,
//! Boncz and Kersten ("Optimizing main-memory join on modern hardware", 2002), for aggregates.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use datafusion::common::Result;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::aggregate::{AggregateSpec, GroupTable};

/// Groups of a part: with a few aggregates, their table takes about a megabyte.
const PART_GROUPS: usize = 16_384;

/// Fewer states are merged in one table.
const WORTH_PARTING: usize = 4 * PART_GROUPS;

/// Most parts: beyond it, the rows of a part are too few in each batch.
const MOST_PARTS: usize = 256;

/// Fixed, since parts on disk must be those that a later merge looks for; another seed than that of the hash tables, whose
/// buckets would otherwise fill unevenly.
const PART_HASH: RandomState = RandomState::with_seed(0x9e37_79b9_7f4a_7c15);

/// In how many parts so many states are merged; a power of two.
pub(super) fn parts_for(spec: &AggregateSpec, states: usize) -> usize {
    if spec.group_count() == 0 || states < WORTH_PARTING {
        return 1;
    }
    (states / PART_GROUPS).next_power_of_two().min(MOST_PARTS)
}

/// The states of each part, in memory of their own.
pub(super) fn cut(spec: &AggregateSpec, batch: &RecordBatch, parts: usize) -> Result<Vec<RecordBatch>> {
    if parts == 1 {
        return Ok(vec![batch.clone()]);
    }
    let mut rows: Vec<Vec<u32>> = vec![Vec::with_capacity(batch.num_rows() / parts); parts];
    for (row, hash) in hashes(spec, batch)?.into_iter().enumerate() {
        rows[part_of(hash, parts)].push(row as u32);
    }
    rows.into_iter().map(|rows| Ok(take_record_batch(batch, &UInt32Array::from(rows))?)).collect()
}

/// Merges each part of `states` alone: those of part `i` are what `states(i)` gives. `end` says what becomes of a part's
/// table, and leaves it empty: the next part need not make room for as many groups again.
pub(super) fn merge_parts<T: Send>(
    spec: &Arc<AggregateSpec>,
    parts: usize,
    states: impl Fn(usize) -> Result<Vec<RecordBatch>> + Sync,
    end: impl Fn(&mut GroupTable) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let merge = |table: &mut Option<GroupTable>, part| {
        let table = match table {
            Some(table) => table,
            None => table.insert(GroupTable::new(spec.clone())?),
        };
        for batch in states(part)? {
            table.merge(&batch)?;
        }
        end(table)
    };
    match parts {
        1 => Ok(vec![merge(&mut None, 0)?]),
        _ => (0..parts).into_par_iter().map_init(|| None, merge).collect(),
    }
}

/// Hashes of the keys of a batch of states.
pub(super) fn hashes(spec: &AggregateSpec, batch: &RecordBatch) -> Result<Vec<u64>> {
    let mut hashes = vec![0; batch.num_rows()];
    create_hashes(&batch.columns()[..spec.group_count()], &PART_HASH, &mut hashes)?;
    Ok(hashes)
}

/// The part, out of a power of two, for the keys of a hash: its upper bits.
pub(super) fn part_of(hash: u64, parts: usize) -> usize {
    ((u128::from(hash) * parts as u128) >> 64) as usize
}
