#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use super::{Address, Batch};

fn batch(events: &[&str]) -> Batch {
    let mut bytes = Vec::new();
    let mut bounds = vec![0];
    for event in events {
        bytes.extend_from_slice(event.as_bytes());
        bytes.push(b'\n');
        bounds.push(u32::try_from(bytes.len()).unwrap());
    }
    Batch { bytes: bytes.into(), bounds: bounds.into() }
}

#[test]
fn a_batch_tells_its_events_and_parts() {
    let batch = batch(&["one", "two", "three", "", "fifteen letters"]);
    assert_eq!(batch.events().collect::<Vec<_>>(), ["one", "two", "three", "", "fifteen letters"]);
    let lengths = |parts: Vec<Vec<_>>| parts.iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(lengths(batch.parts(2, 100)), [2, 2, 1]);
    assert_eq!(lengths(batch.parts(100, 8)), [2, 2, 1]);
    assert_eq!(lengths(batch.parts(100, 1)), [1; 5]);
}

#[test]
fn addresses_are_read_and_shown_as_they_are_written() {
    let same = [
        "stdout",
        "file:orders.ndjson",
        "http://127.0.0.1:8080/ingest/orders",
        "https://host/ingest/orders",
        "kafka://a:9092,b:9092/orders",
        "kinesis:orders",
        "kinesis:arn:aws:kinesis:eu-west-1:000000000000:stream/orders",
        "eventhubs:orders",
        "pubsub:projects/p/topics/orders",
    ];
    for text in same {
        assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
    }
    assert_eq!("file:///var/orders".parse(), Ok(Address::File(PathBuf::from("/var/orders"))));
    assert_eq!("http://user:secret@host/x?key=secret".parse::<Address>().unwrap().to_string(), "http://host/x");
}

#[test]
fn what_is_no_address_is_refused_without_its_secrets() {
    let refused = ["orders", "file:", "ftp://user:secret@host", "kafka://host:9092", "kafka://u:secret@host/orders"];
    for text in refused.into_iter().chain(["kinesis:", "eventhubs:", "pubsub:orders"]) {
        let error = text.parse::<Address>().unwrap_err().to_string();
        assert!(error.contains("write one of stdout, file:PATH"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
