//! From bytes to events, as the HTML standard has it (section "Server-sent events", "Parsing an event stream").
//!
//! The one idea: a state machine that is fed pieces of any size. It holds the line that is not over and the data of the
//! event that is not, and never more than a bound: of an event beyond it only the head is kept. An event that breaks off
//! with its connection is none.

use std::time::Duration;

use memchr::memchr2;

/// One event, or what a block without data leaves behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// The last id that was sent up to here; none: there was none.
    pub(super) id: Option<String>,
    /// The event's type, if it is not `message`.
    pub(super) name: Option<String>,
    pub(super) data: Data,
}

/// What an event carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Data {
    /// A record.
    Whole(Vec<u8>),
    /// Nothing.
    Nothing,
    /// More than is taken: its head.
    TooLong(Vec<u8>),
}

/// Cuts a stream into events.
#[derive(Debug)]
pub(super) struct Parser {
    max_event: usize,
    /// The line that is not over, without a byte order mark.
    line: Vec<u8>,
    /// True if the line was cut at the bound.
    cut: bool,
    /// True behind a carriage return: a newline there is part of it.
    after_return: bool,
    /// True before the end of the first line.
    first: bool,
    data: Vec<u8>,
    has_data: bool,
    too_long: bool,
    name: Option<String>,
    /// The last id; the block that is not over may have brought it.
    id: Option<String>,
    /// True if the block has brought one.
    has_id: bool,
    retry: Option<Duration>,
}

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Of what is too long so much is kept: what a dead letter shows.
const HEAD: usize = 4096;

/// What a line has beside its data: `data: `.
const FIELD: usize = 16;

impl Parser {
    /// A parser for a connection that goes on behind the event called `id`.
    pub(super) fn new(max_event: usize, id: Option<String>) -> Self {
        Self {
            max_event,
            line: Vec::new(),
            cut: false,
            after_return: false,
            first: true,
            data: Vec::new(),
            has_data: false,
            too_long: false,
            name: None,
            id,
            has_id: false,
            retry: None,
        }
    }

    /// The pause that the server has asked for since this was asked last.
    pub(super) fn take_retry(&mut self) -> Option<Duration> {
        self.retry.take()
    }

    /// Takes a piece, and gives every event that it completes to `events`.
    pub(super) fn push(&mut self, mut piece: &[u8], events: &mut impl Extend<Event>) {
        while !piece.is_empty() {
            if std::mem::take(&mut self.after_return) && piece[0] == b'\n' {
                piece = &piece[1..];
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', piece) else {
                self.keep(piece);
                return;
            };
            self.keep(&piece[..end]);
            self.after_return = piece[end] == b'\r';
            piece = &piece[end + 1..];
            if let Some(event) = self.end_line() {
                events.extend([event]);
            }
        }
    }

    /// Adds to the line, up to the bound.
    fn keep(&mut self, part: &[u8]) {
        let room = (self.max_event + FIELD).saturating_sub(self.line.len());
        self.cut |= part.len() > room;
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn end_line(&mut self) -> Option<Event> {
        let mut line = std::mem::take(&mut self.line);
        let cut = std::mem::take(&mut self.cut);
        let text = match std::mem::take(&mut self.first) {
            true => line.strip_prefix(BOM).unwrap_or(&line),
            false => &line,
        };
        if text.is_empty() {
            return self.end_event();
        }
        let (name, value) = match memchr::memchr(b':', text) {
            Some(colon) => (&text[..colon], &text[colon + 1..]),
            None => (text, &[][..]),
        };
        self.field(name, value.strip_prefix(b" ").unwrap_or(value), cut);
        // Its memory serves the next line.
        if line.capacity() <= 1 << 20 {
            line.clear();
            self.line = line;
        }
        None
    }

    fn field(&mut self, name: &[u8], value: &[u8], cut: bool) {
        match name {
            b"data" => self.add_data(value, cut),
            b"event" if !cut => self.name = text(value).filter(|name| !name.is_empty()),
            // It has to fit into a header when it is sent back.
            b"id" if !cut && !value.iter().any(u8::is_ascii_control) => {
                self.id = text(value);
                self.has_id = true;
            }
            b"retry" if !cut && !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                self.retry = text(value).and_then(|digits| digits.parse().ok()).map(Duration::from_millis);
            }
            // Comments have no name; fields of other names mean nothing.
            _ => {}
        }
    }

    fn add_data(&mut self, value: &[u8], cut: bool) {
        if self.has_data && !self.too_long {
            self.data.push(b'\n');
        }
        self.has_data = true;
        if self.too_long {
            return;
        }
        self.data.extend_from_slice(value);
        if cut || self.data.len() > self.max_event {
            self.too_long = true;
            self.data.truncate(HEAD);
        }
    }

    fn end_event(&mut self) -> Option<Event> {
        let (has_data, has_id) = (std::mem::take(&mut self.has_data), std::mem::take(&mut self.has_id));
        let too_long = std::mem::take(&mut self.too_long);
        let (name, data) = (self.name.take(), std::mem::take(&mut self.data));
        let data = match data {
            head if too_long => Data::TooLong(head),
            data if has_data && !data.is_empty() => Data::Whole(data),
            _ if has_data || has_id => Data::Nothing,
            _ => return None,
        };
        Some(Event { id: self.id.clone().filter(|id| !id.is_empty()), name, data })
    }
}

fn text(value: &[u8]) -> Option<String> {
    std::str::from_utf8(value).ok().map(str::to_owned)
}
