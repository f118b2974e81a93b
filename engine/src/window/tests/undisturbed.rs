//! The property itself: whatever is done to a store between its rows, the windows hold the rows that belong into them.
//!
//! What belongs into a window is found row by row and window by window, without panes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow::array::UInt32Array;
use proptest::prelude::*;

use super::*;
use crate::aggregate::GroupTable;
use crate::checkpoint::{Block, Budget, Piece};

#[derive(Debug, Clone)]
enum Step {
    /// A lane takes rows, judged by a watermark so many seconds ahead of what has closed.
    Rows { lane: usize, events: Vec<Event>, ahead: i64 },
    /// Windows close up to this second.
    Close(i64),
    /// The lanes hand over all they have, and the store says what it holds.
    Checkpoint,
    /// Everything that pays is merged.
    Compact,
    /// A merge begins, and ends only after the next step.
    CompactAside,
    /// So much of the state goes to disk.
    Spill(usize),
    /// A process dies after a checkpoint, and another goes on with so many lanes.
    Restore(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let event = (0i64..60, 0u32..40, 0u8..6, -20i32..20);
    let ahead = prop_oneof![Just(0i64), 0i64..15];
    let rows = (0usize..3, prop::collection::vec(event, 1..40), ahead);
    prop_oneof![
        6 => rows.prop_map(|(lane, events, ahead)| Step::Rows { lane, events, ahead }),
        2 => (0i64..70).prop_map(Step::Close),
        3 => Just(Step::Checkpoint),
        1 => Just(Step::Compact),
        1 => Just(Step::CompactAside),
        2 => (1usize..40_000).prop_map(Step::Spill),
        1 => (1usize..4).prop_map(Step::Restore),
    ]
}

/// Lanes and the store that they fill.
struct World {
    query: Query,
    budget: Arc<Budget>,
    lanes: Vec<PaneStore>,
    store: WindowStore,
    aside: Option<Compaction>,
}

impl World {
    fn new(query: &Query, budget: Budget, lanes: usize) -> Self {
        let budget = Arc::new(budget);
        let lanes = (0..lanes).map(|_| PaneStore::new(query.grid, query.work.clone())).collect();
        let mut store = WindowStore::with_budget(query.grid, query.work.clone(), budget.clone());
        // A kilobyte, so that some hundred rows see every tier.
        store.upkeep.small = 1 << 10;
        Self { query: query.clone(), budget, lanes, store, aside: None }
    }

    fn rows(&mut self, lane: usize, events: &[Event], closed: i64) {
        let (batch, times) = self.query.rows(events);
        let timely = |time: i64| self.query.grid.last_end(time) > closed;
        let kept: Vec<u32> = (0..times.len()).filter(|&row| timely(times[row])).map(|row| row as u32).collect();
        let times: Vec<i64> = kept.iter().map(|&row| times[row as usize]).collect();
        let batch = arrow::compute::take_record_batch(&batch, &UInt32Array::from(kept)).unwrap();
        let lane = lane % self.lanes.len();
        let store = &mut self.lanes[lane];
        match times.iter().all(|&time| self.query.grid.first_end(time) > closed) {
            true => store.push(&batch, &times).unwrap(),
            false => store.push_partly_late(&batch, &times, &vec![closed; times.len()]).unwrap(),
        }
        self.budget.set_active(lane, store.bytes());
    }

    fn close(&mut self, second: i64) -> Vec<String> {
        let through = (second * SECOND).max(self.store.closed_through());
        for lane in &mut self.lanes {
            for (part, rows) in lane.seal(through) {
                self.store.add(part, rows).unwrap();
            }
        }
        shown(&self.store.close(through).unwrap())
    }

    fn checkpoint(&mut self) -> Vec<(PanePart, Vec<Arc<Block>>)> {
        for (lane, store) in self.lanes.iter_mut().enumerate() {
            for (part, rows) in store.take_all() {
                self.store.add(part, rows).unwrap();
            }
            assert_eq!(store.bytes(), 0);
            self.budget.set_active(lane, 0);
        }
        let panes = self.store.checkpoint().unwrap();
        let new = panes.iter().flat_map(|(_, blocks)| blocks).filter(|block| block.stored().is_none());
        new.for_each(|block| block.set_stored(piece(block)));
        panes
    }

