use std::io::Write;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};

use crate::framing::Framing;
use crate::http::batch::{Shape, cut};
use crate::http::body::{Encoding, Incoming, decompress, receive};
use crate::http::refusal::Refusal;
use crate::http::space::Buffer;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn packed(encoding: Encoding, bytes: &[u8]) -> Vec<u8> {
    match encoding {
        Encoding::Plain => bytes.to_vec(),
        Encoding::Gzip => gzip(bytes),
        Encoding::Zstd => zstd::encode_all(bytes, 3).unwrap(),
    }
}

#[test]
fn compressed_bodies_come_back_whole_or_not_at_all() {
    let text = b"{\"a\":1}\n".repeat(10_000);
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let packed = packed(encoding, &text);
        let buffer = Buffer::new(1 << 20);
        let unpack = |bytes: &[u8]| {
            let mut space = buffer.space();
            space.grow(bytes.len()).unwrap();
            decompress(bytes.to_vec(), encoding, 100_000, &mut space).map(|plain| (plain.len(), buffer.taken()))
        };
        assert_eq!(unpack(&packed), Ok((80_000, 80_000)), "{encoding:?}");
        for end in 1..packed.len() {
            assert!(matches!(unpack(&packed[..end]), Err(Refusal::Broken(_))), "{encoding:?} cut at {end}");
        }
        assert!(matches!(unpack(b"neither"), Err(Refusal::Broken(_))));
        assert_eq!(buffer.taken(), 0, "what was refused takes no space");
    }
}

#[test]
fn a_bomb_is_refused_before_it_is_unpacked() {
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let bomb = packed(encoding, &vec![b' '; 64 << 20]);
        let buffer = Buffer::new(8 << 20);
        let mut space = buffer.space();
        space.grow(bomb.len()).unwrap();
        let refused = decompress(bomb.clone(), encoding, 1 << 20, &mut space);
        assert!(matches!(refused, Err(Refusal::TooLarge(_))), "{encoding:?}");
        assert!(buffer.taken() <= bomb.len() + (1 << 20), "{encoding:?} took {}", buffer.taken());
    }
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_refused_by_its_length_or_as_it_comes() {
    let buffer = Buffer::new(1000);
    let mut told = HeaderMap::new();
    told.insert(header::CONTENT_LENGTH, HeaderValue::from_static("11"));
    let incoming = |text: &'static str| Incoming::new(&HeaderMap::new(), Body::from(text));
    let refused = receive(&told, &mut incoming("never looked at"), 10, &mut buffer.space()).await;
    assert!(matches!(refused, Err(Refusal::TooLarge(_))));
    let refused = receive(&HeaderMap::new(), &mut incoming("eleven long"), 10, &mut buffer.space()).await;
    assert!(matches!(refused, Err(Refusal::TooLarge(_))));
    let mut space = buffer.space();
    let whole = receive(&HeaderMap::new(), &mut incoming("ten is all"), 10, &mut space).await;
    assert_eq!(whole.unwrap(), b"ten is all");
    assert_eq!(buffer.taken(), 10);
}

#[test]
fn what_tiny_records_take_of_memory_counts() {
    let body = b"1\n".repeat(1000);
    let buffer = Buffer::new(5000);
    let mut space = buffer.space();
    space.grow(body.len()).unwrap();
    let refused = cut(body, Shape::Framed(Framing::Lines), &mut space);
    assert!(matches!(refused, Err(Refusal::TooLarge(_))), "{refused:?}");
}

#[test]
fn what_others_hold_is_full_and_what_nobody_could_is_too_large() {
    let buffer = Buffer::new(10);
    let (mut one, mut two) = (buffer.space(), buffer.space());
    one.grow(7).unwrap();
    assert_eq!(two.grow(4), Err(Refusal::Full));
    assert!(matches!(two.grow(11), Err(Refusal::TooLarge(_))));
    two.grow(3).unwrap();
    drop(one);
    two.grow(7).unwrap();
    assert_eq!(buffer.taken(), 10);
}

#[test]
fn lines_are_cut_as_in_files() {
    let cut = |text: &str| {
        let buffer = Buffer::new(1 << 20);
        let mut space = buffer.space();
        space.grow(text.len()).unwrap();
        let records = cut(text.into(), Shape::Framed(Framing::Lines), &mut space).unwrap();
        (0..records.len()).map(|i| String::from_utf8(records.payload(i).to_vec()).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(cut("\u{feff}{\"a\":1}\r\n\n  \r\n{\"b\":2}"), ["{\"a\":1}", "{\"b\":2}"]);
    assert_eq!(cut("x\n"), ["x"]);
    assert!(cut("").is_empty() && cut("\n\n").is_empty());
}
