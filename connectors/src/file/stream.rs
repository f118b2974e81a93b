//! A file as a stream of bytes: opened, decompressed by its extension, and wound forward to an offset.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;

use super::list::unreadable;
use crate::error::SourceError;
use crate::framing::{Framed, Framer, Framing};
use crate::records::Records;
use crate::size::ByteSize;
use crate::source::SplitId;

/// How a file's bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Gzip,
    Zstd,
}

impl Encoding {
    /// Tells by the extension.
    pub(super) fn of(path: &str) -> Self {
        let extension = Path::new(path).extension().map(|extension| extension.to_ascii_lowercase());
        match extension.as_deref().and_then(|extension| extension.to_str()) {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            _ => Self::Plain,
        }
    }
}

/// The decompressed bytes of a file.
pub(super) struct Stream {
    pub(super) bytes: Box<dyn Read + Send>,
    pub(super) encoding: Encoding,
    /// Size of the file when it was opened.
    pub(super) len: u64,
}

/// Opens a regular file for reading, and gives its size.
pub(crate) fn open_file(path: &str) -> Result<(File, u64), SourceError> {
    let path = Path::new(path);
    // Looked at before it is opened: opening a pipe would wait for a writer.
    let metadata = fs::metadata(path).map_err(|e| unreadable(path, &e))?;
    if !metadata.is_file() {
        return Err(SourceError::config(format!("{} is not a regular file", path.display())));
    }
    let file = File::open(path).map_err(|e| unreadable(path, &e))?;
    Ok((file, metadata.len()))
}

/// Checks that the stream at `path` can be read from `offset` on, as far as a look at the file tells.
pub(super) fn check(path: &str, offset: u64) -> Result<(), SourceError> {
    let (_, len) = open_file(path)?;
    if Encoding::of(path) == Encoding::Plain && offset > len {
        return Err(too_short(path, len, offset));
    }
    Ok(())
}

/// Opens the stream at `path` and winds it forward to `offset`.
pub(super) fn open_at(path: &str, offset: u64) -> Result<Stream, SourceError> {
    let (mut file, len) = open_file(path)?;
    let encoding = Encoding::of(path);
    let failed = |e| unread(path, offset, e);
    // Big enough that system calls cost nothing beside the decompression.
    let buffered = |file| BufReader::with_capacity(256 << 10, file);
    let mut bytes: Box<dyn Read + Send> = match encoding {
        // A decoder would miss its magic number in an empty file, which is an empty stream.
        _ if len == 0 => Box::new(io::empty()),
        Encoding::Plain => {
            if offset > len {
                return Err(too_short(path, len, offset));
            }
            file.seek(SeekFrom::Start(offset)).map_err(failed)?;
            return Ok(Stream { bytes: Box::new(file), encoding, len });
        }
        Encoding::Gzip => Box::new(MultiGzDecoder::new(buffered(file))),
        Encoding::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(buffered(file)).map_err(failed)?),
    };
    let skipped = io::copy(&mut (&mut bytes).take(offset), &mut io::sink()).map_err(failed)?;
    if skipped < offset {
        return Err(too_short(path, skipped, offset));
    }
    Ok(Stream { bytes, encoding, len })
}

/// Reads the CSV header at the start of the stream at `path`.
pub(super) fn header(path: &str, framing: Framing, max_record: ByteSize) -> Result<Arc<[u8]>, SourceError> {
    read_header(&mut *open_at(path, 0)?.bytes, framing, max_record).map_err(|e| unread(path, 0, e))?.ok_or_else(|| {
        SourceError::config(format!("{path} has lost its CSV header since the checkpoint: bring it back"))
    })
}

/// Reads the CSV header at the start of `stream`, if there is one.
pub(super) fn read_header(
    stream: &mut dyn Read,
    framing: Framing,
    max_record: ByteSize,
) -> io::Result<Option<Arc<[u8]>>> {
    let mut framer = Framer::new(framing, max_record, 0, None);
    let mut first = Records::default();
    while framer.frame(&mut first, 1) == Framed::Hungry {
        if framer.fill(stream)? == 0 {
            framer.finish(&mut first);
            break;
        }
    }
    Ok(framer.header().cloned())
}

/// A read that failed at byte `at` of the stream.
pub(super) fn unread(path: &str, at: u64, cause: io::Error) -> SourceError {
    SourceError::fatal(format!("cannot read {path} at byte {at}"), cause)
}

/// A CSV file without a header that can be read has no columns.
pub(super) fn no_header(split: &SplitId, reason: &str) -> SourceError {
    SourceError::config(format!("{split}: the first record is no CSV header: {reason}"))
}

fn too_short(path: &str, len: u64, offset: u64) -> SourceError {
    SourceError::config(format!(
        "{path} holds {len} bytes, but the checkpoint stands at byte {offset}: the file was cut or replaced since; \
         bring it back, or start with --reset-state to read from the start"
    ))
}
