//! Requests as a web server of another make sees them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod pure;
mod receiver;

use std::sync::atomic::Ordering;

use async_trait::async_trait;

use self::receiver::Receiver;
use super::WebhookOptions;
use crate::SinkError;
use crate::conformance::{Fixture, Nature, batch, context, crashes, run};
use crate::messages::MessageOptions;
use crate::sink::{Flush, Sink};

fn options(text: &str) -> Result<WebhookOptions, toml::de::Error> {
    toml::from_str(text)
}

/// A server of its own, and what is written beside its `url`.
struct Server {
    receiver: Receiver,
    more: &'static str,
}

impl Server {
    fn new(more: &'static str, fails_each: usize) -> Self {
        Self { receiver: Receiver::start(fails_each), more }
    }

    fn open(&self, pipeline: &str) -> Box<dyn Sink> {
        // The path tells pipelines apart to the receiver.
        let pipeline_in_path = pipeline.replace('/', "%2F").replace(' ', "%20");
        let text = format!("url = \"{}/{pipeline_in_path}?key=hidden\"\n{}", self.receiver.address, self.more);
        options(&text).unwrap().sink(&context(pipeline), "hook").unwrap()
    }
}

#[async_trait]
impl Fixture for Server {
    fn sink(&self, pipeline: &str) -> Box<dyn Sink> {
        self.open(pipeline)
    }

    async fn visible(&self, pipeline: &str) -> Option<Vec<i64>> {
        Some(self.receiver.ids(pipeline))
    }

    fn nature(&self) -> Nature {
        Nature { shows_at_write: false, holds_back: false, remembers_epochs: false }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_server_that_drops_repetitions_has_each_row_once() {
    run(|| Server::new("batch_rows = 2", 0)).await;
    run(|| Server::new("format = \"json\"\nsecret = \"whsec_41f7\"", 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_fail_are_sent_again_under_the_same_key() {
    crashes(|| Server::new("batch_rows = 7\nmax_epoch_bytes = 4000\nsecret = \"whsec_41f7\"", 3), 4..6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_were_taken_are_not_sent_again() {
    let server = Server::new("batch_rows = 1", 3);
    let mut sink = server.open("orders");
    sink.write(0, batch(&[1, 2, 3, 4, 5])).await.unwrap();
    let prepared = sink.prepare(1, Flush::Due).await.unwrap();
    sink.commit(&prepared).await.unwrap();
    assert_eq!(server.receiver.ids("orders"), [1, 2, 3, 4, 5]);
    // The third and the sixth failed.
    assert_eq!(server.receiver.requests.load(Ordering::Relaxed), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_ends_the_run_and_says_what_the_server_said() {
    let server = Server::new("", 0);
    let refused = async |path: &str| {
        let mut sink = server.open(path);
        sink.write(0, batch(&[1])).await.unwrap();
        let prepared = sink.prepare(1, Flush::Due).await.unwrap();
        sink.commit(&prepared).await.unwrap_err()
    };
    let error = refused("status-422").await;
    assert!(matches!(error, SinkError::Fatal { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("422") && text.contains("no such field <amount>") && !text.contains("hidden"), "{text}");
    let error = refused("status-401").await;
    assert!(matches!(error, SinkError::Config { .. }) && error.to_string().contains("check `token`"), "{error}");
    let error = refused("status-302").await;
    assert!(matches!(error, SinkError::Config { .. }) && error.to_string().contains("as `url`"), "{error}");
    for passing in ["status-408", "status-425", "status-429", "status-500", "status-503"] {
        let error = refused(passing).await;
        assert!(matches!(error, SinkError::Retry { .. }), "{passing}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_sends_no_rows() {
    let server = Server::new("", 0);
    let text = format!("url = \"{}/orders\"", server.receiver.address);
    let found = options(&text).unwrap().probe(&context("orders"), "hook").await.unwrap();
    assert!(found.contains("no rows were sent"), "{found}");
    assert!(server.receiver.ids("orders").is_empty());
    let nobody = options("url = \"http://127.0.0.1:1/x?key=hidden\"").unwrap();
    let error = nobody.probe(&context("orders"), "hook").await.unwrap_err().to_string();
    assert!(error.contains("http://127.0.0.1:1") && !error.contains("/x") && !error.contains("hidden"), "{error}");
}
