//! The one split of what is pushed: records in the order in which their requests had come in.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::Ack;
use super::inlet::Inlet;
use crate::error::SourceError;
use crate::metadata::Wanted;
use crate::records::Records;
use crate::source::{Lag, Position, ReadLimits, ReadStatus, Reader, Source, SplitId};

/// HTTP push.
#[derive(Debug)]
pub(super) struct HttpSource {
    pub(super) inlet: Arc<Inlet>,
    wanted: OnceLock<Wanted>,
}

impl HttpSource {
    pub(super) fn new(inlet: Arc<Inlet>) -> Self {
        Self { inlet, wanted: OnceLock::new() }
    }
}

#[async_trait]
impl Source for HttpSource {
    async fn splits(&self) -> Result<Vec<SplitId>, SourceError> {
        Ok(vec![SplitId::new("http")])
    }

    async fn open(&self, _split: &SplitId, from: Option<&Position>) -> Result<Box<dyn Reader>, SourceError> {
        let number = |position: &Position| {
            position.0["accepted"].as_u64().ok_or_else(|| {
                SourceError::config("the checkpoint holds no number of accepted records; start with --reset-state")
            })
        };
        self.inlet.queue().begin(from.map(number).transpose()?)?;
        let wanted = self.wanted.get().cloned().unwrap_or_default();
        Ok(Box::new(HttpReader { inlet: self.inlet.clone(), wanted }))
    }

    fn bounded(&self) -> bool {
        false
    }

    fn acknowledges(&self) -> bool {
        true
    }

    fn awaited(&self) -> bool {
        self.inlet.ack == Ack::Durable
    }

    fn describe(&self, wanted: Wanted) {
        // Told once.
        let _ = self.wanted.set(wanted);
    }

    fn inlet(&self) -> Option<Arc<Inlet>> {
        Some(self.inlet.clone())
    }

    fn stop(&self) -> bool {
        self.inlet.queue().close();
        true
    }

    async fn probe(&self) -> Result<String, SourceError> {
        Ok("waits for requests; nothing to connect to".to_string())
    }

    async fn close(&self) {
        self.inlet.queue().give_up();
    }
}

struct HttpReader {
    inlet: Arc<Inlet>,
    wanted: Wanted,
}

#[async_trait]
impl Reader for HttpReader {
    async fn read(&mut self, records: &mut Records, limits: ReadLimits) -> Result<ReadStatus, SourceError> {
        let held = records.count();
        let deadline = Instant::now().checked_add(limits.wait);
        loop {
            {
                let mut queue = self.inlet.queue();
                queue.read(records, &self.wanted, limits.bytes.max(1));
                if !queue.is_empty() {
                    return Ok(ReadStatus::More);
                }
                if records.count() > held || limits.wait.is_zero() {
                    return Ok(ReadStatus::CaughtUp);
                }
            }
            let news = self.inlet.news.notified();
            match deadline {
                None => news.await,
                Some(deadline) if timeout_at(deadline, news).await.is_err() => return Ok(ReadStatus::CaughtUp),
                Some(_) => {}
            }
        }
    }

    fn position(&self) -> Position {
        Position(json!({ "accepted": self.inlet.queue().handed() }))
    }

    async fn acknowledge(&mut self, position: &Position) -> Result<(), SourceError> {
        if let Some(accepted) = position.0["accepted"].as_u64() {
            self.inlet.queue().acknowledge(accepted);
        }
        Ok(())
    }

    fn lag(&self) -> Lag {
        let queue = self.inlet.queue();
        let behind = queue.oldest().map_or(Duration::ZERO, |oldest| {
            Duration::from_micros(u64::try_from(Utc::now().timestamp_micros() - oldest).unwrap_or(0))
        });
        Lag { records: Some(queue.len()), behind: Some(behind) }
    }
}

impl Drop for HttpReader {
    fn drop(&mut self) {
        self.inlet.queue().end();
    }
}
