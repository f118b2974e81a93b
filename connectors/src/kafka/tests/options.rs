//! Keys, well and badly chosen, and what librdkafka is told of them.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watershed_clients::Secret;

use super::super::KafkaOptions;
use super::super::token::{self, TokenSource};
use super::{around, options};
use crate::stream::StreamOptions;

fn with(keys: Value) -> KafkaOptions {
    let mut all = json!({ "brokers": "127.0.0.1:9092" });
    all.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    options(all)
}

#[test]
fn what_makes_no_sense_is_refused_by_the_name_of_its_key() {
    let sasl = |keys: Value| json!({ "topic": "a", "sasl": keys });
    for (keys, words) in [
        (json!({}), "`topic_pattern`"),
        (json!({ "topic": "a", "topics": ["b"] }), "only one of"),
        (json!({ "topics": [] }), "`topics` is empty"),
        (json!({ "topic": "a b" }), "no name of a topic"),
        (json!({ "topic_pattern": "(" }), "`topic_pattern`"),
        (json!({ "topic": "a", "brokers": " , " }), "`brokers`"),
        (json!({ "topic": "a", "brokers": ["ssl://b:9093"] }), "`tls`"),
        (json!({ "topic": "a", "group": "" }), "`group`"),
        (json!({ "topic": "a", "refresh": "0s" }), "`refresh`"),
        (json!({ "topic": "a", "max_record_bytes": "2GB" }), "`max_record_bytes`"),
        (json!({ "topic": "a", "tls": { "cert": "c.pem" } }), "both `cert` and `key`"),
        (sasl(json!({ "mechanism": "PLAIN", "username": "u" })), "`username` and `password`"),
        (sasl(json!({ "mechanism": "PLAIN", "username": "u", "password": "p", "token": "t" })), "OAUTHBEARER"),
        (sasl(json!({ "mechanism": "OAUTHBEARER", "username": "u", "token": "t" })), "no `username`"),
        (sasl(json!({ "mechanism": "OAUTHBEARER", "token_endpoint": "https://id/token" })), "`client_secret`"),
        (json!({ "topic": "a", "properties": { "sasl.password": "p" } }), "write `sasl`"),
        (json!({ "topic": "a", "properties": { "ssl.ca.location": "p" } }), "write `tls.ca`"),
        (json!({ "topic": "a", "properties": { "group.id": "p" } }), "write `group`"),
        (json!({ "topic": "a", "properties": { "auto.offset.reset": "latest" } }), "`start`"),
        (json!({ "topic": "a", "properties": { "enable.partition.eof": false } }), "caught up"),
    ] {
        let error = with(keys.clone()).source(&around()).err().unwrap_or_else(|| panic!("{keys} is taken"));
        assert!(error.to_string().contains(words), "{keys}: {error}");
    }
    for keys in [json!({ "topc": "a" }), json!({ "topic": "a", "isolation": "none" }), json!({ "tls": "yes" })] {
        let mut all = json!({ "brokers": "b:1" });
        all.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        assert!(serde_json::from_value::<KafkaOptions>(all).is_err(), "{keys}");
    }
}

#[test]
fn positions_belong_to_topics_and_not_to_brokers() {
    let identity = |keys| with(keys).identity();
    assert_eq!(identity(json!({ "topic": "orders" })), "kafka orders");
    assert_eq!(identity(json!({ "topic": "orders", "brokers": ["other:9092"] })), "kafka orders");
    assert_eq!(identity(json!({ "topics": ["b", "a"] })), "kafka a,b");
    assert_eq!(identity(json!({ "topic_pattern": "orders-.*" })), "kafka /orders-.*/");
}

