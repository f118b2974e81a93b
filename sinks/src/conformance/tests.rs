use super::*;
use crate::{MemoryRows, MemorySink, NullSink};

struct Memory(MemoryRows);

#[async_trait]
impl Fixture for Memory {
    fn sink(&self, pipeline: &str) -> Box<dyn Sink> {
        Box::new(MemorySink::new(pipeline, self.0.clone()))
    }

    async fn visible(&self, pipeline: &str) -> Option<Vec<i64>> {
        let batches = self.0.batches(pipeline);
        let ids = batches.iter().flat_map(|b| b["id"].as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec());
        Some(ids.collect())
    }

    fn nature(&self) -> Nature {
        Nature { shows_at_write: false, holds_back: false, remembers_epochs: true }
    }
}

#[tokio::test]
async fn memory_conforms() {
    run(|| Memory(MemoryRows::new())).await;
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
    sink.write(batch(&[1, 2])).await.unwrap();
    sink.write(batch(&[3])).await.unwrap();
    let prepared = sink.prepare(epoch, Flush::All).await.unwrap();
    sink.commit(&prepared).await.unwrap();
    assert_eq!(rows.batches("orders"), [batch(&[1, 2]), batch(&[3])]);
    assert_eq!(rows.rows("orders"), 3);
    assert_eq!(rows.rows("others"), 0);

    let error = MemorySink::new("orders", MemoryRows::new()).commit(&prepared).await.unwrap_err();
    assert!(matches!(&error, crate::SinkError::Fatal { .. }), "{error}");
    assert!(error.to_string().contains("prepared rows lost"), "{error}");
}
