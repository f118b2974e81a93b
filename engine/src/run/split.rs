//! A split on its lanes: which it is, and where it stands.

use std::sync::Arc;

use watershed_connectors::{Position, SplitId};

use super::clock::SplitClock;
use super::turns::Turns;
use crate::checkpoint::SplitState;
use crate::watermark::SplitWatermark;

/// A split, as it was opened for the first time or came back.
pub(crate) struct LaneSplit {
    /// Number of the split in this run.
    pub(crate) number: usize,
    /// Index of its source.
    pub(crate) source: usize,
    pub(crate) id: SplitId,
    pub(crate) clock: Arc<SplitClock>,
    /// Where the last checkpoint left it.
    pub(crate) restored: Option<SplitState>,
    pub(crate) turns: Arc<Turns>,
}

/// Why no more of a split will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    /// It has ended.
    Ended,
    /// Another process reads on from where it is.
    Left,
}

/// Where a split stands.
#[derive(Debug)]
pub(crate) struct LiveSplit {
    pub(super) watermark: SplitWatermark,
    /// Of the split as it was opened last.
    clock: Arc<SplitClock>,
    /// Where the last epoch ended, and where the split is now.
    from: Option<Position>,
    to: Option<Position>,
    gone: Option<Gone>,
    /// True if it has moved since the last epoch.
    moved: bool,
}

impl LiveSplit {
    pub(super) fn new(split: &LaneSplit, max_delay: i64) -> Self {
        let restored = split.restored.as_ref();
        let to = restored.and_then(|state| state.to.clone());
        Self {
            watermark: SplitWatermark::resumed(max_delay, restored.and_then(|state| state.greatest_time)),
            clock: split.clock.clone(),
            from: to.clone(),
            to,
            gone: None,
            moved: false,
        }
    }

    /// True if `split` is what was opened last.
    pub(super) fn is_of(&self, split: &LaneSplit) -> bool {
        Arc::ptr_eq(&self.clock, &split.clock)
    }

    /// It was opened at `position`, where it was not left.
    pub(super) fn opened(&mut self, position: Position) {
        // What lies between was read by others, if anybody.
        self.from = self.to.is_some().then(|| position.clone());
        self.moved_to(position);
    }

    /// It stands at `position` now.
    pub(super) fn moved_to(&mut self, position: Position) {
        self.to = Some(position);
        self.moved = true;
    }

    /// No more of it will come.
    pub(super) fn end(&mut self, gone: Gone) {
        self.gone = Some(gone);
        self.moved = true;
    }

    /// True if more may come, or an epoch lacks what has come.
    pub(super) fn is_here(&self) -> bool {
        self.gone.is_none() || self.moved
    }

    /// Its state if it has moved; the next epoch begins here.
    pub(super) fn cut(&mut self) -> Option<SplitState> {
        if !std::mem::take(&mut self.moved) {
            return None;
        }
        let from = std::mem::replace(&mut self.from, self.to.clone());
        let greatest_time = self.watermark.greatest();
        let (ended, left) = (self.gone == Some(Gone::Ended), self.gone == Some(Gone::Left));
        Some(SplitState { from, to: self.to.clone(), ended, left, greatest_time })
    }
}
