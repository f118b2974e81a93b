//! Against librdkafka's mock cluster: it is there wherever the tests are, and breaks down on request.

use std::time::{Duration, Instant};

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::json;

use super::broker::{Sender, committed, mock};
use super::{payloads, read_to_end, source, until, until_error};
use crate::conformance::{Fixture, Item};
use crate::error::SourceError;
use crate::metadata::Wanted;
use crate::records::Records;
use crate::source::{Position, ReadLimits, ReadStatus, Source, SplitId};

const PATIENCE: ReadLimits = ReadLimits { bytes: 1 << 20, wait: Duration::from_secs(10) };

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_promises_of_a_source() {
    let cluster = mock();
    cluster.create_topic("orders", 3, 1).unwrap();
    let sender = Sender::new(&cluster.bootstrap_servers());
    let first: Vec<String> = (0..12).map(|i| format!("first {i}")).collect();
    sender.send("orders", 0, &first.iter().map(String::as_str).collect::<Vec<_>>());
    sender.send("orders", 2, &["x", "", "yyy"]);
    let brokers = cluster.bootstrap_servers();
    let numbered = |payloads: &[String]| {
        payloads.iter().enumerate().map(|(i, payload)| Item::record(payload, i as u64)).collect::<Vec<_>>()
    };
    let expected = vec![
        ("orders/0".to_owned(), numbered(&first)),
        ("orders/1".to_owned(), vec![]),
        ("orders/2".to_owned(), numbered(&["x".into(), "".into(), "yyy".into()])),
    ];
    let make = move || -> Box<dyn Source> { Box::new(source(&brokers, json!({ "topic": "orders" }))) };
    Fixture::new(make, expected).run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tells_all_that_stands_beside_a_message() {
    let cluster = mock();
    cluster.create_topic("orders", 1, 1).unwrap();
    let sender = Sender::new(&cluster.bootstrap_servers());
    let headers = OwnedHeaders::new()
        .insert(Header { key: "trace", value: Some("7f") })
        .insert(Header { key: "none", value: None::<&str> });
    sender.describe("orders", "user-1", headers, 1_772_323_200_123, "{}");
    sender.queue("orders", 0, None);
    sender.send("orders", 0, &["plain"]);

    let source = source(&cluster.bootstrap_servers(), json!({ "topic": "orders" }));
    let names = ["_headers", "_key", "_topic", "_partition", "_offset", "_ingest_time"];
    source.describe(Wanted::pick(super::super::METADATA, names));
    source.splits().await.unwrap();
    let mut reader = source.open(&SplitId::new("orders/0"), None).await.unwrap();
    let records = read_to_end(reader.as_mut()).await;
    assert_eq!(payloads(&records), ["{}", "plain"]);
    assert_eq!(records.skipped(), 1, "a message without a value is no record");
    assert_eq!(reader.position(), Position(json!({ "offset": 3 })));
    let shown: Vec<String> = records.described().iter().map(|column| format!("{column:?}")).collect();
    for (column, text) in shown.iter().zip(["7f", "user-1", "orders", "0", "2", "2026-03-01T00:00:00.123"]) {
        assert!(column.contains(text), "{text} is not in {column}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_message_is_set_aside() {
    let cluster = mock();
    cluster.create_topic("orders", 1, 1).unwrap();
    let sender = Sender::new(&cluster.bootstrap_servers());
    sender.send("orders", 0, &["short", &"long".repeat(100), "short again"]);
    let source = source(&cluster.bootstrap_servers(), json!({ "topic": "orders", "max_record_bytes": 100 }));
    source.splits().await.unwrap();
    let mut reader = source.open(&SplitId::new("orders/0"), None).await.unwrap();
    let records = read_to_end(reader.as_mut()).await;
    assert_eq!(payloads(&records), ["short", "short again"]);
    let rejected = &records.rejected()[0];
    assert_eq!((rejected.before, rejected.position, rejected.bytes.len()), (1, 1, 400));
    assert_eq!(rejected.reason, "longer than 100 bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_whose_broker_is_gone_is_not_caught_up() {
    let cluster = mock();
    cluster.create_topic("orders", 1, 1).unwrap();
    let sender = Sender::new(&cluster.bootstrap_servers());
    sender.send("orders", 0, &["a"]);
    let source = source(&cluster.bootstrap_servers(), json!({ "topic": "orders" }));
    source.splits().await.unwrap();
    let mut reader = source.open(&SplitId::new("orders/0"), None).await.unwrap();
    assert_eq!(payloads(&read_to_end(reader.as_mut()).await), ["a"]);

    let limits = ReadLimits { bytes: 1 << 20, wait: Duration::from_millis(100) };
    let mut records = Records::default();
    let read = Instant::now();
    let mut waited = 0;
    while reader.searched().is_none_or(|searched| searched < read) {
        reader.read(&mut records, limits).await.unwrap();
        waited += 1;
        assert!(waited < 300, "a broker that answers is never known to have been asked");
    }

    cluster.broker_down(-1).unwrap();
    let down = Instant::now();
    waited = 0;
    while reader.read(&mut records, limits).await.unwrap() == ReadStatus::CaughtUp {
        waited += 1;
        assert!(waited < 300, "a partition without a broker stays caught up");
    }
    assert!(reader.searched().unwrap() < down, "nobody was asked");
    cluster.broker_up(-1).unwrap();
    sender.send("orders", 0, &["b"]);
    assert_eq!(payloads(&read_to_end(reader.as_mut()).await), ["b"], "reads on by itself, nothing twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_partitions_and_topics_are_found_and_read_from_their_first_record() {
    let cluster = mock();
    cluster.create_topic("orders-eu", 1, 1).unwrap();
    let sender = Sender::new(&cluster.bootstrap_servers());
    sender.send("orders-eu", 0, &["before"]);
    let source = source(&cluster.bootstrap_servers(), json!({ "topic_pattern": "orders-.*", "start": "latest" }));
    assert_eq!(source.splits().await.unwrap(), [SplitId::new("orders-eu/0")]);
    cluster.create_topic("other", 1, 1).unwrap();
    cluster.create_topic("orders-us", 1, 1).unwrap();
    sender.send("orders-us", 0, &["first of its topic"]);
    let new = SplitId::new("orders-us/0");
    until("a new topic is found", async || source.splits().await.unwrap().contains(&new)).await;
    assert_eq!(source.splits().await.unwrap(), [SplitId::new("orders-eu/0"), new.clone()]);
    let mut old = source.open(&SplitId::new("orders-eu/0"), None).await.unwrap();
    assert_eq!(payloads(&read_to_end(old.as_mut()).await), Vec::<String>::new(), "starts at the latest");
    let mut reader = source.open(&new, None).await.unwrap();
    assert_eq!(payloads(&read_to_end(reader.as_mut()).await), ["first of its topic"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_can_be_opened_again_where_the_last_reader_stood() {
    let cluster = mock();
    cluster.create_topic("orders", 1, 1).unwrap();
    let sender = Sender::new(&cluster.bootstrap_servers());
    sender.send("orders", 0, &["a", "b", "c", "d"]);
    let source = source(&cluster.bootstrap_servers(), json!({ "topic": "orders" }));
    source.splits().await.unwrap();
    let split = SplitId::new("orders/0");
    let mut all = Vec::new();
    let mut position = None;
    for _ in 0..4 {
        let mut reader = source.open(&split, position.as_ref()).await.unwrap();
        let mut records = Records::default();
        while records.is_empty() {
            reader.read(&mut records, ReadLimits { bytes: 1, ..PATIENCE }).await.unwrap();
        }
        all.extend(payloads(&records));
        position = Some(reader.position());
    }
    assert_eq!(all, ["a", "b", "c", "d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_that_passes_is_told_once() {
    let cluster = mock();
    cluster.create_topic("orders", 1, 1).unwrap();
    let source = source(&cluster.bootstrap_servers(), json!({ "topic": "orders" }));
    source.splits().await.unwrap();
    let mut reader = source.open(&SplitId::new("orders/0"), None).await.unwrap();
    read_to_end(reader.as_mut()).await;
    let client = source.client().await.unwrap();
    let health = &client.context().health;
    assert!(!health.told());
    cluster.broker_down(-1).unwrap();
    until("the outage is told", async || health.told()).await;
    cluster.broker_up(-1).unwrap();
    until("its end is told", async || !health.told()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_is_what_is_still_to_be_read() {
    let cluster = mock();
    cluster.create_topic("orders", 1, 1).unwrap();
    let sender = Sender::new(&cluster.bootstrap_servers());
    sender.send("orders", 0, &["a", "b", "c", "d"]);
    let source = source(&cluster.bootstrap_servers(), json!({ "topic": "orders" }));
    source.splits().await.unwrap();
    let mut reader = source.open(&SplitId::new("orders/0"), None).await.unwrap();
    let mut records = Records::default();
    while records.is_empty() {
        reader.read(&mut records, ReadLimits { bytes: 1, ..PATIENCE }).await.unwrap();
    }
    until("the end is known", async || reader.lag().records.is_some()).await;
    assert_eq!(reader.lag().records, Some(3));
    read_to_end(reader.as_mut()).await;
    assert_eq!(reader.lag().records, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_records_stop_the_run_or_are_stepped_over() {
    let cluster = mock();
    cluster.create_topic("orders", 1, 1).unwrap();
    let sender = Sender::new(&cluster.bootstrap_servers());
    sender.send("orders", 0, &["a", "b", "c"]);
    let split = SplitId::new("orders/0");
    let beyond = Position(json!({ "offset": 99 }));

    let strict = source(&cluster.bootstrap_servers(), json!({ "topic": "orders" }));
    let mut reader = strict.open(&split, Some(&beyond)).await.unwrap();
    let error = until_error(reader.as_mut()).await;
    assert!(matches!(error, SourceError::Fatal { .. }), "{error}");
    let text = error.to_string();
    for part in ["orders/0", "99", "0 to 3", "on_lost", "--reset-state"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }

    let lenient = source(&cluster.bootstrap_servers(), json!({ "topic": "orders", "on_lost": "earliest" }));
    let mut reader = lenient.open(&split, Some(&beyond)).await.unwrap();
    let error = until_error(reader.as_mut()).await;
    assert!(matches!(error, SourceError::Retry { .. }), "{error}");
    let position = reader.position();
    drop(reader);
    let mut reader = lenient.open(&split, Some(&position)).await.unwrap();
    assert_eq!(payloads(&read_to_end(reader.as_mut()).await), ["a", "b", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_committed_and_never_read() {
    let cluster = mock();
    cluster.create_topic("orders", 2, 1).unwrap();
    let brokers = cluster.bootstrap_servers();
    let sender = Sender::new(&brokers);
    sender.send("orders", 0, &["a", "b", "c"]);
    let keys = json!({ "topic": "orders", "group": "dashboards" });
    let first = source(&brokers, keys.clone());
    assert!(first.acknowledges());
    first.splits().await.unwrap();
    let mut reader = first.open(&SplitId::new("orders/0"), None).await.unwrap();
    read_to_end(reader.as_mut()).await;
    reader.acknowledge(&Position(json!({ "offset": 1 }))).await.unwrap();
    reader.acknowledge(&Position(json!({ "offset": 2 }))).await.unwrap();
    drop(reader);
    first.close().await;
    assert_eq!(committed(&brokers, "dashboards", "orders", 0), Some(2));

    let second = source(&brokers, keys);
    second.splits().await.unwrap();
    let mut reader = second.open(&SplitId::new("orders/0"), None).await.unwrap();
    assert_eq!(payloads(&read_to_end(reader.as_mut()).await), ["a", "b", "c"]);
    assert!(!source(&brokers, json!({ "topic": "orders" })).acknowledges());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_is_named_with_those_that_are_near() {
    let cluster = mock();
    cluster.create_topic("orders", 1, 1).unwrap();
    let missing = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    cluster.topic_error("order", missing).unwrap();
    let source = source(&cluster.bootstrap_servers(), json!({ "topic": "order" }));
    for error in [source.splits().await.unwrap_err(), source.probe().await.unwrap_err()] {
        assert!(matches!(error, SourceError::Config { .. }), "{error}");
        assert!(error.to_string().contains("did you mean \"orders\"?"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_named() {
    let cluster = mock();
    cluster.create_topic("orders", 1, 1).unwrap();
    let source = source(&cluster.bootstrap_servers(), json!({ "topic": "orders", "group": "dashboards" }));
    assert!(source.probe().await.unwrap().contains("1 partitions"));

    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    cluster.topic_error("orders", refused).unwrap();
    let error = source.probe().await.unwrap_err();
    assert!(matches!(error, SourceError::Config { .. }), "{error}");
    assert!(error.to_string().contains("READ and DESCRIBE on this topic"), "{error}");
    cluster.topic_error("orders", RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap();

    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
    cluster.request_errors(RDKafkaApiKey::OffsetFetch, &[refused]);
    let error = source.probe().await.unwrap_err();
    assert!(matches!(error, SourceError::Config { .. }), "{error}");
    assert!(error.to_string().contains("READ on this group"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_can_not_be_reached_are_tried_again() {
    // Nobody listens on a port that was just let go.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = source(&free.to_string(), json!({ "topic": "orders" })).splits().await.unwrap_err();
    assert!(matches!(error, SourceError::Retry { .. }), "{error}");
    assert!(error.to_string().contains(&free.to_string()), "{error}");
}
