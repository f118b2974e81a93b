//! A stream as the engine sees it.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use tokio::sync::OnceCell;
use watershed_clients::aws::{Connection, StreamName};

use super::fanout::{FanOut, consumer};
use super::feed::Way;
use super::leases::{Gone, Leased, Leases};
use super::pace::Limits;
use super::place::Place;
use super::polling::Polling;
use super::probe::probe;
use super::reader::ShardReader;
use super::shards::Shards;
use super::{KinesisOptions, Mode};
use crate::error::SourceError;
use crate::metadata::Wanted;
use crate::predecessors::Predecessors;
use crate::source::{Known, Position, Reader, Source, SplitId};

/// A stream of Kinesis.
#[derive(Debug)]
pub(super) struct KinesisSource {
    options: KinesisOptions,
    stream: StreamName,
    region: Option<String>,
    name: Arc<str>,
    limits: Limits,
    shards: Arc<Shards>,
    wanted: OnceLock<Arc<Wanted>>,
    connection: OnceCell<Arc<Connection>>,
    /// ARN of the registered consumer, with fan-out.
    consumer: OnceCell<Arc<str>>,
    leases: OnceCell<Leases>,
    /// What the checkpoint knows, for `leases`.
    known: OnceLock<Vec<(SplitId, Known)>>,
    predecessors: OnceLock<Arc<dyn Predecessors>>,
}

impl KinesisSource {
    pub(super) fn new(options: KinesisOptions, stream: StreamName, region: Option<String>, name: Arc<str>) -> Self {
        let shards = Arc::new(Shards::new(options.start, options.refresh.0));
        let limits = match options.mode {
            Mode::Polling => Limits::SHARD,
            Mode::FanOut => Limits::SUBSCRIPTION,
        };
        Self {
            options,
            stream,
            region,
            name,
            limits,
            shards,
            wanted: OnceLock::new(),
            connection: OnceCell::new(),
            consumer: OnceCell::new(),
            leases: OnceCell::new(),
            known: OnceLock::new(),
            predecessors: OnceLock::new(),
        }
    }

    /// The same, at another pace: a stand-in has no quota.
    #[cfg(test)]
    pub(super) fn paced(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    async fn connection(&self) -> Result<&Arc<Connection>, SourceError> {
        let open = async || {
            let connection = Connection::open(&self.options.access(), &self.stream, self.region.as_deref()).await?;
            tracing::debug!(source = %self.name, stream = %self.stream.name, region = %connection.region, "connected");
            Ok(Arc::new(connection))
        };
        self.connection.get_or_try_init(open).await
    }

    /// Which shards are this daemon's, where it shares the stream.
    async fn leases(&self) -> Result<Option<&Leases>, SourceError> {
        let Some(options) = &self.options.leases else { return Ok(None) };
        let connection = self.connection().await?;
        let make = async || {
            let known = self.known.get().map(Vec::as_slice).unwrap_or_default();
            Leases::new(options, &connection.config, self.options.start, known, self.predecessors.get().cloned())
        };
        Ok(Some(self.leases.get_or_init(make).await))
    }

    async fn reader(&self, split: &SplitId, place: Place) -> Result<ShardReader, SourceError> {
        let way = self.way(split, &place).await?;
        let wanted = self.wanted.get().cloned().unwrap_or_default();
        Ok(ShardReader::new(split.clone(), self.shards.clone(), wanted, way, place))
    }

    /// The way to read `shard` from `place` on.
    async fn way(&self, shard: &SplitId, place: &Place) -> Result<Way, SourceError> {
        let connection = self.connection().await?.clone();
        let (shard, point) = (shard.clone(), place.point());
        Ok(match (self.options.mode, &self.options.consumer) {
            (Mode::FanOut, Some(name)) => {
                let consumer = self.consumer.get_or_try_init(|| consumer(&connection, name)).await?.clone();
                Way::FanOut(Box::new(FanOut::new(connection, self.shards.clone(), consumer, shard, point, self.limits)))
            }
            _ => Way::Polling(Polling::new(connection, shard, point, self.limits)),
        })
    }
}

#[async_trait]
impl Source for KinesisSource {
    fn shares(&self) -> bool {
        self.options.leases.is_some()
    }

    fn succeed(&self, predecessors: Arc<dyn Predecessors>) {
        // Told once.
        let _ = self.predecessors.set(predecessors);
    }

    fn restore(&self, known: &[(SplitId, Known)]) {
        self.shards.restore(known);
        // Told once.
        let _ = self.known.set(known.to_vec());
    }

    async fn splits(&self) -> Result<Vec<SplitId>, SourceError> {
        let connection = self.connection().await?;
        match self.leases().await? {
            None => self.shards.to_read(connection).await,
            Some(leases) => leases.list(&self.shards.listed(connection).await?).await,
        }
    }

    async fn open(&self, split: &SplitId, from: Option<&Position>) -> Result<Box<dyn Reader>, SourceError> {
        let place = self.shards.place(split, from)?;
        let Some(leases) = self.leases().await? else { return Ok(Box::new(self.reader(split, place).await?)) };
        let Some(hold) = leases.open(split.as_str()).await else { return Ok(Box::new(Gone(place.position()))) };
        let reader = self.reader(split, hold.place(place)).await?;
        Ok(Box::new(Leased::new(reader, hold)))
    }

    fn bounded(&self) -> bool {
        false
    }

    fn discovers(&self) -> bool {
        true
    }

    fn describe(&self, wanted: Wanted) {
        // Told once.
        let _ = self.wanted.set(Arc::new(wanted));
    }

    async fn probe(&self) -> Result<String, SourceError> {
        let consumer = match self.options.mode {
            Mode::FanOut => self.options.consumer.as_deref(),
            Mode::Polling => None,
        };
        let found = probe(self.connection().await?, consumer).await?;
        match self.leases().await? {
            None => Ok(found),
            Some(leases) => Ok(format!("{found}; {}", leases.probe().await?)),
        }
    }

    fn acknowledges(&self) -> bool {
        self.shares()
    }

    async fn close(&self) {
        if let Some(leases) = self.leases.get() {
            leases.close().await;
        }
    }
}
