//! Blocks in one object: concatenated Arrow IPC streams with zstd bodies, each named by a [`Piece`].

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::error::ArrowError;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use bytes::Bytes;

use super::block::Piece;
use super::compact::compact;
use super::error::StateError;
use super::names;

/// Every row that is not in a file yet is compressed once, and most of them for seconds only.
const ZSTD_LEVEL: i32 = 1;

/// Puts batches together into one object.
#[derive(Debug)]
pub struct SegmentWriter {
    name: String,
    bytes: Vec<u8>,
}

impl SegmentWriter {
    /// An empty segment. Its name is from [`Chain::segment_name`](super::Chain::segment_name).
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), bytes: Vec::new() }
    }

    /// Its name below `segments/`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True if there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds a batch; says where it will lie. What the batch shares with others is left out, so that it pays for its own
    /// rows only. On an error the segment is as before.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<Piece, ArrowError> {
        let start = self.bytes.len();
        if let Err(error) = write(batch, &mut self.bytes) {
            self.bytes.truncate(start);
            return Err(error);
        }
        let bytes = &self.bytes[start..];
        Ok(Piece {
            segment: self.name.clone(),
            offset: start as u64,
            length: bytes.len() as u64,
            rows: batch.num_rows() as u64,
            crc32: crc32fast::hash(bytes),
        })
    }

    /// The whole object.
    pub fn finish(self) -> Bytes {
        self.bytes.into()
    }
}

fn write(batch: &RecordBatch, into: &mut Vec<u8>) -> Result<(), ArrowError> {
    let batch = compact(batch)?;
    let options = IpcWriteOptions::default()
        .try_with_compression(Some(CompressionType::ZSTD))?
        .try_with_compression_level(Some(ZSTD_LEVEL))?;
    let mut writer = StreamWriter::try_new_with_options(into, &batch.schema(), options)?;
    writer.write(&batch)?;
    writer.finish()
}

/// The rows of `piece`, which lies in the whole segment `bytes`.
///
/// Nothing that differs in a bit from what was written is taken for state.
pub fn read_piece(bytes: &Bytes, piece: &Piece) -> Result<RecordBatch, StateError> {
    let end = piece.offset.checked_add(piece.length).filter(|end| *end <= bytes.len() as u64);
    let Some(end) = end else {
        return Err(damaged(piece, format_args!("it has {} bytes, which is too short", bytes.len())));
    };
    decode(bytes.slice(piece.offset as usize..end as usize), piece)
}

/// The rows of `piece`, whose bytes these should be.
pub(super) fn decode(bytes: Bytes, piece: &Piece) -> Result<RecordBatch, StateError> {
    if bytes.len() as u64 != piece.length {
        return Err(damaged(piece, format_args!("there are only {} bytes left", bytes.len())));
    }
    if crc32fast::hash(&bytes) != piece.crc32 {
        return Err(damaged(piece, "the checksum does not match"));
    }
    let mut decoder = StreamDecoder::new();
    let mut left = Buffer::from(bytes);
    let batch = decoder.decode(&mut left).map_err(|error| damaged(piece, error))?;
    match batch {
        Some(batch) if batch.num_rows() as u64 == piece.rows => Ok(batch),
        Some(batch) => {
            Err(damaged(piece, format_args!("there are {} rows where {} belong", batch.num_rows(), piece.rows)))
        }
        None => Err(damaged(piece, "there are no rows")),
    }
}

fn damaged(piece: &Piece, what: impl std::fmt::Display) -> StateError {
    let Piece { segment, offset, length, .. } = piece;
    StateError::damaged(format_args!("{}/{segment}", names::SEGMENTS), format_args!("{what} (at {offset}+{length})"))
}
