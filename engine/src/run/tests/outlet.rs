//! What the sinks of one pipeline are given, and take of memory.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, Int64Array, RecordBatch};
use watershed_sinks::{Flush, MemoryRows, MemorySink, Sink, SinkError};

use super::life::setup;
use super::world::Outside;
use crate::checkpoint::{Budget, Piece};
use crate::run::line::NamedSink;
use crate::run::outlet::{Kept, Outlet};

fn ids(range: Range<i64>) -> RecordBatch {
    let ids = Arc::new(Int64Array::from_iter_values(range));
    RecordBatch::try_from_iter([("id", ids as Arc<dyn Array>)]).expect("one column")
}

#[tokio::test]
async fn small_batches_are_one_in_the_state() {
    let outside = Outside::new(1, Vec::new(), false, 1, 0);
    let shown = MemoryRows::new();
    let made = shown.clone();
    let make = move || Ok::<Box<dyn Sink>, SinkError>(Box::new(MemorySink::new("raw", made.clone()).holding(9)));
    let sinks = vec![NamedSink { name: "memory".to_string(), make: Arc::new(make), spill: None, standby: None }];
    let (budget, (setup, _ends)) = (Arc::new(Budget::new(1 << 20, None)), setup(&outside, 1));
    let opening = Outlet::open("raw".into(), ids(0..1).schema(), sinks, budget.clone(), &setup).await;
    let (mut outlet, _) = opening.expect("memory opens");
    for first in (0..20_000).step_by(100) {
        assert_eq!(outlet.write(ids(first..first + 100)).await.expect("memory takes rows"), 100);
    }
    assert!(budget.used() >= 20_000 * 8, "what is gathered counts in the budget: {}", budget.used());
    let cut = outlet.cut(1, Flush::Due).await.expect("memory ends epochs");
    assert_eq!((cut.next, cut.rows.len()), (2, 2), "in two batches, of which the first was large enough");
    drop(cut);
    drop(outlet.cut(2, Flush::All).await.expect("memory ends epochs"));
    outlet.publish().await.expect("memory shows rows");
    let batches = shown.batches("raw");
    assert_eq!(batches, [ids(0..16_400), ids(16_400..20_000)]);
}

#[tokio::test]
async fn what_a_sink_holds_counts_in_the_budget() {
    let outside = Outside::new(1, Vec::new(), false, 1, 0);
    let make = || Ok::<Box<dyn Sink>, SinkError>(Box::new(MemorySink::new("raw", MemoryRows::new()).holding(3)));
    let sinks = vec![NamedSink { name: "memory".to_string(), make: Arc::new(make), spill: None, standby: None }];
    let rows = ids(0..20_000);
    let bytes = rows.get_array_memory_size();
    let (budget, (setup, _ends)) = (Arc::new(Budget::new(bytes, None)), setup(&outside, 1));
    let opening = Outlet::open("raw".into(), rows.schema(), sinks, budget.clone(), &setup).await;
    let (mut outlet, _) = opening.expect("memory opens");
    for _ in 0..2 {
        outlet.write(rows.clone()).await.expect("memory takes rows");
    }
    let cut = outlet.cut(1, Flush::Due).await.expect("memory ends epochs");
    let piece = Piece { segment: "1".to_string(), offset: 0, length: 1, rows: 20_000, crc32: 0 };
    for kept in cut.rows.values() {
        if let Kept::Block(block) = kept {
            block.set_stored(piece.clone());
        }
    }
    drop(cut);
    drop(outlet.cut(2, Flush::Due).await.expect("memory ends epochs"));
    assert_eq!(budget.used(), 2 * bytes, "the state has the rows, and the sink holds them");
    assert_eq!(budget.over(), bytes);
    drop(outlet.cut(3, Flush::All).await.expect("memory ends epochs"));
    assert_eq!(budget.used(), 0);
}
