//! Follows a path as `tail -F` does: through growth, rotation, truncation, and absence.
//!
//! The one idea: a path names one file after another. Each is noticed when it takes the name and has a first byte (until
//! then its writer may still be busy with the one before), held open from then on whatever it is renamed to, and read to
//! its end before the next.
//!
//! | what happens | what is read |
//! |---|---|
//! | the file grows | what is new, as soon as its line is complete |
//! | it is renamed and another takes its place | the rest of it, then the other from the start |
//! | it is deleted | the rest of it, then whatever comes to the path later |
//! | it is cut below the place that was read (`copytruncate`) | again from its start |
//! | it is cut, and grows beyond that place between two looks | cannot be noticed: what was written up to there is missed |

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep_until};

use super::claims::Claims;
use super::list::unreadable;
use super::place::{Identity, Place};
use super::stream::{no_header, read_header, unread};
use crate::error::SourceError;
use crate::framing::{Framed, Framer, Framing};
use crate::records::Records;
use crate::size::ByteSize;
use crate::source::{Position, ReadLimits, ReadStatus, Reader, SplitId};

/// How often a silent file is looked at: three system calls every 20 ms cost nothing, and no line waits longer.
const POLL: Duration = Duration::from_millis(20);

/// One file of those that bear the path's name in turn.
struct Generation {
    file: File,
    identity: Identity,
    framer: Framer,
}

/// A reader that waits for more where the file ends.
pub(super) struct Tail {
    split: SplitId,
    framing: Framing,
    max_record: ByteSize,
    claims: Arc<Claims>,
    /// The one that is read, and those that have taken its name since.
    generations: VecDeque<Generation>,
    /// A failure that came after records that had to be handed out first.
    failed: Option<SourceError>,
}

impl Tail {
    pub(super) fn open(
        split: SplitId,
        from: Option<Place>,
        framing: Framing,
        max_record: ByteSize,
        claims: Arc<Claims>,
    ) -> Result<Self, SourceError> {
        let mut tail = Self { split, framing, max_record, claims, generations: VecDeque::new(), failed: None };
        let readable = match fs::metadata(tail.path()) {
            // Opening a pipe would wait for a writer; the first read refuses it.
            Ok(metadata) if !metadata.is_file() => Ok(()),
            _ => File::open(tail.path()).map(drop),
        };
        if let Err(e) = readable
            && e.kind() != ErrorKind::NotFound
        {
            return Err(unreadable(tail.path(), &e));
        }
        tail.claims.restore(&tail.split, from.as_ref().map_or(&[], |place| &place.done));
        if let Some(place) = from {
            tail.resume(&place)?;
        }
        // The path is not looked at before the first read: what is there may be a rotated file, which the position of a
        // split that is opened after this one will claim.
        Ok(tail)
    }

    fn path(&self) -> &Path {
        Path::new(self.split.as_str())
    }

    /// Finds the files again that a former process was reading, whatever they are called by now.
    fn resume(&mut self, place: &Place) -> Result<(), SourceError> {
        if place.files.is_empty() && place.offset > 0 {
            // Read without following so far.
            let file = File::open(self.path()).map_err(|e| unreadable(self.path(), &e))?;
            let identity = Identity::of(&file.metadata().map_err(|e| unread(self.split.as_str(), 0, e))?);
            return self.adopt(file, identity, place.offset);
        }
        for (i, identity) in place.files.iter().enumerate() {
            let offset = if i == 0 { place.offset } else { 0 };
            match self.find(identity)? {
                Some(file) => self.adopt(file, *identity, offset)?,
                None => tracing::warn!(
                    path = %self.split, byte = offset,
                    "the file that was followed is gone; what came after this byte is lost"
                ),
            }
        }
        Ok(())
    }

    /// Reads `file` after those that are waiting, unless it is or was read already.
    fn adopt(&mut self, file: File, identity: Identity, offset: u64) -> Result<(), SourceError> {
        if self.claims.take(identity, &self.split) {
            let generation = self.generation(file, identity, offset)?;
            self.generations.push_back(generation);
        }
        Ok(())
    }

    /// Looks for a file at the path, and among its neighbours if it was renamed.
    fn find(&self, identity: &Identity) -> Result<Option<File>, SourceError> {
        let folder = self.path().parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let neighbours = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in std::iter::once(self.path().to_owned()).chain(neighbours) {
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if metadata.is_file() && Identity::of(&metadata) == *identity {
                return File::open(&path).map(Some).map_err(|e| unreadable(&path, &e));
            }
        }
        Ok(None)
    }

    /// Makes ready to read `file` from `offset`, or from its start if it is not the file that `offset` was read in.
    fn generation(&self, mut file: File, identity: Identity, offset: u64) -> Result<Generation, SourceError> {
        let failed = |e| unread(self.split.as_str(), offset, e);
        let mut offset = offset;
        // Every place behind the first record has a newline before it; the first can have a byte order mark.
        let mut before = [b'\n'];
        if offset > 3 && (file.read_at(&mut before, offset - 1).map_err(failed)? == 0 || before != *b"\n") {
            tracing::warn!(path = %self.split, byte = offset, "the file was cut or replaced since it was read up to this byte; reading it from its start");
            offset = 0;
        }
        let mut header = None;
        if offset > 0 && self.framing.has_header() {
            header = read_header(&mut file, self.framing, self.max_record).map_err(failed)?;
            if header.is_none() {
                offset = 0;
            }
        }
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        Ok(Generation { file, identity, framer: Framer::new(self.framing, self.max_record, offset, header) })
    }

