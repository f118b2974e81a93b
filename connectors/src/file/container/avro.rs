//! Avro object container files: a header with the schema, then blocks of records, compressed each for itself.
//!
//! A block that is damaged costs its records and no others: reading goes on behind the next mark between blocks.

use std::io::{self, Read};
use std::sync::Arc;

use async_trait::async_trait;
use flate2::read::DeflateDecoder;
use memchr::memmem;

use super::{Bytes, Container, Place, damaged};
use crate::avro::{Blocks, Broken, Cursor, Schema};
use crate::error::SourceError;
use crate::file::stream::unread;
use crate::records::Records;
use crate::size::ByteSize;
use crate::source::{Position, ReadLimits, ReadStatus, Reader, SplitId};

const MAGIC: &[u8] = b"Obj\x01";
/// Longest header: a schema has at most 1 MiB.
const MAX_HEADER: u64 = 2 << 20;
/// What a block may take, compressed or not. Writers make blocks of some ten kilobytes; a block is held whole.
const MAX_BLOCK: u64 = 64 << 20;
/// Records of no bytes that a block may hold.
const MAX_EMPTY: u64 = 1 << 16;
const MARK: usize = 16;

/// How blocks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    Null,
    Deflate,
    Snappy,
    Zstandard,
}

/// What the header says.
struct Header {
    schema: Schema,
    text: Arc<[u8]>,
    codec: Codec,
    mark: [u8; MARK],
    /// Where the first block begins.
    end: u64,
}

struct Opened {
    bytes: Bytes,
    header: Header,
    block: Option<Block>,
}

/// A block that is being handed out.
struct Block {
    records: u64,
    data: Vec<u8>,
    /// The next record.
    at: usize,
    end: u64,
}

/// Why a block cannot be read, and where reading goes on.
struct BadBlock {
    reason: String,
    records: u64,
    next: u64,
}

pub(super) struct AvroReader {
    split: SplitId,
    place: Place,
    max_record: usize,
    /// Not opened before the first read: a folder may hold more files than a process may open at once.
    opened: Option<Opened>,
    ended: bool,
}

impl AvroReader {
    pub(super) fn new(split: SplitId, place: Place, max_record: ByteSize) -> Self {
        Self { split, place, max_record: max_record.0 as usize, opened: None, ended: false }
    }

    fn open(&mut self) -> Result<(), SourceError> {
        let path = self.split.as_str();
        let mut bytes = Bytes::open(path)?;
        let header = bytes.read(0, MAX_HEADER).map_err(|e| unread(path, 0, e))?;
        let header = Header::read(&header).map_err(|e| damaged(path, Container::Avro, e))?;
        self.place.block = self.place.block.max(header.end);
        self.opened = Some(Opened { bytes, header, block: None });
        Ok(())
    }

    fn step(&mut self, records: &mut Records, limit: usize) -> Result<ReadStatus, SourceError> {
        if self.ended {
            return Ok(ReadStatus::Ended);
        }
        if self.opened.is_none() {
            self.open()?;
        }
        let Some(opened) = &mut self.opened else { return Ok(ReadStatus::Ended) };
        records.set_header(opened.header.text.clone());
        while records.byte_len() < limit {
            if opened.block.is_none() {
                if self.place.block >= opened.bytes.len {
                    self.opened = None;
                    self.ended = true;
                    return Ok(ReadStatus::Ended);
                }
                let read = opened.block_at(self.place.block, self.place.row);
                match read.map_err(|e| unread(self.split.as_str(), self.place.block, e))? {
                    Ok(block) => opened.block = Some(block),
                    Err(bad) => {
                        tracing::warn!(path = %self.split, byte = self.place.block, reason = %bad.reason, "a block cannot be read");
                        records.reject(&[], self.place.first, bad.reason);
                        self.place.pass(bad.records.saturating_sub(self.place.row).max(1));
                        self.place.go_to(bad.next);
                        return Ok(ReadStatus::More);
                    }
                }
            }
            let Some(block) = &mut opened.block else { continue };
            let rejected = block.hand_out(&opened.header.schema, &mut self.place, records, limit, self.max_record);
            if block.is_done(&self.place) {
                self.place.go_to(block.end);
                opened.block = None;
            }
            if rejected {
                break;
            }
        }
        Ok(ReadStatus::More)
    }
}

