#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Read;

use super::*;
use crate::conformance::{Item, items_of};

const CSV: Framing = Framing::Csv { header: false, quote: b'"' };

/// Frames all of `text`, read in pieces of `piece` bytes, `limit` bytes at a time.
fn frame_in(framing: Framing, max: u64, text: &[u8], piece: usize, limit: usize) -> Vec<Item> {
    let mut framer = Framer::new(framing, ByteSize(max), 0, None);
    let mut stream = text;
    let mut items = Vec::new();
    let mut records = Records::default();
    loop {
        records.clear();
        match framer.frame(&mut records, limit) {
            Framed::Hungry => {
                items.extend(items_of(&records));
                if framer.fill(&mut (&mut stream).take(piece as u64)).unwrap() > 0 {
                    continue;
                }
                records.clear();
                let done = framer.finish(&mut records) == Framed::Hungry;
                items.extend(items_of(&records));
                if done {
                    return items;
                }
            }
            Framed::Full => items.extend(items_of(&records)),
            Framed::NoHeader(reason) => panic!("{reason}"),
        }
    }
}

/// Frames `text`, and checks that neither the size of reads nor that of hand-outs makes a difference.
fn frame(framing: Framing, max: u64, text: &[u8]) -> Vec<Item> {
    let whole = frame_in(framing, max, text, usize::MAX, usize::MAX);
    for piece in [1, 2, 3, 7, 64] {
        for limit in [1, 10, 1 << 20] {
            let items = frame_in(framing, max, text, piece, limit);
            assert_eq!(items, whole, "in pieces of {piece} and hand-outs of {limit}");
        }
    }
    whole
}

fn records(framing: Framing, text: &str) -> Vec<(String, u64)> {
    let text_of = |item| match item {
        Item::Record { payload, position } => (String::from_utf8(payload).unwrap(), position),
        Item::Rejected { reason, .. } => panic!("rejected: {reason}"),
    };
    frame(framing, 1 << 20, text.as_bytes()).into_iter().map(text_of).collect()
}

fn rejected(text: &str, position: u64, reason: &str) -> Item {
    Item::Rejected { bytes: text.as_bytes().to_vec(), position, reason: reason.to_owned() }
}

#[test]
fn lines_end_at_newlines_and_blank_ones_are_none() {
    for (text, expected) in [
        ("", &[][..]),
        ("\n", &[]),
        ("a", &[("a", 0)]),
        ("a\n", &[("a", 0)]),
        ("a\nbc\n", &[("a", 0), ("bc", 2)]),
        ("a\r\nb\r\n", &[("a", 0), ("b", 3)]),
        ("a\r\n\r\n\nb", &[("a", 0), ("b", 6)]),
        ("a\n  \t\nb\n \r\n", &[("a", 0), ("b", 6)]),
        (" a\nb\n", &[(" a", 0), ("b", 3)]),
        ("a\rb\n", &[("a\rb", 0)]),
        ("a\r", &[("a", 0)]),
        ("\u{feff}a\nb\n", &[("a", 3), ("b", 5)]),
        ("\u{feff}", &[]),
        ("\u{feff}\n\u{feff}b\n", &[("\u{feff}b", 4)]),
    ] {
        let expected: Vec<_> = expected.iter().map(|(text, at)| ((*text).to_owned(), *at)).collect();
        assert_eq!(records(Framing::Lines, text), expected, "{text:?}");
    }
}

