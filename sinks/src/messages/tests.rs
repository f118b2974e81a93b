//! The sink over places in memory: one that keeps a record, and one whose readers know what tells a repetition.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::message::messages;
use super::*;
use crate::conformance::{Fixture, Nature, batch, context, crashes, run};
use crate::error::SinkError;
use crate::sink::{Flush, Held, Prepared, Sink};

/// What a place has, by pipeline: the messages of each part by its name, and the last epoch.
type Place = Arc<Mutex<BTreeMap<String, (BTreeMap<PartName, Vec<Message>>, u64)>>>;

/// Epoch, number and contents, as epochs begin at 1 again where nothing keeps a record.
type PartName = (u64, usize, String);

#[derive(Debug)]
struct InMemory {
    place: Place,
    pipeline: String,
    keeps_record: bool,
    /// How often it fails before it publishes the rest.
    failures: usize,
}

#[async_trait]
impl Publisher for InMemory {
    fn place(&self) -> &str {
        "memory"
    }

    async fn open(&mut self) -> Result<u64, SinkError> {
        let places = self.place.lock().unwrap();
        Ok(places.get(&self.pipeline).filter(|_| self.keeps_record).map_or(0, |(_, recorded)| *recorded))
    }

    async fn probe(&mut self) -> Result<String, SinkError> {
        Ok("memory".to_owned())
    }

    async fn publish(&mut self, epoch: Epoch) -> Result<u64, SinkError> {
        let mut places = self.place.lock().unwrap();
        let (parts, recorded) = places.entry(self.pipeline.clone()).or_default();
        if self.keeps_record && *recorded >= epoch.epoch {
            return Ok(*recorded);
        }
        for (number, part) in epoch.parts.into_iter().enumerate() {
            assert!(!part.is_empty());
            let contents = part.iter().map(|Message(_, value)| value.as_str()).collect();
            parts.insert((epoch.epoch, number, contents), part);
            if self.failures > 0 {
                self.failures -= 1;
                return Err(SinkError::retry("memory", "not now"));
            }
        }
        *recorded = epoch.epoch;
        Ok(if self.keeps_record { epoch.epoch } else { 0 })
    }
}

struct Memory {
    place: Place,
    keeps_record: bool,
    limits: Limits,
}

impl Memory {
    fn new(keeps_record: bool, limits: Limits) -> Self {
        Self { place: Place::default(), keeps_record, limits }
    }

    fn messages(&self, pipeline: &str) -> Vec<Message> {
        let places = self.place.lock().unwrap();
        places.get(pipeline).into_iter().flat_map(|(parts, _)| parts.values().flatten().cloned()).collect()
    }
}

#[async_trait]
impl Fixture for Memory {
    fn sink(&self, pipeline: &str) -> Box<dyn Sink> {
        let (place, pipeline) = (self.place.clone(), pipeline.to_owned());
        let publisher = InMemory { place, pipeline, keeps_record: self.keeps_record, failures: 2 };
        Box::new(Again(Box::new(MessageSink::new(publisher, Some(1), self.limits))))
    }

    async fn visible(&self, pipeline: &str) -> Option<Vec<i64>> {
        let ids = self.messages(pipeline).into_iter().map(|Message(key, value)| {
            let row: serde_json::Value = serde_json::from_str(&value).unwrap();
            assert_eq!(key, Some(row["id"].to_string()));
            row["id"].as_i64().unwrap()
        });
        Some(ids.collect())
    }

    fn nature(&self) -> Nature {
        Nature { shows_at_write: false, holds_back: false, remembers_epochs: self.keeps_record }
    }
}

/// Commits again after passing trouble, as the engine does.
#[derive(Debug)]
pub(crate) struct Again(pub(crate) Box<dyn Sink>);

#[async_trait]
impl Sink for Again {
    async fn open(&mut self) -> Result<u64, SinkError> {
        self.0.open().await
    }

    async fn write(&mut self, number: u64, batch: arrow::record_batch::RecordBatch) -> Result<(), SinkError> {
        self.0.write(number, batch).await
    }

    async fn prepare(&mut self, epoch: u64, flush: Flush) -> Result<Prepared, SinkError> {
        self.0.prepare(epoch, flush).await
    }

    fn held(&self) -> Option<Held> {
        self.0.held()
    }

    fn held_bytes(&self) -> usize {
        self.0.held_bytes()
    }

    async fn resume(&mut self, held: &Held) -> Result<(), SinkError> {
        self.0.resume(held).await
    }

    async fn commit(&mut self, prepared: &Prepared) -> Result<crate::sink::Committed, SinkError> {
        loop {
            match self.0.commit(prepared).await {
                Err(SinkError::Retry { .. }) => {}
                ended => return ended,
            }
        }
    }
}

const SMALL: Limits = Limits { epoch_bytes: 2_000, part_rows: 7, part_bytes: 300 };

