//! The way from a reader to the lanes.
//!
//! The one idea: a split has a lane of its own, which finds what it needs in its caches and tables. Where that lane cannot keep up
//! while another has less to do, and nothing depends on the order of rows, the other takes a chunk.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::UnboundedSender;

use super::lane::{Closed, LaneMessage, ReadChunk};
use super::split::LaneSplit;
use super::turns::News;

/// By so many chunks another lane has to have less to do before it takes one: each lane that fills a pane has a table of
/// its own, and tables have to be merged.
const WORTH_SPREADING: usize = 2;

/// Chunks that a lane has yet to work on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Load(Arc<AtomicUsize>);

impl Load {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The lane is done with a chunk.
    pub(super) fn done(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    fn now(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A lane, for those who send it chunks.
#[derive(Debug, Clone)]
pub(crate) struct LaneEnd {
    pub(crate) sender: UnboundedSender<LaneMessage>,
    pub(crate) load: Load,
}

/// The way of one split.
pub(crate) struct Way {
    /// The split's own lane.
    own: usize,
    /// All lanes, or only the split's own.
    lanes: Vec<LaneEnd>,
}

impl Way {
    /// A way to the split's own lane, or, if chunks may be spread, to any.
    pub(crate) fn new(number: usize, lanes: &[LaneEnd], spreads: bool) -> Self {
        let own = number % lanes.len();
        match spreads {
            true => Self { own, lanes: lanes.to_vec() },
            false => Self { own: 0, lanes: vec![lanes[own].clone()] },
        }
    }

    /// Sends a chunk.
    pub(crate) fn chunk(&self, chunk: ReadChunk) -> Result<(), Closed> {
        let lane = &self.lanes[self.lane_for(chunk.turn)];
        lane.load.add();
        lane.sender.send(LaneMessage::Chunk(Box::new(chunk))).map_err(|_| Closed)
    }

    /// Tells the split's own lane. An error says that the run is over.
    pub(crate) fn tell(&self, split: &Arc<LaneSplit>, news: News) -> Result<(), Closed> {
        let message = LaneMessage::News(split.clone(), split.turns.give(), news);
        self.lanes[self.own].sender.send(message).map_err(|_| Closed)
    }

    /// The first of a split is for its own lane, so that this knows whose epochs it ends.
    fn lane_for(&self, turn: u64) -> usize {
        let load = |lane: &usize| self.lanes[*lane].load.now();
        let idlest = (0..self.lanes.len()).min_by_key(load).unwrap_or(self.own);
        if turn == 0 || load(&self.own) < load(&idlest) + WORTH_SPREADING { self.own } else { idlest }
    }
}
