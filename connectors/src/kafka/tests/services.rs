//! Against Apache Kafka: what the mock cluster does not have.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::broker::{Admin, Sender, committed};
use super::{payloads, read_to_end, source, until, until_error};
use crate::conformance::{Fixture, Item};
use crate::error::SourceError;
use crate::records::Records;
use crate::source::{Position, ReadLimits, ReadStatus, Source, SplitId};

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run under scripts/services run kafka"))
}

fn brokers() -> String {
    variable("WATERSHED_KAFKA")
}

fn first(topic: &str) -> SplitId {
    SplitId::new(format!("{topic}/0"))
}

/// Reads the first partition of `topic` from its beginning to its end.
async fn read(keys: Value, brokers: &str) -> (Vec<String>, Position) {
    let topic = keys["topic"].as_str().unwrap().to_owned();
    let source = source(brokers, keys);
    source.splits().await.unwrap();
    let mut reader = source.open(&first(&topic), None).await.unwrap();
    let records = read_to_end(reader.as_mut()).await;
    (payloads(&records), reader.position())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kafka -- cargo test … --ignored"]
async fn keeps_the_promises_of_a_source() {
    let topic = Admin::new(&brokers()).topic("promises", 2, &[]).await;
    let texts: Vec<String> = (0..10).map(|i| format!("record {i}")).collect();
    Sender::new(&brokers()).send(&topic, 1, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    let items = texts.iter().enumerate().map(|(i, text)| Item::record(text, i as u64)).collect();
    let expected = vec![(format!("{topic}/0"), vec![]), (format!("{topic}/1"), items)];
    let make = move || -> Box<dyn Source> { Box::new(source(&brokers(), json!({ "topic": topic }))) };
    Fixture::new(make, expected).run().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kafka -- cargo test … --ignored"]
async fn every_compression_is_read() {
    let admin = Admin::new(&brokers());
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = admin.topic(codec, 1, &[]).await;
        let sent: Vec<String> = (0..500).map(|i| format!("{{\"codec\":\"{codec}\",\"number\":{i}}}")).collect();
        let sender = Sender::with(&brokers(), &[("compression.codec", codec)]);
        sender.send(&topic, 0, &sent.iter().map(String::as_str).collect::<Vec<_>>());
        let (got, position) = read(json!({ "topic": topic }), &brokers()).await;
        assert!(got == sent, "{codec}: {} records", got.len());
        assert_eq!(position, Position(json!({ "offset": 500 })));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kafka -- cargo test … --ignored"]
async fn a_large_message_is_read_and_a_larger_one_set_aside() {
    let topic = Admin::new(&brokers()).topic("large", 1, &[("max.message.bytes", "20000000")]).await;
    let sender =
        Sender::with(&brokers(), &[("message.max.bytes", "20000000"), ("queue.buffering.max.kbytes", "100000")]);
    sender.send(&topic, 0, &["before", &"x".repeat(12 << 20), &"y".repeat(16 << 20), "after"]);
    let keys = json!({ "topic": topic, "max_record_bytes": "12MiB" });
    let source = source(&brokers(), keys);
    source.splits().await.unwrap();
    let mut reader = source.open(&first(&topic), None).await.unwrap();
    let records = read_to_end(reader.as_mut()).await;
    let lengths: Vec<usize> = (0..records.len()).map(|i| records.payload(i).len()).collect();
    assert_eq!(lengths, [6, 12 << 20, 5]);
    assert_eq!(records.rejected().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kafka -- cargo test … --ignored"]
async fn aborted_transactions_are_not_seen_and_stepped_over() {
    let topic = Admin::new(&brokers()).topic("transactions", 1, &[]).await;
    let sender = Sender::with(&brokers(), &[("transactional.id", topic.as_str())]);
    sender.init_transactions();
    sender.begin();
    sender.send(&topic, 0, &["a", "b"]);
    sender.commit();
    sender.begin();
    sender.send(&topic, 0, &["never 1", "never 2"]);
    sender.abort();

    let committed = source(&brokers(), json!({ "topic": topic }));
    committed.splits().await.unwrap();
    let mut reader = committed.open(&first(&topic), None).await.unwrap();
    assert_eq!(payloads(&read_to_end(reader.as_mut()).await), ["a", "b"]);
    // Two records, the mark of their commit, two aborted records, and the mark of that.
    let end = Position(json!({ "offset": 6 }));
    let mut looks = 0;
    while reader.position() != end {
        let limits = ReadLimits { bytes: 1 << 20, wait: Duration::from_millis(100) };
        let mut records = Records::default();
        let status = reader.read(&mut records, limits).await.unwrap();
        assert_eq!((status, records.is_empty()), (ReadStatus::CaughtUp, true), "the end of the log is the end");
        looks += 1;
        assert!(looks < 300, "the position stays at {:?}", reader.position());
    }
    assert_eq!(reader.lag().records, Some(0));

    sender.begin();
    sender.send(&topic, 0, &["c"]);
    let mut records = Records::default();
    let open = ReadLimits { bytes: 1 << 20, wait: Duration::from_secs(2) };
    assert_eq!(reader.read(&mut records, open).await.unwrap(), ReadStatus::CaughtUp, "what is open is not there yet");
    assert!(records.is_empty());
    sender.commit();
    while records.is_empty() {
        reader.read(&mut records, open).await.unwrap();
    }
    assert_eq!(payloads(&records), ["c"]);
    drop(reader);
    let mut reader = committed.open(&first(&topic), Some(&end)).await.unwrap();
    assert_eq!(payloads(&read_to_end(reader.as_mut()).await), ["c"], "resumes behind what was aborted");

    let (all, _) = read(json!({ "topic": topic, "isolation": "read_uncommitted" }), &brokers()).await;
    assert_eq!(all, ["a", "b", "never 1", "never 2", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kafka -- cargo test … --ignored"]
async fn starts_where_it_is_told() {
    let topic = Admin::new(&brokers()).topic("start", 1, &[]).await;
    let sender = Sender::new(&brokers());
    let headers = rdkafka::message::OwnedHeaders::new;
    for (millis, text) in [(1_772_323_200_000, "0 s"), (1_772_323_201_000, "1 s"), (1_772_323_202_000, "2 s")] {
        sender.describe(&topic, "", headers(), millis, text);
    }
    for (start, expected) in [
        ("earliest", vec!["0 s", "1 s", "2 s"]),
        ("2026-03-01T00:00:00.5Z", vec!["1 s", "2 s"]),
        ("2026-03-01T00:00:02Z", vec!["2 s"]),
        ("2026-03-01T00:00:02.000001Z", vec![]),
        ("latest", vec![]),
    ] {
        let (got, position) = read(json!({ "topic": topic, "start": start }), &brokers()).await;
        assert_eq!(
            (got, position),
            (expected.iter().map(|s| (*s).to_owned()).collect(), Position(json!({ "offset": 3 })))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kafka -- cargo test … --ignored"]
async fn partitions_that_appear_under_load_are_read_from_their_first_record() {
    let admin = Admin::new(&brokers());
    let topic = admin.topic("growth", 1, &[]).await;
    let source = source(&brokers(), json!({ "topic": topic, "start": "latest" }));
    assert_eq!(source.splits().await.unwrap().len(), 1);

    let stop = Arc::new(AtomicBool::new(false));
    let (to, stopped) = (topic.clone(), stop.clone());
    let load = std::thread::spawn(move || {
        let sender = Sender::new(&brokers());
        let mut sent = 0;
        while !stopped.load(Ordering::Relaxed) || sent < 2000 {
            sender.queue(&to, 0, Some(format!("old {sent}").as_bytes()));
            sent += 1;
        }
        sender.flush();
        sent
    });
    admin.grow(&topic, 3).await;
    let sender = Sender::new(&brokers());
    sender.send(&topic, 2, &["new 0", "new 1"]);
    until("the new partitions are found", async || source.splits().await.unwrap().len() == 3).await;
    stop.store(true, Ordering::Relaxed);
    let sent = load.join().unwrap();
    let mut reader = source.open(&SplitId::new(format!("{topic}/2")), None).await.unwrap();
    assert_eq!(payloads(&read_to_end(reader.as_mut()).await), ["new 0", "new 1"]);
    let mut reader = source.open(&first(&topic), None).await.unwrap();
    let got: BTreeSet<String> = payloads(&read_to_end(reader.as_mut()).await).into_iter().collect();
    assert_eq!(got.len(), sent, "what came after the first look, each once");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kafka -- cargo test … --ignored"]
async fn records_that_were_deleted_unread_are_never_skipped_silently() {
    let admin = Admin::new(&brokers());
    let topic = admin.topic("lost", 1, &[]).await;
    Sender::new(&brokers()).send(&topic, 0, &["a", "b", "c", "d", "e"]);
    admin.cut(&topic, 0, 3).await;
    let from = Position(json!({ "offset": 1 }));

    let strict = source(&brokers(), json!({ "topic": topic }));
    let mut reader = strict.open(&first(&topic), Some(&from)).await.unwrap();
    let error = until_error(reader.as_mut()).await;
    assert!(matches!(error, SourceError::Fatal { .. }), "{error}");
    assert!(error.to_string().contains("offset 1 is wanted, and there are 3 to 5"), "{error}");
    assert!(error.to_string().contains("2 records were deleted"), "{error}");

    let lenient = source(&brokers(), json!({ "topic": topic, "on_lost": "earliest" }));
    let mut reader = lenient.open(&first(&topic), Some(&from)).await.unwrap();
    assert!(matches!(until_error(reader.as_mut()).await, SourceError::Retry { .. }));
    let at = reader.position();
    drop(reader);
    let mut reader = lenient.open(&first(&topic), Some(&at)).await.unwrap();
    assert_eq!(payloads(&read_to_end(reader.as_mut()).await), ["d", "e"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kafka -- cargo test … --ignored"]
async fn a_deleted_topic_is_told_and_waited_for() {
    let admin = Admin::new(&brokers());
    let topic = admin.topic("deleted", 1, &[]).await;
    Sender::new(&brokers()).send(&topic, 0, &["a"]);
    let source = source(&brokers(), json!({ "topic": topic }));
    source.splits().await.unwrap();
    let mut reader = source.open(&first(&topic), None).await.unwrap();
    assert_eq!(payloads(&read_to_end(reader.as_mut()).await), ["a"]);
    admin.delete(&topic).await;
    let error = until_error(reader.as_mut()).await;
    assert!(matches!(error, SourceError::Retry { .. }), "{error}");
    assert!(error.to_string().contains("was it deleted?"), "{error}");
    let position = reader.position();
    drop(reader);
    until("a deleted topic is not listed", async || source.splits().await.unwrap().is_empty()).await;
    let error = source.open(&first(&topic), Some(&position)).await.err().unwrap();
    assert!(matches!(error, SourceError::Retry { .. }), "{error}");

    // Made anew, it holds nothing at our offset: that is not passed over.
    admin.make(&topic, 1, &[]).await;
    until("the brokers know the new topic", async || {
        let mut reader = match source.open(&first(&topic), Some(&position)).await {
            Ok(reader) => reader,
            Err(SourceError::Retry { .. }) => return false,
            Err(error) => panic!("{error}"),
        };
        match until_error(reader.as_mut()).await {
            SourceError::Fatal { what, .. } => {
                assert!(what.contains("offset 1 is wanted, and there are 0 to 0"), "{what}");
                true
            }
            // Not all of them may know it yet.
            error => {
                assert!(matches!(error, SourceError::Retry { .. }), "{error}");
                false
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kafka -- cargo test … --ignored"]
async fn what_is_acknowledged_shows_in_the_group() {
    let topic = Admin::new(&brokers()).topic("group", 1, &[]).await;
    Sender::new(&brokers()).send(&topic, 0, &["a", "b", "c"]);
    let source = source(&brokers(), json!({ "topic": topic, "group": topic }));
    source.splits().await.unwrap();
    let mut reader = source.open(&first(&topic), None).await.unwrap();
    read_to_end(reader.as_mut()).await;
    reader.acknowledge(&Position(json!({ "offset": 2 }))).await.unwrap();
    reader.acknowledge(&reader.position()).await.unwrap();
    drop(reader);
    source.close().await;
    assert_eq!(committed(&brokers(), &topic, &topic, 0), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kafka -- cargo test … --ignored"]
async fn credentials_of_every_kind_open_the_door() {
    let topic = Admin::new(&brokers()).topic("sasl", 1, &[]).await;
    Sender::new(&brokers()).send(&topic, 0, &["a"]);
    let (user, password) = (variable("WATERSHED_KAFKA_USER"), variable("WATERSHED_KAFKA_PASSWORD"));
    let tls = json!({ "ca": variable("WATERSHED_KAFKA_CA") });
    let by_password = |mechanism: &str| json!({ "mechanism": mechanism, "username": user, "password": password });
    let event_hubs = json!({
        "mechanism": "PLAIN",
        "username": "$ConnectionString",
        "password": variable("WATERSHED_KAFKA_CONNECTION_STRING"),
    });
    let token = json!({ "mechanism": "OAUTHBEARER", "token": unsigned_token() });
    for sasl in [by_password("PLAIN"), by_password("SCRAM-SHA-256"), by_password("SCRAM-SHA-512"), event_hubs, token] {
        let mechanism = sasl["mechanism"].clone();
        let keys = json!({ "topic": topic, "tls": tls, "sasl": sasl });
        let (got, _) = read(keys.clone(), &variable("WATERSHED_KAFKA_SASL_SSL")).await;
        assert_eq!(got, ["a"], "{mechanism}");
        let found = source(&variable("WATERSHED_KAFKA_SASL_SSL"), keys).probe().await.unwrap();
        assert!(found.contains("can be read"), "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kafka -- cargo test … --ignored"]
async fn a_client_certificate_opens_the_door() {
    let topic = Admin::new(&brokers()).topic("tls", 1, &[]).await;
    Sender::new(&brokers()).send(&topic, 0, &["a"]);
    let [ca, cert, key] = ["CA", "CERT", "KEY"].map(|name| variable(&format!("WATERSHED_KAFKA_{name}")));
    let tls = json!({ "ca": ca, "cert": cert, "key": key });
    let (got, _) = read(json!({ "topic": topic, "tls": tls }), &variable("WATERSHED_KAFKA_SSL")).await;
    assert_eq!(got, ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kafka -- cargo test … --ignored"]
async fn who_is_turned_away_hears_why_and_what_to_do() {
    let topic = Admin::new(&brokers()).topic("refused", 1, &[]).await;
    let ca = json!({ "ca": variable("WATERSHED_KAFKA_CA") });
    let wrong = json!({ "mechanism": "SCRAM-SHA-512", "username": "watershed", "password": "marked-secret" });
    let bad_token = json!({ "mechanism": "OAUTHBEARER", "token": "marked-secret" });
    let (sasl_ssl, ssl) = (variable("WATERSHED_KAFKA_SASL_SSL"), variable("WATERSHED_KAFKA_SSL"));
    for (place, keys, advice) in [
        (&sasl_ssl, json!({ "tls": ca, "sasl": wrong }), "`username` and `password`"),
        (&sasl_ssl, json!({ "tls": ca, "sasl": bad_token }), "check the token"),
        (&sasl_ssl, json!({ "tls": true, "sasl": wrong }), "`tls.ca`"),
        (&ssl, json!({ "tls": ca }), "`tls.cert` and `tls.key`"),
        (&brokers(), json!({ "tls": ca }), "check `tls`"),
        (&sasl_ssl, json!({}), "check `tls` and `sasl`"),
    ] {
        let mut all = keys.clone();
        all["topic"] = json!(topic);
        let source = source(place, all);
        let error = source.probe().await.unwrap_err().to_string();
        assert!(error.contains(advice), "{keys}: {error}");
        assert!(!error.contains("marked-secret"), "{error}");
        assert!(!format!("{source:?}").contains("marked-secret"), "{source:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kafka -- cargo test … --ignored"]
async fn a_thousand_partitions_share_one_client() {
    let topic = Admin::new(&brokers()).topic("thousand", 1000, &[]).await;
    let sender = Sender::new(&brokers());
    for partition in 0..1000 {
        sender.queue(&topic, partition, Some(format!("{partition}").as_bytes()));
    }
    sender.flush();
    let source = source(&brokers(), json!({ "topic": topic }));
    let splits = source.splits().await.unwrap();
    assert_eq!(splits.len(), 1000);
    let mut readers = Vec::new();
    for split in &splits {
        readers.push(source.open(split, None).await.unwrap());
    }
    for (number, reader) in readers.iter_mut().enumerate() {
        assert_eq!(payloads(&read_to_end(reader.as_mut()).await), [number.to_string()]);
    }
    until("every end is known", async || readers.iter().all(|reader| reader.lag().records == Some(0))).await;
    let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
    assert!(threads < 100, "{threads} threads");
}

/// What the broker's own test validator takes: claims without a signature.
fn unsigned_token() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({ "sub": "watershed", "iat": now, "exp": now + 3600 });
    format!("{}.{}.", base64url(br#"{"alg":"none"}"#), base64url(claims.to_string().as_bytes()))
}

/// Base64 for URLs, without padding (RFC 4648, section 5).
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * place)) as usize & 63]));
        }
    }
    text
}
