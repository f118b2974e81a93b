//! The contract of [`Sink`] as a suite that every implementation passes.
//!
//! The one idea: a [`Fixture`] is a place; each call of [`Fixture::sink`] is a new process at that place. What a sink cannot
//! do by its nature is data in [`Fixture::nature`], so that an exemption is written down once.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod crash;

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;

use crate::parquet::WriterBudget;
use crate::sink::{Committed, Flush, Held, Prepared, Sink, SinkContext};

pub use crash::crashes;

/// What a sink is by nature.
#[derive(Debug, Clone, Copy)]
pub struct Nature {
    /// Rows are seen at `write` already; there is nothing to commit.
    pub shows_at_write: bool,
    /// Rows just written are not due: `prepare` with [`Flush::Due`] hands nothing over.
    pub holds_back: bool,
    /// The place remembers epochs, so that a restart gets a greater one.
    pub remembers_epochs: bool,
}

/// A place that sinks write to, and how to look at it.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// A new sink of `pipeline`, as a new process would make it, for batches of [`schema`].
    fn sink(&self, pipeline: &str) -> Box<dyn Sink>;

    /// The `id`s that a reader of `pipeline` sees now, in any order; none if there is nowhere to look.
    async fn visible(&self, pipeline: &str) -> Option<Vec<i64>>;

    /// What the sink is by nature.
    fn nature(&self) -> Nature;
}

/// The schema of the suite's batches: `ts`, `id` and a nullable `name`.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
    ]))
}

/// What the suite's sinks are told.
pub fn context(pipeline: &str) -> SinkContext {
    SinkContext {
        pipeline: pipeline.into(),
        late: false,
        region: "eu-west-1".into(),
        sql_hash: "0123456789abcdef".into(),
        schema: schema(),
        time_column: Some("ts".to_owned()),
        sort_by: vec!["id".to_owned()],
        writers: WriterBudget::new(64 << 20, 64),
    }
}

/// One row for each id, ten seconds apart from 2026-03-01 on; the name of every third row is null.
pub fn batch(ids: &[i64]) -> RecordBatch {
    const START: i64 = 1_772_323_200_000_000;
    let ts = TimestampMicrosecondArray::from_iter_values(ids.iter().map(|id| START + id * 10_000_000));
    let name = ids.iter().map(|id| (id % 3 != 0).then(|| format!("name {id}"))).collect::<StringArray>();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(ts.with_timezone("UTC")), Arc::new(Int64Array::from(ids.to_vec())), Arc::new(name)];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// Gives a new process what the one before it held, of which it is given all bytes here.
pub async fn resume(sink: &mut dyn Sink, held: &Held) {
    sink.resume(held).await.unwrap();
    for (number, bytes) in &held.bytes {
        sink.resume_encoded(*number, bytes.clone()).await.unwrap();
    }
}

/// Runs the whole suite; `place` makes a new, empty place each time.
pub async fn run<F: Fixture>(place: impl Fn() -> F) {
    run_with(place, 0..4).await;
}

/// The same with the crashes of these seeds: of fewer, where each takes long.
pub async fn run_with<F: Fixture>(place: impl Fn() -> F, seeds: Range<u64>) {
    nothing_is_visible_before_commit(&place()).await;
    committing_again_changes_nothing(&place()).await;
    a_new_process_commits_what_the_old_one_prepared(&place()).await;
    rows_that_are_not_due_stay(&place()).await;
    empty_and_sliced_batches_are_taken(&place()).await;
    pipelines_do_not_disturb_each_other(&place()).await;
    epochs_grow_over_restarts(&place()).await;
    what_is_held_is_written_again(&place()).await;
    crashes(place, seeds).await;
}

async fn assert_visible<F: Fixture>(place: &F, pipeline: &str, expected: impl IntoIterator<Item = i64>, when: &str) {
    if let Some(mut seen) = place.visible(pipeline).await {
        seen.sort_unstable();
        assert_eq!(seen, expected.into_iter().collect::<Vec<_>>(), "{pipeline}: {when}");
    }
}

/// What the engine does with it in between: it goes into a manifest and comes back.
fn through_manifest(prepared: &Prepared) -> Prepared {
    serde_json::from_str(&serde_json::to_string(prepared).unwrap()).unwrap()
}

