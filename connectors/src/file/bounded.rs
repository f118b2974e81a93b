//! Reads one file from a position to its end.

use std::io::{self, ErrorKind, Read};

use async_trait::async_trait;

use super::place::Place;
use super::stream::{self, Encoding, Stream, no_header};
use crate::error::SourceError;
use crate::framing::{Framed, Framer, Framing};
use crate::records::Records;
use crate::size::ByteSize;
use crate::source::{Position, ReadLimits, ReadStatus, Reader, SplitId};

enum State {
    /// Not opened before the first read: a folder may hold more files than a process may open at once.
    Waiting,
    Reading(Stream),
    /// The decoder failed; only what it had decompressed before is left.
    Breaking(io::Error),
    /// `broken` if it ended because the decoder failed.
    Ended {
        broken: bool,
    },
}

/// A reader that ends where the file does.
pub(super) struct BoundedReader {
    split: SplitId,
    framing: Framing,
    max_record: ByteSize,
    framer: Framer,
    state: State,
    /// A failure that came after records that had to be handed out first.
    failed: Option<SourceError>,
}

impl BoundedReader {
    pub(super) fn open(
        split: SplitId,
        from: Option<Place>,
        framing: Framing,
        max_record: ByteSize,
    ) -> Result<Self, SourceError> {
        let (offset, broken) = from.map_or((0, false), |place| (place.offset, place.broken));
        stream::check(split.as_str(), offset)?;
        let framer = Framer::new(framing, max_record, offset, None);
        let state = if broken { State::Ended { broken } } else { State::Waiting };
        Ok(Self { split, framing, max_record, framer, state, failed: None })
    }

    /// Opens the stream at the reader's place.
    fn start(&mut self) -> Result<Stream, SourceError> {
        let path = self.split.as_str();
        let offset = self.framer.position();
        if offset > 0 && self.framing.has_header() {
            let header = stream::header(path, self.framing, self.max_record)?;
            self.framer = Framer::new(self.framing, self.max_record, offset, Some(header));
        }
        stream::open_at(path, offset)
    }

    fn step(&mut self, records: &mut Records, bytes: usize) -> Result<ReadStatus, SourceError> {
        if matches!(self.state, State::Waiting) {
            self.state = State::Reading(self.start()?);
        }
        let (enough, limit) = (records.byte_len() + bytes / 2, records.byte_len().saturating_add(bytes));
        loop {
            if matches!(self.state, State::Ended { .. }) {
                return Ok(ReadStatus::Ended);
            }
            match self.framer.frame(records, limit) {
                Framed::Full => return Ok(ReadStatus::More),
                Framed::NoHeader(reason) => return Err(no_header(&self.split, &reason)),
                // What lies in one piece is handed out as one.
                Framed::Hungry if records.byte_len() > enough => return Ok(ReadStatus::More),
                Framed::Hungry => {}
            }
            match &mut self.state {
                State::Reading(stream) => match self.framer.fill_up(&mut *stream.bytes, bytes) {
                    Ok(0) => return self.finish(records),
                    Ok(_) => {}
                    // An error of the operating system has a number, one of the decoder has none.
                    Err(e) if e.raw_os_error().is_none() && stream.encoding != Encoding::Plain => self.save(e),
                    Err(e) => return Err(stream::unread(self.split.as_str(), self.framer.read_to(), e)),
                },
                State::Breaking(_) => self.break_off(records),
                State::Waiting | State::Ended { .. } => {}
            }
        }
    }

    fn finish(&mut self, records: &mut Records) -> Result<ReadStatus, SourceError> {
        if let State::Reading(stream) = &self.state
            && stream.encoding == Encoding::Plain
            && self.framer.read_to() < stream.len
        {
            let what = format!(
                "{} shrank from {} to {} bytes while it was read",
                self.split,
                stream.len,
                self.framer.read_to()
            );
            return Err(SourceError::fatal(what, "records may be missing; bring the file back and start again"));
        }
        match self.framer.finish(records) {
            Framed::Full => Ok(ReadStatus::More),
            Framed::NoHeader(reason) => Err(no_header(&self.split, &reason)),
            Framed::Hungry => {
                self.end(false);
                Ok(ReadStatus::Ended)
            }
        }
    }

    /// The compressed data is cut off or damaged. Decoders drop what they had decompressed in the call that met the
    /// damage; reading that part again byte by byte brings it back.
    fn save(&mut self, error: io::Error) {
        if error.kind() != ErrorKind::UnexpectedEof
            && let Ok(stream) = stream::open_at(self.split.as_str(), self.framer.read_to())
        {
            let saved: Vec<u8> = std::io::BufReader::with_capacity(1, stream.bytes)
                .bytes()
                .map_while(Result::ok)
                .take(Framer::CHUNK)
                .collect();
            // Reading from memory does not fail.
            let _ = self.framer.fill(&mut &saved[..]);
        }
        self.state = State::Breaking(error);
    }

    /// Sets the record aside in which the data breaks off; that is the end.
    fn break_off(&mut self, records: &mut Records) {
        let State::Breaking(error) = &self.state else { return };
        let how = if error.kind() == ErrorKind::UnexpectedEof { "ends too early" } else { "is damaged" };
        let at = self.framer.read_to();
        tracing::warn!(path = %self.split, byte = at, %error, "compressed file {how}; what comes after this byte is lost");
        self.framer.break_off(records, &format!("the compressed file {how} at byte {at} of its content ({error})"));
        self.end(true);
    }

    fn end(&mut self, broken: bool) {
        self.framer.release();
        self.state = State::Ended { broken };
    }
}

#[async_trait]
impl Reader for BoundedReader {
    async fn read(&mut self, records: &mut Records, limits: ReadLimits) -> Result<ReadStatus, SourceError> {
        if self.failed.is_some() && !records.is_empty() {
            return Ok(ReadStatus::More);
        }
        if let Some(failure) = self.failed.take() {
            return Err(failure);
        }
        match self.step(records, limits.bytes.max(1)) {
            Err(failure) if !records.is_empty() => {
                self.failed = Some(failure);
                Ok(ReadStatus::More)
            }
            outcome => outcome,
        }
    }

    fn position(&self) -> Position {
        Place::bounded(&self.split, self.framer.position(), matches!(self.state, State::Ended { broken: true }))
    }

    async fn acknowledge(&mut self, _position: &Position) -> Result<(), SourceError> {
        Ok(())
    }
}
