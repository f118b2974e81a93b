//! The splits of a source: each gets a driver when it is found, for as long as the run lasts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use watershed_connectors::{Position, Source, SourceError, SplitId};

use super::acks::Acks;
use super::board::Board;
use super::clock::SourceClock;
use super::error::RunError;
use super::reader::{Ask, Driver, stopped};
use super::schemas::Schemas;
use super::sources::LiveSource;
use super::split::LaneSplit;
use super::turns::Turns;
use super::way::{LaneEnd, Way};
use crate::checkpoint::{Budget, SourceState, SplitState};
use crate::watermark::{BEGINNING, SplitWatermark};

/// How often a source that can grow is asked for new splits.
const DISCOVERY: Duration = Duration::from_secs(1);
/// Files of a bounded source that are open at once, per lane.
const OPEN_FILES_PER_LANE: usize = 8;
/// The least that a reader takes at a time where many share the budget.
const LEAST_CHUNK_BYTES: usize = 64 << 10;

/// What all drivers of a run share.
#[derive(Clone)]
pub(super) struct Reading {
    pub(super) lanes: Vec<LaneEnd>,
    pub(super) budget: Arc<Semaphore>,
    /// What `budget` holds.
    pub(super) budget_bytes: usize,
    pub(super) chunk_bytes: usize,
    pub(super) linger: Duration,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) finished: watch::Receiver<bool>,
    pub(super) reading: mpsc::Sender<()>,
    pub(super) acks: Arc<Acks>,
    pub(super) memory: Arc<Budget>,
    pub(super) board: Arc<Board>,
}

/// Makes drivers for the splits of one source.
pub(super) struct Drivers {
    pub(super) index: usize,
    name: Arc<str>,
    source: Arc<dyn Source>,
    clock: Arc<SourceClock>,
    max_delay: i64,
    idle_after: Duration,
    open: Option<Arc<Semaphore>>,
    schemas: Option<Arc<Schemas>>,
    /// Whether chunks of a split may go to other lanes than its own.
    spreads: bool,
    state: SourceState,
    known: BTreeSet<SplitId>,
    /// A split that comes back keeps its number, and with it its lane, and its turns: what is said of it stays in order.
    places: BTreeMap<SplitId, (usize, Arc<Turns>)>,
    /// What drivers ask for; they hold the other end.
    asks: mpsc::UnboundedReceiver<Ask>,
    asking: mpsc::UnboundedSender<Ask>,
    shared: Reading,
}

impl Drivers {
    pub(super) fn new(index: usize, live: &LiveSource, state: SourceState, shared: &Reading) -> Self {
        let open = OPEN_FILES_PER_LANE * shared.lanes.len();
        let (asking, asks) = mpsc::unbounded_channel();
        Self {
            index,
            name: live.name.clone(),
            source: live.source.clone(),
            clock: live.clock.clone(),
            max_delay: live.max_delay(),
            idle_after: live.config.idle_after,
            open: live.source.bounded().then(|| Arc::new(Semaphore::new(open))),
            schemas: live.schemas.clone(),
            spreads: live.spreads,
            state,
            known: BTreeSet::new(),
            places: BTreeMap::new(),
            asks,
            asking,
            shared: shared.clone(),
        }
    }

    /// Drivers for those of `splits` that are new here and have not ended in an earlier run. Every one of them is on the
    /// clock before the first is read, so that none can fall behind a watermark it did not know.
    pub(super) fn make(&mut self, splits: &[SplitId], number: &mut usize) -> Vec<Driver> {
        let mut drivers = Vec::new();
        for id in splits {
            let restored = self.state.splits.get(id.as_str()).cloned();
            if !self.known.insert(id.clone()) || restored.as_ref().is_some_and(|state| state.ended) {
                continue;
            }
            let greatest = restored.as_ref().and_then(|state| state.greatest_time);
            let watermark = SplitWatermark::resumed(self.max_delay, greatest).now();
            let clock = self.clock.add(watermark.max(self.source.promise(id).unwrap_or(BEGINNING)));
            let place = self.places.entry(id.clone()).or_insert_with(|| {
                *number += 1;
                (*number - 1, Arc::default())
            });
            let (number, turns) = place.clone();
            let split = LaneSplit { number, source: self.index, id: id.clone(), clock, restored, turns };
            drivers.push(self.driver(split));
        }
        drivers
    }

