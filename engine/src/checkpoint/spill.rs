//! State that did not fit into memory, on local disk.
//!
//! A spill file holds the rows of one block as Arrow IPC streams, one per part. What a file must hold is remembered in
//! memory (length and CRC-32 of every part), so a file that was cut or changed is an error and never a wrong row. Files
//! live as long as their block: a process that dies leaves them, and the next one removes them when it starts.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::error::ArrowError;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use datafusion::common::{DataFusionError, Result};

use super::tidy::tidy;

/// The folder of one process's spill files.
#[derive(Debug)]
pub(super) struct SpillFolder {
    path: PathBuf,
    /// Random, so that a name never means the file of another process.
    run: u64,
    next: AtomicU64,
    bytes: AtomicU64,
    /// Stands for a disk that has no room.
    #[cfg(test)]
    full: std::sync::atomic::AtomicBool,
}

impl SpillFolder {
    /// The folder at `path`, which is made when it is first written to.
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            run: rand::random(),
            next: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            #[cfg(test)]
            full: std::sync::atomic::AtomicBool::new(false),
        }
    }

    /// Removes what dead processes have left in it.
    pub(super) fn sweep(&self) -> Result<()> {
        let failed = |error: Error| named(error.kind(), format!("spill folder {}: {error}", self.path.display()));
        let entries = match std::fs::read_dir(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(failed)?,
        };
        let own = format!("{:016x}-", self.run);
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let left = name.to_str().is_some_and(|name| is_spill_name(name) && !name.starts_with(&own));
            if left && entry.file_type().map_err(failed)?.is_file() {
                std::fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// From now on, the disk has no room, or has some again.
    #[cfg(test)]
    pub(super) fn fill(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Writes a file of these parts. What an error leaves behind is removed.
    pub(super) fn write(self: &Arc<Self>, parts: &[RecordBatch]) -> Result<SpillFile> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join(format!("{:016x}-{number:08}.spill", self.run));
        let mut file = SpillFile { path, parts: Vec::with_capacity(parts.len()), folder: self.clone() };
        let result = write_parts(&mut file, parts);
        match result {
            Ok(()) => Ok(file),
            Err(error) => {
                let kind = if let ArrowError::IoError(_, cause) = &error { cause.kind() } else { ErrorKind::Other };
                let hint =
                    if is_no_room(kind) { "; free some space, or name a folder that has more (`spill`)" } else { "" };
                Err(named(kind, format!("cannot write the spill file {}: {error}{hint}", file.path.display())))
            }
        }
    }
}

/// True if it is for want of room on the disk that something was not spilled: it stays in memory, and can be spilled later.
pub(crate) fn is_out_of_room(error: &DataFusionError) -> bool {
    matches!(error, DataFusionError::IoError(error) if is_no_room(error.kind()))
}

fn is_no_room(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// `<16 hex digits>-<digits>.spill`: nothing else in the folder is ours to remove.
fn is_spill_name(name: &str) -> bool {
    let Some((run, number)) = name.strip_suffix(".spill").and_then(|stem| stem.split_once('-')) else { return false };
    run.len() == 16
        && run.bytes().all(|byte| byte.is_ascii_hexdigit())
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// The rows of one block on disk. Removed when dropped.
#[derive(Debug)]
pub(crate) struct SpillFile {
    path: PathBuf,
    parts: Vec<Part>,
    folder: Arc<SpillFolder>,
}

#[derive(Debug)]
struct Part {
    offset: u64,
    length: usize,
    crc32: u32,
}

impl SpillFile {
    /// Number of parts.
    pub(crate) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// All rows, part by part.
    pub(crate) fn read(&self) -> Result<RecordBatch> {
        let parts: Vec<RecordBatch> = (0..self.parts()).map(|part| self.read_part(part)).collect::<Result<_>>()?;
        match parts.as_slice() {
            [one] => Ok(one.clone()),
            [first, ..] => Ok(arrow::compute::concat_batches(&first.schema(), &parts)?),
            [] => Err(self.damaged("it has no parts")),
        }
    }

    /// The rows of one part.
    pub(crate) fn read_part(&self, number: usize) -> Result<RecordBatch> {
        let Some(part) = self.parts.get(number) else { return Err(self.damaged("it lacks a part")) };
        let bytes = self.bytes_of(part).map_err(|error| {
            let what = if error.kind() == ErrorKind::NotFound { "is gone" } else { "cannot be read" };
            let hint = "nothing else may use the spill folder; a restart goes on from the last checkpoint";
            named(error.kind(), format!("the spill file {} {what} ({error}): {hint}", self.path.display()))
        })?;
        if bytes.len() != part.length || crc32fast::hash(&bytes) != part.crc32 {
            return Err(self.damaged("its bytes are not those that were written"));
        }
        decode(bytes).map_err(|error| self.damaged(&error.to_string()))
    }

    fn bytes_of(&self, part: &Part) -> std::io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(part.offset))?;
        let mut bytes = Vec::with_capacity(part.length);
        file.take(part.length as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn length(&self) -> u64 {
        self.parts.last().map_or(0, |part| part.offset + part.length as u64)
    }

    fn damaged(&self, how: &str) -> DataFusionError {
        let hint = "look after the disk; a restart goes on from the last checkpoint";
        named(ErrorKind::InvalidData, format!("the spill file {} is damaged ({how}): {hint}", self.path.display()))
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        self.folder.bytes.fetch_sub(self.length(), Ordering::Relaxed);
        // A file that stays is removed when the next process starts.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn write_parts(spill: &mut SpillFile, parts: &[RecordBatch]) -> std::result::Result<(), ArrowError> {
    let mut file = match create(&spill.path) {
        // The first of all, or somebody has tidied up.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            std::fs::create_dir_all(&spill.folder.path)?;
            create(&spill.path)?
        }
        created => created?,
    };
    let mut offset = 0;
    for batch in parts {
        let bytes = encode(&tidy(batch)?)?;
        #[cfg(test)]
        if spill.folder.full.load(Ordering::Relaxed) {
            return Err(Error::from(ErrorKind::StorageFull).into());
        }
        file.write_all(&bytes)?;
        let part = Part { offset, length: bytes.len(), crc32: crc32fast::hash(&bytes) };
        offset += part.length as u64;
        spill.folder.bytes.fetch_add(part.length as u64, Ordering::Relaxed);
        spill.parts.push(part);
    }
    Ok(())
}

fn create(path: &Path) -> std::io::Result<File> {
    File::options().write(true).create_new(true).open(path)
}

fn encode(batch: &RecordBatch) -> std::result::Result<Vec<u8>, ArrowError> {
    // LZ4 is faster than the disks that cloud machines have, and halves what they are asked to do.
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options)?;
    writer.write(batch)?;
    writer.into_inner()
}

fn decode(bytes: Vec<u8>) -> std::result::Result<RecordBatch, ArrowError> {
    let mut bytes = Buffer::from_vec(bytes);
    let mut decoder = StreamDecoder::new();
    match decoder.decode(&mut bytes)? {
        Some(batch) => Ok(batch),
        None => Err(ArrowError::IpcError("it holds no rows".into())),
    }
}

fn named(kind: ErrorKind, message: String) -> DataFusionError {
    DataFusionError::IoError(Error::new(kind, message))
}

#[cfg(test)]
mod tests;
