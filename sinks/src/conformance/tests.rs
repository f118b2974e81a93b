use super::*;
use crate::{MemoryRows, MemorySink, NullSink};

/// Hands batches over in groups of so many, and encodes what it holds if that is even.
struct Memory(MemoryRows, usize);

#[async_trait]
impl Fixture for Memory {
    fn sink(&self, pipeline: &str) -> Box<dyn Sink> {
        let sink = MemorySink::new(pipeline, self.0.clone()).holding(self.1);
        Box::new(if self.1.is_multiple_of(2) { sink.encoding() } else { sink })
    }

    async fn visible(&self, pipeline: &str) -> Option<Vec<i64>> {
        let batches = self.0.batches(pipeline);
        let ids = batches.iter().flat_map(|b| b["id"].as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec());
        Some(ids.collect())
    }

    fn nature(&self) -> Nature {
        Nature { shows_at_write: false, holds_back: self.1 > 10, remembers_epochs: true }
    }
}

#[tokio::test]
async fn memory_conforms() {
    run(|| Memory(MemoryRows::new(), 1)).await;
}

#[tokio::test]
async fn memory_that_holds_rows_back_conforms() {
    for group in [2, 3, 1000] {
        run(|| Memory(MemoryRows::new(), group)).await;
        crashes(|| Memory(MemoryRows::new(), group), 4..40).await;
    }
}

struct Null;

#[async_trait]
impl Fixture for Null {
    fn sink(&self, _pipeline: &str) -> Box<dyn Sink> {
        Box::new(NullSink::new())
    }

    async fn visible(&self, _pipeline: &str) -> Option<Vec<i64>> {
        None
    }

    fn nature(&self) -> Nature {
        Nature { shows_at_write: true, holds_back: true, remembers_epochs: false }
    }
}

#[tokio::test]
async fn null_conforms() {
    run(|| Null).await;
}

#[tokio::test]
async fn memory_shows_whole_batches_in_order_and_reports_lost_ones() {
    let rows = MemoryRows::new();
    let mut sink = MemorySink::new("orders", rows.clone());
    let epoch = sink.open().await.unwrap();
    sink.write(0, batch(&[1, 2])).await.unwrap();
    sink.write(1, batch(&[3])).await.unwrap();
    let prepared = sink.prepare(epoch, Flush::All).await.unwrap();
    sink.commit(&prepared).await.unwrap();
    assert_eq!(rows.batches("orders"), [batch(&[1, 2]), batch(&[3])]);
    assert_eq!(rows.rows("orders"), 3);
    assert_eq!(rows.rows("others"), 0);

    let error = MemorySink::new("orders", MemoryRows::new()).commit(&prepared).await.unwrap_err();
    assert!(matches!(&error, crate::SinkError::Fatal { .. }), "{error}");
    assert!(error.to_string().contains("prepared rows lost"), "{error}");
}

fn fatal<T: std::fmt::Debug>(result: Result<T, crate::SinkError>) -> String {
    match result {
        Err(error @ crate::SinkError::Fatal { .. }) => error.to_string(),
        other => panic!("expected a fatal error, got {other:?}"),
    }
}

#[tokio::test]
async fn memory_hands_over_whole_groups_and_says_what_is_left() {
    let rows = MemoryRows::new();
    let mut sink = MemorySink::new("orders", rows.clone()).holding(2);
    for id in 0..5 {
        sink.write(id as u64, batch(&[id])).await.unwrap();
    }
    let prepared = sink.prepare(1, Flush::Due).await.unwrap();
    sink.commit(&prepared).await.unwrap();
    assert_eq!(rows.rows("orders"), 4);
    assert_eq!(sink.held().map(|held| held.first), Some(4));
    assert!(sink.prepare(2, Flush::Due).await.unwrap().is_nothing());
    let last = sink.prepare(3, Flush::All).await.unwrap();
    sink.commit(&last).await.unwrap();
    assert_eq!((rows.rows("orders"), sink.held()), (5, None));
}

#[tokio::test]
async fn memory_catches_an_engine_that_writes_other_batches_again() {
    let rows = MemoryRows::new();
    let mut old = MemorySink::new("orders", rows.clone()).holding(10);
    for number in 3..6 {
        old.write(number, batch(&[1, 2])).await.unwrap();
    }
    assert!(fatal(old.write(7, batch(&[1])).await).contains("batch 7 came where batch 6 was expected"));
    old.prepare(1, Flush::Due).await.unwrap();
    let held = old.held().unwrap();

    let resumed = async || {
        let mut new = MemorySink::new("orders", rows.clone()).holding(10);
        new.resume(&held).await.unwrap();
        new
    };
    assert!(fatal(resumed().await.write(4, batch(&[1, 2])).await).contains("batch 3 was expected"));
    assert!(fatal(resumed().await.write(3, batch(&[1])).await).contains("comes again with 1"));
    let mut new = resumed().await;
    new.write(3, batch(&[1, 2])).await.unwrap();
    assert!(fatal(new.prepare(2, Flush::Due).await).contains("batches 4 to 5 were not written again"));
}
