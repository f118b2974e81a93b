use std::sync::Arc;
use std::time::Duration;

use super::server::{Act, HEAD, Server};
use crate::conformance::{Fixture, Item, items_of};
use crate::error::SourceError;
use crate::metadata::Wanted;
use crate::records::Records;
use crate::source::{Position, ReadLimits, ReadStatus, Reader, Source, SplitId};
use crate::sse::SseOptions;
use crate::stream::{StreamOptions, Surroundings};

const LONG: ReadLimits = ReadLimits { bytes: 1 << 20, wait: Duration::from_secs(3600) };
const SHORT: ReadLimits = ReadLimits { bytes: 1 << 20, wait: Duration::from_millis(5) };

fn options(url: &str, more: &str) -> SseOptions {
    let mut text = serde_json::json!({ "url": url });
    let more: serde_json::Value = serde_json::from_str(more).unwrap();
    text.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(text).unwrap()
}

fn around() -> Surroundings {
    Surroundings { region: "eu".into(), source: "edits".into(), checkpoint_interval: Duration::from_secs(10) }
}

fn source(url: &str, more: &str) -> Arc<dyn Source> {
    options(url, more).source(&around()).unwrap()
}

async fn open(source: &dyn Source) -> Box<dyn Reader> {
    source.open(&SplitId::new("sse"), None).await.unwrap()
}

/// Reads until so many records have come.
async fn take(reader: &mut dyn Reader, count: usize) -> Vec<String> {
    let mut records = Records::default();
    while records.len() < count {
        reader.read(&mut records, LONG).await.unwrap();
    }
    (0..records.len()).map(|i| String::from_utf8(records.payload(i).to_vec()).unwrap()).collect()
}

fn send(text: &str) -> Act {
    Act::Send(text.to_owned())
}

struct Shared(Arc<dyn Source>);