#[test]
fn rows_end_at_newlines_outside_quotes() {
    for (text, expected) in [
        ("a,b\nc,d\n", &[("a,b", 0), ("c,d", 4)][..]),
        ("a,\"x\ny\"\nb,\"\"\n", &[("a,\"x\ny\"", 0), ("b,\"\"", 8)]),
        ("\"x\n\ny\",1\r\nb\n", &[("\"x\n\ny\",1", 0), ("b", 10)]),
        ("\"say \"\"x\ny\"\"\"\nb\n", &[("\"say \"\"x\ny\"\"\"", 0), ("b", 14)]),
        ("\"\"\"\n\"\nb\n", &[("\"\"\"\n\"", 0), ("b", 6)]),
        // A quote inside a field is text.
        ("5\" nail,1\n6\" nail,2\n", &[("5\" nail,1", 0), ("6\" nail,2", 10)]),
        ("\"a\"b\"c,1\nd\n", &[("\"a\"b\"c,1", 0), ("d", 9)]),
        ("\t\"x\ny\"\n;\"x\ny\"\n", &[("\t\"x\ny\"", 0), (";\"x\ny\"", 7)]),
        ("a\n\r\n\nb", &[("a", 0), ("b", 5)]),
        // White space may be fields.
        ("\t\t\n", &[("\t\t", 0)]),
    ] {
        let expected: Vec<_> = expected.iter().map(|(text, at)| ((*text).to_owned(), *at)).collect();
        assert_eq!(records(CSV, text), expected, "{text:?}");
    }
}

#[test]
fn another_quote_leaves_double_quotes_alone() {
    let framing = Framing::Csv { header: false, quote: b'\'' };
    let expected = vec![("'x\ny',\"".to_owned(), 0), ("b".to_owned(), 8)];
    assert_eq!(records(framing, "'x\ny',\"\nb\n"), expected);
}

#[test]
fn over_long_records_are_set_aside() {
    let reason = "record of more than 5 bytes; raise max_record_bytes";
    assert_eq!(
        frame(Framing::Lines, 5, b"12345\n123456\nab\r\n12345\r\n1234567890123\r\nc\n"),
        vec![
            Item::record("12345", 0),
            rejected("12345", 6, reason),
            Item::record("ab", 13),
            Item::record("12345", 17),
            rejected("12345", 24, reason),
            Item::record("c", 39),
        ]
    );
    assert_eq!(frame(Framing::Lines, 5, b"a\n12345678"), vec![Item::record("a", 0), rejected("12345", 2, reason)]);
}

#[test]
fn a_quote_that_is_not_closed_costs_one_row() {
    let text = b"a,\"b\nc,d\ne,f\n";
    assert_eq!(
        frame(CSV, 1 << 20, text),
        vec![
            rejected("a,\"b", 0, "quoted field not closed before the end; close the quote"),
            Item::record("c,d", 5),
            Item::record("e,f", 9),
        ]
    );
    let reason = "quoted field not closed within 8 bytes; close the quote or raise max_record_bytes";
    assert_eq!(
        frame(CSV, 8, b"a,\"b\nc,d\ne,f\ng,\"h\"\n"),
        vec![rejected("a,\"b", 0, reason), Item::record("c,d", 5), Item::record("e,f", 9), Item::record("g,\"h\"", 13),]
    );
}

#[test]
fn the_header_is_no_record() {
    let framing = Framing::Csv { header: true, quote: b'"' };
    for text in ["a,\"b\nc\"\n1,2\n", "\u{feff}a,\"b\nc\"\r\n1,2", "\n\na,\"b\nc\"\n1,2\n"] {
        let mut framer = Framer::new(framing, ByteSize(1 << 20), 0, None);
        let mut records = Records::default();
        framer.fill(&mut text.as_bytes()).unwrap();
        assert_eq!(framer.frame(&mut records, 1 << 20), Framed::Hungry);
        assert_eq!(framer.finish(&mut records), Framed::Hungry);
        assert_eq!(framer.header().map(|header| &header[..]), Some(&b"a,\"b\nc\""[..]), "{text:?}");
        assert_eq!(records.header().map(|header| &header[..]), Some(&b"a,\"b\nc\""[..]));
        assert_eq!((records.len(), records.payload(0)), (1, &b"1,2"[..]));
    }
}

#[test]
fn a_header_without_a_newline_is_the_whole_file() {
    let mut framer = Framer::new(Framing::Csv { header: true, quote: b'"' }, ByteSize(1 << 20), 0, None);
    let mut records = Records::default();
    framer.fill(&mut &b"a,b"[..]).unwrap();
    assert_eq!(framer.frame(&mut records, 1 << 20), Framed::Hungry);
    assert_eq!(framer.finish(&mut records), Framed::Hungry);
    assert_eq!(framer.header().map(|header| &header[..]), Some(&b"a,b"[..]));
    assert!(records.is_empty());
}

