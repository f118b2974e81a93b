//! Positions, what is out, what a message says, and what a refusal means.

use google_cloud_pubsub::model::Message;

use crate::error::SourceError;
use crate::metadata::MetadataValue;
use crate::pubsub::outstanding::{Outstanding, Place};
use crate::pubsub::{fault, message};
use crate::source::Position;

#[test]
fn what_is_durable_is_settled_in_order_and_once() {
    let mut out = Outstanding::beginning_at(100);
    let numbers: Vec<u64> = ["a", "b", "c", "d"].into_iter().map(|handler| out.add(handler, 10)).collect();
    assert_eq!((numbers, out.next(), out.len(), out.bytes()), (vec![100, 101, 102, 103], 104, 4, 40));
    assert!(out.settle(100, 9).is_empty(), "positions are half-open");
    assert!(out.settle(7, 9).is_empty(), "a position of long ago");
    assert_eq!(out.settle(103, 2), ["a", "b"], "no more at a time than asked for");
    assert_eq!(out.bytes(), 20);
    assert_eq!(out.settle(103, 2), ["c"]);
    assert!(out.settle(103, 2).is_empty(), "told twice");
    assert_eq!(out.settle(u64::MAX, 9), ["d"]);
    assert_eq!(out.add("e", 10), 104);
    out.clear();
    assert_eq!((out.next(), out.len(), out.bytes()), (105, 0, 0), "the count goes on");
}

#[test]
fn places_survive_a_checkpoint() {
    for place in [Place { delivered: 7, after: None }, Place { delivered: 0, after: Some(-5) }] {
        let text = serde_json::to_string(&place.position()).unwrap();
        assert_eq!(Place::read(&serde_json::from_str(&text).unwrap()).unwrap(), place, "{text}");
    }
    let foreign = Place::read(&Position(serde_json::json!({ "offset": 1 })));
    assert!(matches!(foreign, Err(SourceError::Config { .. })));
}

#[test]
fn a_message_says_what_it_has() {
    let dead = "CloudPubSubDeadLetterSourceSubscription";
    let mut full = Message::new().set_message_id("17").set_ordering_key("user-1");
    full = full.set_attributes([("b", "2"), (dead, "orders"), ("a", "1")]);
    full.publish_time = Some(timestamp(1_772_323_200, 5_000));
    let entry = |name: &str, value: &str| (name.to_string(), Some(value.to_string()));
    assert_eq!(message::value(&full, Some(3), 0), MetadataValue::Text("17"));
    assert_eq!(message::value(&full, Some(3), 1), MetadataValue::Text("user-1"));
    assert_eq!(message::value(&full, Some(3), 2), MetadataValue::Time(1_772_323_200_000_005));
    let headers = vec![entry(dead, "orders"), entry("a", "1"), entry("b", "2")];
    assert_eq!(message::value(&full, Some(3), 3), MetadataValue::Map(headers));
    assert_eq!(message::value(&full, Some(3), 4), MetadataValue::Int(3));
    let bare = Message::new();
    let nothing: Vec<_> = [1, 2, 4].map(|place| message::value(&bare, None, place)).into();
    assert_eq!(nothing, [MetadataValue::Null, MetadataValue::Null, MetadataValue::Null]);
}

/// The client's own type of times, by way of JSON, as it is no dependency of ours.
fn timestamp<T: serde::de::DeserializeOwned>(seconds: i64, nanos: u32) -> T {
    let time = chrono::DateTime::from_timestamp(seconds, nanos).unwrap().to_rfc3339();
    serde_json::from_value(time.replace("+00:00", "Z").into()).unwrap()
}

#[test]
fn refusals_say_the_way_out() {
    let name = "projects/acme/subscriptions/orders";
    for (code, way_out) in [
        ("NOT_FOUND", "create it"),
        ("PERMISSION_DENIED", "pubsub.subscriptions.consume"),
        ("UNAUTHENTICATED", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("FAILED_PRECONDITION", "pull subscription"),
        ("INVALID_ARGUMENT", "`project`"),
        ("UNIMPLEMENTED", "`endpoint`"),
    ] {
        let said = fault::way_out(name, code, "why").unwrap();
        assert!(said.contains(way_out) && said.contains(name) && said.contains("why"), "{said}");
    }
    for code in ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL", "CANCELLED", "UNKNOWN", "ABORTED"] {
        assert_eq!(fault::way_out(name, code, "why"), None, "{code} passes");
    }
    assert!(matches!(fault::classify(name, google_cloud_pubsub::Error::io("cut")), SourceError::Retry { .. }));
}