#[tokio::test]
async fn a_place_that_keeps_a_record_conforms() {
    run(|| Memory::new(true, Limits::whole(16_000_000))).await;
    crashes(|| Memory::new(true, SMALL), 4..12).await;
}

#[tokio::test]
async fn a_place_that_keeps_none_conforms() {
    run(|| Memory::new(false, Limits::whole(16_000_000))).await;
    crashes(|| Memory::new(false, SMALL), 4..12).await;
}

#[test]
fn a_row_is_an_object_and_its_key_the_text_of_a_column() {
    let first = r#"{"ts":"2026-03-01T00:00:10Z","id":1,"name":"name 1"}"#;
    let third = r#"{"ts":"2026-03-01T00:00:30Z","id":3,"name":null}"#;
    let keyed = |column| messages(&batch(&[1, 3]), column).unwrap();
    let message = |key: Option<&str>, value: &str| Message(key.map(str::to_owned), value.to_owned());
    assert_eq!(keyed(None), [message(None, first), message(None, third)]);
    assert_eq!(keyed(Some(2)), [message(Some("name 1"), first), message(None, third)]);
    assert_eq!(keyed(Some(1)), [message(Some("1"), first), message(Some("3"), third)]);
    assert_eq!(keyed(Some(0))[0].0.as_deref(), Some("2026-03-01T00:00:10Z"));
    assert!(messages(&batch(&[]), Some(0)).unwrap().is_empty());
}

#[tokio::test]
async fn an_epoch_that_is_full_leaves_whole_batches_to_the_next() {
    let place = Memory::new(true, Limits::whole(120));
    let mut sink = place.sink("orders");
    for id in 0..5 {
        sink.write(id as u64, batch(&[id])).await.unwrap();
    }
    // A message is about 55 bytes, and says where its key and its value are.
    let all = sink.held_bytes();
    assert!((5 * 50..5 * 150).contains(&all), "{all}");
    let sent = |prepared: &Prepared| prepared.0["parts"][0].as_array().map_or(0, Vec::len);
    assert_eq!(sent(&sink.prepare(1, Flush::Due).await.unwrap()), 2);
    assert_eq!(sink.held().map(|held| (held.first, held.cursor)), Some((2, 5.into())));
    assert!((all / 2..all * 2 / 3).contains(&sink.held_bytes()), "three of five: {} of {all}", sink.held_bytes());
    assert_eq!(sent(&sink.prepare(2, Flush::All).await.unwrap()), 3);
    assert_eq!((sink.held(), sink.held_bytes()), (None, 0));
    assert!(sink.prepare(3, Flush::Due).await.unwrap().is_nothing());
}

#[tokio::test]
async fn parts_are_bounded_by_rows_and_bytes() {
    let parts = async |limits: Limits, ids: &[i64]| -> Vec<usize> {
        let mut sink = Memory::new(true, limits).sink("orders");
        sink.write(0, batch(ids)).await.unwrap();
        let prepared = sink.prepare(1, Flush::Due).await.unwrap();
        let parts = prepared.0["parts"].as_array().unwrap().iter();
        parts.map(|part| part.as_array().unwrap().len()).collect()
    };
    let limits = |part_rows, part_bytes| Limits { epoch_bytes: usize::MAX, part_rows, part_bytes };
    assert_eq!(parts(limits(2, usize::MAX), &[1, 2, 3, 4, 5]).await, [2, 2, 1]);
    assert_eq!(parts(limits(usize::MAX, 120), &[1, 2, 3, 4, 5]).await, [2, 2, 1]);
    assert_eq!(parts(limits(usize::MAX, 1), &[1, 2, 3]).await, [1, 1, 1], "a part has one message at least");
}

#[tokio::test]
async fn an_epoch_that_is_on_record_is_not_made_again() {
    let place = Memory::new(true, Limits::whole(16_000_000));
    let mut sink = place.sink("orders");
    assert_eq!(sink.open().await.unwrap(), 1);
    sink.write(0, batch(&[1])).await.unwrap();
    let prepared = sink.prepare(5, Flush::All).await.unwrap();
    sink.commit(&prepared).await.unwrap();

    let mut old = place.sink("orders");
    old.open().await.unwrap();
    old.write(0, batch(&[2])).await.unwrap();
    let error = old.prepare(5, Flush::All).await.unwrap_err();
    let way_out = "epoch 5 comes next, but 5 is on record there: the state is older than what is on record";
    assert!(matches!(error, SinkError::Fatal { .. }) && error.to_string().contains(way_out), "{error}");
    assert!(!old.prepare(6, Flush::All).await.unwrap().is_nothing(), "the rows stay");
}

#[test]
fn no_two_sinks_have_one_name() {
    let name = |pipeline, sink| name_of(&context(pipeline), sink);
    assert_eq!(name("orders", "alerts"), "eu-west-1/orders/alerts");
    assert_ne!(name("orders/a", "b"), name("orders", "a/b"));
}
