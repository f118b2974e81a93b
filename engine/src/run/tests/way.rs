//! Which lane a chunk goes to.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use watershed_connectors::{Position, Records, SplitId};

use super::super::clock::SourceClock;
use super::super::lane::{LaneMessage, ReadChunk};
use super::super::split::LaneSplit;
use super::super::way::{LaneEnd, Load, Way};
use crate::watermark::BEGINNING;

/// Lanes that do not work, and one split whose own lane is the second.
struct Idle {
    ends: Vec<LaneEnd>,
    inboxes: Vec<mpsc::UnboundedReceiver<LaneMessage>>,
    split: Arc<LaneSplit>,
}

impl Idle {
    fn new() -> Self {
        let ends = |_| {
            let (sender, inbox) = mpsc::unbounded_channel();
            (LaneEnd { sender, load: Load::default() }, inbox)
        };
        let (ends, inboxes) = (0..3).map(ends).unzip();
        let clock = SourceClock::new(false).add(BEGINNING);
        let (id, turns) = (SplitId::new("hot"), Arc::default());
        let split = Arc::new(LaneSplit { number: 1, source: 0, id, clock, restored: None, turns });
        Self { ends, inboxes, split }
    }

    fn send(&self, way: &Way) {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("there is one");
        let (split, turn) = (self.split.clone(), self.split.turns.give());
        let (records, position) = (Records::default(), Position(serde_json::Value::Null));
        let chunk = ReadChunk { split, turn, records, schemas: Vec::new(), position, promise: None, permit };
        assert!(way.chunk(chunk).is_ok(), "the lanes are there");
    }

    /// The turns that came to each lane.
    fn came(&mut self) -> Vec<Vec<u64>> {
        let turn = |message| match message {
            LaneMessage::Chunk(chunk) => Some(chunk.turn),
            _ => None,
        };
        let turns = |inbox: &mut mpsc::UnboundedReceiver<_>| {
            std::iter::from_fn(|| inbox.try_recv().ok()).filter_map(turn).collect()
        };
        self.inboxes.iter_mut().map(turns).collect()
    }
}

#[test]
fn a_chunk_goes_to_another_lane_only_where_its_own_is_behind() {
    let mut idle = Idle::new();
    let way = Way::new(1, &idle.ends, true);
    (0..5).for_each(|_| idle.send(&way));
    assert_eq!(idle.came(), [vec![2], vec![0, 1, 4], vec![3]], "the second is the split's own");
    (0..3).for_each(|_| idle.ends[1].load.done());
    (0..2).for_each(|_| idle.send(&way));
    assert_eq!(idle.came(), [vec![], vec![5, 6], vec![]], "it has caught up");
}

#[test]
fn where_order_counts_there_is_one_lane() {
    let mut idle = Idle::new();
    let way = Way::new(1, &idle.ends, false);
    (0..5).for_each(|_| idle.send(&way));
    assert_eq!(idle.came(), [vec![], vec![0, 1, 2, 3, 4], vec![]]);
}