#[test]
fn librdkafka_is_told_what_the_keys_say() {
    let keys = json!({
        "brokers": ["a:1", " b:2 "],
        "topic": "orders",
        "isolation": "read_uncommitted",
        "tls": { "ca": "ca.pem", "cert": "c.pem", "key": "k.pem", "key_password": "kp" },
        "sasl": { "mechanism": "SCRAM-SHA-512", "username": "u", "password": "p" },
        "max_record_bytes": "200MB",
        "buffer": "64MiB",
        "properties": { "fetch.wait.max.ms": 20, "client.rack": "eu-west-1a", "check.crcs": true },
    });
    let settings = options(keys).resolve(&around()).unwrap();
    let config = settings.client(128);
    for (name, value) in [
        ("bootstrap.servers", "a:1,b:2"),
        ("security.protocol", "sasl_ssl"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.password", "p"),
        ("ssl.ca.location", "ca.pem"),
        ("ssl.key.password", "kp"),
        ("isolation.level", "read_uncommitted"),
        ("auto.offset.reset", "error"),
        ("enable.auto.commit", "false"),
        ("fetch.wait.max.ms", "20"),
        ("client.rack", "eu-west-1a"),
        ("check.crcs", "true"),
        ("queued.max.messages.kbytes", "512"),
    ] {
        assert_eq!(config.get(name), Some(value), "{name}");
    }
    let answer: u64 = config.get("receive.message.max.bytes").unwrap().parse().unwrap();
    assert!(answer > 200_000_000, "a record of the greatest length has room");
    for (keys, protocol) in [
        (json!({ "topic": "a" }), "plaintext"),
        (json!({ "topic": "a", "tls": false }), "plaintext"),
        (json!({ "topic": "a", "tls": true }), "ssl"),
        (json!({ "topic": "a", "sasl": { "mechanism": "PLAIN", "username": "u", "password": "p" } }), "sasl_plaintext"),
    ] {
        let settings = with(keys).resolve(&around()).unwrap();
        assert_eq!(settings.client(1).get("security.protocol"), Some(protocol));
    }
}

#[test]
fn no_secret_is_shown() {
    let by_password = json!({ "mechanism": "PLAIN", "username": "u", "password": "marked" });
    let by_token = json!({ "mechanism": "OAUTHBEARER", "token": "marked" });
    let by_client = json!({
        "mechanism": "OAUTHBEARER", "token_endpoint": "https://id.acme.com/token", "client_id": "c",
        "client_secret": "marked",
    });
    for sasl in [by_password, by_token, by_client] {
        let tls = json!({ "cert": "c", "key": "k", "key_password": "marked" });
        let options = with(json!({ "topic": "a", "tls": tls, "sasl": sasl }));
        let source = options.source(&around()).unwrap();
        assert!(!format!("{options:?} {source:?}").contains("marked"));
    }
}

#[tokio::test]
async fn a_secret_does_not_follow_to_another_server() {
    let listen = async || tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (endpoint, elsewhere) = (listen().await, listen().await);
    let place = |listener: &tokio::net::TcpListener| format!("http://{}/token", listener.local_addr().unwrap());
    let moved = format!("HTTP/1.1 307 Moved\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", place(&elsewhere));
    let url = place(&endpoint);
    let redirecting = async move {
        let (mut stream, _) = endpoint.accept().await.unwrap();
        let mut head = [0; 16];
        stream.read_exact(&mut head).await.unwrap();
        stream.write_all(moved.as_bytes()).await.unwrap();
        stream
    };
    let credentials = token::ClientCredentials::new(&url, "c", Secret::new("marked"), None).unwrap();
    let (asked, _stream) = tokio::select! {
        both = async { tokio::join!(credentials.token(), redirecting) } => both,
        _ = elsewhere.accept() => panic!("the secret goes elsewhere"),
    };
    assert!(asked.unwrap_err().ends_with("it answers 307"));
}

#[test]
fn an_endpoint_gives_a_token_or_a_reason() {
    let read = |status, body: &str| token::read(status, body.as_bytes(), UNIX_EPOCH);
    let token = read(200, r#"{"access_token":"marked","token_type":"Bearer","expires_in":60}"#).unwrap();
    assert_eq!((token.value.expose(), token.expires), ("marked", UNIX_EPOCH + Duration::from_secs(60)));
    for (status, body, words) in [
        (401, r#"{"error":"invalid_client","error_description":"marked"}"#, "401, invalid_client"),
        (400, r#"{"error":"No: marked!"}"#, "it answers 400"),
        (500, "marked", "it answers 500"),
        (200, r#"{"token":"marked"}"#, "no access_token"),
        (200, r#"{"access_token":"marked","expires_in":18446744073709551615}"#, "never expires"),
    ] {
        let error = read(status, body).unwrap_err();
        assert!(error.contains(words) && !error.contains("marked"), "{error}");
    }
}