    fn disturb(&mut self, step: &Step) {
        match step {
            Step::Rows { .. } | Step::Close(_) => {}
            Step::Checkpoint => drop(self.checkpoint()),
            Step::Compact => self.store.compact().unwrap(),
            Step::CompactAside => self.aside = self.store.compaction(),
            Step::Spill(bytes) => drop(self.store.spill(*bytes).unwrap()),
            Step::Restore(lanes) => self.restore(*lanes),
        }
        let finished = match step {
            Step::CompactAside => None,
            _ => self.aside.take(),
        };
        if let Some(compaction) = finished {
            self.store.compacted(&compaction.run().unwrap());
        }
    }

    fn restore(&mut self, lanes: usize) {
        let held = self.checkpoint();
        let closed_through = self.store.closed_through();
        self.aside = None;
        self.lanes = (0..lanes).map(|_| PaneStore::new(self.query.grid, self.query.work.clone())).collect();
        let mut store = WindowStore::with_budget(self.query.grid, self.query.work.clone(), self.budget.clone());
        store.upkeep.small = self.store.upkeep.small;
        let back =
            |block: &Arc<Block>| Block::restored(block.batch().unwrap(), block.stored().unwrap().clone(), &self.budget);
        let panes = held.iter().map(|(part, blocks)| (*part, blocks.iter().map(back).collect()));
        store.restore(panes.collect(), closed_through).unwrap();
        self.store = store;
    }
}

fn piece(block: &Block) -> Piece {
    Piece { segment: "s".into(), offset: 0, length: 0, rows: block.rows() as u64, crc32: 0 }
}

/// Every open window with its rows.
struct Oracle {
    query: Query,
    windows: BTreeMap<i64, Vec<RecordBatch>>,
    closed: i64,
}

impl Oracle {
    fn rows(&mut self, events: &[Event], closed: i64) {
        let PaneGrid { slide, size, .. } = self.query.grid;
        for event in events {
            let (row, times) = self.query.rows(&[*event]);
            let starts = (-100..100).map(|number| number * slide);
            for start in starts.filter(|&start| start <= times[0] && times[0] < start + size && start + size > closed) {
                self.windows.entry(start + size).or_default().push(row.clone());
            }
        }
    }

    fn close(&mut self, second: i64) -> Vec<String> {
        self.closed = self.closed.max(second * SECOND);
        let open = self.windows.split_off(&(self.closed + 1));
        let results = |rows: Vec<RecordBatch>| match &self.query.work {
            Work::Collect => rows,
            Work::Aggregate(spec) => {
                let mut table = GroupTable::new(spec.clone()).unwrap();
                rows.iter().for_each(|row| table.update(row).unwrap());
                vec![table.finish().unwrap()]
            }
        };
        let size = self.query.grid.size;
        let closed = std::mem::replace(&mut self.windows, open).into_iter();
        let closed: Vec<ClosedWindow> =
            closed.map(|(end, rows)| ClosedWindow { start: end - size, end, rows: results(rows) }).collect();
        shown(&closed)
    }
}

fn run(query: &Query, limit: usize, folder: PathBuf, steps: &[Step]) {
    let mut oracle = Oracle { query: query.clone(), windows: BTreeMap::new(), closed: i64::MIN };
    let mut disturbed = World::new(query, Budget::new(limit, Some(folder)), 2);
    let budget = disturbed.budget.clone();
    for step in steps.iter().chain([&Step::Close(1_000)]) {
        match step {
            Step::Rows { lane, events, ahead } => {
                let closed = oracle.closed.saturating_add(ahead * SECOND);
                oracle.rows(events, closed);
                disturbed.rows(*lane, events, closed);
            }
            Step::Close(second) => assert_eq!(disturbed.close(*second), oracle.close(*second), "{query:?} to {second}"),
            other => disturbed.disturb(other),
        }
    }
    assert_eq!(disturbed.store.open_windows(), 0);
    drop(disturbed);
    assert_eq!((budget.resident(), budget.spilled()), (0, 0), "what is closed takes nothing");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_disturbed_store_closes_the_right_windows(
        query in 0..QUERIES.len(),
        limit in prop_oneof![Just(0usize), Just(2_000), Just(20_000), Just(200_000)],
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        run(&QUERIES[query], limit, folder.path().to_owned(), &steps);
    }
}
