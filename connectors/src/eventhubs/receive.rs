//! The task that owns one connection: it receives, looks now and then how far the partition goes, and closes.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use azure_messaging_eventhubs::models::{EventHubPartitionProperties, ReceivedEventData};
use azure_messaging_eventhubs::{ConsumerClient, EventHubsError, OpenReceiverOptions};
use futures::StreamExt;
use tokio::sync::{mpsc, watch};
use watershed_clients::azure::Trouble;

use super::client::close;
use super::failure::{Doing, failed, trouble};
use super::look::{Seen, is_due, is_stalled, pause};
use super::patience::Pace;
use super::place::{Extent, Place};
use super::settings::Settings;
use crate::error::SourceError;

/// Events between the task and the reader: enough that neither waits for the other at each. What is on its way behind them is
/// bounded by `prefetch`.
const HANDED_OVER: usize = 512;

/// Stands for the sequence number of the last event that came, where none did and nothing is known of the past.
const NOTHING: i64 = i64::MIN;

/// What the reader holds of the task; letting go of it ends the task.
#[derive(Debug)]
pub(super) struct Receiving {
    /// Events in order, and at last what went wrong.
    pub(super) events: mpsc::Receiver<Result<ReceivedEventData, SourceError>>,
    /// What the last look has shown.
    pub(super) look: watch::Receiver<Look>,
    /// Between two looks while nothing comes.
    pub(super) pause: Duration,
}

/// What a partition held, and when it was asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) extent: Extent,
    pub(super) asked: Instant,
}

impl Look {
    pub(super) fn of(properties: &EventHubPartitionProperties, asked: Instant) -> Self {
        Self { extent: Extent::from(properties), asked }
    }
}

/// A receiver that is about to start.
pub(super) struct Receiver {
    pub(super) settings: Arc<Settings>,
    pub(super) pace: Arc<Pace>,
    pub(super) client: ConsumerClient,
    pub(super) partition: String,
    pub(super) place: Place,
    pub(super) look: Look,
    pub(super) owner_level: Option<i64>,
    /// How many partitions share the service's patience.
    pub(super) partitions: usize,
}

/// What receiving and looking tell each other.
struct Progress {
    /// Sequence number of the last event that came.
    received: AtomicI64,
    /// True while an event waits for room.
    full: AtomicBool,
    /// When the last event came, or found room.
    at: Mutex<Instant>,
}

impl Progress {
    fn made(&self) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn silent_for(&self) -> Duration {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

impl Receiver {
    /// What the reader gets, and the task that has to be run for it.
    pub(super) fn start(self) -> (Receiving, impl Future<Output = ()> + Send) {
        let (events, taken) = mpsc::channel(HANDED_OVER);
        let (tell, look) = watch::channel(self.look);
        (Receiving { events: taken, look, pause: self.pause() }, self.run(events, tell))
    }

    fn pause(&self) -> Duration {
        pause(&self.settings.patience, self.partitions)
    }

    async fn run(self, events: mpsc::Sender<Result<ReceivedEventData, SourceError>>, tell: watch::Sender<Look>) {
        let progress = Progress {
            received: AtomicI64::new(self.place.sequence().unwrap_or(NOTHING)),
            full: AtomicBool::new(false),
            at: Mutex::new(Instant::now()),
        };
        let end = tokio::select! {
            end = self.receive(&events, &progress) => end,
            end = self.look(&tell, &progress) => Some(end),
            () = events.closed() => None,
        };
        if let Some(error) = end {
            // The reader may have gone.
            let _ = events.send(Err(error)).await;
        }
        close(self.client, self.settings.patience.close).await;
    }

    /// Receives until something breaks, or the reader goes: then there is nothing to tell.
    async fn receive(
        &self,
        events: &mpsc::Sender<Result<ReceivedEventData, SourceError>>,
        progress: &Progress,
    ) -> Option<SourceError> {
        let doing = Doing::Receiving(&self.partition);
        let options = OpenReceiverOptions {
            owner_level: self.owner_level,
            prefetch: Some(self.settings.prefetch),
            start_position: Some(self.place.start()),
            receive_timeout: None,
        };
        let receiver = match self.client.open_receiver_on_partition(self.partition.clone(), Some(options)).await {
            Ok(receiver) => receiver,
            Err(error) => return Some(self.failed(doing, &error)),
        };
        let mut stream = std::pin::pin!(receiver.stream_events());
        while let Some(next) = stream.next().await {
            let event = match next {
                Ok(event) => event,
                Err(error) => return Some(self.failed(doing, &error)),
            };
            if let Some(sequence) = event.sequence_number() {
                progress.received.store(sequence, Ordering::Relaxed);
            }
            progress.made();
            progress.full.store(events.capacity() == 0, Ordering::Relaxed);
            if events.send(Ok(event)).await.is_err() {
                return None;
            }
            if progress.full.swap(false, Ordering::Relaxed) {
                progress.made();
            }
        }
        Some(self.broken("the receiver ended"))
    }

    /// Looks how far the partition goes, until that fails or shows that the receiver is dead.
    async fn look(&self, tell: &watch::Sender<Look>, progress: &Progress) -> SourceError {
        let mut asked = self.look.asked;
        loop {
            tokio::time::sleep(self.pause()).await;
            if !is_due(self.pause(), progress.silent_for(), asked.elapsed()) {
                continue;
            }
            asked = Instant::now();
            let properties = match self.settings.look(&self.client, &self.partition).await {
                Ok(properties) => properties,
                Err(error) => return error,
            };
            let look = Look::of(&properties, asked);
            tell.send_replace(look);
            let seen = Seen {
                last: look.extent.last,
                received: match progress.received.load(Ordering::Relaxed) {
                    // Of what is older than the moment at which it begins, nothing is missing.
                    NOTHING if self.place.is_at_end(look.extent) => look.extent.last,
                    received => received,
                },
                silent_for: progress.silent_for(),
                full: progress.full.load(Ordering::Relaxed),
            };
            if is_stalled(&self.settings.patience, seen) {
                return self.broken("events are there and do not come");
            }
        }
    }

    fn failed(&self, doing: Doing<'_>, error: &EventHubsError) -> SourceError {
        if trouble(error) == Trouble::Throttled {
            self.pace.throttled();
        }
        failed(&self.settings, doing, error)
    }

    fn broken(&self, why: &str) -> SourceError {
        SourceError::retry(self.settings.name_of(&self.partition), why.to_string())
    }
}
