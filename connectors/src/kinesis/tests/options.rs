//! What the region file may say.

use std::time::Duration;

use serde_json::{Value, json};

use crate::kinesis::KinesisOptions;
use crate::stream::{StreamOptions, Surroundings};

const ARN: &str = "arn:aws:kinesis:ap-southeast-2:123456789012:stream/orders";

fn options(keys: &Value) -> KinesisOptions {
    serde_json::from_value(keys.clone()).unwrap()
}

fn around(region: &str) -> Surroundings {
    Surroundings { region: region.into(), source: "orders".into(), checkpoint_interval: Duration::from_secs(10) }
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    let cases = [
        (json!({ "stream": "a b" }), "`stream` is a name"),
        (json!({ "stream": "arn:aws:sqs:eu-west-1:1:orders" }), "is no ARN of a stream"),
        (json!({ "stream": "s", "access_key_id": "k" }), "`access_key_id` needs `secret_access_key`"),
        (json!({ "stream": "s", "secret_access_key": "k" }), "`secret_access_key` needs `access_key_id`"),
        (json!({ "stream": "s", "session_token": "k" }), "`session_token` needs"),
        (json!({ "stream": "s", "access_key_id": "k", "secret_access_key": "k", "profile": "p" }), "leave one out"),
        (json!({ "stream": "s", "role_arn": "reader" }), "`role_arn` is no ARN"),
        (json!({ "stream": "s", "mode": "fan-out" }), "needs `consumer`"),
        (json!({ "stream": "s", "consumer": "c" }), "`consumer` is for"),
        (json!({ "stream": "s", "mode": "fan-out", "consumer": "a/b" }), "`consumer` is a name"),
        (json!({ "stream": "s", "endpoint": "localhost" }), "`endpoint` is no address"),
        (json!({ "stream": "s", "endpoint": "ftp://host" }), "`endpoint` is neither"),
        (json!({ "stream": "s", "endpoint": "http://user:word@host" }), "`endpoint` holds credentials"),
        (json!({ "stream": "s", "refresh": "10ms" }), "`refresh` is at least"),
        (json!({ "stream": ARN, "aws_region": "eu-west-1" }), "names ap-southeast-2"),
    ];
    for (keys, words) in cases {
        let error = options(&keys).source(&around("eu-west-1")).unwrap_err().to_string();
        assert!(error.contains(words), "{keys}: {error}");
    }
}

#[test]
fn the_region_is_the_nearest_that_is_given() {
    let cases = [
        (json!({ "stream": "s", "aws_region": "us-east-1" }), "eu-west-1", Some("us-east-1")),
        (json!({ "stream": ARN }), "eu-west-1", Some("ap-southeast-2")),
        (json!({ "stream": "s" }), "us-gov-east-1", Some("us-gov-east-1")),
        (json!({ "stream": "s" }), "westeurope", None),
        (json!({ "stream": "s" }), "europe-west1", None),
        (json!({ "stream": "s" }), "eu", None),
        (json!({ "stream": "s" }), "eu-west-1b", None),
        (json!({ "stream": "s" }), "eu-west-12", None),
    ];
    for (keys, region, found) in cases {
        let options = options(&keys);
        let stream = options.check().unwrap();
        assert_eq!(options.access().region_of(&stream, region).unwrap().as_deref(), found, "{keys} in {region}");
    }
}

#[test]
fn a_stream_is_the_same_by_name_and_by_arn() {
    let identities = ["orders", ARN].map(|stream| options(&json!({ "stream": stream })).identity());
    assert_eq!(identities, ["kinesis orders", "kinesis orders"]);
}

#[test]
fn nothing_secret_is_shown() {
    let options = options(&json!({
        "stream": "s", "access_key_id": "MARKED-1", "secret_access_key": "MARKED-2", "session_token": "MARKED-3",
    }));
    let source = options.source(&around("eu-west-1")).unwrap();
    assert!(!format!("{options:?} {source:?}").contains("MARKED"));
}
