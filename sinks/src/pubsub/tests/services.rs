//! The contract of sinks, at Google's own fake of Pub/Sub.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::task::block_in_place;

use super::options;
use crate::SinkError;
use crate::conformance::{Fixture, Nature, context, crashes, run};
use crate::messages::{IDEMPOTENCY_KEY, MessageOptions, name_of};
use crate::sink::Sink;

fn server() -> String {
    std::env::var("WATERSHED_PUBSUB").expect("WATERSHED_PUBSUB is not set: run under scripts/services run pubsub")
}

/// A topic, of which all pipelines make use, and a subscription: the ids tell them apart.
struct Topic {
    http: reqwest::Client,
    name: String,
    max_epoch_bytes: usize,
    /// What was pulled so far: ordering key and row, by id.
    pulled: Mutex<BTreeMap<String, (Value, Value)>>,
}

impl Topic {
    fn new(max_epoch_bytes: usize) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Whoever is first has it.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let name = format!("sink-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let topic = Self { http: reqwest::Client::new(), name, max_epoch_bytes, pulled: Mutex::default() };
        block_in_place(|| Handle::current().block_on(topic.make()));
        topic
    }

    async fn make(&self) {
        let (topic, subscription) = (self.place("topics"), self.place("subscriptions"));
        for (place, body) in
            [(&topic, json!({})), (&subscription, json!({ "topic": topic, "ackDeadlineSeconds": 600 }))]
        {
            self.call(reqwest::Method::PUT, place, body).await;
        }
    }

    fn place(&self, kind: &str) -> String {
        format!("projects/acme/{kind}/{}", self.name)
    }

    async fn call(&self, method: reqwest::Method, place: &str, body: Value) -> Value {
        let request = self.http.request(method, format!("{}/v1/{place}", server())).body(body.to_string());
        let answer = request.send().await.unwrap().error_for_status().unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// Pulls what has come. Messages that have one id are the same.
    async fn pull(&self) -> BTreeMap<String, (Value, Value)> {
        let mut pulled = self.pulled.lock().await;
        let place = format!("{}:pull", self.place("subscriptions"));
        loop {
            let ask = json!({ "maxMessages": 1000, "returnImmediately": true });
            let answer = self.call(reqwest::Method::POST, &place, ask).await;
            let Some(messages) = answer["receivedMessages"].as_array() else { return pulled.clone() };
            for received in messages {
                let message = &received["message"];
                let data = base64(message["data"].as_str().unwrap());
                let here = (message["orderingKey"].clone(), serde_json::from_slice(&data).unwrap());
                let id = message["attributes"][IDEMPOTENCY_KEY].as_str().unwrap().to_owned();
                let known = pulled.entry(id).or_insert_with(|| here.clone());
                assert_eq!(*known, here, "two messages of one id");
            }
        }
    }
}

/// What stands in JSON for bytes (RFC 4648, 4).
fn base64(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |letter: u8| LETTERS.iter().position(|known| *known == letter);
    let digits: Vec<usize> = text.bytes().map_while(digit).collect();
    let group = |four: &[usize]| {
        let bits = four.iter().enumerate().fold(0, |bits, (at, digit)| bits | digit << (18 - 6 * at));
        [bits >> 16, bits >> 8, bits].map(|byte| (byte & 0xff) as u8).into_iter().take(four.len() - 1)
    };
    digits.chunks(4).flat_map(group).collect()
}

#[async_trait]
impl Fixture for Topic {
    fn sink(&self, pipeline: &str) -> Box<dyn Sink> {
        let text = format!(
            "project = \"acme\"\ntopic = \"{}\"\nendpoint = \"{}\"\nkey = \"name\"\nmax_epoch_bytes = {}",
            self.name,
            server(),
            self.max_epoch_bytes
        );
        options(&text).unwrap().sink(&context(pipeline), "out").unwrap()
    }

    async fn visible(&self, pipeline: &str) -> Option<Vec<i64>> {
        let ours = format!("{}/", name_of(&context(pipeline), "out"));
        let messages = self.pull().await.into_iter().filter(|(id, _)| id.starts_with(&ours));
        let ids = messages.map(|(_, (key, row))| {
            assert_eq!(key, row["name"], "the column, or nothing");
            row["id"].as_i64().unwrap()
        });
        Some(ids.collect())
    }

    fn nature(&self) -> Nature {
        Nature { shows_at_write: false, holds_back: false, remembers_epochs: false }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run pubsub -- cargo test … --ignored"]
async fn pubsub_conforms() {
    run(|| Topic::new(16_000_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run pubsub -- cargo test … --ignored"]
async fn pubsub_with_small_epochs_survives_crashes() {
    crashes(|| Topic::new(2_000), 4..8).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run pubsub -- cargo test … --ignored"]
async fn a_topic_that_is_not_there_is_named() {
    let there = Topic::new(16_000_000);
    let mut absent = Topic { name: "nowhere".to_owned(), ..there }.sink("orders");
    let error = absent.open().await.unwrap_err();
    assert!(matches!(error, SinkError::Config { .. }), "{error}");
    assert!(error.to_string().contains("projects/acme/topics/nowhere does not exist"), "{error}");
}
