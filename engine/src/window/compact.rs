//! When blocks of one pane become one.
//!
//! Every checkpoint adds a block to each pane that got rows. A merged block has no place in the state store, so merging
//! costs an upload as well as the time. Three rules:
//!
//! | rule | why |
//! |---|---|
//! | the youngest blocks that together are small become one at once, in the checkpoint itself | a few groups in every checkpoint: one block always, and old segments come free |
//! | four blocks of a tier (sizes within a factor of four) and what is younger become one | size-tiered, as in LSM trees: a row is merged once per tier. Keys that every checkpoint touches are back in their tier after it: one merge per three checkpoints |
//! | where that did not shrink them: only beyond twelve blocks, and then the run that costs the least per block saved | keys that come once gain nothing by a merge but a shorter list; a row is merged once within 90 checkpoints, four times within 360 |
//!
//! Rows that are kept as they are never shrink: of them only small blocks are joined.

use std::ops::Range;
use std::sync::Arc;

use datafusion::common::Result;

use super::merge::merged;
use super::panes::{PanePart, Work};
use super::sealed::concat;
use crate::checkpoint::{Block, Budget, tidy};

/// Bytes of blocks that are merged without a thought: what a request to the state store moves in its own latency, and
/// what a hash table takes in within a millisecond.
pub(super) const SMALL: usize = 256 << 10;

/// Blocks of one tier that become one, and by how much tiers differ.
const FANOUT: usize = 4;

/// Most blocks of one pane part before even those are merged that do not shrink.
const MOST: usize = 12;

/// Rows as they came are joined up to so many times the small size: 4 MB.
const ENOUGH: usize = 16;

/// How the state of a store is kept.
#[derive(Debug, Clone)]
pub(super) struct Upkeep {
    pub(super) work: Work,
    pub(super) budget: Arc<Budget>,
    /// [`SMALL`], unless a test wants it smaller.
    pub(super) small: usize,
}

/// A merge of adjacent blocks. It holds all it needs, so that it may run anywhere while the store goes on.
#[derive(Debug)]
pub struct Compaction {
    pub(super) part: PanePart,
    pub(super) blocks: Vec<Arc<Block>>,
    pub(super) upkeep: Upkeep,
}

/// What became of a [`Compaction`].
#[derive(Debug)]
pub struct Compacted {
    pub(super) part: PanePart,
    pub(super) blocks: Vec<Arc<Block>>,
    pub(super) merged: Arc<Block>,
}

impl Compaction {
    /// Merges.
    pub fn run(self) -> Result<Compacted> {
        let merged = match &self.upkeep.work {
            Work::Aggregate(spec) => merged(spec, Vec::new(), &self.blocks)?.freeze()?,
            Work::Collect => {
                let batches = self.blocks.iter().map(|block| block.batch()).collect::<Result<Vec<_>>>()?;
                concat(&batches)?
            }
        };
        let merged = Block::new(tidy(&merged)?, &self.upkeep.budget);
        Ok(Compacted { part: self.part, blocks: self.blocks, merged })
    }
}

impl Compacted {
    /// True if the merge has removed a quarter of the rows at least, so that it was worth its while.
    pub(super) fn shrank(&self) -> bool {
        let before: usize = self.blocks.iter().map(|block| block.rows()).sum();
        self.merged.rows() <= before / 4 * 3
    }
}

/// What the policy knows of a pane part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    /// Whether the last merge shrank its blocks.
    pub(super) shrinks: bool,
    /// Whether rows are kept as they are.
    pub(super) collects: bool,
    /// Most bytes to merge at once.
    pub(super) room: Option<usize>,
    /// Bytes of the lowest tier.
    pub(super) small: usize,
}

/// The blocks to merge next, out of those of a pane part from old to young; `None` is a block that must be left alone.
pub(super) fn due(sizes: &[Option<usize>], policy: Policy) -> Option<Range<usize>> {
    let movable = |size: &Option<usize>| size.filter(|&size| !policy.collects || size < ENOUGH * policy.small);
    let sizes: Vec<Option<usize>> = sizes.iter().map(movable).collect();
    let fits = |run: &Range<usize>| {
        let bytes: Option<usize> = sizes[run.clone()].iter().copied().sum();
        bytes.is_some_and(|bytes| policy.room.is_none_or(|room| bytes <= room))
    };
    let by_tier =
        (policy.shrinks || policy.collects).then(|| tiered(&sizes, policy.small).filter(&fits).last()).flatten();
    if by_tier.is_some() || policy.collects || sizes.len() <= MOST {
        return by_tier;
    }
    // What it costs to make the list shorter by one.
    let cost = |run: &Range<usize>| sizes[run.clone()].iter().flatten().sum::<usize>() / (run.len() - 1);
    let runs = (0..sizes.len()).flat_map(|first| (first + 2..=sizes.len()).map(move |end| first..end));
    runs.filter(fits).min_by_key(cost)
}

/// Runs at the young end that hold [`FANOUT`] blocks of one tier and nothing above it, by tier.
fn tiered(sizes: &[Option<usize>], small: usize) -> impl Iterator<Item = Range<usize>> {
    let tiers: Vec<u32> = sizes.iter().map(|size| size.map_or(u32::MAX, |size| tier(size, small))).collect();
    (0..=usize::BITS).filter_map(move |tier| {
        let first = tiers.iter().rposition(|&other| other > tier).map_or(0, |last| last + 1);
        let of_tier = tiers[first..].iter().filter(|&&other| other == tier).count();
        (of_tier >= FANOUT).then_some(first..tiers.len())
    })
}

fn tier(bytes: usize, small: usize) -> u32 {
    (bytes / small).max(1).ilog2() / FANOUT.ilog2()
}

/// The young blocks that together are small.
pub(super) fn small(sizes: &[Option<usize>], most: usize) -> Option<Range<usize>> {
    let mut bytes = 0;
    let young = sizes.iter().rev().take_while(|size| {
        bytes += size.unwrap_or(most + 1);
        bytes <= most
    });
    let count = young.count();
    (count > 1).then_some(sizes.len() - count..sizes.len())
}

#[cfg(test)]
mod tests;
