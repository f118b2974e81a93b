//! The writer, asked from a runtime: brokers are waited for where that holds up nobody.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::options::KafkaOptions;
use super::writer::Writer;
use crate::error::SinkError;
use crate::messages::{Epoch, Publisher};

/// Publishes to a topic, once for readers of committed transactions.
#[derive(Debug)]
pub(super) struct KafkaPublisher {
    place: String,
    // Shared with the blocking tasks that wait for brokers.
    writer: Arc<Mutex<Writer>>,
}

impl KafkaPublisher {
    /// A publisher that calls itself `name`, which nobody else may.
    pub(super) fn new(options: KafkaOptions, name: &str) -> Self {
        let place = format!("kafka topic \"{}\"", options.topic);
        let writer = Writer::new(options, format!("watershed/{name}"));
        Self { place, writer: Arc::new(Mutex::new(writer)) }
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

    async fn publish(&mut self, epoch: Epoch) -> Result<u64, SinkError> {
        self.ask(move |writer| writer.publish(&epoch)).await
    }
}
