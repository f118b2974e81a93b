//! Files that say themselves what is in them: Avro containers, and Arrow's IPC files and streams.
//!
//! The one idea: such a file is a row of blocks, each of which is read whole and holds whole records. A position is a
//! block's place in the file and the records of it that were handed out.

mod arrow;
mod avro;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::stream::{self, open_file};
use crate::error::SourceError;
use crate::size::ByteSize;
use crate::source::{Position, Reader, SplitId};
use arrow::ArrowReader;
use avro::AvroReader;

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// An Avro object container file. Its records come out as they were written, under the schema as their header.
    Avro,
    /// An Arrow IPC file or stream. Its rows come out as columns.
    Arrow,
}

impl Container {
    /// Opens a file that is read to its end.
    pub(super) fn open(
        self,
        split: SplitId,
        from: Option<&Position>,
        max_record: ByteSize,
    ) -> Result<Box<dyn Reader>, SourceError> {
        let place = from.map(|position| Place::parse(position, &split)).transpose()?;
        let place = place.unwrap_or_else(|| Place { path: split.as_str().to_owned(), block: 0, row: 0, first: 0 });
        stream::check(split.as_str(), place.block)?;
        Ok(match self {
            Self::Avro => Box::new(AvroReader::new(split, place, max_record)),
            Self::Arrow => Box::new(ArrowReader::new(split, place)),
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Avro => "an Avro container file",
            Self::Arrow => "an Arrow IPC file or stream",
        }
    }
}

/// The next record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    path: String,
    /// Where its block begins in the file; 0: the first block, wherever that is.
    block: u64,
    /// Its place in the block.
    row: u64,
    /// Its place in the file.
    first: u64,
}

impl Place {
    fn parse(position: &Position, split: &SplitId) -> Result<Self, SourceError> {
        let place = Self::deserialize(&position.0).map_err(|e| {
            SourceError::config(format!(
                "{split}: the checkpoint holds no position in a file of blocks ({e}); \
                 start with --reset-state to read from the start"
            ))
        })?;
        if place.path == split.as_str() {
            return Ok(place);
        }
        Err(SourceError::config(format!("{split}: the checkpoint holds a position in another file, {}", place.path)))
    }

    fn position(&self) -> Position {
        Position(json!({ "path": self.path, "block": self.block, "row": self.row, "first": self.first }))
    }

    /// Goes on by `rows` in the same block.
    fn pass(&mut self, rows: u64) {
        self.row = self.row.saturating_add(rows);
        self.first = self.first.saturating_add(rows);
    }

    /// Goes on with the block at `block`.
    fn go_to(&mut self, block: u64) {
        (self.block, self.row) = (block, 0);
    }
}

/// A file, read at any place.
struct Bytes {
    file: File,
    len: u64,
}

impl Bytes {
    fn open(path: &str) -> Result<Self, SourceError> {
        let (file, len) = open_file(path)?;
        Ok(Self { file, len })
    }

    /// Up to `len` bytes from `at` on; fewer where the file ends.
    fn read(&mut self, at: u64, len: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(len.min(self.len.saturating_sub(at)) as usize);
        self.file.seek(SeekFrom::Start(at))?;
        (&mut self.file).take(len).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// A file that is not what it should be. It names the file.
fn damaged(path: &str, kind: Container, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SourceError {
    SourceError::fatal(format!("{path} cannot be read as {}", kind.name()), cause)
}
