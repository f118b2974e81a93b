//! What the region file may say.

use std::time::Duration;

use crate::error::SourceError;
use crate::pubsub::PubSubOptions;
use crate::stream::{StreamOptions, Surroundings};

pub(super) fn around(interval: Duration) -> Surroundings {
    Surroundings { region: "eu".into(), source: "orders".into(), checkpoint_interval: interval }
}

fn options(json: serde_json::Value) -> PubSubOptions {
    serde_json::from_value(json).unwrap()
}

fn refusal(mut more: serde_json::Value, seconds: u64) -> String {
    let mut json = serde_json::json!({ "project": "acme", "subscription": "orders" });
    json.as_object_mut().unwrap().append(more.as_object_mut().unwrap());
    match options(json).source(&around(Duration::from_secs(seconds))) {
        Err(SourceError::Config { what }) => what,
        other => panic!("not refused as the user's: {other:?}"),
    }
}

#[test]
fn senseless_options_are_refused_by_their_key() {
    let cases = [
        (serde_json::json!({ "project": "projects/acme" }), "`project`"),
        (serde_json::json!({ "subscription": "" }), "`subscription`"),
        (serde_json::json!({ "endpoint": "127.0.0.1:8085" }), "`endpoint`"),
        (serde_json::json!({ "endpoint": "https://user:secret@host" }), "`endpoint`"),
        (serde_json::json!({ "endpoint": "http://127.0.0.1:1", "credentials": "key.json" }), "`credentials`"),
        (serde_json::json!({ "streams": 0 }), "`streams`"),
        (serde_json::json!({ "streams": 65 }), "`streams`"),
        (serde_json::json!({ "max_outstanding_messages": 0 }), "`max_outstanding_messages`"),
        (serde_json::json!({ "max_outstanding_bytes": "0B" }), "`max_outstanding_bytes`"),
        (serde_json::json!({ "dedup_for": "50s" }), "`dedup_for`"),
    ];
    for (more, key) in cases {
        let said = refusal(more.clone(), 10);
        assert!(said.contains(key) && !said.contains("secret"), "{more}: {said}");
    }
    assert!(
        refusal(serde_json::json!({ "dedup_for": "50s" }), 10).contains("\"60s\" or more"),
        "says how much is enough"
    );
}

#[test]
fn nothing_that_was_filled_in_is_shown() {
    let options = options(serde_json::json!({
        "project": "acme", "subscription": "orders", "endpoint": "https://marked", "credentials": "marked"
    }));
    let source = options.source(&around(Duration::from_secs(10))).unwrap();
    assert!(!format!("{options:?} {source:?}").contains("marked"));
    assert_eq!(options.identity(), "pubsub projects/acme/subscriptions/orders");
}

#[test]
fn limits_follow_from_the_interval() {
    let flow = |json, seconds| options(json).flow(Duration::from_secs(seconds)).unwrap();
    let plain = serde_json::json!({ "project": "a", "subscription": "b", "streams": 4 });
    let usual = flow(plain.clone(), 10);
    assert_eq!((usual.messages, usual.bytes), (500_000, 256 << 20), "100,000/s for two intervals, by four");
    assert_eq!((usual.extension, usual.keep), (Duration::from_secs(30), Duration::from_secs(600)));
    let long = flow(plain.clone(), 120);
    assert_eq!(long.messages, 500_000, "no more than two million in all");
    assert_eq!((long.extension, long.keep), (Duration::from_secs(360), Duration::from_secs(1200)));
    let short = options(plain).flow(Duration::from_millis(1)).unwrap();
    assert_eq!(short.messages, 2500, "no fewer than ten thousand in all");
    let own = flow(
        serde_json::json!({ "project": "a", "subscription": "b", "streams": 2,
        "max_outstanding_messages": 5, "max_outstanding_bytes": "1kB", "dedup_for": "1h" }),
        10,
    );
    assert_eq!((own.messages, own.bytes, own.keep), (3, 500, Duration::from_secs(3600)));
}

/// Of a port where nobody is, one where nobody speaks, and a file that is no key, each is said.
#[tokio::test]
async fn a_probe_says_what_to_mend() {
    let probe = |json: serde_json::Value| async move {
        let source = options(json).source(&around(Duration::from_secs(10))).unwrap();
        source.probe().await.unwrap_err().to_string()
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let said =
        probe(serde_json::json!({ "project": "a", "subscription": "b", "endpoint": format!("http://{address}") }));
    let said = said.await;
    assert!(said.contains(&format!("{address} does not answer")) && said.contains("`endpoint`"), "{said}");
}
