use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use futures::FutureExt;

use crate::error::SourceError;
use crate::framing::Framing;
use crate::http::reader::HttpSource;
use crate::http::{HttpOptions, Inlet};
use crate::metadata::Wanted;
use crate::records::Records;
use crate::source::{ReadLimits, Reader, Source, SplitId};
use crate::stream::{StreamOptions, Surroundings};

pub(super) fn options(json: &str) -> HttpOptions {
    serde_json::from_str(json).unwrap()
}

pub(super) fn source_of(options: &HttpOptions) -> HttpSource {
    HttpSource::new(Inlet::new(options, Some(Framing::Lines)))
}

fn request(headers: &[(&str, &str)], body: impl Into<Body>) -> Request {
    let mut request = Request::post("/ingest/orders");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

async fn shown(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 10_000).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap().trim_end().to_owned())
}

async fn open(source: &HttpSource) -> Box<dyn Reader> {
    source.open(&SplitId::new("http"), None).await.unwrap()
}

/// Reads what there is, and makes it durable.
async fn settle(reader: &mut dyn Reader) -> Vec<String> {
    let mut records = Records::default();
    let limits = ReadLimits { bytes: 1 << 20, wait: Duration::from_secs(3600) };
    reader.read(&mut records, limits).await.unwrap();
    reader.acknowledge(&reader.position()).await.unwrap();
    (0..records.len()).map(|i| String::from_utf8(records.payload(i).to_vec()).unwrap()).collect()
}

/// Headers, a body, a status and a word of the answer.
type Case<'c> = (&'c [(&'c str, &'c str)], &'c str, u16, &'c str);

const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");
const LINES: (&str, &str) = ("content-type", "application/x-ndjson");

#[tokio::test]
async fn a_request_is_answered_when_its_records_are_durable() {
    let source = source_of(&options("{}"));
    let mut reader = open(&source).await;
    let mut answer = Box::pin(source.inlet.answer(request(&[JSON], "[{\"a\":1}, {\"b\":\n2}]")));
    assert!(futures::poll!(&mut answer).is_pending());
    assert_eq!(settle(&mut *reader).await, ["{\"a\":1}", "{\"b\":\n2}"]);
    assert_eq!(shown(answer.await).await, (200, "{\"records\":2}".to_owned()));
    assert_eq!(source.inlet.buffer.taken(), 0, "what was read takes no space");
}

#[tokio::test]
async fn with_memory_acks_a_request_is_answered_at_once() {
    let source = source_of(&options("{\"ack\":\"memory\"}"));
    let _reader = open(&source).await;
    let answer = source.inlet.answer(request(&[LINES], "{}\n{}\n")).await;
    assert_eq!(shown(answer).await, (202, "{\"records\":2}".to_owned()));
    assert!(!source.awaited());
}

#[tokio::test]
async fn nothing_is_taken_of_a_request_that_is_refused() {
    let source = source_of(&options("{\"max_body\":100,\"buffer\":300}"));
    let reader = open(&source).await;
    let long = " ".repeat(101);
    let cases: [Case<'_>; 8] = [
        (&[JSON], "[{\"a\":1},", 400, "the JSON ends too soon"),
        (&[JSON], "[{\"a\":1}} ", 400, "broken at byte 8"),
        (&[("content-type", "application/x-www-form-urlencoded")], "{}", 415, "send application/x-ndjson"),
        (&[LINES, ("content-encoding", "br")], "{}", 415, "gzip or zstd"),
        (&[LINES, ("content-encoding", "gzip, gzip")], "{}", 415, "gzip or zstd"),
        (&[LINES, ("content-encoding", "gzip")], "{}", 400, "not gzip"),
        (&[LINES], &long, 413, "at most 100 bytes"),
        (&[LINES, ("content-length", "1000")], "{}", 413, "at most 100 bytes"),
    ];
    for (headers, body, status, word) in cases {
        let (found, text) = shown(source.inlet.answer(request(headers, body.to_owned())).await).await;
        assert!(found == status && text.contains(word), "{body}: {found} {text}");
    }
    let got = source.inlet.answer(Request::get("/").body(Body::empty()).unwrap()).await;
    assert_eq!((got.status(), got.headers()["allow"].as_bytes()), (StatusCode::METHOD_NOT_ALLOWED, &b"POST"[..]));
    assert_eq!((reader.lag().records, source.inlet.buffer.taken()), (Some(0), 0));
}

#[tokio::test]
async fn a_full_buffer_says_when_to_come_again() {
    let source = source_of(&options("{\"ack\":\"memory\",\"max_body\":100,\"buffer\":300}"));
    let mut reader = open(&source).await;
    let push = async || source.inlet.answer(request(&[LINES], "x".repeat(100))).await;
    assert_eq!(push().await.status(), 202);
    let full = push().await;
    assert_eq!((full.status().as_u16(), full.headers()["retry-after"].as_bytes()), (429, &b"1"[..]));
    assert_eq!(settle(&mut *reader).await.len(), 1);
    assert_eq!(push().await.status(), 202, "there is room again");
}

