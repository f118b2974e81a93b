//! Figures of blocks at a million keys, by hand: `cargo test --release -p watershed-engine --lib -- --ignored --nocapture
//! window::tests::measures`.

use std::time::Instant;

use super::*;
use crate::aggregate::GroupTable;
use crate::checkpoint::{Block, Budget};

const KEYS: u32 = 1_000_000;

/// Users come in no order: neighbours in a table are not neighbours in the next batch.
fn event(number: u32) -> Event {
    let user = (u64::from(number) * 618_033 % u64::from(KEYS)) as u32;
    (1, user, 1, user as i32 % 100)
}

fn table(query: &Query) -> Box<GroupTable> {
    let Work::Aggregate(spec) = &query.work else { unreachable!("an aggregate") };
    let mut table = GroupTable::new(spec.clone()).unwrap();
    for first in (0..KEYS).step_by(8192) {
        let events: Vec<Event> = (first..(first + 8192).min(KEYS)).map(event).collect();
        table.update(&query.rows(&events).0).unwrap();
    }
    Box::new(table)
}

fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = run();
    println!("  {what:42} {:9.2} ms", begun.elapsed().as_secs_f64() * 1e3);
    result
}

#[test]
#[ignore = "prints figures; nothing to fail"]
fn a_million_keys() {
    let calls = "count(*), sum(number), avg(price) FROM tumble(events, INTERVAL '10 seconds')";
    for key in ["id", "name", "name, kind"] {
        let query = query("measured", &format!("SELECT window_start, {key}, {calls} GROUP BY window_start, {key}"));
        let folder = tempfile::tempdir().unwrap();
        let budget = Arc::new(Budget::new(0, Some(folder.path().to_owned())));
        let mut store = WindowStore::with_budget(query.grid, query.work.clone(), budget.clone());
        let part = PanePart { pane: 0, open_from: 10 * SECOND };
        let tables: Vec<Box<GroupTable>> = (0..4).map(|_| table(&query)).collect();
        println!("by {key}: {KEYS} keys, a table of {} MB", tables[0].size() >> 20);
        for (number, table) in tables.into_iter().enumerate() {
            store.add(part, PaneRows::Table(table)).unwrap();
            timed(&format!("checkpoint {number}"), || store.checkpoint().unwrap());
        }
        println!("  {} MB in four blocks", budget.resident() >> 20);
        timed("compaction, four blocks into one", || store.compact().unwrap());
        let held = store.checkpoint().unwrap();
        println!("  {} MB in one block", budget.resident() >> 20);
        let batches: Vec<RecordBatch> = held[0].1.iter().map(|block| block.batch().unwrap()).collect();
        let again = batches.iter().map(|batch| Block::new(batch.clone(), &budget)).collect();
        let mut restored = WindowStore::with_budget(query.grid, query.work.clone(), budget.clone());
        timed("restore of decoded blocks", || restored.restore(vec![(part, again)], i64::MIN).unwrap());
        timed("close after it", || restored.close(i64::MAX).unwrap());
        timed("spill", || store.spill(usize::MAX).unwrap());
        println!("  {} MB on disk", budget.spilled() >> 20);
        timed("read back", || held[0].1[0].batch().unwrap());
        drop(held);
        timed("close from disk", || store.close(i64::MAX).unwrap());
        let mut alone = WindowStore::new(query.grid, query.work.clone());
        alone.add(part, PaneRows::Table(table(&query))).unwrap();
        timed("close from the table", || alone.close(i64::MAX).unwrap());
    }
}
