//! What needs no server.

use super::options;
use crate::conformance::context;
use crate::kinesis::record::{data, partition_key};
use crate::messages::{MessageOptions, Outgoing};

const ARN: &str = "arn:aws:kinesis:ap-southeast-2:123456789012:stream/orders";

fn refused(text: &str) -> String {
    options(text).unwrap().check(&context("orders")).unwrap_err().to_string()
}

#[test]
fn what_makes_no_sense_is_refused_by_its_key() {
    for (text, words) in [
        ("stream = \"a b\"", "`stream` is a name"),
        ("stream = \"s\"\nkey = \"kez\"", "`key` names \"kez\", which is no column"),
        ("stream = \"s\"\nid_field = \"id\"", "`id_field` names \"id\", which is a column already"),
        ("stream = \"s\"\nid_field = \"\"", "`id_field` is empty"),
        ("stream = \"s\"\nmax_epoch_bytes = 0", "`max_epoch_bytes` cannot be zero"),
        ("stream = \"s\"\naccess_key_id = \"k\"", "`access_key_id` needs `secret_access_key`"),
        ("stream = \"s\"\nendpoint = \"http://u:hidden@host\"", "`endpoint` holds credentials"),
    ] {
        let why = refused(text);
        assert!(why.contains(words) && !why.contains("hidden"), "{text}: {why}");
    }
    assert!(refused(&format!("stream = \"{ARN}\"\naws_region = \"eu-west-1\"")).contains("names ap-southeast-2"));
}

#[test]
fn hosts_say_where_the_stream_lies_whatever_the_endpoint_is() {
    for (text, expected) in [
        (format!("stream = \"{ARN}\""), vec!["kinesis.ap-southeast-2.amazonaws.com"]),
        ("stream = \"s\"\naws_region = \"eu-west-1\"".to_owned(), vec!["kinesis.eu-west-1.amazonaws.com"]),
        ("stream = \"s\"".to_owned(), vec!["kinesis.amazonaws.com"]),
        (
            format!("stream = \"{ARN}\"\nendpoint = \"http://127.0.0.1:4567\""),
            vec!["127.0.0.1", "kinesis.ap-southeast-2.amazonaws.com"],
        ),
    ] {
        assert_eq!(options(&text).unwrap().hosts(), expected, "{text}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let given =
        "stream = \"s\"\naccess_key_id = \"hidden-1\"\nsecret_access_key = \"hidden-2\"\nsession_token = \"hidden-3\"";
    let sink = options(given).unwrap();
    let shown = format!("{sink:?} {:?}", sink.sink(&context("orders"), "out").unwrap());
    assert!(!shown.contains("hidden"), "{shown}");
}

#[test]
fn a_record_has_its_key_or_its_id() {
    let message = |key, value| Outgoing { id: "eu/orders/out/7/0/3e23e816".to_owned(), key, value };
    assert_eq!(partition_key(&message(Some("DE"), "{}")), "DE");
    assert_eq!(partition_key(&message(None, "{}")), "eu/orders/out/7/0/3e23e816");
    let (long, longer) = ("k".repeat(256), "k".repeat(257));
    assert_eq!(partition_key(&message(Some(&long), "{}")), long);
    let hashed = partition_key(&message(Some(&longer), "{}"));
    assert_eq!((hashed.len(), &hashed), (64, &partition_key(&message(Some(&longer), "{\"a\":1}"))));

    let id = r#""eu/orders/out/7/0/3e23e816""#;
    assert_eq!(data(&message(None, r#"{"a":1}"#), None), r#"{"a":1}"#);
    assert_eq!(data(&message(None, r#"{"a":1}"#), Some("w\"id")), format!(r#"{{"w\"id":{id},"a":1}}"#));
    assert_eq!(data(&message(None, "{}"), Some("w")), format!(r#"{{"w":{id}}}"#));
}
