//! Arrow's IPC files and streams. A file is a stream between two marks: it is read as one, and its footer is not needed.
//!
//! Dictionaries are state: a reader that goes on in the middle first takes in all that came before, but no rows.

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::ipc::MessageHeader;
use async_trait::async_trait;

use super::{Bytes, Container, Place, damaged};
use crate::error::SourceError;
use crate::file::stream::unread;
use crate::ipc::{Messages, PREFIX, head, metadata_len};
use crate::records::{Records, fitting};
use crate::source::{Position, ReadLimits, ReadStatus, Reader, SplitId};

const MAGIC: &[u8] = b"ARROW1";
/// How far the mark at the front of a file is padded at most: writers align by 8 or 64 bytes.
const FRONT: u64 = 256;

struct Opened {
    bytes: Bytes,
    messages: Messages,
    /// The rest of the batch that is being handed out, and where the message behind it begins.
    batch: Option<(RecordBatch, u64)>,
}

pub(super) struct ArrowReader {
    split: SplitId,
    place: Place,
    opened: Option<Opened>,
    ended: bool,
}

/// A message in the file.
struct Found {
    kind: MessageHeader,
    metadata: usize,
    end: u64,
}

impl ArrowReader {
    pub(super) fn new(split: SplitId, place: Place) -> Self {
        Self { split, place, opened: None, ended: false }
    }

    fn step(&mut self, records: &mut Records, bytes: usize) -> Result<ReadStatus, SourceError> {
        if self.ended {
            return Ok(ReadStatus::Ended);
        }
        let mut opened = match self.opened.take() {
            Some(opened) => opened,
            None => self.open()?,
        };
        let path = self.split.as_str();
        let batch = match opened.batch.take() {
            Some(batch) => Some(batch),
            None => opened.next(path, &mut self.place)?,
        };
        let Some((batch, next)) = batch else {
            self.ended = true;
            return Ok(ReadStatus::Ended);
        };
        let rows = fitting(&batch, bytes);
        records.push_columns(batch.slice(0, rows), self.place.first).map_err(|e| damaged(path, Container::Arrow, e))?;
        self.place.pass(rows as u64);
        if rows < batch.num_rows() {
            opened.batch = Some((batch.slice(rows, batch.num_rows() - rows), next));
        } else {
            self.place.go_to(next);
        }
        self.opened = Some(opened);
        Ok(ReadStatus::More)
    }

    /// Opens the file and takes in what stands in front of the reader's place.
    fn open(&mut self) -> Result<Opened, SourceError> {
        let path = self.split.as_str();
        let mut bytes = Bytes::open(path)?;
        let front = bytes.read(0, FRONT).map_err(|e| unread(path, 0, e))?;
        let start = start_of_stream(&front);
        let mut opened = Opened { bytes, messages: Messages::new(), batch: None };
        let mut at = start;
        while at < self.place.block || !opened.messages.begun() {
            let Some(found) = opened.find(at, path)? else { break };
            if found.kind != MessageHeader::RecordBatch {
                opened.take(at, &found, path)?;
            }
            at = found.end;
        }
        if !opened.messages.begun() {
            return Err(damaged(path, Container::Arrow, "it holds no schema"));
        }
        self.place.block = self.place.block.max(at);
        Ok(opened)
    }
}

/// Where the stream begins in a file with this front: behind the mark and the zeros that pad it, if there is one.
fn start_of_stream(front: &[u8]) -> u64 {
    let Some(padded) = front.strip_prefix(MAGIC) else { return 0 };
    let padding = padded.iter().take_while(|byte| **byte == 0).count();
    (MAGIC.len() + padding) as u64
}

impl Opened {
    /// The next batch with rows that were not handed out.
    fn next(&mut self, path: &str, place: &mut Place) -> Result<Option<(RecordBatch, u64)>, SourceError> {
        while let Some(found) = self.find(place.block, path)? {
            let batch = self.take(place.block, &found, path)?;
            if let Some(batch) = batch
                && batch.num_rows() as u64 > place.row
            {
                let row = place.row as usize;
                return Ok(Some((batch.slice(row, batch.num_rows() - row), found.end)));
            }
            place.go_to(found.end);
        }
        Ok(None)
    }

    /// The message at `at`; none at the end.
    fn find(&mut self, at: u64, path: &str) -> Result<Option<Found>, SourceError> {
        if at >= self.bytes.len {
            return Ok(None);
        }
        let wrong = |what: String| damaged(path, Container::Arrow, format!("at byte {at}: {what}"));
        let early = || wrong("it ends too early".to_owned());
        let prefix = self.bytes.read(at, PREFIX as u64).map_err(|e| unread(path, at, e))?;
        let prefix = prefix.try_into().map_err(|_| early())?;
        let Some(len) = metadata_len(prefix).map_err(wrong)? else { return Ok(None) };
        let metadata = self.bytes.read(at + PREFIX as u64, len as u64).map_err(|e| unread(path, at, e))?;
        let (kind, body) = head(&metadata).map_err(wrong)?;
        let end = at + (PREFIX + len) as u64 + body;
        if end > self.bytes.len {
            return Err(early());
        }
        Ok(Some(Found { kind, metadata: len, end }))
    }

    fn take(&mut self, at: u64, found: &Found, path: &str) -> Result<Option<RecordBatch>, SourceError> {
        let message = self.bytes.read(at, found.end - at).map_err(|e| unread(path, at, e))?;
        let taken = self.messages.take(&Buffer::from_vec(message), PREFIX..PREFIX + found.metadata);
        taken.map_err(|what| damaged(path, Container::Arrow, format!("at byte {at}: {what}")))
    }
}

#[async_trait]
impl Reader for ArrowReader {
    async fn read(&mut self, records: &mut Records, limits: ReadLimits) -> Result<ReadStatus, SourceError> {
        self.step(records, limits.bytes.max(1))
    }

    fn position(&self) -> Position {
        self.place.position()
    }

    async fn acknowledge(&mut self, _position: &Position) -> Result<(), SourceError> {
        Ok(())
    }
}
