//! From bytes to records, the same for files and stdin: where a record ends, and what to do with one that never does.
//!
//! The one idea: bytes are read in large pieces into one buffer, and a run of whole, clean records goes into the arena in one
//! go: the buffer becomes the arena, or is copied where it can't. What needs a second look — a carriage return, a blank
//! line, a record too long — breaks the run.

mod scan;
#[cfg(test)]
mod tests;

use std::io::{Read, Result};
use std::sync::Arc;

use memchr::memchr;
use scan::Scan;

use crate::error::SourceError;
use crate::records::Records;
use crate::size::ByteSize;

/// How a stream of bytes is cut into records. A UTF-8 byte order mark at its start is no part of the first record; the
/// carriage return of `\r\n` is no part of any; blank lines are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One record a line.
    Lines,
    /// One record a row: it ends at a newline outside quotes. A quote counts where a field can start: at the start of the
    /// row and behind a comma, a semicolon, a bar, a tab or another control character.
    Csv {
        /// True if the first record names the columns: it is given by [`Records::header`] instead of as a record.
        header: bool,
        /// The quote character, `"` as a rule.
        quote: u8,
    },
}

impl Framing {
    /// True if the first record is a header.
    pub(crate) fn has_header(self) -> bool {
        matches!(self, Self::Csv { header: true, .. })
    }

    /// Refuses quotes that cannot work.
    pub(crate) fn check(self) -> std::result::Result<(), SourceError> {
        match self {
            Self::Csv { quote: b'\n' | b'\r' | b',', .. } => Err(SourceError::config(
                "the csv quote can be neither a line break nor a comma: use '\"' or another character",
            )),
            _ => Ok(()),
        }
    }
}

/// What a call of [`Framer::frame`] came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Framed {
    /// The limit is met, or a record was rejected: hand out what there is.
    Full,
    /// Every whole record is out; more bytes are needed.
    Hungry,
    /// The header cannot be framed, so no record after it has a meaning. Holds the reason.
    NoHeader(String),
}

/// An over-long record of which only the head is kept while the rest goes by.
#[derive(Debug)]
struct Passing {
    offset: u64,
    head: Vec<u8>,
}

/// Cuts a stream of bytes into records.
#[derive(Debug)]
pub(crate) struct Framer {
    framing: Framing,
    max_record: usize,
    scan: Scan,
    /// Bytes that wait to be framed, from `start` on.
    buffer: Vec<u8>,
    start: usize,
    /// Offset in the stream of `buffer[start]`.
    offset: u64,
    passing: Option<Passing>,
    header: Option<Arc<[u8]>>,
    newlines: Vec<u32>,
}

const BOM: &[u8] = b"\xef\xbb\xbf";

impl Framer {
    /// How much is read at once where nobody asks for more: enough that system calls cost nothing.
    pub(crate) const CHUNK: usize = 256 << 10;

    /// The most that is read at once.
    const MOST: usize = 4 << 20;

    /// Runs from this length on become the arena instead of being copied into it.
    const WORTH_GIVING: usize = 64 << 10;

    /// The largest permitted record: with one more in the arena, spans still fit in 32 bits.
    pub(crate) const MAX_RECORD: ByteSize = ByteSize(1 << 30);

    /// A framer for a stream whose next byte stands at `offset`. Where the framing has a header and none is given, the
    /// stream starts with it.
    pub(crate) fn new(framing: Framing, max_record: ByteSize, offset: u64, header: Option<Arc<[u8]>>) -> Self {
        Self {
            framing,
            max_record: max_record.0.min(Self::MAX_RECORD.0) as usize,
            scan: Scan::new(framing),
            buffer: Vec::new(),
            start: 0,
            offset,
            passing: None,
            header,
            newlines: Vec::new(),
        }
    }

    /// Offset in the stream of the next record to be handed out.
    pub(crate) fn position(&self) -> u64 {
        self.passing.as_ref().map_or(self.offset, |passing| passing.offset)
    }

    /// Offset in the stream of the next byte to be read.
    pub(crate) fn read_to(&self) -> u64 {
        self.offset + self.waiting().len() as u64
    }

    /// The header, once it was read.
    pub(crate) fn header(&self) -> Option<&Arc<[u8]>> {
        self.header.as_ref()
    }