async fn flush(sink: &mut dyn Sink, epoch: u64) -> Committed {
    let prepared = sink.prepare(epoch, Flush::All).await.unwrap();
    sink.commit(&prepared).await.unwrap()
}

async fn nothing_is_visible_before_commit<F: Fixture>(place: &F) {
    let mut sink = place.sink("orders");
    let epoch = sink.open().await.unwrap();
    sink.write(0, batch(&[1, 2])).await.unwrap();
    let nature = place.nature();
    if !nature.shows_at_write {
        assert_visible(place, "orders", [], "after write").await;
    }
    let prepared = sink.prepare(epoch, Flush::All).await.unwrap();
    if !nature.shows_at_write {
        assert_visible(place, "orders", [], "after prepare").await;
    }
    sink.commit(&prepared).await.unwrap();
    assert_visible(place, "orders", [1, 2], "after commit").await;
    assert!(sink.prepare(epoch + 1, Flush::All).await.unwrap().is_nothing(), "rows are handed over once");
}

async fn committing_again_changes_nothing<F: Fixture>(place: &F) {
    let mut sink = place.sink("orders");
    let epoch = sink.open().await.unwrap();
    sink.write(0, batch(&[1, 2, 3])).await.unwrap();
    let prepared = sink.prepare(epoch, Flush::All).await.unwrap();
    let first = sink.commit(&prepared).await.unwrap();
    let again = sink.commit(&through_manifest(&prepared)).await.unwrap();
    assert_eq!(first, again);
    assert_visible(place, "orders", [1, 2, 3], "after two commits").await;
    assert_eq!(sink.commit(&Prepared::nothing()).await.unwrap(), Committed::default());
}

async fn a_new_process_commits_what_the_old_one_prepared<F: Fixture>(place: &F) {
    let mut old = place.sink("orders");
    let epoch = old.open().await.unwrap();
    old.write(0, batch(&[1, 2])).await.unwrap();
    let prepared = through_manifest(&old.prepare(epoch, Flush::All).await.unwrap());
    drop(old);

    let mut unopened = place.sink("orders");
    unopened.commit(&prepared).await.unwrap();
    assert_visible(place, "orders", [1, 2], "committed by a process that has not opened").await;

    let mut second = place.sink("orders");
    let epoch = second.open().await.unwrap().max(epoch + 1);
    second.write(2, batch(&[3])).await.unwrap();
    let prepared = through_manifest(&second.prepare(epoch, Flush::All).await.unwrap());
    drop(second);

    let mut third = place.sink("orders");
    let next = third.open().await.unwrap().max(epoch + 1);
    third.commit(&prepared).await.unwrap();
    assert_visible(place, "orders", [1, 2, 3], "committed by a process that has opened").await;
    third.write(0, batch(&[4])).await.unwrap();
    flush(&mut *third, next).await;
    assert_visible(place, "orders", [1, 2, 3, 4], "and goes on").await;
}

async fn rows_that_are_not_due_stay<F: Fixture>(place: &F) {
    let nature = place.nature();
    let mut sink = place.sink("orders");
    let first = sink.open().await.unwrap();
    for (epoch, id) in (first..first + 3).zip(1..) {
        sink.write(id as u64, batch(&[id])).await.unwrap();
        let prepared = sink.prepare(epoch, Flush::Due).await.unwrap();
        assert!(prepared.is_nothing() || !nature.holds_back, "nothing was due");
        sink.commit(&prepared).await.unwrap();
        if nature.holds_back {
            assert_visible(place, "orders", [], "nothing was due").await;
        }
    }
    flush(&mut *sink, first + 3).await;
    assert_visible(place, "orders", [1, 2, 3], "prepare(All) hands over all").await;
}

