//! Standard input as a source of one split.
//!
//! The one idea: a thread of its own does the reading, since a read of a silent pipe cannot be cancelled; the reader
//! waits for what the thread sends instead, so that a run can always be stopped.

use std::fmt;
use std::io::{self, Cursor, ErrorKind, Read};
use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc::{self, Receiver, error::TryRecvError};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::{Instant, timeout_at};

use crate::error::SourceError;
use crate::framing::{Framed, Framer, Framing};
use crate::records::Records;
use crate::size::ByteSize;
use crate::source::{Position, ReadLimits, ReadStatus, Reader, Source, SplitId};

#[cfg(test)]
mod tests;

/// Standard input has no options.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StdinOptions {}

/// A longer record is set aside; as for files.
const MAX_RECORD: ByteSize = ByteSize(16 << 20);

/// How many pieces may wait between the thread and the reader: enough that neither waits for the other's next turn.
const PIECES: usize = 4;

/// A stream that can be read only once: standard input, or whatever stands in for it.
#[derive(Debug)]
pub struct StdinSource {
    /// Held by the open reader; free again when that is dropped.
    intake: Arc<Mutex<Intake>>,
}

impl StdinSource {
    /// Reads the process's standard input.
    ///
    /// # Errors
    /// [`SourceError::Config`] if the framing cannot work.
    pub fn new(_options: StdinOptions, framing: Framing) -> Result<Self, SourceError> {
        Self::from_read(io::stdin(), framing)
    }

    /// Reads `input` instead. It is read on a thread of its own, which ends with the input or one read after the source
    /// and its reader are gone.
    ///
    /// # Errors
    /// [`SourceError::Config`] if the framing cannot work.
    pub fn from_read(input: impl Read + Send + 'static, framing: Framing) -> Result<Self, SourceError> {
        framing.check()?;
        let intake = Intake {
            input: Input::Unread(Box::new(input)),
            piece: Cursor::default(),
            framer: Framer::new(framing, MAX_RECORD, 0, None),
        };
        Ok(Self { intake: Arc::new(Mutex::new(intake)) })
    }
}

#[async_trait]
impl Source for StdinSource {
    async fn splits(&self) -> Result<Vec<SplitId>, SourceError> {
        Ok(vec![SplitId::new("stdin")])
    }

    async fn open(&self, _split: &SplitId, from: Option<&Position>) -> Result<Box<dyn Reader>, SourceError> {
        let wanted = match from {
            None => 0,
            Some(position) => position.0["offset"].as_u64().ok_or_else(|| {
                SourceError::config(
                    "stdin: the checkpoint holds no position in stdin; start with --reset-state to go on",
                )
            })?,
        };
        let mut intake = Arc::clone(&self.intake)
            .try_lock_owned()
            .map_err(|_| SourceError::config("stdin is being read already and has one reader only"))?;
        let at = intake.framer.position();
        if wanted != at {
            return Err(SourceError::config(format!(
                "stdin stands at byte {at} and cannot be read from byte {wanted}, as it does not come twice; \
                 start with --reset-state, or read a file instead"
            )));
        }
        intake.start()?;
        Ok(Box::new(StdinReader { intake }))
    }

    fn bounded(&self) -> bool {
        true
    }

    /// What was piped into another process does not come again.
    fn resumes(&self) -> bool {
        false
    }
}

enum Input {
    Unread(Box<dyn Read + Send>),
    Reading(Receiver<io::Result<Vec<u8>>>),
    Failed(io::Error),
    Ended,
}

/// What has come in and was not handed out yet.
struct Intake {
    input: Input,
    piece: Cursor<Vec<u8>>,
    framer: Framer,
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").field("position", &self.framer.position()).finish_non_exhaustive()
    }
}

impl Intake {
    fn start(&mut self) -> Result<(), SourceError> {
        if let Input::Unread(input) = &mut self.input {
            let mut input = std::mem::replace(input, Box::new(io::empty()));
            let (sender, receiver) = mpsc::channel(PIECES);
            // Nobody waits for it: it may sit in a read that never returns, and ends with the process.
            std::thread::Builder::new()
                .name("stdin".to_owned())
                .spawn(move || pump(&mut *input, &sender))
                .map_err(|e| SourceError::retry("cannot start the thread that reads stdin", e))?;
            self.input = Input::Reading(receiver);
        }
        Ok(())
    }

    async fn read(&mut self, records: &mut Records, limits: ReadLimits) -> Result<ReadStatus, SourceError> {
        let (held, limit) = (records.count(), records.byte_len().saturating_add(limits.bytes.max(1)));
        let deadline = Instant::now().checked_add(limits.wait);
        loop {
            match self.framer.frame(records, limit) {
                Framed::Full => return Ok(ReadStatus::More),
                Framed::NoHeader(reason) => return Err(no_header(&reason)),
                Framed::Hungry => {}
            }
            // Reading from memory does not fail.
            if self.framer.fill(&mut self.piece).is_ok_and(|bytes| bytes > 0) {
                continue;
            }
            let receiver = match &mut self.input {
                Input::Reading(receiver) => receiver,
                Input::Failed(_) if !records.is_empty() => return Ok(ReadStatus::More),
                Input::Failed(e) => {
                    let what = format!("cannot read stdin at byte {}", self.framer.read_to());
                    return Err(SourceError::fatal(what, io::Error::new(e.kind(), e.to_string())));
                }
                Input::Unread(_) | Input::Ended => return self.finish(records),
            };
            let next = if records.count() == held {
                match deadline {
                    None => receiver.recv().await,
                    Some(deadline) => match timeout_at(deadline, receiver.recv()).await {
                        Ok(next) => next,
                        Err(_) => return Ok(ReadStatus::CaughtUp),
                    },
                }
            } else {
                match receiver.try_recv() {
                    Ok(next) => Some(next),
                    Err(TryRecvError::Empty) => return Ok(ReadStatus::CaughtUp),
                    Err(TryRecvError::Disconnected) => None,
                }
            };
            match next {
                Some(Ok(piece)) => self.piece = Cursor::new(piece),
                Some(Err(e)) => self.input = Input::Failed(e),
                None => self.input = Input::Ended,
            }
        }
    }

    fn finish(&mut self, records: &mut Records) -> Result<ReadStatus, SourceError> {
        match self.framer.finish(records) {
            Framed::Full => Ok(ReadStatus::More),
            Framed::NoHeader(reason) => Err(no_header(&reason)),
            Framed::Hungry => Ok(ReadStatus::Ended),
        }
    }
}

fn no_header(reason: &str) -> SourceError {
    SourceError::config(format!("stdin: the first record is no CSV header: {reason}"))
}

/// Sends what `input` gives until it ends or nobody wants it any more.
fn pump(input: &mut dyn Read, pieces: &mpsc::Sender<io::Result<Vec<u8>>>) {
    let mut buffer = vec![0; Framer::CHUNK];
    loop {
        let piece = match input.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => Ok(buffer[..n].to_vec()),
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => Err(e),
        };
        let failed = piece.is_err();
        if pieces.blocking_send(piece).is_err() || failed {
            return;
        }
    }
}

struct StdinReader {
    intake: OwnedMutexGuard<Intake>,
}

#[async_trait]
impl Reader for StdinReader {
    async fn read(&mut self, records: &mut Records, limits: ReadLimits) -> Result<ReadStatus, SourceError> {
        self.intake.read(records, limits).await
    }

    fn position(&self) -> Position {
        Position(json!({ "offset": self.intake.framer.position() }))
    }

    async fn acknowledge(&mut self, _position: &Position) -> Result<(), SourceError> {
        Ok(())
    }
}
