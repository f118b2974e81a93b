//! What the connector promises, against librdkafka's own mock cluster and against Kafka itself.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod advice;
mod broker;
mod mock;
mod options;
mod progress;
mod pure;
mod services;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::source::KafkaSource;
use super::{COLUMNS, KafkaOptions};
use crate::error::SourceError;
use crate::records::Records;
use crate::source::{ReadLimits, ReadStatus, Reader};
use crate::stream::Surroundings;

fn around() -> Surroundings {
    Surroundings { region: "test".into(), source: "orders".into(), checkpoint_interval: Duration::from_secs(10) }
}

/// Options from their JSON, which has the shape of TOML.
fn options(keys: Value) -> KafkaOptions {
    serde_json::from_value(keys).unwrap()
}

/// A source of `keys`, and those that every test has.
fn source(brokers: &str, keys: Value) -> KafkaSource {
    let mut all = json!({ "brokers": brokers, "refresh": "100ms", "properties": { "fetch.wait.max.ms": 10 } });
    let (into, from) = (all.as_object_mut().unwrap(), keys.as_object().unwrap());
    into.extend(from.clone());
    KafkaSource::new(options(all).resolve(&around()).unwrap())
}

/// How long a test waits for what takes a moment: longer than any machine is busy, so that a test of broken code fails
/// instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads until the end of the partition is met.
async fn read_to_end(reader: &mut dyn Reader) -> Records {
    let mut records = Records::default();
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < PATIENCE, "the end of the partition is not met; {} records came", records.len());
        let limits = ReadLimits { bytes: 64 << 20, wait: Duration::from_millis(50) };
        if reader.read(&mut records, limits).await.unwrap() == ReadStatus::CaughtUp {
            return records;
        }
    }
}

/// Reads until it fails.
async fn until_error(reader: &mut dyn Reader) -> SourceError {
    let limits = ReadLimits { bytes: 1 << 20, wait: Duration::from_secs(1) };
    for _ in 0..60 {
        if let Err(error) = reader.read(&mut Records::default(), limits).await {
            return error;
        }
    }
    panic!("nothing fails");
}

/// Looks until `what` is so.
async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !so().await {
        assert!(begun.elapsed() < PATIENCE, "waited for long: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Payloads as text.
fn payloads(records: &Records) -> Vec<String> {
    (0..records.len()).map(|i| String::from_utf8_lossy(records.payload(i)).into_owned()).collect()
}

#[test]
fn every_metadata_column_has_its_content() {
    assert_eq!(COLUMNS.len(), super::METADATA.len());
}
