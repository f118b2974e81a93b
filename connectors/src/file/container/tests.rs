//! Containers as others wrote them, broken ones, and ones that mean harm.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_avro::compression::CompressionCodec;
use arrow_avro::writer::{AvroWriter, WriterBuilder, format::AvroOcfFormat};
use tempfile::TempDir;

use crate::conformance::{Fixture, Item, read_all};
use crate::error::SourceError;
use crate::file::{Container, FileOptions, FileSource};
use crate::records::Records;
use crate::size::ByteSize;
use crate::source::{ReadLimits, ReadStatus, Source};

const LIMITS: ReadLimits = ReadLimits { bytes: 1 << 20, wait: Duration::ZERO };

fn batch(from: i64, rows: i64) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + rows));
    let texts = (from..from + rows).map(|n| format!("row {n} {}", "x".repeat((n % 7) as usize)));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
    RecordBatch::try_from_iter([("n", numbers), ("text", texts)]).unwrap()
}

/// Blocks of some rows each.
fn avro(codec: Option<CompressionCodec>, blocks: &[i64]) -> Vec<u8> {
    let schema = batch(0, 1).schema();
    let builder = WriterBuilder::new(schema.as_ref().clone()).with_compression(codec);
    let mut writer: AvroWriter<Vec<u8>> = builder.build::<_, AvroOcfFormat>(Vec::new()).unwrap();
    let mut from = 0;
    for rows in blocks {
        writer.write(&batch(from, *rows)).unwrap();
        from += rows;
    }
    writer.finish().unwrap();
    writer.into_inner()
}

