//! What all lanes have handed over of one pane part: what nobody has read yet, and blocks.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use datafusion::common::Result;

use super::compact::{Compacted, Compaction, Policy, Upkeep, due, small};
use super::merge::split;
use super::panes::{PanePart, PaneRows, Work};
use crate::aggregate::GroupTable;
use crate::checkpoint::{Block, Budget, Hold, footprint, tidy};

/// Tables of at most so many groups are merged as they come: it takes a fraction of a millisecond, and rows that are
/// late for some windows bring many of them.
const SMALL_TABLE: usize = 4096;

/// Rows of one pane part.
#[derive(Debug)]
pub(super) struct Sealed {
    fresh: Vec<(PaneRows, Hold)>,
    /// From old to young.
    blocks: Vec<Arc<Block>>,
    /// Whether the last compaction was worth its while.
    shrinks: bool,
}

impl Default for Sealed {
    fn default() -> Self {
        Self::restored(Vec::new())
    }
}

impl Sealed {
    /// What a checkpoint held.
    pub(super) fn restored(blocks: Vec<Arc<Block>>) -> Self {
        Self { fresh: Vec::new(), blocks, shrinks: true }
    }

    /// Takes what a lane held.
    pub(super) fn add(&mut self, rows: PaneRows, budget: &Arc<Budget>) -> Result<()> {
        let rows = match (rows, self.fresh.pop()) {
            (PaneRows::Table(one), Some((PaneRows::Table(other), _))) if one.len().min(other.len()) <= SMALL_TABLE => {
                let (mut large, small) = if one.len() < other.len() { (other, one) } else { (one, other) };
                large.merge(&small.freeze()?)?;
                PaneRows::Table(large)
            }
            (rows, last) => {
                self.fresh.extend(last);
                rows
            }
        };
        let hold = budget.hold(rows.bytes());
        self.fresh.push((rows, hold));
        Ok(())
    }

    /// The blocks.
    pub(super) fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    /// Takes the tables out, so that their results can be had without freezing them.
    pub(super) fn take_tables(&mut self) -> Vec<GroupTable> {
        let table = |(rows, _)| match rows {
            PaneRows::Table(table) => Some(*table),
            PaneRows::Batches(_) => None,
        };
        std::mem::take(&mut self.fresh).into_iter().filter_map(table).collect()
    }

    /// All rows as they came.
    pub(super) fn rows(&self) -> Result<Vec<RecordBatch>> {
        let mut rows = self.blocks.iter().map(|block| block.batch()).collect::<Result<Vec<_>>>()?;
        for (fresh, _) in &self.fresh {
            if let PaneRows::Batches(batches) = fresh {
                rows.extend(batches.iter().cloned());
            }
        }
        Ok(rows)
    }

    /// Turns everything into blocks. What is small is merged on the way.
    pub(super) fn freeze(&mut self, part: PanePart, upkeep: &Upkeep) -> Result<()> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        let mut batches = Vec::new();
        for (rows, _) in std::mem::take(&mut self.fresh) {
            match rows {
                PaneRows::Table(table) => self.push(table.freeze()?, &upkeep.budget)?,
                PaneRows::Batches(rows) => batches.extend(rows),
            }
        }
        for run in runs(batches) {
            self.push(concat(&run)?, &upkeep.budget)?;
        }
        if let Some(young) = small(&self.sizes(), upkeep.small) {
            let blocks = self.blocks[young].to_vec();
            let compaction = Compaction { part, blocks, upkeep: upkeep.clone() };
            self.replace(&compaction.run()?);
        }
        Ok(())
    }

    fn push(&mut self, batch: RecordBatch, budget: &Arc<Budget>) -> Result<()> {
        if batch.num_rows() > 0 {
            self.blocks.push(Block::new(tidy(&batch)?, budget));
        }
        Ok(())
    }

    /// The blocks that should become one next.
    pub(super) fn compaction(&self, part: PanePart, upkeep: &Upkeep) -> Option<Compaction> {
        let collects = matches!(upkeep.work, Work::Collect);
        let policy = Policy { shrinks: self.shrinks, collects, room: upkeep.budget.room(), small: upkeep.small };
        let blocks = self.blocks[due(&self.sizes(), policy)?].to_vec();
        Some(Compaction { part, blocks, upkeep: upkeep.clone() })
    }

    /// Puts a merged block into the place of those it was made of; false if they are not here any more.
    pub(super) fn replace(&mut self, compacted: &Compacted) -> bool {
        let old = &compacted.blocks;
        let same = |window: &[Arc<Block>]| window.iter().zip(old).all(|(one, other)| Arc::ptr_eq(one, other));
        let Some(first) = self.blocks.windows(old.len()).position(same) else { return false };
        self.blocks.splice(first..first + old.len(), [compacted.merged.clone()]);
        self.shrinks = compacted.shrank();
        true
    }

    /// Moves blocks to disk until `bytes` are freed; says how many were.
    pub(super) fn spill(&mut self, part: PanePart, upkeep: &Upkeep, bytes: usize) -> Result<usize> {
        let before = self.resident();
        self.freeze(part, upkeep)?;
        for block in self.blocks.iter().rev() {
            if before.saturating_sub(self.resident()) >= bytes {
                break;
            }
            match &upkeep.work {
                Work::Aggregate(spec) => block.spill_as(|batch| split(spec, batch, upkeep.budget.room()))?,
                Work::Collect => block.spill()?,
            };
        }
        Ok(before.saturating_sub(self.resident()))
    }

    fn resident(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(|block| block.resident()).sum();
        blocks + self.fresh.iter().map(|(_, hold)| hold.bytes()).sum::<usize>()
    }

    /// Bytes of each block; of those on disk nothing is merged.
    fn sizes(&self) -> Vec<Option<usize>> {
        self.blocks.iter().map(|block| (!block.is_spilled()).then(|| block.bytes())).collect()
    }
}

/// Batches that become one block: up to 32 MB, far from where the offsets of strings overflow.
fn runs(batches: Vec<RecordBatch>) -> Vec<Vec<RecordBatch>> {
    const MOST: usize = 32 << 20;
    let mut runs: Vec<Vec<RecordBatch>> = Vec::new();
    let mut bytes = MOST;
    for batch in batches {
        let more = footprint(&batch);
        match runs.last_mut() {
            Some(run) if bytes + more <= MOST => run.push(batch),
            _ => {
                runs.push(vec![batch]);
                bytes = 0;
            }
        }
        bytes += more;
    }
    runs
}

/// One batch of several. Branches of a union may differ in what they know to be never null.
pub(super) fn concat(batches: &[RecordBatch]) -> Result<RecordBatch> {
    let nullable = |field: &Arc<Field>| field.as_ref().clone().with_nullable(true);
    let fields: Vec<Field> = batches
        .iter()
        .take(1)
        .flat_map(|batch| batch.schema().fields().iter().map(nullable).collect::<Vec<_>>())
        .collect();
    Ok(arrow::compute::concat_batches(&Arc::new(Schema::new(fields)), batches)?)
}
