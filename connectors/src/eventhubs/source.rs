//! The hub as a source: its partitions, and readers for them.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use azure_messaging_eventhubs::ConsumerClient;
use tokio::task::JoinSet;

use super::client::close;
use super::mirror::Mirror;
use super::patience::Pace;
use super::place::{Extent, Place};
use super::reader::EventHubsReader;
use super::receive::{Look, Receiver};
use super::settings::Settings;
use crate::error::SourceError;
use crate::metadata::Wanted;
use crate::source::{Known, Position, Reader, Source, SplitId};
use crate::start::Beginning;
use crate::stream::Surroundings;

/// How long a probe waits whether a receiver is refused: the service says so at once.
const REFUSAL: Duration = Duration::from_secs(2);
/// What connections that are being closed get when the run ends.
const FAREWELL: Duration = Duration::from_secs(5);

/// One event hub.
#[derive(Debug)]
pub(super) struct EventHubsSource {
    settings: Arc<Settings>,
    pub(super) pace: Arc<Pace>,
    beginning: Beginning,
    wanted: OnceLock<Wanted>,
    mirror: Option<Arc<Mirror>>,
    listing: tokio::sync::Mutex<Listing>,
    /// Connections that are open, or being closed.
    tasks: Mutex<JoinSet<()>>,
}

/// The partitions as they were last listed, and the connection that asks for them.
#[derive(Default)]
struct Listing {
    client: Option<ConsumerClient>,
    splits: Vec<SplitId>,
    at: Option<Instant>,
}

impl std::fmt::Debug for Listing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listing").field("splits", &self.splits).finish_non_exhaustive()
    }
}

impl EventHubsSource {
    pub(super) fn new(settings: Settings, _around: &Surroundings) -> Result<Self, SourceError> {
        let mirror = match &settings.store {
            Some(store) => Some(Mirror::new(&settings, store)?),
            None => None,
        };
        Ok(Self {
            beginning: Beginning::new(settings.start),
            settings: Arc::new(settings),
            pace: Arc::default(),
            wanted: OnceLock::new(),
            mirror,
            listing: tokio::sync::Mutex::default(),
            tasks: Mutex::default(),
        })
    }

    /// Asks for the partitions, over the connection there is or a new one; one that has failed is not used again.
    async fn list(&self, listing: &mut Listing) -> Result<(), SourceError> {
        let client = match listing.client.take() {
            Some(client) => client,
            None => self.settings.connect().await?,
        };
        match self.settings.partitions(&client).await {
            Ok(names) => {
                listing.client = Some(client);
                listing.splits = names.into_iter().map(SplitId::new).collect();
                listing.at = Some(Instant::now());
                self.beginning.listed(&listing.splits);
                Ok(())
            }
            Err(error) => {
                self.spawn(close(client, self.settings.patience.close));
                Err(error)
            }
        }
    }

    async fn receiver(
        &self,
        split: &SplitId,
        from: Option<&Position>,
        owner_level: Option<i64>,
    ) -> Result<Receiver, SourceError> {
        self.pace.wait().await;
        let client = self.settings.connect().await?;
        let asked = Instant::now();
        let look = match self.settings.look(&client, split.as_str()).await {
            Ok(properties) => Look::of(&properties, asked),
            Err(error) => {
                self.spawn(close(client, self.settings.patience.close));
                return Err(error);
            }
        };
        let place = match self.place(split, from, look.extent) {
            Ok(place) => place,
            Err(error) => {
                self.spawn(close(client, self.settings.patience.close));
                return Err(error);
            }
        };
        let partitions = self.listing.lock().await.splits.len();
        let (settings, pace, partition) = (self.settings.clone(), self.pace.clone(), split.as_str().to_string());
        Ok(Receiver { settings, pace, client, partition, place, look, owner_level, partitions })
    }

    fn place(&self, split: &SplitId, from: Option<&Position>, extent: Extent) -> Result<Place, SourceError> {
        let Some(position) = from else { return Ok(Place::of(self.beginning.of(split), extent)) };
        let place = Place::restore(split, position)?;
        let hub = &self.settings.hub;
        if place.is_beyond(extent) {
            return Err(SourceError::retry(
                format!("{}, partition {split}: was the hub made anew? then begin with --reset-state", hub.place()),
                format!("the checkpoint stands behind event {:?}, the newest is {}", place.sequence(), extent.last),
            ));
        }
        let (place, expired) = place.among(extent);
        if expired > 0 {
            let (namespace, hub) = (&hub.namespace, &hub.name);
            tracing::warn!(namespace, hub, partition = %split, expired, "events were dropped by retention before they were read");
        }
        Ok(place)
    }

    fn read(&self, split: &SplitId, receiver: Receiver) -> EventHubsReader {
        let place = receiver.place.clone();
        let (receiving, task) = receiver.start();
        self.spawn(task);
        EventHubsReader {
            split: split.clone(),
            place,
            receiving,
            wanted: self.wanted.get().cloned().unwrap_or_default(),
            mirror: self.mirror.clone(),
            enqueued: None,
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

#[async_trait]
impl Source for EventHubsSource {
    fn restore(&self, known: &[(SplitId, Known)]) {
        self.beginning.restore(known);
    }

    async fn splits(&self) -> Result<Vec<SplitId>, SourceError> {
        let mut listing = self.listing.lock().await;
        if listing.at.is_none_or(|at| at.elapsed() >= self.settings.refresh) {
            self.list(&mut listing).await?;
        }
        Ok(listing.splits.clone())
    }

    async fn open(&self, split: &SplitId, from: Option<&Position>) -> Result<Box<dyn Reader>, SourceError> {
        let receiver = self.receiver(split, from, self.settings.owner_level).await?;
        Ok(Box::new(self.read(split, receiver)))
    }

    fn bounded(&self) -> bool {
        false
    }

    fn discovers(&self) -> bool {
        true
    }

    fn acknowledges(&self) -> bool {
        self.mirror.is_some()
    }

    fn describe(&self, wanted: Wanted) {
        // Told once.
        let _ = self.wanted.set(wanted);
    }

    /// Attaches without the owner level: a check must not take partitions from a daemon that runs.
    async fn probe(&self) -> Result<String, SourceError> {
        let Settings { hub, group, .. } = &*self.settings;
        let splits = self.splits().await.map_err(|error| match error {
            // Nothing is tried again by a check.
            SourceError::Retry { .. } => SourceError::config(error),
            other => other,
        })?;
        if let Some(mirror) = &self.mirror {
            mirror.probe().await?;
        }
        let mut taken = false;
        if let Some(split) = splits.first() {
            let mut reader = self.read(split, self.receiver(split, None, None).await?);
            match tokio::time::timeout(REFUSAL, reader.receiving.events.recv()).await {
                // There are readers with an owner level, which says that the group can be read.
                Ok(Some(Err(SourceError::Fatal { .. }))) => taken = true,
                Ok(Some(Err(error))) => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        let beside = if taken { "; others read it with an owner level" } else { "" };
        Ok(format!("{}, {} partitions, consumer group {group}{beside}", hub.place(), splits.len()))
    }

    async fn close(&self) {
        if let Some(mirror) = &self.mirror {
            mirror.close().await;
        }
        if let Some(client) = self.listing.lock().await.client.take() {
            close(client, self.settings.patience.close).await;
        }
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        // Those that do not end are dropped with the set.
        let _ = tokio::time::timeout(FAREWELL, async { while tasks.join_next().await.is_some() {} }).await;
    }
}
