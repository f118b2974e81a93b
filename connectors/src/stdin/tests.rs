#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write;
use std::time::Duration;

use super::*;
use crate::conformance::{Fixture, Item, items_of, read_all};

/// Gives one byte at a time, and now and then none but an interruption.
struct Drops(Cursor<Vec<u8>>, bool);

impl Read for Drops {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(ErrorKind::Interrupted.into());
        }
        self.0.read(&mut buffer[..1])
    }
}

fn source(text: &str, framing: Framing) -> Box<dyn Source> {
    Box::new(StdinSource::from_read(Cursor::new(text.as_bytes().to_vec()), framing).unwrap())
}

#[tokio::test]
async fn keeps_the_promises_of_a_source() {
    let text = "{\"a\":1}\r\n\n{\"a\":2}\nlast";
    let expected = vec![Item::record("{\"a\":1}", 0), Item::record("{\"a\":2}", 10), Item::record("last", 18)];
    let mut fixture = Fixture::new(move || source(text, Framing::Lines), vec![("stdin".to_owned(), expected.clone())]);
    fixture.reopens = false;
    fixture.run().await;

    let drops = move || -> Box<dyn Source> {
        let drops = Drops(Cursor::new(text.as_bytes().to_vec()), false);
        Box::new(StdinSource::from_read(drops, Framing::Lines).unwrap())
    };
    let mut fixture = Fixture::new(drops, vec![("stdin".to_owned(), expected)]);
    fixture.reopens = false;
    fixture.run().await;
}

#[tokio::test]
async fn reads_csv_under_its_header() {
    let framing = Framing::Csv { header: true, quote: b'"' };
    let expected = vec![Item::record("1,\"x\ny\"", 4), Item::record("2,z", 12)];
    let mut fixture =
        Fixture::new(move || source("a,b\n1,\"x\ny\"\n2,z\n", framing), vec![("stdin".to_owned(), expected)]);
    fixture.header = Some(b"a,b");
    fixture.reopens = false;
    fixture.run().await;
}

#[tokio::test]
async fn silence_is_caught_up_and_can_be_left() {
    let (input, mut output) = io::pipe().unwrap();
    let source = StdinSource::from_read(input, Framing::Lines).unwrap();
    let mut reader = source.open(&SplitId::new("stdin"), None).await.unwrap();
    let mut records = Records::default();
    let brief = ReadLimits { bytes: 100, wait: Duration::from_millis(1) };
    assert_eq!(reader.read(&mut records, brief).await.unwrap(), ReadStatus::CaughtUp);
    assert!(records.is_empty());

    output.write_all(b"one\ntw").unwrap();
    let patient = ReadLimits { bytes: 100, wait: Duration::from_secs(3600) };
    assert_eq!(reader.read(&mut records, patient).await.unwrap(), ReadStatus::CaughtUp);
    assert_eq!(items_of(&records), vec![Item::record("one", 0)]);
    // Source and reader go while the thread still waits for the pipe.
}

#[tokio::test]
async fn has_one_reader_which_goes_on_where_it_stood() {
    let source = source("one\ntwo\n", Framing::Lines);
    let split = SplitId::new("stdin");
    let mut first = source.open(&split, None).await.unwrap();
    let busy = source.open(&split, None).await.err().unwrap();
    assert!(busy.to_string().contains("is being read already"), "{busy}");

    let mut records = Records::default();
    let limits = ReadLimits { bytes: 1, wait: Duration::from_secs(3600) };
    first.read(&mut records, limits).await.unwrap();
    let position = first.position();
    drop(first);
    let refused = source.open(&split, None).await.err().unwrap();
    assert!(matches!(refused, SourceError::Config { .. }), "{refused}");
    let mut second = source.open(&split, Some(&position)).await.unwrap();
    records.clear();
    second.read(&mut records, limits).await.unwrap();
    assert_eq!(items_of(&records), vec![Item::record("two", 4)]);
}

#[tokio::test]
async fn a_failing_stream_gives_its_records_first() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("unplugged"))
        }
    }
    let source = StdinSource::from_read(Cursor::new(b"one\ntwo\n".to_vec()).chain(Fails), Framing::Lines).unwrap();
    let mut reader = source.open(&SplitId::new("stdin"), None).await.unwrap();
    let mut items = Vec::new();
    let failure = loop {
        let mut records = Records::default();
        match reader.read(&mut records, ReadLimits { bytes: 100, wait: Duration::from_secs(3600) }).await {
            Ok(_) => items.extend(items_of(&records)),
            Err(failure) => break failure,
        }
    };
    assert_eq!(items, vec![Item::record("one", 0), Item::record("two", 4)]);
    assert_eq!(failure.to_string(), "cannot read stdin at byte 8: unplugged");
}

#[tokio::test]
async fn an_empty_stream_ends() {
    assert_eq!(read_all(&*source("", Framing::Lines)).await, vec![("stdin".to_owned(), vec![])]);
}

#[test]
fn has_no_options() {
    assert!(serde_json::from_str::<StdinOptions>("{}").is_ok());
    assert!(serde_json::from_str::<StdinOptions>("{\"path\": \"-\"}").is_err());
}
