//! Whole files, read to their ends.

use super::*;
use crate::conformance::{Fixture, items_of, read_all};
use crate::records::Records;
use crate::source::{ReadLimits, ReadStatus};

const LIMITS: ReadLimits = ReadLimits { bytes: 1 << 20, wait: std::time::Duration::ZERO };

#[tokio::test]
async fn keeps_the_promises_of_a_source() {
    let folder = Folder::new();
    let text = "one\ntwo\nthree\n";
    let mut members = gzip(b"one\ntw");
    members.extend(gzip(b"o\nthree\n"));
    let mut frames = zstd::encode_all(&b"one\ntwo\nth"[..], 3).unwrap();
    frames.extend(zstd::encode_all(&b"ree\n"[..], 3).unwrap());
    let long = long_text(3_000);
    let over_long = vec![
        Item::record("a", 0),
        Item::Rejected {
            bytes: vec![b'x'; 200],
            position: 2,
            reason: "record of more than 200 bytes; raise max_record_bytes".to_owned(),
        },
        Item::record("b", 303),
    ];
    let expected = vec![
        (folder.write("in/bom.ndjson", "\u{feff}one\ntwo\n"), vec![Item::record("one", 3), Item::record("two", 7)]),
        (folder.write("in/crlf.ndjson", "one\r\n\r\ntwo\r\n"), vec![Item::record("one", 0), Item::record("two", 7)]),
        (folder.write("in/deep/er/plain.ndjson", text), lines(text)),
        (folder.write("in/empty.gz", ""), vec![]),
        (folder.write("in/empty.ndjson", ""), vec![]),
        (folder.write("in/empty.zst", ""), vec![]),
        (folder.write("in/frames.ZST", frames), lines(text)),
        (folder.write("in/long.ndjson", &long), lines(&long)),
        (folder.write("in/long.ndjson.gz", gzip(long.as_bytes())), lines(&long)),
        (folder.write("in/members.ndjson.gz", members), lines(text)),
        (folder.write("in/open.ndjson", "one\ntwo"), lines("one\ntwo")),
        (folder.write("in/over_long.ndjson", format!("a\n{}\nb\n", "x".repeat(300))), over_long),
    ];
    folder.write("in/.hidden", "no\n");
    folder.write("in/_SUCCESS", "no\n");
    folder.write("in/_temporary/part", "no\n");
    let mut options = FileOptions::new(folder.text("in"));
    options.max_record_bytes = ByteSize(200);
    let make = move || -> Box<dyn Source> { Box::new(FileSource::new(options.clone(), Framing::Lines).unwrap()) };
    Fixture::new(make, expected).run().await;
}

#[tokio::test]
async fn csv_keeps_its_header_wherever_it_is_opened() {
    let folder = Folder::new();
    let text = "\u{feff}id,\"a \"\"long\"\"\nname\"\r\n1,\"x\ny\"\r\n2,\"\"\r\n\r\n3,z";
    let expected = vec![Item::record("1,\"x\ny\"", 25), Item::record("2,\"\"", 34), Item::record("3,z", 42)];
    let expected = vec![
        (folder.write("a.csv", text), expected.clone()),
        (folder.write("b.csv.gz", gzip(text.as_bytes())), expected.clone()),
        (folder.write("c.csv.zst", zstd::encode_all(text.as_bytes(), 1).unwrap()), expected),
        (folder.write("d.csv", "id,\"a \"\"long\"\"\nname\""), vec![]),
        (folder.write("e.csv", ""), vec![]),
    ];
    let pattern = folder.text("*.csv*");
    let mut fixture = Fixture::new(move || Box::new(source(&pattern, CSV)), expected);
    fixture.header = Some(b"id,\"a \"\"long\"\"\nname\"");
    fixture.run().await;
}

#[tokio::test]
async fn a_large_file_comes_in_large_reads() {
    let folder = Folder::new();
    let text = long_text(50_000);
    let source = source(&folder.write("large.ndjson", &text), Framing::Lines);
    let split = source.splits().await.unwrap().remove(0);
    let mut reader = source.open(&split, None).await.unwrap();
    let mut records = Records::default();
    assert_eq!(reader.read(&mut records, LIMITS).await.unwrap(), ReadStatus::More);
    assert!(records.byte_len() > LIMITS.bytes / 2);
    assert_eq!(read_all(&source).await.remove(0).1, lines(&text));
}