#[test]
fn a_header_that_cannot_be_framed_is_an_error() {
    let framing = Framing::Csv { header: true, quote: b'"' };
    for (text, ended) in [("a,b,c,d,e,f,g\n1\n", false), ("a,\"b\n1,2\n", true)] {
        let mut framer = Framer::new(framing, ByteSize(10), 0, None);
        let mut records = Records::default();
        framer.fill(&mut text.as_bytes()).unwrap();
        let mut framed = framer.frame(&mut records, 1 << 20);
        if ended {
            assert_eq!(framed, Framed::Hungry);
            framed = framer.finish(&mut records);
        }
        assert!(matches!(framed, Framed::NoHeader(_)), "{text:?}: {framed:?}");
    }
}

#[test]
fn long_runs_come_whole() {
    let mut text = Vec::new();
    let mut expected = Vec::new();
    for i in 0..60_000u64 {
        let line = format!("{i} {}", "x".repeat((i % 50) as usize));
        expected.push(Item::record(&line, text.len() as u64));
        text.extend_from_slice(line.as_bytes());
        // What is not clean breaks the run.
        text.extend_from_slice(if i % 20_000 == 19_999 { b"\r\n\n" } else { b"\n" });
    }
    for (piece, limit) in [(text.len(), usize::MAX), (300_001, 100_000), (100_000, 1 << 20)] {
        assert!(frame_in(Framing::Lines, 1000, &text, piece, limit) == expected, "pieces of {piece}, at most {limit}");
    }
    let mut framer = Framer::new(Framing::Lines, ByteSize(1000), 0, None);
    framer.fill_up(&mut &text[..100_000], 100_000).unwrap();
    let (waiting, mut records) = (framer.buffer.as_ptr(), Records::default());
    assert_eq!(framer.frame(&mut records, usize::MAX), Framed::Hungry);
    assert_eq!(records.bytes().as_ptr(), waiting, "no byte was copied");
}

#[test]
fn a_line_of_100_mb_needs_no_memory_of_that_size() {
    let line = std::io::repeat(b'x').take(100 << 20);
    let mut stream = (&b"before\n"[..]).chain(line).chain(&b"\nafter\n"[..]);
    let mut framer = Framer::new(Framing::Lines, ByteSize(1 << 20), 0, None);
    let mut records = Records::default();
    loop {
        while framer.frame(&mut records, 1 << 20) == Framed::Full {}
        assert!(framer.buffer.capacity() <= 4 << 20, "the buffer grew to {} bytes", framer.buffer.capacity());
        if framer.fill(&mut stream).unwrap() == 0 {
            break;
        }
    }
    let head = "x".repeat(Records::REJECTED_BYTES);
    let reason = "record of more than 1048576 bytes; raise max_record_bytes";
    let after = 7 + (100 << 20) + 1;
    assert_eq!(
        items_of(&records),
        vec![Item::record("before", 0), rejected(&head, 7, reason), Item::record("after", after)]
    );
    // A buffer is cut back once it is more than eight times what is needed.
    assert!(framer.buffer.capacity() <= 8 * (Framer::CHUNK + 16), "the memory is given back");
}

#[test]
fn the_position_stays_before_a_record_that_is_passing_by() {
    let mut framer = Framer::new(Framing::Lines, ByteSize(4), 0, None);
    let mut records = Records::default();
    framer.fill(&mut &b"ab\n0123456789"[..]).unwrap();
    assert_eq!(framer.frame(&mut records, 1 << 20), Framed::Hungry);
    assert_eq!((framer.position(), framer.read_to()), (3, 13));
    framer.fill(&mut &b"x\n"[..]).unwrap();
    assert_eq!(framer.frame(&mut records, 1 << 20), Framed::Full);
    assert_eq!(framer.position(), 15);
}