#[async_trait::async_trait]
impl Source for Shared {
    async fn splits(&self) -> Result<Vec<SplitId>, SourceError> {
        self.0.splits().await
    }
    async fn open(&self, split: &SplitId, from: Option<&Position>) -> Result<Box<dyn Reader>, SourceError> {
        self.0.open(split, from).await
    }
    fn bounded(&self) -> bool {
        self.0.bounded()
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[tokio::test]
async fn keeps_the_promises_of_a_source() {
    let events: Vec<String> = (0..12).map(|n| format!("{{\"n\":{n},\"x\":\"{}\"}}", "y".repeat(n))).collect();
    let server = Server::start(vec![vec![send(HEAD), Act::Events(events.clone()), Act::Stall]]).await;
    let url = server.url.clone();
    let expected = events.iter().enumerate().map(|(n, data)| Item::record(data, n as u64)).collect();
    let mut fixture = Fixture::new(move || Box::new(Shared(source(&url, "{}"))), vec![("sse".to_owned(), expected)]);
    fixture.patient = true;
    fixture.run().await;
}

#[tokio::test]
async fn a_connection_that_ends_is_made_again_behind_the_last_event() {
    let server = Server::start(vec![
        vec![send(HEAD), send("retry: 0\n\nid: a\ndata: 1\n\nid: b\ndata: 2\n\nid: c\ndata: half")],
        vec![send(HEAD), send("id: c\ndata: whole\n\n"), Act::Stall],
    ])
    .await;
    let source = source(&server.url, "{}");
    assert_eq!(take(&mut *open(&*source).await, 3).await, ["1", "2", "whole"]);
    assert_eq!(server.asked(), [None, Some("b".to_owned())]);
}

#[tokio::test]
async fn a_read_that_may_not_wait_does_not_wait_for_a_connection() {
    let server = Server::start(vec![
        vec![send(HEAD), send("retry: 60000\n\nid: 1\ndata: 1\n\n")],
        vec![send(HEAD), send("data: 2\n\n"), Act::Stall],
    ])
    .await;
    let source = source(&server.url, "{}");
    let mut reader = open(&*source).await;
    assert_eq!(take(&mut *reader, 1).await, ["1"]);
    // The engine reads again for what may have come meanwhile, with the first event in hand.
    let now = ReadLimits { bytes: 1 << 20, wait: Duration::ZERO };
    let mut records = Records::default();
    loop {
        let read = tokio::time::timeout(Duration::from_secs(10), reader.read(&mut records, now)).await;
        match read.expect("it waits for the next connection").unwrap() {
            ReadStatus::More => break,
            _ => tokio::task::yield_now().await,
        }
    }
    assert!(records.is_empty() && server.asked().len() == 1);
}

#[tokio::test]
async fn what_the_server_says_about_pauses_is_kept_to() {
    let server = Server::start(vec![
        vec![send(HEAD), send("retry: 60000\n\nid: 1\ndata: 1\n\n")],
        vec![send(HEAD), send("data: too soon\n\n"), Act::Stall],
    ])
    .await;
    let source = source(&server.url, "{}");
    let mut reader = open(&*source).await;
    assert_eq!(take(&mut *reader, 1).await, ["1"]);
    let again = tokio::time::timeout(Duration::from_millis(200), take(&mut *reader, 1)).await;
    assert!(again.is_err() && server.asked().len() == 1, "{again:?}");
}

#[tokio::test]
async fn a_stream_that_ends_before_it_begins_is_told_and_tried_again() {
    let server = Server::start(vec![vec![send(HEAD)]]).await;
    let source = source(&server.url, "{}");
    let error = open(&*source).await.read(&mut Records::default(), LONG).await.unwrap_err();
    assert!(matches!(error, SourceError::Retry { .. }), "{error}");
    assert!(error.to_string().ends_with("the stream ended before it began"), "{error}");
}

#[tokio::test]
async fn silence_is_the_end_for_now_until_it_is_death() {
    let server = Server::start(vec![vec![send(HEAD), send(": hello\n\n"), Act::Stall]]).await;
    let source = source(&server.url, "{ \"silence\": \"50ms\" }");
    let mut reader = open(&*source).await;
    let mut caught_up = false;
    let error = loop {
        match reader.read(&mut Records::default(), SHORT).await {
            Ok(status) => {
                assert_eq!(status, ReadStatus::CaughtUp);
                caught_up = true;
            }
            Err(error) => break error,
        }
    };
    assert!(caught_up && matches!(error, SourceError::Retry { .. }), "{error}");
    assert!(error.to_string().ends_with("not a sign of life for 50ms"), "{error}");
}

#[tokio::test]
async fn events_without_data_move_the_position_and_are_no_records() {
    let server = Server::start(vec![vec![send(HEAD), send("id: 5\n\ndata: x\n\n"), Act::Stall]]).await;
    let source = source(&server.url, "{}");
    let mut reader = open(&*source).await;
    let mut records = Records::default();
    while records.len() != 1 {
        reader.read(&mut records, LONG).await.unwrap();
    }
    assert_eq!((records.skipped(), items_of(&records)), (1, vec![Item::record("x", 1)]));
    assert_eq!(reader.position(), Position(serde_json::json!({ "id": "5", "events": 2 })));
}

#[tokio::test]
async fn metadata_stands_beside_the_record() {
    let server = Server::start(vec![vec![send(HEAD), send("id: 5\nevent: edit\ndata: x\n\n"), Act::Stall]]).await;
    let options = options(&server.url, "{}");
    let source = options.source(&around()).unwrap();
    source.describe(Wanted::pick(options.metadata(), ["_event", "_id"]));
    let mut reader = open(&*source).await;
    let mut records = Records::default();
    while records.is_empty() {
        reader.read(&mut records, LONG).await.unwrap();
    }
    let shown: Vec<String> = records.described().iter().map(|column| format!("{column:?}")).collect();
    assert!(shown[0].contains("edit") && shown[1].contains('5'), "{shown:?}");
}

#[tokio::test]
async fn refusals_say_what_to_mend_and_show_no_secret() {
    let cases = [
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", false, "check `token` and `headers`"),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", false, "check `url`"),
        ("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 0\r\n\r\n", false, "than text/event-stream"),
        (
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.2:1/\r\ncontent-length: 0\r\n\r\n",
            false,
            "to another server",
        ),
        ("HTTP/1.1 503 Busy\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n", true, "503"),
        ("HTTP/1.1 429 Slow\r\ncontent-length: 0\r\n\r\n", true, "429"),
        ("HTTP/1.1 204 No Content\r\n\r\n", true, "204"),
    ];
    for (answer, passes, words) in cases {
        let server = Server::start(vec![vec![send(answer)]]).await;
        let source = source(&server.url, "{ \"token\": \"s3cret\", \"headers\": { \"x-key\": \"s3cret\" } }");
        let error = source.probe().await.unwrap_err();
        assert_eq!(matches!(error, SourceError::Retry { .. }), passes, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(!format!("{error} {error:?} {source:?}").contains("s3cret"), "{error:?} {source:?}");
        let head = server.requests.lock().unwrap().concat();
        assert!(head.contains("authorization: Bearer s3cret") && head.contains("x-key: s3cret"), "{head}");
    }
    let nobody = source("http://127.0.0.1:1/?key=s3cret", "{}");
    let error = nobody.probe().await.unwrap_err();
    assert!(matches!(error, SourceError::Retry { .. }) && !format!("{error:?}").contains("s3cret"), "{error:?}");
}

#[tokio::test]
async fn a_server_that_answered_once_may_refuse_for_a_while() {
    let server = Server::start(vec![
        vec![send(HEAD), send("retry: 0\n\ndata: 1\n\n")],
        vec![send("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")],
    ])
    .await;
    let source = source(&server.url, "{}");
    let mut reader = open(&*source).await;
    assert_eq!(take(&mut *reader, 1).await, ["1"]);
    let error = loop {
        if let Err(error) = reader.read(&mut Records::default(), LONG).await {
            break error;
        }
    };
    assert!(matches!(error, SourceError::Retry { .. }), "{error}");
}

#[test]
fn options_that_cannot_work_are_refused_by_name() {
    let cases = [
        ("ftp://host/", "{}", "url"),
        ("http://host/", "{ \"silence\": \"0s\" }", "silence"),
        ("http://host/", "{ \"headers\": { \"a b\": \"x\" } }", "headers"),
        ("http://host/", "{ \"headers\": { \"Last-Event-ID\": \"x\" } }", "headers"),
        ("http://host/", "{ \"token\": \"a\\nb\" }", "token"),
    ];
    for (url, more, key) in cases {
        let error = options(url, more).source(&around()).unwrap_err();
        assert!(matches!(&error, SourceError::Config { what } if what.contains(key)), "{error}");
    }
    let options = options("https://user:s3cret@host/v2?key=s3cret#s3cret", "{ \"token\": \"s3cret\" }");
    assert_eq!(options.identity(), "sse https://host/v2");
    assert!(!format!("{options:?}").contains("s3cret"));
}