#[tokio::test]
async fn a_file_that_shrinks_meanwhile_is_an_error() {
    let folder = Folder::new();
    let path = folder.write("data.ndjson", long_text(20_000));
    let source = source(&path, Framing::Lines);
    let mut reader = source.open(&SplitId::new(path.as_str()), None).await.unwrap();
    let mut records = Records::default();
    reader.read(&mut records, ReadLimits { bytes: 1, ..LIMITS }).await.unwrap();
    let len = fs::metadata(&path).unwrap().len();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(10).unwrap();
    records.clear();
    // What had been read comes first.
    assert_eq!(reader.read(&mut records, LIMITS).await.unwrap(), ReadStatus::More);
    assert!(records.len() > 1000);
    records.clear();
    let failure = reader.read(&mut records, LIMITS).await.unwrap_err();
    assert!(matches!(failure, SourceError::Fatal { .. }));
    let text = failure.to_string();
    assert!(text.starts_with(&format!("{path} shrank from {len} to ")), "{text}");
}

#[tokio::test]
async fn a_file_that_vanishes_is_an_error() {
    let folder = Folder::new();
    let path = folder.write("data.ndjson", "one\n");
    let source = source(&path, Framing::Lines);
    let split = source.splits().await.unwrap().remove(0);
    let mut reader = source.open(&split, None).await.unwrap();
    fs::remove_file(&path).unwrap();
    let failure = refusal(reader.read(&mut Records::default(), LIMITS).await);
    assert_eq!(failure, format!("{path} does not exist: check path, which counts from the working directory"));
    assert_eq!(refusal(source.open(&split, None).await), failure);
}

#[tokio::test]
async fn a_file_cut_since_the_checkpoint_is_an_error() {
    let folder = Folder::new();
    for (name, content, shorter) in
        [("a.ndjson", b"one\ntwo\n".to_vec(), b"one\n".to_vec()), ("b.ndjson.gz", gzip(b"one\ntwo\n"), gzip(b"one\n"))]
    {
        let path = folder.write(name, content);
        let source = source(&path, Framing::Lines);
        let split = SplitId::new(path.as_str());
        let mut reader = source.open(&split, None).await.unwrap();
        reader.read(&mut Records::default(), LIMITS).await.unwrap();
        let position = reader.position();
        folder.write(name, shorter);
        let refused = match source.open(&split, Some(&position)).await {
            Ok(mut reader) => refusal(reader.read(&mut Records::default(), LIMITS).await),
            refused => refusal(refused),
        };
        let expected = format!("{path} holds 4 bytes, but the checkpoint stands at byte 8");
        assert!(refused.starts_with(&expected), "{refused}");
    }
}

#[tokio::test]
async fn a_position_of_another_kind_is_an_error() {
    let folder = Folder::new();
    let (a, b) = (folder.write("a", "one\n"), folder.write("b", "one\n"));
    let source = source(&a, Framing::Lines);
    let split = SplitId::new(a.as_str());
    let foreign = Position(serde_json::json!({ "shard": 1 }));
    assert!(refusal(source.open(&split, Some(&foreign)).await).contains("holds no position in a file"));
    let other = Position(serde_json::json!({ "path": b, "offset": 0 }));
    assert!(refusal(source.open(&split, Some(&other)).await).contains("a position in another file"));
}

#[tokio::test]
async fn a_broken_csv_header_is_an_error() {
    let folder = Folder::new();
    let path = folder.write("a.csv", "a,\"b\n1,2\n");
    let source = source(&path, CSV);
    let mut reader = source.open(&SplitId::new(path.as_str()), None).await.unwrap();
    let failure = refusal(reader.read(&mut Records::default(), LIMITS).await);
    assert!(failure.contains("the first record is no CSV header: quoted field not closed"), "{failure}");
}

#[tokio::test]
async fn bytes_that_are_no_text_pass_through() {
    let folder = Folder::new();
    let source = source(&folder.write("a", b"\xff\xfe\0x\n\xc3\n"), Framing::Lines);
    let expected = vec![Item::record(b"\xff\xfe\0x", 0), Item::record(b"\xc3", 5)];
    assert_eq!(read_all(&source).await.remove(0).1, expected);
}

#[tokio::test]
async fn a_file_that_has_grown_since_its_end_goes_on() {
    let folder = Folder::new();
    let path = folder.write("a", "one\n");
    let source = source(&path, Framing::Lines);
    let split = SplitId::new(path.as_str());
    let mut reader = source.open(&split, None).await.unwrap();
    reader.read(&mut Records::default(), LIMITS).await.unwrap();
    folder.append("a", "two\n");
    let mut again = source.open(&split, Some(&reader.position())).await.unwrap();
    let mut records = Records::default();
    assert_eq!(again.read(&mut records, LIMITS).await.unwrap(), ReadStatus::Ended);
    assert_eq!(items_of(&records), vec![Item::record("two", 4)]);
}