fn long(value: i64, out: &mut Vec<u8>) {
    let mut bits = ((value << 1) ^ (value >> 63)) as u64;
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

/// The rows as Avro has them.
fn items(rows: std::ops::Range<i64>) -> Vec<Item> {
    let record = |n: i64| {
        let text = format!("row {n} {}", "x".repeat((n % 7) as usize));
        let mut bytes = Vec::new();
        long(n, &mut bytes);
        long(text.len() as i64, &mut bytes);
        bytes.extend(text.bytes());
        Item::record(bytes, n as u64)
    };
    rows.map(record).collect()
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn source(path: &str, kind: Container) -> FileSource {
    FileSource::new(FileOptions::new(path), kind).unwrap()
}

async fn one(path: &str, kind: Container) -> Vec<Item> {
    let source = source(path, kind);
    read_all(&source).await.remove(0).1
}

fn header_of(file: &[u8]) -> &'static [u8] {
    let start = file.windows(12).position(|window| window == b"{\"type\":\"rec").unwrap();
    let len = file[start..].windows(2).rposition(|window| window == b"]}").unwrap() + 2;
    let whole = &file[start..start + len];
    // The schema ends before the codec or the mark.
    let depth = |text: &[u8]| {
        let mut depth = 0;
        text.iter().position(|byte| {
            depth += i32::from(*byte == b'{') - i32::from(*byte == b'}');
            depth == 0
        })
    };
    let end = depth(whole).unwrap() + 1;
    Box::leak(whole[..end].to_vec().into_boxed_slice())
}

#[tokio::test]
async fn avro_keeps_the_promises_of_a_source() {
    let folder = Folder::new();
    let mut expected = Vec::new();
    let mut header = None;
    for (name, codec) in [
        ("a_plain", None),
        ("b_deflate", Some(CompressionCodec::Deflate)),
        ("c_snappy", Some(CompressionCodec::Snappy)),
        ("d_zstd", Some(CompressionCodec::ZStandard)),
    ] {
        let file = avro(codec, &[3, 1, 40, 2]);
        header = Some(header_of(&file));
        expected.push((folder.write(&format!("{name}.avro"), &file), items(0..46)));
    }
    expected.push((folder.write("e_empty.avro", &avro(None, &[])), vec![]));
    let path = folder.0.path().to_str().unwrap().to_owned();
    let make = move || -> Box<dyn Source> { Box::new(source(&path, Container::Avro)) };
    let mut fixture = Fixture::new(make, expected);
    fixture.header = header;
    fixture.run().await;
}

#[tokio::test]
async fn arrow_keeps_the_promises_of_a_source() {
    let folder = Folder::new();
    let batches = [batch(0, 3), batch(3, 40), batch(43, 0), batch(43, 5)];
    let schema = batches[0].schema();
    let mut file = arrow::ipc::writer::FileWriter::try_new(Vec::new(), &schema).unwrap();
    let mut stream = arrow::ipc::writer::StreamWriter::try_new(Vec::new(), &schema).unwrap();
    for batch in &batches {
        file.write(batch).unwrap();
        stream.write(batch).unwrap();
    }
    let row = |n: i64| format!("{{\"n\":{n},\"text\":\"row {n} {}\"}}", "x".repeat((n % 7) as usize));
    let items: Vec<Item> = (0..48).map(|n| Item::record(row(n), n as u64)).collect();
    let expected = vec![
        (folder.write("a.arrow", &file.into_inner().unwrap()), items.clone()),
        (folder.write("b.arrows", &stream.into_inner().unwrap()), items),
    ];
    let path = folder.0.path().to_str().unwrap().to_owned();
    let make = move || -> Box<dyn Source> { Box::new(source(&path, Container::Arrow)) };
    Fixture::new(make, expected).run().await;
}

fn good_and_bad(items: &[Item]) -> (Vec<Item>, Vec<String>) {
    let reason = |item: &Item| match item {
        Item::Rejected { reason, .. } => Some(reason.clone()),
        Item::Record { .. } => None,
    };
    let good = items.iter().filter(|item| reason(item).is_none()).cloned().collect();
    (good, items.iter().filter_map(reason).collect())
}

/// Where the block with the row `n` begins, by its bytes.
fn find(file: &[u8], n: i64) -> usize {
    let text = format!("row {n} ");
    file.windows(text.len()).position(|window| window == text.as_bytes()).unwrap()
}

#[tokio::test]
async fn a_damaged_block_costs_its_records_and_no_others() {
    let folder = Folder::new();
    let whole = avro(None, &[10, 10, 10]);
    // The length of a text inside the second block is made negative.
    let mut file = whole.clone();
    let at = find(&file, 13) - 1;
    file[at] = 0x01;
    let (good, bad) = good_and_bad(&one(&folder.write("a.avro", &file), Container::Avro).await);
    assert_eq!(good, [items(0..13), items(20..30)].concat());
    assert_eq!(bad.len(), 1);
    assert!(bad[0].contains("a length is negative; with it the rest of its block is lost, 7 records"), "{bad:?}");
    // The mark behind the second block.
    let mut file = whole.clone();
    let at = find(&file, 20) - 8;
    file[at] ^= 0xff;
    let (good, bad) = good_and_bad(&one(&folder.write("b.avro", &file), Container::Avro).await);
    assert_eq!(bad.len(), 1, "{bad:?}");
    assert!(bad[0].contains("there is no mark at its end"), "{bad:?}");
    assert_eq!(good[..10], items(0..10));
    // The file ends inside the last one.
    let (good, bad) = good_and_bad(&one(&folder.write("c.avro", &whole[..whole.len() - 30]), Container::Avro).await);
    assert_eq!(good, items(0..20));
    assert!(bad[0].contains("the file ends inside it, or its head is broken"), "{bad:?}");
    // What is compressed is damaged.
    for codec in [CompressionCodec::Deflate, CompressionCodec::Snappy, CompressionCodec::ZStandard] {
        let mut file = avro(Some(codec), &[500, 10]);
        let at = file.len() / 2;
        file[at..at + 20].fill(0xa5);
        let (good, bad) = good_and_bad(&one(&folder.write("d.avro", &file), Container::Avro).await);
        assert_eq!(bad.len(), 1, "{codec:?}: {bad:?}");
        assert!(bad[0].contains("can't be read"), "{codec:?}: {bad:?}");
        assert_eq!(good.len(), 10, "{codec:?}");
    }
}

#[tokio::test]
async fn a_record_too_long_is_set_aside() {
    let folder = Folder::new();
    let path = folder.write("a.avro", &avro(None, &[8]));
    let mut options = FileOptions::new(path);
    options.max_record_bytes = ByteSize(13);
    let source = FileSource::new(options, Container::Avro).unwrap();
    let (good, bad) = good_and_bad(&read_all(&source).await.remove(0).1);
    assert_eq!((good.len(), bad.len()), (8 - bad.len(), bad.len()));
    assert!(!bad.is_empty() && bad[0].contains("record of more than 13 bytes"), "{bad:?}");
}

/// A file whose one block unpacks to far more than it takes.
#[tokio::test]
async fn a_bomb_is_set_aside() {
    let folder = Folder::new();
    let whole = avro(Some(CompressionCodec::ZStandard), &[1]);
    let mark = &whole[whole.len() - 16..].to_vec();
    let head = whole.windows(16).position(|window| window == &mark[..]).unwrap() + 16;
    let bomb = zstd::encode_all(std::io::repeat(0).take(200 << 20), 19).unwrap();
    assert!(bomb.len() < 100_000);
    let mut file = whole[..head].to_vec();
    long(5, &mut file);
    long(bomb.len() as i64, &mut file);
    file.extend(bomb);
    file.extend(mark);
    file.extend(&whole[head..]);
    let (good, bad) = good_and_bad(&one(&folder.write("a.avro", &file), Container::Avro).await);
    assert_eq!(good.len(), 1);
    assert!(bad[0].contains("it takes more than 67108864 bytes"), "{bad:?}");
}

#[tokio::test]
async fn what_is_no_container_is_refused() {
    let folder = Folder::new();
    let avro_file = avro(None, &[3]);
    let fatal = |outcome: Result<ReadStatus, SourceError>| match outcome {
        Err(error @ SourceError::Fatal { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let mut bzip = avro(Some(CompressionCodec::Snappy), &[1]);
    let at = bzip.windows(6).position(|window| window == b"snappy").unwrap();
    bzip[at..at + 6].copy_from_slice(b"bzip99");
    for (name, bytes, kind, expected) in [
        ("a.avro", &b"{\"a\": 1}\n"[..], Container::Avro, "it does not begin as one"),
        ("b.avro", &avro_file[..20], Container::Avro, "its header is broken"),
        (
            "c.avro",
            &bzip,
            Container::Avro,
            "it is compressed by `bzip99`; null, deflate, snappy and zstandard can be read",
        ),
        ("d.arrow", b"{\"a\": 1}\n", Container::Arrow, "a message does not begin where it should"),
        ("e.arrow", b"", Container::Arrow, "it holds no schema"),
        ("f.arrow", b"ARROW1\0\0\xff\xff\xff\xff\xff\xff\xff\x7f", Container::Arrow, "metadata is out of range"),
    ] {
        let source = source(&folder.write(name, bytes), kind);
        let [split] = source.splits().await.unwrap().try_into().unwrap();
        let mut reader = source.open(&split, None).await.unwrap();
        let error = fatal(reader.read(&mut Records::default(), LIMITS).await);
        assert!(error.contains(expected) && error.contains(name), "{error}");
    }
    let mut options = FileOptions::new("a.avro");
    options.follow = true;
    let refused = FileSource::new(options, Container::Avro).unwrap_err().to_string();
    assert!(refused.contains("cannot be followed"), "{refused}");
    let refused = FileSource::new(FileOptions::new("a.avro.gz"), Container::Avro).unwrap_err().to_string();
    assert!(refused.contains("decompress it first"), "{refused}");
}

/// Files with some bytes changed: each ends, without a panic, and says what was lost.
#[tokio::test]
async fn spoiled_files_end() {
    let folder = Folder::new();
    let schema = batch(0, 1).schema();
    let mut stream = arrow::ipc::writer::StreamWriter::try_new(Vec::new(), &schema).unwrap();
    stream.write(&batch(0, 30)).unwrap();
    let stream = stream.into_inner().unwrap();
    let mut state = 9u64;
    let mut roll = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for round in 0..600 {
        let (kind, whole) = match round % 3 {
            0 => (Container::Arrow, stream.clone()),
            1 => (Container::Avro, avro(None, &[9, 9])),
            _ => (Container::Avro, avro(Some(CompressionCodec::Snappy), &[9, 9])),
        };
        let mut file = whole;
        for _ in 0..=roll(3) {
            let at = roll(file.len());
            match roll(3) {
                0 => file.truncate(at.max(1)),
                1 => file[at] ^= 1 << roll(8),
                _ => file[at] = 0xff,
            }
        }
        let source = source(&folder.write("a", &file), kind);
        let [split] = source.splits().await.unwrap().try_into().unwrap();
        let mut reader = source.open(&split, None).await.unwrap();
        let mut records = Records::default();
        for _ in 0..200 {
            records.clear();
            match reader.read(&mut records, LIMITS).await {
                Ok(ReadStatus::Ended) | Err(SourceError::Fatal { .. } | SourceError::Config { .. }) => break,
                Ok(_) => {}
                Err(other) => panic!("{other}"),
            }
        }
    }
}
