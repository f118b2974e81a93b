//! Fan-out as the service speaks it, from a script: no stand-in tells of a shard's end over a subscription.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::driver::Driver;
use super::proxy::{Fate, Proxy};
use super::stream::{ready, source};

const CONSUMER: &str = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders/consumer/scripted:1";

/// An event: records by sequence number and base64, where to go on, and the children of a shard that has ended.
fn event(records: &[(u32, &str)], continuation: Option<u32>, children: &[&str]) -> (&'static str, String) {
    let record = |(sequence, data): &(u32, &str)| json!({ "SequenceNumber": sequence.to_string(), "PartitionKey": "key", "Data": data });
    let child = |id: &&str| {
        let range = json!({ "StartingHashKey": "0", "EndingHashKey": "1" });
        json!({ "ShardId": id, "ParentShards": ["parent"], "HashKeyRange": range })
    };
    let mut event = json!({ "Records": records.iter().map(record).collect::<Vec<_>>(), "MillisBehindLatest": 0 });
    if let Some(continuation) = continuation {
        event["ContinuationSequenceNumber"] = continuation.to_string().into();
    }
    if !children.is_empty() {
        event["ChildShards"] = children.iter().map(child).collect();
    }
    ("SubscribeToShardEvent", event.to_string())
}

/// A parent and its child.
fn shards() -> Value {
    let shard = |id: &str, parent: Option<&str>| {
        let range = json!({ "StartingHashKey": "0", "EndingHashKey": "1" });
        let numbers = json!({ "StartingSequenceNumber": "1" });
        let mut shard = json!({ "ShardId": id, "HashKeyRange": range, "SequenceNumberRange": numbers });
        if let Some(parent) = parent {
            shard["ParentShardId"] = parent.into();
        }
        shard
    };
    json!({ "Shards": [shard("child", Some("parent")), shard("parent", None)] })
}

/// What each subscription brings, and where it began.
fn script(number: usize) -> Vec<(&'static str, String)> {
    match number {
        // Two records, then silence until the five minutes are over.
        0 => vec![event(&[(11, "YWFh"), (12, "YmJi")], Some(12), &[]), event(&[], Some(15), &[])],
        // Somebody else has subscribed.
        1 => vec![("ResourceInUseException", json!({ "message": "taken over" }).to_string())],
        2 => vec![event(&[(21, "Y2Nj")], Some(21), &[]), event(&[(22, "ZGRk")], None, &["child"])],
        _ => vec![event(&[(31, "ZWVl")], Some(31), &[]), event(&[], Some(31), &[])],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_goes_on_behind_the_one_before_until_the_shard_ends() {
    let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
    let count = AtomicUsize::new(0);
    let proxy = Proxy::start("127.0.0.1:1", {
        let asked = asked.clone();
        move |operation, body| match operation {
            "ListShards" => Fate::Json(shards()),
            "DescribeStreamConsumer" => Fate::Json(json!({ "ConsumerDescription": {
                "ConsumerName": "scripted", "ConsumerARN": CONSUMER, "ConsumerStatus": "ACTIVE",
                "ConsumerCreationTimestamp": 1.7e9, "StreamARN": "arn",
            } })),
            "SubscribeToShard" => {
                let request: Value = serde_json::from_str(body).unwrap();
                asked.lock().unwrap().push(json!([request["ShardId"], request["StartingPosition"]]));
                Fate::Events(script(count.fetch_add(1, Ordering::SeqCst)))
            }
            _ => Fate::Break,
        }
    })
    .await;
    ready();
    let source = source(json!({
        "stream": "arn:aws:kinesis:eu-west-1:123456789012:stream/orders", "endpoint": proxy.endpoint,
        "mode": "fan-out", "consumer": "scripted",
    }));
    let mut driver = Driver::default();
    driver.run(&*source, |taken, end| end && taken.len() >= 5).await;
    assert_eq!(driver.taken, ["aaa", "bbb", "ccc", "ddd", "eee"]);
    assert_eq!(driver.failures, 0, "neither an end nor a take-over is an error");
    let after =
        |shard: &str, sequence: &str| json!([shard, { "Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": sequence }]);
    let horizon = |shard: &str| json!([shard, { "Type": "TRIM_HORIZON" }]);
    let begun = [horizon("parent"), after("parent", "15"), after("parent", "15"), horizon("child")];
    assert_eq!(asked.lock().unwrap()[..4], begun);
    let ended: Vec<_> = driver.known.iter().filter(|(_, known)| known.ended).map(|(split, _)| split.as_str()).collect();
    assert_eq!(ended, ["parent"]);
}