impl Block {
    fn is_done(&self, place: &Place) -> bool {
        place.row >= self.records
    }

    /// Hands out records until `limit`; true if one was rejected.
    fn hand_out(
        &mut self,
        schema: &Schema,
        place: &mut Place,
        records: &mut Records,
        limit: usize,
        max_record: usize,
    ) -> bool {
        while !self.is_done(place) && records.byte_len() < limit {
            let rest = &self.data[self.at..];
            let mut cursor = Cursor::new(rest);
            if let Err(broken) = cursor.skip(schema, schema.root()) {
                let lost = self.records - place.row;
                let reason = format!("{broken}; with it the rest of its block is lost, {lost} records");
                records.reject(rest, place.first, reason);
                place.pass(lost);
                return true;
            }
            let record = &rest[..cursor.at()];
            self.at += record.len();
            let too_long = record.len() > max_record;
            if too_long {
                let reason = format!("record of more than {max_record} bytes; raise max_record_bytes");
                records.reject(record, place.first, reason);
            } else {
                records.push(record, place.first);
            }
            place.pass(1);
            if too_long {
                return true;
            }
        }
        false
    }
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let Some(rest) = bytes.strip_prefix(MAGIC) else { return Err("it does not begin as one".to_owned()) };
        let mut cursor = Cursor::new(rest);
        let (mut schema, mut codec) = (None, Codec::Null);
        let mut blocks = Blocks::default();
        let broken = |broken: Broken| format!("its header is broken: {broken}");
        while cursor.item(&mut blocks).map_err(broken)? {
            let (key, value) = (cursor.string().map_err(broken)?, cursor.bytes().map_err(broken)?);
            match key {
                "avro.schema" => schema = Some(value),
                "avro.codec" => codec = Codec::named(value)?,
                _ => {}
            }
        }
        let mark = cursor.take(MARK).map_err(broken)?;
        let text = schema.ok_or("its header holds no schema")?;
        let schema = std::str::from_utf8(text).map_err(|error| error.to_string())?;
        let schema = Schema::parse(schema, &[]).map_err(|error| error.to_string())?;
        let mark = mark.try_into().map_err(|_| "its header is cut off")?;
        let end = (MAGIC.len() + cursor.at()) as u64;
        Ok(Self { schema, text: text.into(), codec, mark, end })
    }
}

impl Codec {
    fn named(name: &[u8]) -> Result<Self, String> {
        Ok(match name {
            b"null" | b"" => Self::Null,
            b"deflate" => Self::Deflate,
            b"snappy" => Self::Snappy,
            b"zstandard" => Self::Zstandard,
            other => {
                let name = String::from_utf8_lossy(other);
                return Err(format!(
                    "it is compressed by `{name}`; null, deflate, snappy and zstandard can be read: write it anew by one of them"
                ));
            }
        })
    }

    /// Unpacks a block.
    fn unpack(self, packed: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Self::Null => Ok(packed),
            Self::Deflate => unpacked(DeflateDecoder::new(packed.as_slice())),
            Self::Zstandard => unpacked(zstd::stream::read::Decoder::with_buffer(packed.as_slice())?),
            Self::Snappy => snappy(&packed),
        }
    }
}

fn unpacked(packed: impl Read) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    packed.take(MAX_BLOCK + 1).read_to_end(&mut data)?;
    if data.len() as u64 > MAX_BLOCK { Err(too_large()) } else { Ok(data) }
}

fn too_large() -> io::Error {
    io::Error::other(format!("it takes more than {MAX_BLOCK} bytes; write smaller blocks"))
}

/// Snappy's raw format, with a checksum of what was packed behind it.
fn snappy(packed: &[u8]) -> io::Result<Vec<u8>> {
    let Some((packed, sum)) = packed.split_last_chunk() else { return Err(io::Error::other("it has no checksum")) };
    if snap::raw::decompress_len(packed).map_err(io::Error::other)? as u64 > MAX_BLOCK {
        return Err(too_large());
    }
    let data = snap::raw::Decoder::new().decompress_vec(packed).map_err(io::Error::other)?;
    if crc32fast::hash(&data) != u32::from_be_bytes(*sum) {
        return Err(io::Error::other("its checksum is another"));
    }
    Ok(data)
}