    fn driver(&self, split: LaneSplit) -> Driver {
        let shared = &self.shared;
        Driver {
            source_name: self.name.clone(),
            source: self.source.clone(),
            acks: self.source.acknowledges().then(|| shared.acks.listen(&self.name, &split.id)),
            way: Way::new(split.number, &shared.lanes, self.spreads),
            split: Arc::new(split),
            budget: shared.budget.clone(),
            open: self.open.clone(),
            chunk_bytes: self.chunk_bytes(),
            linger: shared.linger,
            idle_after: self.idle_after,
            asks: self.source.discovers().then(|| self.asking.clone()),
            schemas: self.schemas.clone(),
            stop: shared.stop.clone(),
            memory: shared.memory.clone(),
            gauge: None,
            board: shared.board.clone(),
            told: None,
            begun: false,
            reading: Some(shared.reading.clone()),
            finished: shared.finished.clone(),
        }
    }

    /// Another process reads `split` on from `position`.
    fn forget(&mut self, split: SplitId, position: Position) {
        let greatest_time = self.state.splits.get(split.as_str()).and_then(|state| state.greatest_time);
        let to = Some(position);
        let state = SplitState { from: to.clone(), to, ended: false, left: true, greatest_time };
        self.state.splits.insert(split.as_str().to_string(), state);
        self.known.remove(&split);
    }

    /// Payload bytes of a chunk: each of many readers that wait for a network holds as much of the budget while it waits.
    fn chunk_bytes(&self) -> usize {
        let shared = &self.shared;
        if self.source.bounded() {
            return shared.chunk_bytes;
        }
        let share = shared.budget_bytes / (2 * self.known.len().max(1));
        share.clamp(LEAST_CHUNK_BYTES.min(shared.chunk_bytes), shared.chunk_bytes)
    }

    /// Tells of splits that an earlier run had begun and that are gone: what they still held will not come any more.
    pub(super) fn warn_of_lost(&self, splits: &[SplitId]) {
        let listed: BTreeSet<&str> = splits.iter().map(SplitId::as_str).collect();
        let gone = |id: &str, state: &SplitState| !state.ended && !state.left && !listed.contains(id);
        let lost = self.state.splits.iter().filter(|(id, state)| gone(id, state));
        for (split, _) in lost {
            tracing::warn!(source = %self.name, split, "a split that was being read is not listed; its position is kept");
        }
    }

    /// Finds new splits and reads them, until the run stops.
    pub(super) async fn discover(mut self, mut number: usize) -> Result<(), RunError> {
        let mut readers: JoinSet<Result<(), RunError>> = JoinSet::new();
        let mut tick = tokio::time::interval(DISCOVERY);
        let mut stop = self.shared.stop.clone();
        // Readers at the end of their split, which wait until what continues it is on the clock.
        let mut waiting: Vec<oneshot::Sender<()>> = Vec::new();
        loop {
            tokio::select! {
                _ = stopped(&mut stop) => break,
                Some(joined) = readers.join_next() => {
                    joined.unwrap_or(Err(RunError::Lost("a reader")))?;
                    continue;
                }
                Some(ask) = self.asks.recv() => match ask {
                    Ask::Look(done) => waiting.push(done),
                    Ask::Forget(split, position) => {
                        self.forget(split, position);
                        continue;
                    }
                },
                _ = tick.tick() => {}
            }
            let found = tokio::select! {
                _ = stopped(&mut stop) => break,
                found = self.source.splits() => found,
            };
            match found {
                Ok(splits) => {
                    for driver in self.make(&splits, &mut number) {
                        tracing::info!(source = %self.name, split = %driver.split.id, "new split");
                        spawn_driver(driver, &mut readers);
                    }
                    for done in waiting.drain(..) {
                        // One that does not wait any more has been stopped.
                        let _ = done.send(());
                    }
                }
                Err(error @ SourceError::Retry { .. }) => {
                    tracing::debug!(source = %self.name, %error, "could not look for new splits");
                }
                Err(error) => {
                    return Err(RunError::Source { source_name: self.name.to_string(), error });
                }
            }
        }
        // Readers that wait to be told of children stop waiting.
        drop((self, waiting));
        while let Some(joined) = readers.join_next().await {
            joined.unwrap_or(Err(RunError::Lost("a reader")))?;
        }
        Ok(())
    }
}

pub(super) fn spawn_driver(driver: Driver, readers: &mut JoinSet<Result<(), RunError>>) {
    if driver.source.blocks() {
        let handle = tokio::runtime::Handle::current();
        readers.spawn_blocking(move || handle.block_on(driver.run()));
    } else {
        readers.spawn(driver.run());
    }
}
