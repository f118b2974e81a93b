//! Where a record ends: a search over bytes that arrive piecemeal, which never looks at a byte twice.

use memchr::{memchr, memchr2};

use super::Framing;

/// Finds the newline that ends the record in progress. Indices count from that record's first byte.
#[derive(Debug)]
pub(super) struct Scan {
    quote: Option<u8>,
    scanned: usize,
    inside: bool,
    closed: usize,
}

impl Scan {
    pub(super) fn new(framing: Framing) -> Self {
        let quote = match framing {
            Framing::Lines => None,
            Framing::Csv { quote, .. } => Some(quote),
        };
        Self { quote, scanned: 0, inside: false, closed: 0 }
    }

    /// A new record begins at the first byte of the next slice.
    pub(super) fn restart(&mut self) {
        self.scanned = 0;
        self.inside = false;
        self.closed = 0;
    }

    /// True if the bytes searched so far end inside a quoted field.
    pub(super) fn inside_quotes(&self) -> bool {
        self.inside
    }

    /// Index of the newline that ends the record at the front of `bytes`, if it is in there. `bytes` may only have grown
    /// since the last call that found none.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        match self.quote {
            None => self.end_of_line(bytes),
            Some(quote) => self.end_of_row(bytes, quote),
        }
    }

    fn end_of_line(&mut self, bytes: &[u8]) -> Option<usize> {
        let found = memchr(b'\n', &bytes[self.scanned..]).map(|i| self.scanned + i);
        self.scanned = found.map_or(bytes.len(), |i| i + 1);
        found
    }

    fn end_of_row(&mut self, bytes: &[u8], quote: u8) -> Option<usize> {
        loop {
            let rest = &bytes[self.scanned..];
            let found = if self.inside { memchr(quote, rest) } else { memchr2(quote, b'\n', rest) };
            let Some(at) = found.map(|i| self.scanned + i) else {
                self.scanned = bytes.len();
                return None;
            };
            self.scanned = at + 1;
            if self.inside {
                self.inside = false;
                self.closed = self.scanned;
            } else if bytes[at] == b'\n' {
                return Some(at);
            } else {
                // A quote right behind a closing one is the second half of a doubled quote.
                self.inside = at == self.closed || ends_field(bytes[at - 1]);
            }
        }
    }
}

/// True for bytes behind which a field can start. Framing does not know the delimiter, but a quote in the middle of a
/// field (`5" nail`) is text, and taking it for an opening one would swallow the rows that follow.
fn ends_field(byte: u8) -> bool {
    matches!(byte, b',' | b';' | b'|') || byte.is_ascii_control()
}