#[tokio::test]
async fn only_the_token_opens() {
    let source = source_of(&options("{\"token\":\"s3cret\"}"));
    let mut reader = open(&source).await;
    for wrong in ["", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cret1", "Bearer s3creT", "Basic s3cret", "s3cret"]
    {
        let answer = source.inlet.answer(request(&[LINES, ("authorization", wrong)], "{}")).now_or_never();
        let answer = answer.unwrap_or_else(|| panic!("{wrong}: taken"));
        assert_eq!(answer.headers()["www-authenticate"].as_bytes(), b"Bearer");
        let (status, text) = shown(answer).await;
        assert!(status == 401 && !text.contains("s3cre"), "{wrong}: {status} {text}");
    }
    let mut answer = Box::pin(source.inlet.answer(request(&[LINES, ("authorization", "bearer s3cret")], "{}")));
    assert!(futures::poll!(&mut answer).is_pending());
    settle(&mut *reader).await;
    assert_eq!(answer.await.status(), 200);
    assert!(!format!("{source:?} {:?}", options("{\"token\":\"s3cret\"}")).contains("s3cret"));
}

#[tokio::test]
async fn who_asks_first_is_not_asked_for_a_body_that_is_refused() {
    let source = source_of(&options("{\"token\":\"s3cret\",\"max_body\":100}"));
    let _reader = open(&source).await;
    let first = ("expect", "100-continue");
    let cases: [(&[(&str, &str)], u16); 2] =
        [(&[first, LINES], 401), (&[first, LINES, ("authorization", "Bearer s3cret"), ("content-length", "101")], 413)];
    for (headers, status) in cases {
        // Looking for a piece of it would be to ask.
        let body = futures::stream::poll_fn(|_| -> std::task::Poll<Option<Result<&str, std::io::Error>>> {
            panic!("the body was asked for")
        });
        let answer = source.inlet.answer(request(headers, Body::from_stream(body))).await;
        assert_eq!(answer.status(), status);
    }
}

#[tokio::test]
async fn nobody_is_served_before_and_after_the_run() {
    let source = source_of(&options("{}"));
    assert_eq!(source.inlet.answer(request(&[LINES], "{}")).await.status(), 503);
    let mut reader = open(&source).await;
    let mut taken = Box::pin(source.inlet.answer(request(&[LINES], "{}")));
    let mut lost = Box::pin(source.inlet.answer(request(&[LINES], "{}")));
    assert!(futures::poll!(&mut taken).is_pending());
    settle(&mut *reader).await;
    assert!(futures::poll!(&mut lost).is_pending());
    source.stop();
    let refused = source.inlet.answer(request(&[LINES], "{}")).await;
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].as_bytes()), (503, &b"1"[..]));
    source.close().await;
    assert_eq!((taken.await.status().as_u16(), lost.await.status().as_u16()), (200, 503));
}

#[tokio::test]
async fn a_client_that_goes_away_in_its_body_changes_nothing() {
    let source = source_of(&options("{}"));
    let reader = open(&source).await;
    let broken: [Result<&str, std::io::Error>; 2] = [Ok("{\"a\":1}\n{\"b\""), Err(std::io::Error::other("gone"))];
    let body = Body::from_stream(futures::stream::iter(broken));
    assert_eq!(source.inlet.answer(request(&[LINES], body)).await.status(), 400);
    let never = Body::from_stream(futures::stream::pending::<Result<&str, std::io::Error>>());
    let mut answer = Box::pin(source.inlet.answer(request(&[LINES], never)));
    assert!(futures::poll!(&mut answer).is_pending());
    drop(answer);
    assert_eq!((reader.lag().records, source.inlet.buffer.taken()), (Some(0), 0));
}

#[tokio::test]
async fn messages_of_other_formats_are_one_record_each() {
    let source = HttpSource::new(Inlet::new(&options("{\"ack\":\"memory\"}"), None));
    let mut reader = open(&source).await;
    let avro = [("content-type", "avro/binary")];
    assert_eq!(source.inlet.answer(request(&avro, "a\nb")).await.status(), 202);
    assert_eq!(settle(&mut *reader).await, ["a\nb"]);
    assert_eq!(shown(source.inlet.answer(request(&avro, "")).await).await.1, "{\"records\":0}");
}

#[tokio::test]
async fn csv_brings_its_header() {
    let csv = Framing::Csv { header: true, quote: b'"' };
    let source = HttpSource::new(Inlet::new(&options("{\"ack\":\"memory\"}"), Some(csv)));
    let mut reader = open(&source).await;
    let kind = [("content-type", "text/csv")];
    let body = "x,y\n1,\"a\nb\"\n2,c";
    assert_eq!(shown(source.inlet.answer(request(&kind, body)).await).await.1, "{\"records\":2}");
    let mut records = Records::default();
    reader.read(&mut records, ReadLimits { bytes: 100, wait: Duration::ZERO }).await.unwrap();
    assert_eq!((&**records.header().unwrap(), records.payload(0)), (&b"x,y"[..], &b"1,\"a\nb\""[..]));
    assert_eq!(source.inlet.answer(request(&kind, "x\n\"not closed")).await.status(), 400);
}

#[tokio::test]
async fn the_time_of_arrival_stands_beside_each_record() {
    let options = options("{\"ack\":\"memory\"}");
    let source = source_of(&options);
    source.describe(Wanted::pick(options.metadata(), ["_ingest_time"]));
    let mut reader = open(&source).await;
    source.inlet.answer(request(&[LINES], "{}\n{}")).await;
    let mut records = Records::default();
    reader.read(&mut records, ReadLimits { bytes: 100, wait: Duration::ZERO }).await.unwrap();
    assert_eq!(records.described()[0].len(), 2);
}

#[test]
fn options_that_cannot_work_are_refused_by_name() {
    let around =
        Surroundings { region: "eu".into(), source: "orders".into(), checkpoint_interval: Duration::from_secs(10) };
    for (json, key) in [
        ("{\"token\":\" \"}", "token"),
        ("{\"max_body\":0}", "max_body"),
        ("{\"max_body\":\"2GiB\",\"buffer\":\"4GiB\"}", "max_body"),
        ("{\"max_body\":\"20MB\",\"buffer\":\"10MB\"}", "buffer"),
    ] {
        let error = options(json).source(&around).unwrap_err();
        assert!(matches!(&error, SourceError::Config { what } if what.contains(key)), "{error}");
    }
}
