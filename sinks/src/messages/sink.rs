//! The sink: messages are made as rows come, wait for an epoch, and leave when it is committed.

use std::collections::VecDeque;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::message::{Epoch, Message, messages};
use super::publisher::Publisher;
use crate::error::SinkError;
use crate::numbers::Numbers;
use crate::sink::{Committed, Flush, Held, Prepared, Sink};

/// So many epochs' worth of rows may wait before it is told: a burst empties by itself, a rate does not.
const TOLD_AFTER: usize = 4;

/// How much is sent at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of messages of an epoch.
    pub(crate) epoch_bytes: usize,
    /// Messages of a part.
    pub(crate) part_rows: usize,
    /// Bytes of messages of a part.
    pub(crate) part_bytes: usize,
}

impl Limits {
    /// Epochs of so many bytes, each sent as a whole.
    pub(crate) fn whole(epoch_bytes: usize) -> Self {
        Self { epoch_bytes, part_rows: usize::MAX, part_bytes: usize::MAX }
    }
}

/// Sends each row as a message.
#[derive(Debug)]
pub(crate) struct MessageSink<P> {
    publisher: P,
    /// Index of the column that is the key.
    key: Option<usize>,
    limits: Limits,
    numbers: Numbers,
    /// Batches with messages that no epoch took yet.
    waiting: VecDeque<Waiting>,
    /// Bytes of memory that those take.
    waiting_bytes: usize,
    /// Whether it was told that too many wait.
    told: bool,
    held: Option<Held>,
    /// The last epoch that is known to be on record; zero if none is.
    recorded: u64,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    bytes: usize,
    messages: Vec<Message>,
}

impl Waiting {
    /// Bytes of memory.
    fn memory(&self) -> usize {
        self.bytes + self.messages.len() * size_of::<Message>()
    }
}

/// Which batches were written; all before it come again.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Cursor {
    through: u64,
}

impl<P: Publisher> MessageSink<P> {
    /// A sink that publishes by `publisher`; the column at `key` is that of each message.
    pub(crate) fn new(publisher: P, key: Option<usize>, limits: Limits) -> Self {
        Self {
            publisher,
            key,
            limits,
            numbers: Numbers::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            told: false,
            held: None,
            recorded: 0,
        }
    }

    fn failed(&self, what: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SinkError {
        SinkError::fatal(format!("{}: {what}", self.publisher.place()), error)
    }

    fn unreadable(&self, error: serde_json::Error) -> SinkError {
        self.failed("what the state holds of it cannot be read", error)
    }

    /// Refuses an epoch that would be taken for a repetition, so that nobody would ever see its rows.
    fn check_new(&self, epoch: u64) -> Result<(), SinkError> {
        if epoch > self.recorded {
            return Ok(());
        }
        let what = format!("epoch {epoch} comes next, but {} is on record there", self.recorded);
        Err(self.failed(
            &what,
            "the state is older than what is on record, or another daemon has this name: end the other one and start \
             again, restore the newer state, or begin anew with --reset-state",
        ))
    }

    /// Takes from what waits: all, or whole batches, at least one, until an epoch is full.
    fn take(&mut self, flush: Flush) -> Vec<Message> {
        let mut taken = Vec::new();
        let mut bytes = 0_usize;
        while let Some(next) = self.waiting.front() {
            bytes = bytes.saturating_add(next.bytes);
            if flush == Flush::Due && !taken.is_empty() && bytes > self.limits.epoch_bytes {
                break;
            }
            self.waiting_bytes -= next.memory();
            taken.extend(self.waiting.pop_front().into_iter().flat_map(|next| next.messages));
        }
        taken
    }

    /// Says it once if rows come faster than epochs take them.
    fn watch_waiting(&mut self) {
        let waiting: usize = self.waiting.iter().map(|next| next.bytes).sum();
        let many = waiting > self.limits.epoch_bytes.saturating_mul(TOLD_AFTER);
        if many && !self.told {
            let (place, limit) = (self.publisher.place(), self.limits.epoch_bytes);
            tracing::warn!(place, waiting, limit, "rows come faster than epochs take them: raise `max_epoch_bytes`");
        }
        self.told = many;
    }
}

/// Parts of at most so many messages and bytes, but of one message at least.
fn parts(messages: Vec<Message>, limits: Limits) -> Vec<Vec<Message>> {
    let mut parts: Vec<Vec<Message>> = Vec::new();
    let mut bytes = 0_usize;
    for message in messages {
        bytes = bytes.saturating_add(message.bytes());
        match parts.last_mut() {
            Some(part) if part.len() < limits.part_rows && bytes <= limits.part_bytes => part.push(message),
            _ => {
                bytes = message.bytes();
                parts.push(vec![message]);
            }
        }
    }
    parts
}

#[async_trait]
impl<P: Publisher> Sink for MessageSink<P> {
    async fn open(&mut self) -> Result<u64, SinkError> {
        self.recorded = self.publisher.open().await?;
        Ok(self.recorded + 1)
    }

    async fn write(&mut self, number: u64, batch: RecordBatch) -> Result<(), SinkError> {
        self.numbers.check(number)?;
        let messages = messages(&batch, self.key).map_err(|error| self.failed("rows as JSON", error))?;
        self.numbers.take(number);
        if !messages.is_empty() {
            let bytes = messages.iter().map(Message::bytes).sum();
            let next = Waiting { number, bytes, messages };
            self.waiting_bytes += next.memory();
            self.waiting.push_back(next);
        }
        Ok(())
    }

    async fn prepare(&mut self, epoch: u64, flush: Flush) -> Result<Prepared, SinkError> {
        self.numbers.check_whole()?;
        self.check_new(epoch)?;
        let messages = self.take(flush);
        self.watch_waiting();
        let cursor = Cursor { through: self.numbers.next() };
        let cursor = serde_json::to_value(cursor).map_err(|error| self.unreadable(error))?;
        self.held = self.waiting.front().map(|next| Held { first: next.number, cursor, ..Held::default() });
        if messages.is_empty() {
            self.publisher.keep_record();
            return Ok(Prepared::nothing());
        }
        let parts = parts(messages, self.limits);
        let prepared = serde_json::to_value(Epoch { epoch, after: self.recorded, parts });
        Ok(Prepared(prepared.map_err(|error| self.unreadable(error))?))
    }

    fn held(&self) -> Option<Held> {
        self.held.clone()
    }

    fn held_bytes(&self) -> usize {
        self.waiting_bytes
    }

    async fn resume(&mut self, held: &Held) -> Result<(), SinkError> {
        let cursor = Cursor::deserialize(&held.cursor).map_err(|error| self.unreadable(error))?;
        self.numbers.resume(held.first, cursor.through);
        self.held = Some(held.clone());
        Ok(())
    }

    async fn commit(&mut self, prepared: &Prepared) -> Result<Committed, SinkError> {
        if prepared.is_nothing() {
            return Ok(Committed::default());
        }
        let epoch = Epoch::deserialize(&prepared.0).map_err(|error| self.unreadable(error))?;
        self.recorded = self.publisher.publish(epoch).await?;
        Ok(Committed::default())
    }
}
