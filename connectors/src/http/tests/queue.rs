use std::time::Duration;

use super::requests::{options, source_of};
use crate::conformance::{Fixture, Item, items_of};
use crate::error::SourceError;
use crate::framing::Framing;
use crate::http::batch::{Shape, cut};
use crate::http::queue::{Batch, Queue};
use crate::http::reader::HttpSource;
use crate::http::space::Buffer;
use crate::metadata::Wanted;
use crate::records::Records;
use crate::source::{Position, ReadLimits, ReadStatus, Source, SplitId};

fn batch(text: &str) -> Batch {
    let buffer = Buffer::new(1 << 20);
    let mut space = buffer.space();
    space.grow(text.len()).unwrap();
    let records = cut(text.into(), Shape::Framed(Framing::Lines), &mut space).unwrap();
    Batch { records, next: 0, arrived: 5, _space: space }
}

fn read(queue: &mut Queue, limit: usize) -> Vec<Item> {
    let mut records = Records::default();
    queue.read(&mut records, &Wanted::default(), limit);
    items_of(&records)
}

/// A source to which these bodies were sent. The first `taken` of their records were taken by an earlier process, and are
/// not sent again.
fn pushed(bodies: &'static [&'static str], taken: usize) -> Box<dyn Source> {
    let source = source_of(&options("{}"));
    let mut left = taken;
    for body in bodies {
        let lines: Vec<&str> = body.lines().skip(left).collect();
        left = left.saturating_sub(body.lines().count());
        if !lines.is_empty() {
            drop(source.inlet.queue().push(batch(&lines.join("\n"))));
        }
    }
    Box::new(source)
}

#[tokio::test]
async fn keeps_the_promises_of_a_source() {
    const BODIES: &[&str] = &["a\nbb\nccc", "{}", "d\ne"];
    let expected = ["a", "bb", "ccc", "{}", "d", "e"].iter().enumerate();
    let expected = expected.map(|(n, payload)| Item::record(payload, n as u64)).collect();
    let mut fixture = Fixture::new(|| pushed(BODIES, 0), vec![("http".to_owned(), expected)]);
    fixture.later = Some(Box::new(|taken| pushed(BODIES, taken)));
    fixture.run().await;
}

#[test]
fn a_request_is_durable_when_its_last_record_is() {
    let mut queue = Queue::default();
    queue.begin(None).unwrap();
    let (mut first, mut second) = (queue.push(batch("a\nb")), queue.push(batch("c")));
    assert_eq!(read(&mut queue, 1), [Item::record("a", 0)]);
    queue.acknowledge(1);
    assert!(first.try_recv().is_err(), "its second record is not durable");
    assert_eq!(read(&mut queue, 100).len(), 2);
    queue.acknowledge(2);
    assert!(first.try_recv().is_ok() && second.try_recv().is_err());
    queue.acknowledge(3);
    assert!(second.try_recv().is_ok());
}

#[test]
fn numbers_go_on_where_an_earlier_process_stood() {
    let mut queue = Queue::default();
    queue.begin(Some(7)).unwrap();
    let mut told = queue.push(batch("a"));
    assert_eq!(read(&mut queue, 100), [Item::record("a", 7)]);
    queue.acknowledge(7);
    assert!(told.try_recv().is_err(), "what the earlier process had taken says nothing of this one");
    queue.acknowledge(8);
    assert!(told.try_recv().is_ok());
    queue.end();
    assert!(matches!(queue.begin(Some(7)), Err(SourceError::Config { .. })), "what was handed out does not come again");
    queue.begin(Some(8)).unwrap();
    assert!(matches!(queue.begin(Some(8)), Err(SourceError::Config { .. })), "one reader only");
}

#[test]
fn whoever_waits_in_vain_is_told() {
    let mut queue = Queue::default();
    queue.begin(None).unwrap();
    let mut told = queue.push(batch("a"));
    queue.give_up();
    assert_eq!(told.try_recv(), Err(tokio::sync::oneshot::error::TryRecvError::Closed));
    assert!(!queue.is_open());
}

#[test]
fn records_under_another_header_wait_for_another_read() {
    let csv = |text: &str| {
        let buffer = Buffer::new(1 << 20);
        let mut space = buffer.space();
        space.grow(text.len()).unwrap();
        let framing = Framing::Csv { header: true, quote: b'"' };
        let records = cut(text.into(), Shape::Framed(framing), &mut space).unwrap();
        Batch { records, next: 0, arrived: 5, _space: space }
    };
    let mut queue = Queue::default();
    queue.begin(None).unwrap();
    for body in ["x,y\n1,2\n", "x,y\n3,4\n", "y,x\n5,6\n"] {
        drop(queue.push(csv(body)));
    }
    for (header, rows) in [("x,y", 2), ("y,x", 1)] {
        let mut records = Records::default();
        queue.read(&mut records, &Wanted::default(), 100);
        assert_eq!((&**records.header().unwrap(), records.len()), (header.as_bytes(), rows));
    }
}

#[tokio::test]
async fn a_stopped_source_hands_out_what_it_took_and_is_caught_up() {
    let source: HttpSource = source_of(&options("{}"));
    let mut reader = source.open(&SplitId::new("http"), None).await.unwrap();
    drop(source.inlet.queue().push(batch("a\nb")));
    assert!(source.stop() && !source.inlet.queue().is_open());
    assert_eq!((reader.lag().records, reader.lag().behind.is_some()), (Some(2), true));
    let limits = ReadLimits { bytes: 1, wait: Duration::ZERO };
    for (position, status) in [(1, ReadStatus::More), (2, ReadStatus::CaughtUp), (2, ReadStatus::CaughtUp)] {
        assert_eq!(reader.read(&mut Records::default(), limits).await.unwrap(), status);
        assert_eq!(reader.position(), Position(serde_json::json!({ "accepted": position })));
    }
}