impl Opened {
    /// Reads the block at `start`, of which `row` records were handed out.
    fn block_at(&mut self, start: u64, row: u64) -> io::Result<Result<Block, BadBlock>> {
        let head = self.bytes.read(start, 20)?;
        let mut cursor = Cursor::new(&head);
        let counts = cursor.long().and_then(|records| Ok((records, cursor.long()?)));
        let counts = counts.ok().and_then(|(n, size)| Some((u64::try_from(n).ok()?, u64::try_from(size).ok()?)));
        let Some((records, size)) = counts else {
            return self.bad(start, None, 1, "its head is broken".to_owned());
        };
        let data = start + cursor.at() as u64;
        let end = data.saturating_add(size).saturating_add(MARK as u64);
        if end > self.bytes.len {
            return self.bad(start, None, 1, "the file ends inside it, or its head is broken".to_owned());
        }
        if self.bytes.read(end - MARK as u64, MARK as u64)? != self.header.mark {
            return self.bad(start, None, 1, "there is no mark at its end".to_owned());
        }
        if size > MAX_BLOCK {
            return self.bad(start, Some(end), records, too_large().to_string());
        }
        let packed = self.bytes.read(data, size)?;
        let data = match self.header.codec.unpack(packed) {
            Ok(data) => data,
            Err(error) => return self.bad(start, Some(end), records, error.to_string()),
        };
        if records > data.len() as u64 + MAX_EMPTY {
            return self.bad(
                start,
                Some(end),
                1,
                "it says that it has more records than its bytes can hold".to_owned(),
            );
        }
        let mut block = Block { records, data, at: 0, end };
        match block.pass_by(&self.header.schema, row) {
            Ok(()) => Ok(Ok(block)),
            Err(broken) => self.bad(start, Some(end), records, broken.to_string()),
        }
    }

    /// A block that can't be read. Without a known end, what follows it is looked for.
    fn bad(&mut self, start: u64, end: Option<u64>, records: u64, why: String) -> io::Result<Result<Block, BadBlock>> {
        let next = match end {
            Some(end) => end,
            None => self.next_mark(start)?,
        };
        let reason = format!("the block at byte {start} can't be read: {why}; its records are lost");
        Ok(Err(BadBlock { reason, records, next }))
    }

    /// Where the first mark behind `from` ends; the end of the file if there is none.
    fn next_mark(&mut self, mut from: u64) -> io::Result<u64> {
        const WINDOW: u64 = 1 << 20;
        loop {
            let bytes = self.bytes.read(from, WINDOW)?;
            if let Some(found) = memmem::find(&bytes, &self.header.mark) {
                return Ok(from + (found + MARK) as u64);
            }
            if (bytes.len() as u64) < WINDOW {
                return Ok(self.bytes.len);
            }
            // A mark may lie across two windows.
            from += WINDOW - MARK as u64;
        }
    }
}

impl Block {
    /// Passes by the records that were handed out before.
    fn pass_by(&mut self, schema: &Schema, rows: u64) -> Result<(), Broken> {
        for _ in 0..rows.min(self.records) {
            let mut cursor = Cursor::new(&self.data[self.at..]);
            cursor.skip(schema, schema.root())?;
            self.at += cursor.at();
        }
        Ok(())
    }
}

#[async_trait]
impl Reader for AvroReader {
    async fn read(&mut self, records: &mut Records, limits: ReadLimits) -> Result<ReadStatus, SourceError> {
        let limit = records.byte_len().saturating_add(limits.bytes.max(1));
        self.step(records, limit.min(Records::MAX_BYTES - self.max_record - 1))
    }

    fn position(&self) -> Position {
        self.place.position()
    }

    async fn acknowledge(&mut self, _position: &Position) -> Result<(), SourceError> {
        Ok(())
    }
}
