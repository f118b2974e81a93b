//! Tests: decisions on their own, and the whole against a double of the service.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod decisions;
mod faults;
mod reading;
mod services;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use watershed_eventhubs_double::Double;

use super::EventHubsOptions;
use super::patience::Patience;
use super::settings::Settings;
use super::source::EventHubsSource;
use crate::conformance::{Item, items_of};
use crate::records::Records;
use crate::source::{Position, ReadLimits, ReadStatus, Reader, Source, SplitId};
use crate::stream::{StreamOptions, Surroundings};

pub(super) fn around() -> Surroundings {
    Surroundings { region: "test".into(), source: "orders".into(), checkpoint_interval: Duration::from_secs(10) }
}

/// Options as a region file gives them: those of `more` over those of the double.
pub(super) fn options(endpoint: &str, more: Value) -> EventHubsOptions {
    let mut options = json!({
        "hub": "hub",
        "connection_string": connection_string("all"),
        "endpoint": endpoint,
    });
    for (key, value) in more.as_object().unwrap() {
        options[key] = value.clone();
    }
    serde_json::from_value(options).unwrap()
}

pub(super) fn connection_string(policy: &str) -> String {
    format!("Endpoint=sb://double.servicebus.windows.net/;SharedAccessKeyName={policy};SharedAccessKey=c2VjcmV0")
}

/// A source that has less patience than one with the whole internet before it.
pub(super) fn source(endpoint: &str, more: Value) -> Arc<EventHubsSource> {
    ready();
    let mut settings = Settings::new(&options(endpoint, more)).unwrap();
    settings.patience = Patience {
        connect: Duration::from_secs(2),
        ask: Duration::from_secs(2),
        close: Duration::from_millis(500),
        stall: Duration::from_millis(500),
        look: Duration::from_millis(50),
    };
    Arc::new(EventHubsSource::new(settings, &around()).unwrap())
}

/// The client wants a TLS stack even where it encrypts nothing.
pub(super) fn ready() {
    // Another test may have been first.
    let _ = rustls_provider();
}

fn rustls_provider() -> Result<(), Arc<rustls::crypto::CryptoProvider>> {
    rustls::crypto::aws_lc_rs::default_provider().install_default()
}

/// A double of so many partitions, with so many events in each; and where it listens.
pub(super) async fn double(partitions: usize, events: usize) -> (Double, String) {
    let double = Double::start("127.0.0.1:0", partitions).await.unwrap();
    for partition in 0..partitions {
        write(&double, partition, 0..events);
    }
    let endpoint = format!("amqp://{}", double.address());
    (double, endpoint)
}

pub(super) fn write(double: &Double, partition: usize, numbers: std::ops::Range<usize>) {
    for number in numbers {
        double.hub().write(partition, payload(partition, number), None, &[]).unwrap();
    }
}

pub(super) fn payload(partition: usize, number: usize) -> String {
    format!(r#"{{"partition":{partition},"number":{number}}}"#)
}

pub(super) fn items(partition: usize, numbers: std::ops::Range<usize>) -> Vec<Item> {
    numbers.map(|number| Item::record(payload(partition, number), number as u64)).collect()
}

pub(super) fn limits() -> ReadLimits {
    ReadLimits { bytes: 1 << 20, wait: Duration::from_millis(50) }
}

/// Reads until so many have come, opening again after passing trouble as the engine does. Gives them and where the reader stands.
pub(super) async fn read_through(
    source: &dyn Source,
    split: &str,
    from: Option<Position>,
    count: usize,
) -> (Vec<Item>, Position) {
    let split = SplitId::new(split);
    let (mut items, mut position) = (Vec::new(), from);
    loop {
        let mut reader = match source.open(&split, position.as_ref()).await {
            Ok(reader) => reader,
            Err(crate::SourceError::Retry { .. }) => continue,
            Err(error) => panic!("{error}"),
        };
        let mut records = Records::default();
        loop {
            records.clear();
            let outcome = reader.read(&mut records, limits()).await;
            items.extend(items_of(&records));
            if items.len() >= count {
                return (items, reader.position());
            }
            match outcome {
                Ok(_) => {}
                Err(crate::SourceError::Retry { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
        position = Some(reader.position());
    }
}

/// Reads until the reader knows that it has everything.
pub(super) async fn read_to_end(reader: &mut dyn Reader) -> Vec<Item> {
    let mut items = Vec::new();
    let mut records = Records::default();
    loop {
        records.clear();
        let status = reader.read(&mut records, limits()).await.unwrap();
        items.extend(items_of(&records));
        if status == ReadStatus::CaughtUp && records.is_empty() {
            return items;
        }
    }
}

#[test]
fn nothing_shows_a_secret() {
    let options = options(
        "amqp://127.0.0.1:1",
        json!({
            "checkpoint_store": { "url": "az://c", "account": "a", "account_key": "marked" },
        }),
    );
    let shown = format!("{options:?} {:?} {}", Settings::new(&options).unwrap(), options.identity());
    assert!(!shown.contains("c2VjcmV0") && !shown.contains("marked"), "{shown}");
    assert_eq!(options.identity(), "eventhubs double.servicebus.windows.net/hub");
}
