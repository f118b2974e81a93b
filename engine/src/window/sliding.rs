//! Partial aggregates that overlapping windows share, so that a slide costs a few merges however many panes a window has.
//!
//! Two stacks, as in Tangwongsan, Hirzel, Schneider and Wu, "General Incremental Sliding-Window Aggregation" (VLDB
//! 2015): panes before the flip stand as suffixes (pane `i` up to the flip, merged), panes from the flip on as one
//! prefix. A window is one suffix and the prefix. When the suffixes are used up, the prefix's panes become suffixes.
//! Where there are many groups, all of this is done in parts.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::Result;

use super::parted::{cut, merge_parts, parts_for};
use crate::aggregate::{AggregateSpec, GroupTable};
use crate::checkpoint::{Block, Budget};

/// States of some panes, merged: a block for each part.
type Merged = Vec<Arc<Block>>;

/// The shared partial aggregates of one hopping window.
#[derive(Debug)]
pub(super) struct Sliding {
    spec: Arc<AggregateSpec>,
    budget: Arc<Budget>,
    /// In how many parts groups are merged, from one flip to the next.
    parts: usize,
    /// First pane that is not in the suffixes.
    flip: i64,
    suffixes: BTreeMap<i64, Merged>,
    prefix: Option<Merged>,
    /// First pane that is not in the prefix.
    next: i64,
}

impl Sliding {
    pub(super) fn new(spec: Arc<AggregateSpec>, budget: Arc<Budget>) -> Self {
        Self { spec, budget, parts: 1, flip: i64::MIN, suffixes: BTreeMap::new(), prefix: None, next: i64::MIN }
    }

    /// Says that `pane` has got more rows: what was merged of it is void.
    pub(super) fn touch(&mut self, pane: i64) {
        if pane < self.next {
            self.forget();
        }
    }

    /// Drops everything that was merged; the next window is merged anew.
    pub(super) fn forget(&mut self) {
        *self = Self::new(self.spec.clone(), self.budget.clone());
    }

    /// The results of the window over `panes`. Windows come in ascending order; `frozen` gives the states of panes that all
    /// their windows share, `own` those that are this window's and maybe some others'.
    pub(super) fn window<'a>(
        &mut self,
        panes: Range<i64>,
        frozen: impl Fn(Range<i64>) -> Vec<(i64, &'a [Arc<Block>])>,
        own: &[Arc<Block>],
    ) -> Result<Vec<RecordBatch>> {
        if panes.start >= self.flip {
            let frozen = frozen(panes.clone());
            let states = frozen.iter().flat_map(|(_, states)| states.iter().map(|block| block.rows())).sum();
            self.parts = parts_for(&self.spec, states);
            self.suffixes.clear();
            let mut suffix: Option<Merged> = None;
            for (pane, states) in frozen.into_iter().rev() {
                let merged = self.merge(states.iter(), suffix.as_ref())?;
                self.suffixes.insert(pane, merged.clone());
                suffix = Some(merged);
            }
            self.flip = panes.end;
            self.prefix = None;
        } else {
            let fresh = frozen(self.next..panes.end);
            if !fresh.is_empty() {
                let states = fresh.iter().flat_map(|(_, states)| states.iter());
                self.prefix = Some(self.merge(states, self.prefix.as_ref())?);
            }
            self.suffixes = self.suffixes.split_off(&panes.start);
        }
        self.next = panes.end;
        let suffix = self.suffixes.first_key_value().map(|(_, suffix)| suffix);
        let shared: Vec<&Merged> = suffix.into_iter().chain(&self.prefix).collect();
        let mut results = self.merge_parts(own.iter(), &shared, GroupTable::take_finished)?;
        if self.parts > 1 {
            results.retain(|batch| batch.num_rows() > 0);
        }
        Ok(results)
    }

    /// States of panes, with what was merged before.
    fn merge<'a>(&self, states: impl Iterator<Item = &'a Arc<Block>>, before: Option<&Merged>) -> Result<Merged> {
        let states: Vec<&Arc<Block>> = states.collect();
        match (states.as_slice(), before) {
            ([], Some(before)) => return Ok(before.clone()),
            ([one], None) if self.parts == 1 => return Ok(vec![Arc::clone(one)]),
            ([one], None) => {
                let parts = cut(&self.spec, &one.batch()?, self.parts)?;
                return Ok(parts.into_iter().map(|part| Block::new(part, &self.budget)).collect());
            }
            _ => {}
        }
        let before: Vec<&Merged> = before.into_iter().collect();
        let freeze = |table: &mut GroupTable| Ok(Block::new(table.take_frozen()?, &self.budget));
        self.merge_parts(states.into_iter(), &before, freeze)
    }

    /// Merges what is not cut yet with what is.
    fn merge_parts<'a, T: Send>(
        &self,
        states: impl Iterator<Item = &'a Arc<Block>>,
        merged: &[&Merged],
        end: impl Fn(&mut GroupTable) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let states = states.map(|block| cut(&self.spec, &block.batch()?, self.parts));
        let states = states.collect::<Result<Vec<Vec<RecordBatch>>>>()?;
        let of_part = |part: usize| {
            let merged = merged.iter().map(|blocks| blocks[part].batch());
            merged.chain(states.iter().map(|batches| Ok(batches[part].clone()))).collect()
        };
        merge_parts(&self.spec, self.parts, of_part, end)
    }
}