async fn empty_and_sliced_batches_are_taken<F: Fixture>(place: &F) {
    let mut sink = place.sink("orders");
    let epoch = sink.open().await.unwrap();
    sink.write(0, batch(&[])).await.unwrap();
    assert!(sink.prepare(epoch, Flush::All).await.unwrap().is_nothing(), "an empty batch is nothing");

    let ids: Vec<i64> = (0..1000).collect();
    let whole = batch(&ids);
    sink.write(1, whole.slice(10, 0)).await.unwrap();
    sink.write(2, whole.slice(990, 10)).await.unwrap();
    sink.write(3, whole.slice(3, 5)).await.unwrap();
    sink.write(4, RecordBatch::new_empty(schema())).await.unwrap();
    flush(&mut *sink, epoch + 1).await;
    assert_visible(place, "orders", (3..8).chain(990..1000), "slices").await;
}

async fn pipelines_do_not_disturb_each_other<F: Fixture>(place: &F) {
    // One name is the beginning of the others, and one looks like a file of the first.
    let names = ["orders", "orders_by_country", "orders-00000009", "orders/odd name"];
    let mut sinks: Vec<_> = names.iter().map(|name| place.sink(name)).collect();
    let mut prepared = Vec::new();
    for (i, sink) in sinks.iter_mut().enumerate() {
        let epoch = sink.open().await.unwrap();
        sink.write(0, batch(&[i as i64])).await.unwrap();
        prepared.push(sink.prepare(epoch, Flush::All).await.unwrap());
    }
    // A restart of one pipeline, with all that it sweeps, leaves the prepared rows of the others alone.
    let mut restarted = place.sink("orders");
    sinks[0].commit(&prepared[0]).await.unwrap();
    let epoch = restarted.open().await.unwrap();
    restarted.write(0, batch(&[100])).await.unwrap();
    flush(&mut *restarted, epoch).await;
    for (sink, prepared) in sinks.iter_mut().zip(&prepared).skip(1) {
        sink.commit(prepared).await.unwrap();
    }
    assert_visible(place, "orders", [0, 100], "beside others").await;
    for (i, name) in names.iter().enumerate().skip(1) {
        assert_visible(place, name, [i as i64], "beside others").await;
    }
}

async fn epochs_grow_over_restarts<F: Fixture>(place: &F) {
    if !place.nature().remembers_epochs {
        return;
    }
    assert_eq!(place.sink("orders").open().await.unwrap(), 1, "an empty place");
    let mut last = 0;
    for id in 0..3 {
        let mut sink = place.sink("orders");
        let epoch = sink.open().await.unwrap();
        assert!(epoch > last, "epoch {epoch} after {last}");
        last = epoch + 40;
        sink.write(0, batch(&[id])).await.unwrap();
        flush(&mut *sink, last).await;
    }
    assert_visible(place, "orders", 0..3, "over restarts").await;
    assert_eq!(place.sink("orders_by_country").open().await.unwrap(), 1, "another pipeline starts for itself");
}

async fn what_is_held_is_written_again<F: Fixture>(place: &F) {
    let nature = place.nature();
    let batches = [batch(&[]), batch(&[1, 400, 2]), batch(&[401]), batch(&[3])];
    let mut old = place.sink("orders");
    let epoch = old.open().await.unwrap();
    assert_eq!(old.held(), None, "nothing was written");
    for (number, batch) in (7..).zip(&batches) {
        old.write(number, batch.clone()).await.unwrap();
    }
    let prepared = old.prepare(epoch, Flush::Due).await.unwrap();
    let held = old.held();
    old.commit(&prepared).await.unwrap();
    // What is written after the epoch goes with the process.
    if !nature.shows_at_write {
        old.write(11, batch(&[999])).await.unwrap();
    }
    drop(old);
    assert!(held.is_some() || !nature.holds_back || nature.shows_at_write, "nothing was due");

    let mut new = place.sink("orders");
    let next = new.open().await.unwrap().max(epoch + 1);
    new.commit(&prepared).await.unwrap();
    if let Some(held) = held {
        assert!((7..11).contains(&held.first), "{held:?}");
        resume(&mut *new, &held).await;
        for (number, batch) in (7..).zip(&batches).skip_while(|(number, _)| *number < held.first) {
            new.write(number, batch.clone()).await.unwrap();
        }
    }
    new.write(11, batch(&[4])).await.unwrap();
    flush(&mut *new, next).await;
    assert_eq!(new.held(), None, "everything was handed over");
    assert_visible(place, "orders", [1, 2, 3, 4, 400, 401], "each row once").await;
}

#[cfg(test)]
mod tests;