    /// Looks whether another file has taken the name.
    fn look(&mut self) -> Result<(), SourceError> {
        let metadata = match fs::metadata(self.path()) {
            Ok(metadata) => metadata,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(self.inaccessible(e)),
        };
        if !metadata.is_file() {
            return Err(SourceError::config(format!("{} is not a regular file and cannot be followed", self.split)));
        }
        let newest = self.generations.back().map(|generation| generation.identity);
        if metadata.len() == 0 || newest == Some(Identity::of(&metadata)) {
            return Ok(());
        }
        let file = match File::open(self.path()) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(self.inaccessible(e)),
        };
        // The name may have changed hands between the look and the opening.
        let identity = Identity::of(&file.metadata().map_err(|e| unread(self.split.as_str(), 0, e))?);
        self.adopt(file, identity, 0)
    }

    /// Whoever rotates a file may give it its permissions a moment later.
    fn inaccessible(&self, cause: io::Error) -> SourceError {
        SourceError::retry(format!("{} cannot be opened", self.split), cause)
    }

    fn drain(&mut self, records: &mut Records, limit: usize) -> Result<ReadStatus, SourceError> {
        loop {
            let superseded = self.generations.len() > 1;
            let Some(generation) = self.generations.front_mut() else { return Ok(ReadStatus::CaughtUp) };
            let framer = &mut generation.framer;
            match framer.frame(records, limit) {
                Framed::Full => return Ok(ReadStatus::More),
                Framed::NoHeader(reason) => return Err(no_header(&self.split, &reason)),
                Framed::Hungry => {}
            }
            let at = framer.read_to();
            let failed = |e| unread(self.split.as_str(), at, e);
            if framer.fill(&mut generation.file).map_err(failed)? > 0 {
                continue;
            }
            let len = generation.file.metadata().map_err(failed)?.len();
            if len >= at && !superseded {
                return Ok(ReadStatus::CaughtUp);
            }
            // Records of two files, or of two lives of one, are never mixed: their headers can differ.
            if !records.is_empty() {
                return Ok(ReadStatus::More);
            }
            if len < at {
                self.start_over(records)?;
            } else {
                match framer.finish(records) {
                    Framed::Full => return Ok(ReadStatus::More),
                    Framed::NoHeader(reason) => return Err(no_header(&self.split, &reason)),
                    Framed::Hungry => self.move_on(),
                }
                if !records.is_empty() {
                    return Ok(ReadStatus::More);
                }
            }
        }
    }

    /// The front file was cut: reads it from its start, after setting aside what it had of a record.
    fn start_over(&mut self, records: &mut Records) -> Result<(), SourceError> {
        let Some(generation) = self.generations.front_mut() else { return Ok(()) };
        let at = generation.framer.read_to();
        tracing::warn!(path = %self.split, byte = at, "the file was cut below this byte; reading it from its start");
        if generation.framer.position() < at {
            generation.framer.break_off(records, "the file was cut before the end of this record was written");
        }
        generation.file.seek(SeekFrom::Start(0)).map_err(|e| unread(self.split.as_str(), 0, e))?;
        generation.framer = Framer::new(self.framing, self.max_record, 0, None);
        Ok(())
    }

    /// The front file has been read to its end, and another bears its name.
    fn move_on(&mut self) {
        if let Some(done) = self.generations.pop_front() {
            self.claims.finish(&done.identity);
        }
    }
}

#[async_trait]
impl Reader for Tail {
    async fn read(&mut self, records: &mut Records, limits: ReadLimits) -> Result<ReadStatus, SourceError> {
        if self.failed.is_some() && !records.is_empty() {
            return Ok(ReadStatus::More);
        }
        if let Some(failure) = self.failed.take() {
            return Err(failure);
        }
        let (held, limit) = (records.count(), records.byte_len().saturating_add(limits.bytes.max(1)));
        let deadline = Instant::now().checked_add(limits.wait);
        loop {
            match self.look().and_then(|()| self.drain(records, limit)) {
                Err(failure) if !records.is_empty() => {
                    self.failed = Some(failure);
                    return Ok(ReadStatus::More);
                }
                Ok(ReadStatus::CaughtUp) if records.count() == held => {}
                outcome => return outcome,
            }
            let now = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Ok(ReadStatus::CaughtUp);
            }
            // Dropped here, nothing has been taken.
            sleep_until(deadline.map_or(now + POLL, |deadline| deadline.min(now + POLL))).await;
        }
    }

    fn position(&self) -> Position {
        let offset = self.generations.front().map_or(0, |generation| generation.framer.position());
        let files: Vec<_> = self.generations.iter().map(|generation| generation.identity).collect();
        Place::followed(&self.split, offset, &files, &self.claims.finished_by(&self.split))
    }

    async fn acknowledge(&mut self, _position: &Position) -> Result<(), SourceError> {
        Ok(())
    }
}
