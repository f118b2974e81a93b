//! Hands out what a streaming pull brings.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use futures::stream::{FuturesUnordered, StreamExt};
use google_cloud_pubsub::subscriber::handler::{ExactlyOnce, Handler};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::error::TryRecvError;

use super::flow::Flow;
use super::message;
use super::outstanding::Place;
use super::pull::{Delivery, Ledger, Told};
use super::source::Tasks;
use crate::error::SourceError;
use crate::metadata::Wanted;
use crate::records::Records;
use crate::source::{Lag, Position, ReadLimits, ReadStatus, Reader};

/// Messages after which a read returns: those that `start` leaves out take no bytes.
const MOST_AT_ONCE: usize = 100_000;
/// Acknowledgements between two looks at what else there is to do; one call of Pub/Sub takes as many.
const ACKNOWLEDGED_AT_ONCE: usize = 1000;

/// Reads one stream.
pub(super) struct PubSubReader {
    pub(super) place: Place,
    pub(super) wanted: Wanted,
    pub(super) flow: Flow,
    pub(super) ledger: Arc<Ledger>,
    pub(super) inbox: UnboundedReceiver<Told>,
    /// What ended the stream, while records that came before it are handed out.
    pub(super) ended: Option<SourceError>,
    /// When the last message was published, in microseconds since the Unix epoch.
    pub(super) published: Option<i64>,
    pub(super) tasks: Arc<Tasks>,
    /// True once it was told that acknowledgements are refused.
    pub(super) told: Arc<AtomicBool>,
}

impl PubSubReader {
    fn take(&mut self, delivery: Delivery, records: &mut Records) {
        let Delivery { message, handler, .. } = delivery;
        let attempt = handler.delivery_attempt();
        let bytes = u32::try_from(message.data.len()).unwrap_or(u32::MAX);
        let number = self.ledger.lock().add(handler, bytes);
        self.place.delivered = number + 1;
        self.published = message::published(&message).or(self.published);
        if self.place.after.is_some_and(|after| self.published.is_some_and(|published| published < after)) {
            records.skip(1);
            return;
        }
        records.push(&message.data, number);
        records.describe(&self.wanted, |place| message::value(&message, attempt, place));
    }

    /// What there is now; none if there is nothing.
    fn told(&mut self) -> Result<Option<Box<Delivery>>, SourceError> {
        if let Some(error) = self.ended.take() {
            return Err(error);
        }
        match self.inbox.try_recv() {
            Ok(Told::Delivery(delivery)) => Ok(Some(delivery)),
            Ok(Told::Ended(error)) => Err(error),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(gone()),
        }
    }
}

fn gone() -> SourceError {
    SourceError::retry("pubsub", "the task that pulls is gone")
}

#[async_trait]
impl Reader for PubSubReader {
    async fn read(&mut self, records: &mut Records, limits: ReadLimits) -> Result<ReadStatus, SourceError> {
        let held = records.byte_len();
        let mut taken = 0;
        loop {
            match self.told() {
                Ok(Some(delivery)) => {
                    self.take(*delivery, records);
                    taken += 1;
                    if records.byte_len() - held >= limits.bytes || taken == MOST_AT_ONCE {
                        return Ok(ReadStatus::More);
                    }
                }
                // No more has arrived here; whether there is more at the origin is said when nothing comes.
                Ok(None) if taken > 0 => return Ok(ReadStatus::CaughtUp),
                Ok(None) => break,
                Err(error) if taken > 0 => {
                    self.ended = Some(error);
                    return Ok(ReadStatus::More);
                }
                Err(error) => return Err(error),
            }
        }
        if limits.wait.is_zero() {
            tokio::task::yield_now().await;
        }
        match tokio::time::timeout(limits.wait, self.inbox.recv()).await {
            Ok(Some(Told::Delivery(delivery))) => {
                self.take(*delivery, records);
                Ok(ReadStatus::More)
            }
            Ok(Some(Told::Ended(error))) => Err(error),
            Ok(None) => Err(gone()),
            Err(_) if self.ledger.is_quiet(&self.flow) => Ok(ReadStatus::CaughtUp),
            Err(_) => Ok(ReadStatus::More),
        }
    }

    fn position(&self) -> Position {
        self.place.position()
    }

    async fn acknowledge(&mut self, position: &Position) -> Result<(), SourceError> {
        let before = Place::read(position)?.delivered;
        let mut confirmed = Vec::new();
        loop {
            let settled = self.ledger.settle(before, ACKNOWLEDGED_AT_ONCE);
            if settled.is_empty() {
                break;
            }
            for handler in settled {
                match handler {
                    Handler::ExactlyOnce(handler) => confirmed.push(handler),
                    other => other.ack(),
                }
            }
            tokio::task::yield_now().await;
        }
        if !confirmed.is_empty() {
            self.tasks.spawn(confirm(confirmed, self.told.clone()));
        }
        Ok(())
    }

    fn lag(&self) -> Lag {
        let behind = match self.published {
            _ if self.ledger.is_quiet(&self.flow) => Some(Duration::ZERO),
            None => None,
            Some(published) => {
                let published = UNIX_EPOCH + Duration::from_micros(u64::try_from(published).unwrap_or_default());
                Some(SystemTime::now().duration_since(published).unwrap_or_default())
            }
        };
        Lag { records: None, behind }
    }
}

/// Acknowledges where the service confirms it. What it refuses comes again and is told by its id.
async fn confirm(handlers: Vec<ExactlyOnce>, told: Arc<AtomicBool>) {
    let asked = handlers.len();
    let mut answers: FuturesUnordered<_> = handlers.into_iter().map(ExactlyOnce::confirmed_ack).collect();
    let (mut refused, mut why) = (0, None);
    while let Some(answer) = answers.next().await {
        if let Err(error) = answer {
            refused += 1;
            why = Some(error);
        }
    }
    let Some(error) = why else { return };
    if told.swap(true, Ordering::Relaxed) {
        tracing::debug!(asked, refused, %error, "acknowledgements refused");
    } else {
        tracing::warn!(asked, refused, %error, "acknowledgements refused; these messages come again and are dropped");
    }
}
