//! The sink: messages are made as rows come, wait for an epoch, and leave when it is committed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::messages::{Epoch, Message, messages};
use super::options::KafkaOptions;
use super::publisher::Publisher;
use crate::error::SinkError;
use crate::numbers::Numbers;
use crate::sink::{Committed, Flush, Held, Prepared, Sink, SinkContext};

/// Sends each row as a message, once for readers of committed transactions.
#[derive(Debug)]
pub struct KafkaSink {
    topic: String,
    /// Index of the column that is the key.
    key: Option<usize>,
    max_epoch_bytes: usize,
    // Shared with the blocking tasks that wait for brokers.
    publisher: Arc<Mutex<Publisher>>,
    numbers: Numbers,
    /// Batches with messages that no epoch took yet.
    waiting: VecDeque<Waiting>,
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

/// Which batches were written; all before it come again.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Cursor {
    through: u64,
}

impl KafkaSink {
    /// A sink for the rows of `context`, which is called `sink` in the region file. Two processes with the same region,
    /// pipeline and sink are taken for one.
    pub fn new(options: KafkaOptions, context: &SinkContext, sink: &str) -> Result<Self, SinkError> {
        options.check(context)?;
        let name = ["watershed", &*context.region, &*context.pipeline, sink].map(part).join("/");
        Ok(Self {
            topic: options.topic.clone(),
            key: options.key_column(context)?,
            max_epoch_bytes: usize::try_from(options.max_epoch_bytes.0).unwrap_or(usize::MAX),
            publisher: Arc::new(Mutex::new(Publisher::new(Arc::new(options), name))),
            numbers: Numbers::default(),
            waiting: VecDeque::new(),
            held: None,
            recorded: 0,
        })
    }

    /// Looks whether the topic can be reached, and disturbs nobody who writes to it; says what it found.
    pub async fn probe(&self) -> Result<String, SinkError> {
        self.ask(|publisher| publisher.find_topic()).await
    }

    /// Runs what waits for brokers where that holds up nobody. If this is dropped it goes on, which changes nothing: its
    /// epoch is durable, and whoever asks next waits for its end.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Publisher) -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        let publisher = Arc::clone(&self.publisher);
        let asked = tokio::task::spawn_blocking(move || {
            // A session is put back only when all went well: what is found after a panic is whole.
            ask(&mut publisher.lock().unwrap_or_else(PoisonError::into_inner))
        });
        asked.await.map_err(|error| SinkError::fatal(format!("kafka topic \"{}\"", self.topic), error))?
    }

    fn unreadable(&self, error: serde_json::Error) -> SinkError {
        SinkError::fatal(format!("kafka topic \"{}\": what the state holds of it cannot be read", self.topic), error)
    }

    /// Takes from what waits: all, or whole batches, at least one, until an epoch is full.
    fn take(&mut self, flush: Flush) -> Vec<Message> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.waiting.front() {
            bytes += next.bytes;
            if flush == Flush::Due && !taken.is_empty() && bytes > self.max_epoch_bytes {
                break;
            }
            taken.extend(self.waiting.pop_front().into_iter().flat_map(|next| next.messages));
        }
        taken
    }
}

/// A part of a name, such that no two lists of parts have one name.
fn part(text: &str) -> String {
    text.replace('%', "%25").replace('/', "%2F")
}

#[async_trait]
impl Sink for KafkaSink {
    async fn open(&mut self) -> Result<u64, SinkError> {
        self.recorded = self.ask(Publisher::open).await?;
        Ok(self.recorded + 1)
    }

    async fn write(&mut self, number: u64, batch: RecordBatch) -> Result<(), SinkError> {
        self.numbers.check(number)?;
        let messages = messages(&batch, self.key)
            .map_err(|error| SinkError::fatal(format!("kafka topic \"{}\": rows as JSON", self.topic), error))?;
        self.numbers.take(number);
        if !messages.is_empty() {
            let bytes = messages.iter().map(Message::bytes).sum();
            self.waiting.push_back(Waiting { number, bytes, messages });
        }
        Ok(())
    }

    async fn prepare(&mut self, epoch: u64, flush: Flush) -> Result<Prepared, SinkError> {
        self.numbers.check_whole()?;
        let messages = self.take(flush);
        let cursor = Cursor { through: self.numbers.next() };
        let cursor = serde_json::to_value(cursor).map_err(|error| self.unreadable(error))?;
        self.held = self.waiting.front().map(|next| Held { first: next.number, cursor });
        if messages.is_empty() {
            return Ok(Prepared::nothing());
        }
        let prepared = serde_json::to_value(Epoch { epoch, after: self.recorded, messages });
        Ok(Prepared(prepared.map_err(|error| self.unreadable(error))?))
    }

    fn held(&self) -> Option<Held> {
        self.held.clone()
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
        self.recorded = self.ask(move |publisher| publisher.publish(&epoch)).await?;
        Ok(Committed::default())
    }
}