    /// Gives the memory back; for a reader that has ended.
    pub(crate) fn release(&mut self) {
        self.offset = self.position();
        self.passing = None;
        self.buffer = Vec::new();
        self.newlines = Vec::new();
        self.start = 0;
    }

    /// Bytes that wait to be framed.
    fn waiting(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Reads from `stream` until [`Framer::CHUNK`] bytes more are here, or it ends. Zero: it has no more.
    pub(crate) fn fill(&mut self, stream: &mut dyn Read) -> Result<usize> {
        self.fill_up(stream, 0)
    }

    /// The same, until `bytes` wait to be framed, if those are more.
    pub(crate) fn fill_up(&mut self, stream: &mut dyn Read, bytes: usize) -> Result<usize> {
        let more = bytes.saturating_sub(self.waiting().len()).clamp(Self::CHUNK, Self::MOST);
        self.make_room(more);
        stream.take(more as u64).read_to_end(&mut self.buffer)
    }

    fn make_room(&mut self, more: usize) {
        self.buffer.drain(..self.start);
        self.start = 0;
        let needed = self.buffer.len() + more;
        if self.buffer.capacity() > 8 * needed {
            // One long record must not hold memory for ever.
            self.buffer.shrink_to(needed);
        }
        self.buffer.reserve(more);
    }

    /// Hands out whole records until `records` holds `limit` bytes.
    pub(crate) fn frame(&mut self, records: &mut Records, limit: usize) -> Framed {
        if !self.skip_bom() {
            return Framed::Hungry;
        }
        if self.framing.has_header() && self.header.is_none() {
            let mut first = Records::default();
            match self.frame_records(&mut first, 1) {
                _ if first.len() == 1 => self.header = Some(Arc::from(first.payload(0))),
                Framed::Full => return Framed::NoHeader(reason_of(&first)),
                other => return other,
            }
        }
        if let Some(header) = &self.header {
            records.set_header(header.clone());
        }
        self.frame_records(records, limit.clamp(1, Records::MAX_BYTES - self.max_record - 1))
    }

    /// False while it is open whether the stream starts with a byte order mark.
    fn skip_bom(&mut self) -> bool {
        if self.offset != 0 || self.passing.is_some() {
            return true;
        }
        let front = self.waiting();
        if front.len() < BOM.len() && BOM.starts_with(front) {
            return false;
        }
        if front.starts_with(BOM) {
            self.advance(BOM.len());
        }
        true
    }

    fn advance(&mut self, bytes: usize) {
        self.start += bytes;
        self.offset += bytes as u64;
    }

    fn frame_records(&mut self, records: &mut Records, limit: usize) -> Framed {
        if self.passing.is_some() {
            return self.pass_by(records);
        }
        let mut run = self.start;
        loop {
            if records.byte_len() + (self.start - run) >= limit {
                self.flush(run, records);
                return Framed::Full;
            }
            let Some(len) = self.scan.end(&self.buffer[self.start..]) else {
                self.flush(run, records);
                return self.wait_or_give_up(records);
            };
            self.scan.restart();
            let line = &self.buffer[self.start..self.start + len];
            if is_clean(line) && len <= self.max_record {
                self.newlines.push((self.start - run + len) as u32);
                self.advance(len + 1);
                continue;
            }
            self.flush(run, records);
            if let Some(rejected) = self.take_line(len, records) {
                return rejected;
            }
            run = self.start;
        }
    }

    /// Hands out the run of clean records from `run` to the front of what waits.
    fn flush(&mut self, run: usize, records: &mut Records) {
        let len = self.start - run;
        let position = self.offset - len as u64;
        let left = self.buffer.len() - self.start;
        if run == 0 && records.byte_len() == 0 && len >= Self::WORTH_GIVING && left < len / 4 {
            let rest = self.buffer.split_off(self.start);
            records.push_owned_block(std::mem::replace(&mut self.buffer, rest), &self.newlines, position);
            self.start = 0;
        } else {
            records.push_block(&self.buffer[run..self.start], &self.newlines, position);
        }
        self.newlines.clear();
    }

    /// Takes the first `len` bytes as one record, whatever it is like; says so if it had to be rejected.
    fn take_line(&mut self, len: usize, records: &mut Records) -> Option<Framed> {
        let line = &self.buffer[self.start..self.start + len];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > self.max_record {
            return Some(self.reject_line(records));
        }
        if !self.is_blank(line) {
            records.push(line, self.offset);
        }
        self.advance((len + 1).min(self.waiting().len()));
        None
    }

    fn is_blank(&self, line: &[u8]) -> bool {
        match self.framing {
            Framing::Lines => line.trim_ascii().is_empty(),
            // White space can be the delimiter.
            Framing::Csv { .. } => line.is_empty(),
        }
    }

    /// The front record has no end yet: fine, unless it is too long already.
    fn wait_or_give_up(&mut self, records: &mut Records) -> Framed {
        // One more byte, as the last one may be the carriage return.
        if self.waiting().len() <= self.max_record + 1 {
            return Framed::Hungry;
        }
        self.reject_line(records)
    }

    /// The front record is too long: sets its first line aside, and frames afresh what follows. One stray quote then
    /// costs one row of a CSV file and not the rest of it; and what is rejected does not depend on how much of the
    /// stream lies in the buffer.
    fn reject_line(&mut self, records: &mut Records) -> Framed {
        let waiting = &self.buffer[self.start..];
        match memchr(b'\n', waiting) {
            Some(len) if len <= self.max_record => {
                let reason = self.not_closed(&format!("within {} bytes", self.max_record));
                records.reject(&waiting[..len], self.offset, reason);
                self.advance(len + 1);
                self.scan.restart();
                Framed::Full
            }
            _ => {
                let head = waiting[..self.max_record.min(Records::REJECTED_BYTES)].to_vec();
                self.passing = Some(Passing { offset: self.offset, head });
                self.pass_by(records)
            }
        }
    }

    fn too_long(&self) -> String {
        format!("record of more than {} bytes; raise max_record_bytes", self.max_record)
    }

    fn not_closed(&self, place: &str) -> String {
        format!("quoted field not closed {place}; close the quote or raise max_record_bytes")
    }

    /// Drops an over-long record up to the next newline, and rejects it once that was found.
    fn pass_by(&mut self, records: &mut Records) -> Framed {
        let waiting = &self.buffer[self.start..];
        let Some(len) = memchr(b'\n', waiting) else {
            self.advance(waiting.len());
            return Framed::Hungry;
        };
        self.advance(len + 1);
        self.scan.restart();
        if let Some(passing) = self.passing.take() {
            records.reject(&passing.head, passing.offset, self.too_long());
        }
        Framed::Full
    }

    /// The stream has ended: hands out what is left. Call it after [`Framer::frame`] was hungry; anything but
    /// [`Framed::Hungry`] says to frame on and to call it again.
    pub(crate) fn finish(&mut self, records: &mut Records) -> Framed {
        if let Some(passing) = self.passing.take() {
            records.reject(&passing.head, passing.offset, self.too_long());
            return Framed::Hungry;
        }
        let header_is_due = self.framing.has_header() && self.header.is_none();
        let waiting = &self.buffer[self.start..];
        if self.scan.inside_quotes() {
            let reason = "quoted field not closed before the end; close the quote";
            if header_is_due {
                return Framed::NoHeader(reason.to_owned());
            }
            let len = memchr(b'\n', waiting).unwrap_or(waiting.len());
            records.reject(&waiting[..len], self.offset, reason);
            self.advance((len + 1).min(waiting.len()));
            self.scan.restart();
            return Framed::Full;
        }
        self.scan.restart();
        if header_is_due {
            let mut first = Records::default();
            self.take_line(waiting.len(), &mut first);
            self.header = (first.len() == 1).then(|| Arc::from(first.payload(0)));
        } else {
            self.take_line(waiting.len(), records);
        }
        Framed::Hungry
    }

    /// The stream broke off: sets the record aside in which it did, for `reason`.
    pub(crate) fn break_off(&mut self, records: &mut Records, reason: &str) {
        let waiting = &self.buffer[self.start..];
        match self.passing.take() {
            Some(passing) => records.reject(&passing.head, passing.offset, reason),
            None => records.reject(waiting, self.offset, reason),
        }
        self.advance(self.waiting().len());
        self.scan.restart();
    }
}

/// True for lines that can be copied as they are: no carriage return, and surely not blank.
fn is_clean(line: &[u8]) -> bool {
    matches!(line, [first, .., last] if *first > b' ' && *last != b'\r') || matches!(line, [only] if *only > b' ')
}

fn reason_of(records: &Records) -> String {
    records.rejected().first().map_or_else(String::new, |rejected| rejected.reason.clone())
}
