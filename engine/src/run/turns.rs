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
use crate::watermark::SplitWatermark;

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
    fn live(&mut self, split: &LaneSplit, max_delay: i64) -> &mut LiveSplit {
        self.live.get_or_insert_with(|| LiveSplit::new(split, max_delay))
    }

    /// Takes news that have their turn. True if watermarks may have moved by them.
    pub(super) fn hear(&mut self, split: &LaneSplit, max_delay: i64, news: News) -> bool {
        match news {
            News::Opened(position) => {
                if self.live.as_ref().is_some_and(|live| !live.is_of(split)) {
                    // It was elsewhere since.
                    self.live = None;
                }
                self.live(split, max_delay).opened(position);
                false
            }
            News::Moved(position) => {
                self.live(split, max_delay).moved_to(position);
                false
            }
            News::Idle => {
                split.clock.set_idle();
                true
            }
            News::Gone(gone) => {
                self.live(split, max_delay).end(gone);
                split.clock.end();
                true
            }
        }
    }

    /// Takes a chunk that has its turn: gives the split's watermark before it, and behind it.
    pub(super) fn advance(&mut self, split: &LaneSplit, max_delay: i64, chunk: &DecodedChunk) -> (SplitWatermark, i64) {
        let live = self.live(split, max_delay);
        let before = live.watermark.clone();
        if let Some(times) = &chunk.decoded.times {
            live.watermark.advance(times);
            split.clock.set_busy();
        }
        if let Some(promise) = chunk.promise {
            live.watermark.promise(promise);
        }
        live.moved_to(chunk.position.clone());
        (before, live.watermark.now())
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

    /// True if more may come, or something is still to be said in an epoch, or waits for its turn.
    pub(super) fn is_here(&self) -> bool {
        self.next < self.given || self.live.as_ref().is_none_or(LiveSplit::is_here)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use watershed_connectors::SplitId;

    use super::super::clock::SourceClock;
    use super::*;
    use crate::watermark::BEGINNING;

    fn opened() -> Arc<LaneSplit> {
        let clock = SourceClock::new(true).add(BEGINNING);
        let turns = Arc::<Turns>::default();
        Arc::new(LaneSplit { number: 0, source: 0, id: SplitId::new("hot"), clock, restored: None, turns })
    }

    /// Says something in the next turn.
    fn say(split: &Arc<LaneSplit>, news: News) {
        let turn = split.turns.give();
        split.turns.lock().wait(turn, split, Said::News(news));
    }

    /// What a lane does that has ended round `ended`; an error says that it has to end another first.
    fn takes(split: &Arc<LaneSplit>, ended: u64) -> Result<Option<News>, ()> {
        let mut order = split.turns.lock();
        let Next::Do(split, Said::News(news)) = (match order.next(ended) {
            Next::Nothing => return Ok(None),
            Next::EndEpoch => return Err(()),
            next => next,
        }) else {
            unreachable!("only news are said here")
        };
        order.hear(&split, 0, news.clone());
        Ok(Some(news))
    }

    fn to(position: u64) -> Position {
        Position(json!(position))
    }

    #[test]
    fn what_comes_too_early_waits_for_what_comes_before_it() {
        let split = opened();
        let (first, second) = (split.turns.give(), split.turns.give());
        split.turns.lock().wait(second, &split, Said::News(News::Idle));
        assert_eq!(takes(&split, 0), Ok(None));
        split.turns.lock().wait(first, &split, Said::News(News::Moved(to(1))));
        assert_eq!(takes(&split, 0), Ok(Some(News::Moved(to(1)))));
        assert_eq!(takes(&split, 0), Ok(Some(News::Idle)));
        assert_eq!(takes(&split, 0), Ok(None));
    }

    #[test]
    fn an_epoch_has_what_came_before_the_first_lane_behind_the_barrier() {
        let split = opened();
        say(&split, News::Moved(to(1)));
        say(&split, News::Moved(to(2)));
        assert_eq!(takes(&split, 0), Ok(Some(News::Moved(to(1)))));
        // Another lane has passed the barrier of round 1 and takes the next turn.
        assert_eq!(takes(&split, 1), Ok(Some(News::Moved(to(2)))));
        say(&split, News::Moved(to(3)));
        assert_eq!(takes(&split, 0), Err(()), "a lane that has not passed it has to, first");
        let state = split.turns.lock().end(1);
        assert_eq!(state.and_then(|state| state.to), Some(to(1)));
        assert_eq!(takes(&split, 1), Ok(Some(News::Moved(to(3)))));
        let state = split.turns.lock().end(2);
        assert_eq!(state.map(|state| (state.from, state.to)), Some((Some(to(1)), Some(to(3)))));
        assert_eq!(split.turns.lock().end(3), None, "it has not moved since");
    }

    #[test]
    fn a_split_that_has_left_is_here_as_long_as_its_return_waits() {
        let split = opened();
        say(&split, News::Moved(to(1)));
        say(&split, News::Gone(Gone::Left));
        say(&split, News::Opened(to(5)));
        assert_eq!(takes(&split, 0), Ok(Some(News::Moved(to(1)))));
        assert_eq!(takes(&split, 0), Ok(Some(News::Gone(Gone::Left))));
        assert!(split.turns.lock().end(1).is_some_and(|state| state.left));
        assert!(split.turns.lock().is_here(), "it comes back");
        assert_eq!(takes(&split, 1), Ok(Some(News::Opened(to(5)))));
        say(&split, News::Gone(Gone::Ended));
        assert_eq!(takes(&split, 1), Ok(Some(News::Gone(Gone::Ended))));
        assert!(split.turns.lock().is_here(), "the epoch lacks its end");
        assert!(split.turns.lock().end(2).is_some_and(|state| state.ended));
        assert!(!split.turns.lock().is_here());
    }
}
