//! The order of what is said of a split, whichever lanes it is said to.
//!
//! The one idea: several lanes decode the chunks of a split side by side, but chunks take their turns one after the other.
//! Position, watermark and epoch of a split are those that one lane alone would find. What is decoded before its turn waits
//! here, and is done by the lane that does what comes before it; so no lane waits for another.
//!
//! | of chunks one after the other | is done |
//! |---|---|
//! | decoding | at any time, by any lane |
//! | which epoch a chunk is in, which of its rows are late, where the split stands behind it | in its turn |
//! | rows into panes | behind its turn, by the lane that took it. Its watermark is shown behind that |
//!
//! A later chunk may be in its panes first, and show its watermark. A window closes only when every lane has answered behind what
//! it was at, though, so the earlier chunk's rows are in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::OwnedSemaphorePermit;
use watershed_connectors::Position;

use super::intake::Decoded;
use super::split::{Gone, LaneSplit, LiveSplit};
use crate::checkpoint::SplitState;

/// What is said of a split.
pub(super) enum Said {
    Rows(Box<DecodedChunk>),
    News(News),
}

/// A chunk that is decoded.
pub(super) struct DecodedChunk {
    pub(super) decoded: Decoded,
    /// The position behind it.
    pub(super) position: Position,
    /// Event time before which nothing is to come, where the source can tell.
    pub(super) promise: Option<i64>,
    pub(super) permit: OwnedSemaphorePermit,
}

/// What is said of a split besides records.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum News {
    /// It was opened for the first time, or elsewhere than where it was left, at this position.
    Opened(Position),
    /// It has moved to this position without a record.
    Moved(Position),
    /// It is silent and caught up.
    Idle,
    /// No more of it will come.
    Gone(Gone),
}

/// The turns of a split, for as long as the run lasts: a split that is left and comes back goes on with them.
#[derive(Default)]
pub(crate) struct Turns(Mutex<Order>);

/// Where the turns stand.
#[derive(Default)]
pub(super) struct Order {
    given: u64,
    /// The turn that is next.
    next: u64,
    /// What waits for its turn.
    early: BTreeMap<u64, (Arc<LaneSplit>, Said)>,
    /// The last round that has ended here.
    ended: u64,
    /// What that round adds to its epoch, until the split's own lane ends it.
    cut: Option<SplitState>,
    live: Option<LiveSplit>,
}

/// What a lane is to do.
pub(super) enum Next {
    Nothing,
    /// The split is in the next epoch already, and the lane is not.
    EndEpoch,
    Do(Arc<LaneSplit>, Said),
}

impl Turns {
    /// The next turn, for whoever reads the split.
    pub(super) fn give(&self) -> u64 {
        let mut order = self.lock();
        order.given += 1;
        order.given - 1
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Order> {
        // Nobody panics while holding the lock.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Order {
    /// Takes what has this turn.
    pub(super) fn wait(&mut self, turn: u64, split: &Arc<LaneSplit>, said: Said) {
        self.early.insert(turn, (split.clone(), said));
    }

    /// What is to be done next, by a lane that has ended round `ended`.
    pub(super) fn next(&mut self, ended: u64) -> Next {
        let Some(first) = self.early.first_entry().filter(|first| *first.key() == self.next) else {
            return Next::Nothing;
        };
        if self.ended > ended {
            return Next::EndEpoch;
        }
        let (split, said) = first.remove();
        self.next += 1;
        if self.ended < ended {
            self.cut = self.cut_here();
            self.ended = ended;
        }
        Next::Do(split, said)
    }

    /// Where the split stands, as `split` was opened.
    pub(super) fn live(&mut self, split: &LaneSplit, max_delay: i64) -> &mut LiveSplit {
        self.live.get_or_insert_with(|| LiveSplit::new(split, max_delay))
    }

    /// The split was opened at `position`.
    pub(super) fn opened(&mut self, split: &LaneSplit, max_delay: i64, position: Position) {
        if self.live.as_ref().is_some_and(|live| !live.is_of(split)) {
            // It was elsewhere since.
            self.live = None;
        }
        self.live(split, max_delay).opened(position);
    }

    /// The split's own lane ends `round`: what it adds to the epoch, if it has moved.
    pub(super) fn end(&mut self, round: u64) -> Option<SplitState> {
        if self.ended >= round {
            return self.cut.take();
        }
        self.ended = round;
        self.cut_here()
    }

    fn cut_here(&mut self) -> Option<SplitState> {
        self.live.as_mut().and_then(LiveSplit::cut)
    }

    /// True if more may come, or something is still to be said in an epoch.
    pub(super) fn is_here(&self) -> bool {
        self.live.as_ref().is_none_or(LiveSplit::is_here)
    }
}
