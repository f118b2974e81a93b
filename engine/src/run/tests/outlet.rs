//! What the sinks of one pipeline are given, and take of memory.

use std::io::Write;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{Array, Int64Array, RecordBatch};
use async_trait::async_trait;
use watershed_sinks::{
    Committed, Flush, Held, MemoryRows, MemorySink, Prepared, Sink, SinkContext, SinkError, StdoutSink, StdoutStyle,
    WriterBudget,
};

use super::life::setup;
use super::world::Outside;
use crate::checkpoint::{Budget, Piece};
use crate::run::line::{MakeSink, NamedSink};
use crate::run::outlet::{Kept, Outlet};

fn ids(range: Range<i64>) -> RecordBatch {
    let ids = Arc::new(Int64Array::from_iter_values(range));
    RecordBatch::try_from_iter([("id", ids as Arc<dyn Array>)]).expect("one column")
}

/// A sink that goes with the others.
fn named(name: &str, make: MakeSink, patience: Duration) -> NamedSink {
    NamedSink { name: name.to_string(), make, patience, spill: None, standby: None }
}

#[tokio::test]
async fn small_batches_are_one_in_the_state() {
    let outside = Outside::new(1, Vec::new(), false, 1, 0);
    let shown = MemoryRows::new();
    let made = shown.clone();
    let make = move || Ok::<Box<dyn Sink>, SinkError>(Box::new(MemorySink::new("raw", made.clone()).holding(9)));
    let sinks = vec![named("memory", Arc::new(make), Duration::ZERO)];
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

/// What was printed.
#[derive(Debug, Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics").extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_is_printed_is_not_gathered() {
    let outside = Outside::new(1, Vec::new(), false, 1, 0);
    let (screen, schema) = (Screen::default(), ids(0..1).schema());
    let context = SinkContext {
        pipeline: "raw".into(),
        late: false,
        region: "eu".into(),
        sql_hash: "".into(),
        schema: schema.clone(),
        time_column: None,
        sort_by: Vec::new(),
        writers: WriterBudget::new(1 << 20, 16),
    };
    let printed = screen.clone();
    let print = move || -> Result<Box<dyn Sink>, SinkError> {
        Ok(Box::new(StdoutSink::with_writer(context.clone(), printed.clone(), StdoutStyle::Lines)))
    };
    let keep = || Ok::<Box<dyn Sink>, SinkError>(Box::new(MemorySink::new("raw", MemoryRows::new())));
    let sinks = [("screen", Arc::new(print) as MakeSink), ("memory", Arc::new(keep))];
    let sinks = sinks.map(|(name, make)| named(name, make, Duration::ZERO));
    let (setup, _ends) = setup(&outside, 1);
    let budget = Arc::new(Budget::new(1 << 20, None));
    let (mut outlet, _) = Outlet::open("raw".into(), schema, sinks.into(), budget, &setup).await.expect("both open");
    outlet.write(ids(7..8)).await.expect("both take rows");
    assert_eq!(*screen.0.lock().expect("nobody panics"), b"{\"id\":7}\n");
}

#[tokio::test]
async fn what_a_sink_holds_counts_in_the_budget() {
    let outside = Outside::new(1, Vec::new(), false, 1, 0);
    let make = || Ok::<Box<dyn Sink>, SinkError>(Box::new(MemorySink::new("raw", MemoryRows::new()).holding(3)));
    let sinks = vec![named("memory", Arc::new(make), Duration::ZERO)];
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

/// A sink whose place fails so many times before it opens.
#[derive(Debug)]
struct Failing {
    inner: MemorySink,
    left: Arc<Mutex<Vec<SinkError>>>,
}

#[async_trait]
impl Sink for Failing {
    async fn open(&mut self) -> Result<u64, SinkError> {
        let failure = self.left.lock().expect("nobody panics").pop();
        failure.map_or(Ok(1), Err)
    }

    async fn write(&mut self, number: u64, batch: RecordBatch) -> Result<(), SinkError> {
        self.inner.write(number, batch).await
    }

    async fn prepare(&mut self, epoch: u64, flush: Flush) -> Result<Prepared, SinkError> {
        self.inner.prepare(epoch, flush).await
    }

    fn held(&self) -> Option<Held> {
        self.inner.held()
    }

    async fn resume(&mut self, held: &Held) -> Result<(), SinkError> {
        self.inner.resume(held).await
    }

    async fn commit(&mut self, prepared: &Prepared) -> Result<Committed, SinkError> {
        self.inner.commit(prepared).await
    }
}

/// Opens a sink whose place fails like this, the last failure first; gives how many failures are left.
async fn opened(patience: u64, failures: Vec<SinkError>) -> (Result<(), String>, usize) {
    let outside = Outside::new(1, Vec::new(), false, 1, 0);
    let left = Arc::new(Mutex::new(failures));
    let failing = left.clone();
    let make = move || -> Result<Box<dyn Sink>, SinkError> {
        Ok(Box::new(Failing { inner: MemorySink::new("raw", MemoryRows::new()), left: failing.clone() }))
    };
    let patience = Duration::from_secs(patience);
    let sinks = vec![named("lake", Arc::new(make), patience)];
    let (budget, (setup, _ends)) = (Arc::new(Budget::new(1 << 20, None)), setup(&outside, 1));
    let opened = Outlet::open("raw".into(), ids(0..1).schema(), sinks, budget, &setup).await;
    let left = left.lock().expect("nobody panics").len();
    (opened.map(drop).map_err(|error| error.to_string()), left)
}

fn away() -> SinkError {
    SinkError::retry("cannot write to s3://lake", "connection refused")
}

#[tokio::test]
async fn a_place_that_is_away_at_the_start_is_waited_for() {
    assert_eq!(opened(600, (0..20).map(|_| away()).collect()).await, (Ok(()), 0));
}

#[tokio::test]
async fn a_place_that_stays_away_ends_the_start_after_its_patience() {
    let (ended, left) = opened(60, (0..100).map(|_| away()).collect()).await;
    assert_eq!(ended, Err("pipeline `raw`: cannot write to s3://lake: connection refused".to_string()));
    // After 0.1, 0.2, 0.4 … 6.4 and then every ten seconds.
    assert!((80..95).contains(&left), "{left} of 100 failures are left");
}

#[tokio::test]
async fn a_refusal_at_the_start_is_final() {
    let refusal = SinkError::config("permission denied");
    let (ended, left) = opened(600, vec![away(), refusal, away()]).await;
    assert_eq!((ended, left), (Err("pipeline `raw`: permission denied".to_string()), 1));
}
