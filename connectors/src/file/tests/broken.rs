//! Compressed files that are cut off or damaged.

use super::*;
use crate::conformance::{Fixture, read_all};

/// What comes out of `content` under the name `name`: the records, and what is said about the break.
async fn salvage(name: &str, content: Vec<u8>) -> (Vec<Item>, Item) {
    let folder = Folder::new();
    let path = folder.write(name, content);
    let make = {
        let path = path.clone();
        move || -> Box<dyn Source> { Box::new(source(&path, Framing::Lines)) }
    };
    let mut items = read_all(&*make()).await.remove(0).1;
    // The break is part of the stream like any record, from wherever it is read.
    let few = items.len() < 1000;
    if few {
        Fixture::new(make, vec![(path, items.clone())]).run().await;
    }
    let last = items.pop().unwrap();
    (items, last)
}

/// Checks that `items` and the rejected rest together are the front of `text`, and gives their length.
fn assert_front(text: &str, items: &[Item], rest: &Item) -> usize {
    let Item::Rejected { bytes, position, .. } = rest else { panic!("the last one must be rejected: {rest:?}") };
    let all = lines(text);
    assert_eq!(items, &all[..items.len()]);
    let at = *position as usize;
    assert_eq!(items.len(), text[..at].lines().count(), "no whole record is missing");
    assert_eq!(bytes[..], text.as_bytes()[at..at + bytes.len()]);
    assert!(!bytes.contains(&b'\n'), "whole records are handed out as such");
    at + bytes.len()
}

#[tokio::test]
async fn a_truncated_gz_gives_what_it_has() {
    let text = long_text(500);
    let mut content = gzip(text.as_bytes());
    content.truncate(content.len() * 2 / 3);
    let (items, rest) = salvage("a.ndjson.gz", content).await;
    let got = assert_front(&text, &items, &rest);
    assert!(got > text.len() / 2, "only {got} bytes of {}", text.len());
    let Item::Rejected { reason, .. } = rest else { unreachable!() };
    assert!(
        reason.starts_with(&format!("the compressed file ends too early at byte {got} of its content")),
        "{reason}"
    );
}

#[tokio::test]
async fn a_gz_without_its_trailer_gives_all_records() {
    let text = long_text(100);
    let mut content = gzip(text.as_bytes());
    content.truncate(content.len() - 4);
    let (items, rest) = salvage("a.gz", content).await;
    assert_eq!(items, lines(&text));
    assert!(matches!(rest, Item::Rejected { bytes, .. } if bytes.is_empty()));
}

#[tokio::test]
async fn a_gz_of_a_few_bytes_is_one_rejected_record() {
    let (items, rest) = salvage("a.gz", b"\x1f\x8b".to_vec()).await;
    assert!(items.is_empty());
    assert!(matches!(rest, Item::Rejected { position: 0, .. }), "{rest:?}");
}

#[tokio::test]
async fn a_text_that_is_called_gz_is_one_rejected_record() {
    let (items, rest) = salvage("a.gz", b"one\ntwo\nthree\nfour\n".to_vec()).await;
    assert!(items.is_empty());
    let Item::Rejected { reason, .. } = rest else { panic!("{rest:?}") };
    assert!(reason.starts_with("the compressed file is damaged at byte 0"), "{reason}");
}

/// The damage lies inside the bytes that one call of the decoder gives: those before it must not get lost.
#[tokio::test]
async fn a_damaged_gz_gives_all_before_the_damage() {
    let text = long_text(20_000);
    let mut content = gzip(text.as_bytes());
    let middle = content.len() / 2;
    content.splice(middle..middle + 400, [0xff; 400]);
    let (items, rest) = salvage("a.ndjson.gz", content).await;
    let Item::Rejected { position, reason, .. } = &rest else { panic!("{rest:?}") };
    assert!(reason.starts_with("the compressed file is damaged"), "{reason}");
    let whole = lines(&text);
    // A decoder makes some rubbish of the damaged bytes, but all before them is right.
    let same = items.iter().zip(&whole).take_while(|(got, expected)| got == expected).count();
    assert!(same as f64 > whole.len() as f64 * 0.49, "only {same} of {} records", whole.len());
    assert!(*position > text.len() as u64 * 49 / 100);
}

#[tokio::test]
async fn a_truncated_zst_gives_what_it_has() {
    let text = long_text(20_000);
    let mut content = zstd::encode_all(text.as_bytes(), 3).unwrap();
    content.truncate(content.len() * 2 / 3);
    let (items, rest) = salvage("a.zst", content).await;
    let got = assert_front(&text, &items, &rest);
    // It is packed in blocks of up to 128 KiB, which come whole or not at all.
    assert!(got + (256 << 10) > text.len() * 2 / 3, "only {got} bytes of {}", text.len());
}

#[tokio::test]
async fn a_damaged_zst_gives_all_before_the_damage() {
    let text = long_text(20_000);
    let mut content = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    content.include_checksum(true).unwrap();
    content.write_all(text.as_bytes()).unwrap();
    let mut content = content.finish().unwrap();
    // The checksum at the end of the frame.
    let last = content.len() - 1;
    content[last] ^= 0xff;
    let (items, rest) = salvage("a.zst", content).await;
    assert_eq!(items.len(), lines(&text).len());
    assert!(matches!(rest, Item::Rejected { .. }), "{rest:?}");
}

#[tokio::test]
async fn a_csv_whose_compressed_header_is_cut_off_has_no_records() {
    let folder = Folder::new();
    let mut content = gzip(b"id,name,a_header_of_some_length,and_more,of_it\n1,2,3,4,5\n");
    content.truncate(24);
    let source = source(&folder.write("a.csv.gz", content), CSV);
    let items = read_all(&source).await.remove(0).1;
    assert!(matches!(&items[..], [Item::Rejected { position: 0, .. }]), "{items:?}");
}
