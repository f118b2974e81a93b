//! Merging what is kept of the same groups, at once or in passes.
//!
//! A hash table over all keys of a window may be larger than memory even where its frozen parts are on disk. Then each
//! pass takes only the keys whose hash lies in its share of all hashes: the rows are the same, in several batches. This is
//! the partitioning of a Grace hash join (Kitsuregawa, Tanaka, Moto-Oka: "Application of hash to data base machine and its
//! architecture", 1983), but parts are cut when a block is spilled, so that a pass reads only what is its own.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use datafusion::common::Result;

use super::parted::{cut, hashes, merge_parts, part_of, parts_for};
use crate::aggregate::{AggregateSpec, GroupTable};
use crate::checkpoint::{Block, BlockRows};

/// Parts of a spilled block; a power of two. Sixteen let a window be sixteen times the room of a merge before passes have
/// to read rows that are not theirs.
const PARTS: usize = 16;

/// Smaller blocks are spilled whole: their parts would be smaller than what a disk reads at once.
const WORTH_PARTING: usize = 1 << 20;

/// Most passes; each holds one result batch at least.
const MOST_PASSES: usize = 1 << 12;

/// The results of tables and blocks together: in one batch, or in several where they take more than `room` bytes.
pub(super) fn finish(
    spec: &Arc<AggregateSpec>,
    tables: Vec<GroupTable>,
    blocks: &[Arc<Block>],
    room: Option<usize>,
) -> Result<Vec<RecordBatch>> {
    let passes = passes(spec, &tables, blocks, room);
    let states =
        tables.iter().map(GroupTable::len).sum::<usize>() + blocks.iter().map(|block| block.rows()).sum::<usize>();
    let parts = parts_for(spec, states);
    let whole = parts == 1 || tables.len() + blocks.len() < 2 || blocks.iter().any(|block| block.is_spilled());
    if passes == 1 && whole {
        return Ok(vec![merged(spec, tables, blocks)?.finish()?]);
    }
    let fresh: Vec<RecordBatch> = tables.into_iter().map(GroupTable::freeze).collect::<Result<_>>()?;
    if passes == 1 {
        let mut states = Vec::with_capacity(fresh.len() + blocks.len());
        for batch in fresh {
            states.push(cut(spec, &batch, parts)?);
        }
        for block in blocks {
            states.push(cut(spec, &block.batch()?, parts)?);
        }
        let of_part = |part: usize| Ok(states.iter().map(|batches| batches[part].clone()).collect());
        return merge_parts(spec, parts, of_part, GroupTable::take_finished);
    }
    let mut results = Vec::new();
    for pass in 0..passes {
        let mut table = GroupTable::new(spec.clone())?;
        for batch in &fresh {
            table.merge(&share(spec, batch, pass, passes)?)?;
        }
        for block in blocks {
            merge_share(&mut table, spec, block, pass, passes)?;
        }
        if !table.is_empty() {
            results.push(table.finish()?);
        }
    }
    Ok(results)
}

/// One table of tables and blocks together. The smaller tables go into the largest.
pub(super) fn merged(
    spec: &Arc<AggregateSpec>,
    mut tables: Vec<GroupTable>,
    blocks: &[Arc<Block>],
) -> Result<GroupTable> {
    tables.sort_by_key(GroupTable::len);
    let mut into = match tables.pop() {
        Some(largest) => largest,
        None => GroupTable::new(spec.clone())?,
    };
    for table in tables {
        into.merge(&table.freeze()?)?;
    }
    for block in blocks {
        match block.look() {
            BlockRows::Memory(batch) => into.merge(&batch)?,
            BlockRows::Disk(file) => (0..file.parts()).try_for_each(|part| into.merge(&file.read_part(part)?))?,
        }
    }
    Ok(into)
}

/// Splits a batch of frozen states for spilling, where merges have `room`.
pub(super) fn split(spec: &AggregateSpec, batch: RecordBatch, room: Option<usize>) -> Result<Vec<RecordBatch>> {
    let worth = room.map_or(WORTH_PARTING, |room| WORTH_PARTING.min(room));
    if spec.group_count() == 0 || batch.get_array_memory_size() < worth {
        return Ok(vec![batch]);
    }
    cut(spec, &batch, PARTS)
}

fn passes(spec: &AggregateSpec, tables: &[GroupTable], blocks: &[Arc<Block>], room: Option<usize>) -> usize {
    let Some(room) = room else { return 1 };
    let alone = tables.len() <= 1 && blocks.is_empty();
    if spec.group_count() == 0 || alone {
        return 1;
    }
    let frozen: usize = blocks.iter().map(|block| block.bytes()).sum();
    // A table is about twice what it is frozen.
    let bytes = frozen + tables.iter().map(GroupTable::size).sum::<usize>() / 2;
    bytes.div_ceil(room).next_power_of_two().clamp(1, MOST_PASSES)
}

/// Merges the groups of a block that a pass is for.
fn merge_share(table: &mut GroupTable, spec: &AggregateSpec, block: &Block, pass: usize, passes: usize) -> Result<()> {
    match block.look() {
        BlockRows::Memory(batch) => table.merge(&share(spec, &batch, pass, passes)?),
        BlockRows::Disk(file) if file.parts() == PARTS => {
            let (first, last) = (pass * PARTS / passes, ((pass + 1) * PARTS).div_ceil(passes));
            for part in first..last {
                let batch = file.read_part(part)?;
                let batch = if passes > PARTS { share(spec, &batch, pass, passes)? } else { batch };
                table.merge(&batch)?;
            }
            Ok(())
        }
        BlockRows::Disk(file) => table.merge(&share(spec, &file.read()?, pass, passes)?),
    }
}

/// The rows of a batch that a pass is for.
fn share(spec: &AggregateSpec, batch: &RecordBatch, pass: usize, passes: usize) -> Result<RecordBatch> {
    let mask = hashes(spec, batch)?.into_iter().map(|hash| Some(part_of(hash, passes) == pass));
    Ok(filter_record_batch(batch, &BooleanArray::from_iter(mask))?)
}
