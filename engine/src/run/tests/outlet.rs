//! What the sinks of one pipeline take of memory.

use std::sync::Arc;

use arrow::array::{Array, Int64Array, RecordBatch};
use watershed_sinks::{Flush, MemoryRows, MemorySink, Sink, SinkError};

use super::life::setup;
use super::world::Outside;
use crate::checkpoint::{Budget, Piece};
use crate::run::line::NamedSink;
use crate::run::outlet::{Kept, Outlet};

#[tokio::test]
async fn what_a_sink_holds_counts_in_the_budget() {
    let outside = Outside::new(1, Vec::new(), false, 1, 0);
    let make = || Ok::<Box<dyn Sink>, SinkError>(Box::new(MemorySink::new("raw", MemoryRows::new()).holding(3)));
    let sinks = vec![NamedSink { name: "memory".to_string(), make: Arc::new(make), spill: None, standby: None }];
    let ids = Arc::new(Int64Array::from_iter_values(0..1000));
    let rows = RecordBatch::try_from_iter([("id", ids as Arc<dyn Array>)]).expect("one column");
    let bytes = rows.get_array_memory_size();
    let (budget, (setup, _ends)) = (Arc::new(Budget::new(bytes, None)), setup(&outside, 1));
    let opening = Outlet::open("raw".into(), rows.schema(), sinks, budget.clone(), &setup).await;
    let (mut outlet, _) = opening.expect("memory opens");
    for _ in 0..2 {
        outlet.write(rows.clone()).await.expect("memory takes rows");
    }
    let cut = outlet.cut(1, Flush::Due).await.expect("memory ends epochs");
    let piece = Piece { segment: "1".to_string(), offset: 0, length: 1, rows: 1000, crc32: 0 };
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
