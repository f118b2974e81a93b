//! The writer, asked from a runtime: brokers are waited for where that holds up nobody.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::options::KafkaOptions;
use super::writer::Writer;
use crate::error::SinkError;
use crate::messages::{Epoch, Publisher};

/// How often the record is put there once more while nothing is published. Brokers forget it after a week, or as they are told,
/// which is hardly less than a day: some tries may fail.
const KEPT_EVERY: Duration = Duration::from_secs(3600);

/// Publishes to a topic, once for readers of committed transactions.
#[derive(Debug)]
pub(super) struct KafkaPublisher {
    place: String,
    // Shared with the blocking tasks that wait for brokers.
    writer: Arc<Mutex<Writer>>,
    /// When the record was last put there, or tried to be.
    kept: Instant,
}

impl KafkaPublisher {
    /// A publisher that calls itself `name`, which nobody else may.
    pub(super) fn new(options: KafkaOptions, name: &str) -> Self {
        let place = format!("kafka topic \"{}\"", options.topic);
        let writer = Writer::new(options, format!("watershed/{name}"));
        Self { place, writer: Arc::new(Mutex::new(writer)), kept: Instant::now() }
    }

    /// If this is dropped, what was asked goes on, which changes nothing: its epoch is durable, and whoever asks next waits
    /// for its end.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Writer) -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        let writer = Arc::clone(&self.writer);
        let asked = tokio::task::spawn_blocking(move || {
            // A session is put back only when all went well: what is found after a panic is whole.
            ask(&mut writer.lock().unwrap_or_else(PoisonError::into_inner))
        });
        asked.await.map_err(|error| SinkError::fatal(&self.place, error))?
    }
}

#[async_trait]
impl Publisher for KafkaPublisher {
    fn place(&self) -> &str {
        &self.place
    }

    async fn open(&mut self) -> Result<u64, SinkError> {
        self.ask(Writer::open).await
    }

    async fn probe(&mut self) -> Result<String, SinkError> {
        self.ask(|writer| writer.find_topic()).await
    }

    fn keep_record(&mut self) {
        if self.kept.elapsed() < KEPT_EVERY {
            return;
        }
        self.kept = Instant::now();
        let (writer, place) = (Arc::clone(&self.writer), self.place.clone());
        // Nobody waits for it. Brokers that do not answer hold up what is published next, and that only.
        tokio::task::spawn_blocking(move || {
            if let Err(error) = writer.lock().unwrap_or_else(PoisonError::into_inner).keep() {
                tracing::warn!(place, %error, "the record of what is published could not be renewed: tried again in an hour");
            }
        });
    }

    async fn publish(&mut self, epoch: Epoch) -> Result<u64, SinkError> {
        self.kept = Instant::now();
        self.ask(move |writer| writer.publish(&epoch)).await
    }
}
