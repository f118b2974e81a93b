//! Partial aggregates that overlapping windows share, so that a slide costs a few merges however many panes a window has.
//!
//! Two stacks, as in Tangwongsan, Hirzel, Schneider and Wu, "General Incremental Sliding-Window Aggregation" (VLDB
//! 2015): panes before the flip stand as suffixes (pane `i` up to the flip, merged), panes from the flip on as one
//! prefix. A window is one suffix and the prefix. When the suffixes are used up, the prefix's panes become suffixes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::Result;

use super::merge::merged;
use crate::aggregate::AggregateSpec;
use crate::checkpoint::{Block, Budget};

/// The shared partial aggregates of one hopping window.
#[derive(Debug)]
pub(super) struct Sliding {
    spec: Arc<AggregateSpec>,
    budget: Arc<Budget>,
    /// First pane that is not in the suffixes.
    flip: i64,
    suffixes: BTreeMap<i64, Arc<Block>>,
    prefix: Option<Arc<Block>>,
    /// First pane that is not in the prefix.
    next: i64,
}

impl Sliding {
    pub(super) fn new(spec: Arc<AggregateSpec>, budget: Arc<Budget>) -> Self {
        Self { spec, budget, flip: i64::MIN, suffixes: BTreeMap::new(), prefix: None, next: i64::MIN }
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
    ) -> Result<RecordBatch> {
        if panes.start >= self.flip {
            self.suffixes.clear();
            let mut suffix: Option<Arc<Block>> = None;
            for (pane, states) in frozen(panes.clone()).into_iter().rev() {
                let merged = self.merge(states.iter().chain(&suffix))?;
                self.suffixes.insert(pane, merged.clone());
                suffix = Some(merged);
            }
            self.flip = panes.end;
            self.prefix = None;
        } else {
            let fresh = frozen(self.next..panes.end);
            if !fresh.is_empty() {
                let states = fresh.iter().flat_map(|(_, states)| states.iter());
                self.prefix = Some(self.merge(states.chain(&self.prefix))?);
            }
            self.suffixes = self.suffixes.split_off(&panes.start);
        }
        self.next = panes.end;
        let suffix = self.suffixes.first_key_value().map(|(_, suffix)| suffix);
        let all: Vec<Arc<Block>> = suffix.into_iter().chain(&self.prefix).chain(own).cloned().collect();
        merged(&self.spec, Vec::new(), &all)?.finish()
    }

    fn merge<'a>(&self, states: impl Iterator<Item = &'a Arc<Block>>) -> Result<Arc<Block>> {
        let states: Vec<Arc<Block>> = states.cloned().collect();
        if let [one] = states.as_slice() {
            return Ok(one.clone());
        }
        Ok(Block::new(merged(&self.spec, Vec::new(), &states)?.freeze()?, &self.budget))
    }
}
