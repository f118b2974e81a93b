use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::sse::parser::{Data, Event, Parser};

fn parsed(pieces: &[&[u8]], max: usize) -> Vec<Event> {
    let (mut parser, mut events) = (Parser::new(max, None), Vec::new());
    pieces.iter().for_each(|piece| parser.push(piece, &mut events));
    events
}

fn event(id: Option<&str>, name: Option<&str>, data: &str) -> Event {
    Event { id: id.map(str::to_owned), name: name.map(str::to_owned), data: Data::Whole(data.into()) }
}

/// Everything that the standard says something about.
const STREAM: &[u8] = b"\xef\xbb\xbf:ok\n\nevent: edit\nid: [{\"offset\":1}]\ndata: {\"a\":1}\n\ndata:two\r\ndata: lines\r\n\r\n\
    data:  spaced \rid\r\rid: 7\n\nretry: 1500\nretry: soon\nunknown: x\ndata\n\n: beat\nid: a\0b\ndata: last\n\ndata: broken off\n";

fn expected() -> Vec<Event> {
    let offset = Some("[{\"offset\":1}]");
    let nothing = |id: Option<&str>| Event { id: id.map(str::to_owned), name: None, data: Data::Nothing };
    vec![
        event(offset, Some("edit"), "{\"a\":1}"),
        event(offset, None, "two\nlines"),
        event(None, None, " spaced "),
        nothing(Some("7")),
        nothing(Some("7")),
        event(Some("7"), None, "last"),
    ]
}

#[test]
fn events_are_cut_as_the_standard_has_it() {
    assert_eq!(parsed(&[STREAM], 1000), expected());
    let mut parser = Parser::new(1000, None);
    parser.push(STREAM, &mut Vec::new());
    assert_eq!(parser.take_retry(), Some(Duration::from_millis(1500)));
    assert_eq!(parser.take_retry(), None);
}

#[test]
fn it_does_not_matter_where_pieces_end() {
    for cut in 0..=STREAM.len() {
        assert_eq!(parsed(&[&STREAM[..cut], &STREAM[cut..]], 1000), expected(), "cut at {cut}");
    }
    let single: Vec<&[u8]> = STREAM.chunks(1).collect();
    assert_eq!(parsed(&single, 1000), expected());
}

#[test]
fn an_event_beyond_the_bound_leaves_its_head_and_nothing_else() {
    let long = "x".repeat(50);
    let stream =
        format!("data: {long}\n\ndata: fits\n\ndata: {}\ndata: {}\nid: 3\n\ndata: ok\n\n", &long[..8], &long[..8]);
    for size in [1, 7, stream.len()] {
        let pieces: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
        let events = parsed(&pieces, 10);
        let heads: Vec<bool> = events.iter().map(|event| matches!(event.data, Data::TooLong(_))).collect();
        assert_eq!(heads, [true, false, true, false], "pieces of {size}");
        assert_eq!(events[1], event(None, None, "fits"));
        assert_eq!(events[2].id.as_deref(), Some("3"));
        assert_eq!(events[3], event(Some("3"), None, "ok"));
    }
}

#[test]
fn noise_is_cut_the_same_whatever_its_pieces_and_stays_within_bounds() {
    const ALPHABET: &[u8] = b"data:id \n\r\n\n\0\xff\xef\xbb\xbf7event:retry";
    for seed in 0..500 {
        let mut random = StdRng::seed_from_u64(seed);
        let length = random.random_range(0..400);
        let noise: Vec<u8> = (0..length).map(|_| ALPHABET[random.random_range(0..ALPHABET.len())]).collect();
        let whole = parsed(&[&noise], 20);
        let mut pieces = Vec::new();
        let mut rest = noise.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(random.random_range(1..=rest.len().min(9)));
            pieces.push(piece);
            rest = after;
        }
        assert_eq!(parsed(&pieces, 20), whole, "seed {seed}");
        for event in whole {
            assert!(!matches!(event.data, Data::Whole(data) if data.len() > 20), "seed {seed}");
        }
    }
}
