//! One process of a simulation: the parts of a run, moved one message at a time in the order that the test draws.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::RngExt;
use rand::rngs::SmallRng;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use watershed_connectors::{ReadLimits, ReadStatus, Reader, Records};
use watershed_sinks::Flush;

use super::world::Outside;
use crate::plan::plan_region;
use crate::run::RunError;
use crate::run::coordinator::{Coordinator, Phase};
use crate::run::dead_letters::LetterTask;
use crate::run::lane::{Lane, PipelineMessage, ReadChunk, Stopped};
use crate::run::pipeline::PipelineTask;
use crate::run::reader::Driver;
use crate::run::restore::Begin;
use crate::run::setup::{Setup, assemble};
use crate::run::split::Gone;
use crate::run::turns::News;

/// Room that must be left with everyone a lane talks to, or it would wait for ever.
const ROOM: usize = 8;

/// A running process.
pub(super) struct Life {
    lanes: Vec<Lane>,
    pipelines: Vec<PipelineTask>,
    letters: Vec<LetterTask>,
    pub(super) coordinator: Coordinator,
    readers: Vec<Option<(Driver, Box<dyn Reader>)>>,
    /// At their end; what they hold is theirs as long as the process lives.
    ended: Vec<Box<dyn Reader>>,
    senders: Vec<mpsc::Sender<PipelineMessage>>,
    drained: bool,
    _ends: Ends,
}

/// What would end a run.
type Ends = (watch::Sender<bool>, watch::Sender<bool>);

/// How a run in this world is put together, and what would end it.
pub(super) fn setup(outside: &Arc<Outside>, lanes: usize) -> (Setup, Ends) {
    let (keep_reading, stop) = watch::channel(false);
    let (finish, finished) = watch::channel(false);
    let world = outside.world();
    let setup = Setup {
        board: Arc::default(),
        lanes,
        chunk_bytes: 4096,
        begin: Begin::Resume,
        drain: false,
        only: None,
        stop,
        finished,
        world,
    };
    (setup, (keep_reading, finish))
}

/// What came of a step.
pub(super) enum Stepped {
    Moved,
    Finished,
}

impl Life {
    pub(super) fn begin(runtime: &Runtime, outside: &Arc<Outside>, lanes: usize) -> Result<Self, RunError> {
        runtime.block_on(async {
            let planned = plan_region(&outside.region()).await.expect("the region is right");
            let (setup, ends) = setup(outside, lanes);
            let assembly = assemble(planned, setup).await?;
            let mut readers = Vec::new();
            for driver in assembly.drivers {
                let position = driver.split.restored.as_ref().and_then(|state| state.to.clone());
                let reader = driver.source.open(&driver.split.id, position.as_ref()).await;
                readers.push(Some((driver, reader.expect("a split in memory opens"))));
            }
            Ok(Self {
                lanes: assembly.lanes,
                pipelines: assembly.pipelines,
                letters: assembly.letters,
                coordinator: assembly.coordinator,
                readers,
                ended: Vec::new(),
                senders: assembly.senders,
                drained: false,
                _ends: ends,
            })
        })
    }

    /// Moves one part.
    pub(super) fn step(&mut self, runtime: &Runtime, random: &mut SmallRng) -> Result<Stepped, RunError> {
        match random.random_range(0..100) {
            0..25 => self.read(runtime, random),
            25..55 => self.lane(random)?,
            55..85 => {
                let chosen = random.random_range(0..self.pipelines.len());
                let pipeline = &mut self.pipelines[chosen];
                runtime.block_on(async {
                    match pipeline.parts.inbox.try_recv() {
                        Ok(message) => pipeline.handle(message).await,
                        Err(_) => pipeline.advance().await,
                    }?;
                    // What goes on beside the flow, does.
                    tokio::task::yield_now().await;
                    Ok::<_, RunError>(())
                })?;
            }
            85..88 => {
                for letters in &mut self.letters {
                    if let Ok(message) = letters.inbox.try_recv() {
                        runtime.block_on(letters.handle(message))?;
                    }
                }
            }
            88..96 => {
                if let Ok(message) = self.coordinator.inbox.try_recv() {
                    runtime.block_on(self.coordinator.handle(message))?;
                }
            }
            96..98 => {
                if matches!(self.coordinator.phase, Phase::Waiting) {
                    self.coordinator.begin(Flush::Due)?;
                }
            }
            _ => {
                let chosen = random.random_range(0..self.pipelines.len());
                self.pipelines[chosen].compact()?;
            }
        }
        Ok(match self.coordinator.phase {
            Phase::Finished => Stepped::Finished,
            _ => Stepped::Moved,
        })
    }

    /// Reads a few records of one split.
    fn read(&mut self, runtime: &Runtime, random: &mut SmallRng) {
        if self.readers.is_empty() || self.readers.iter().all(Option::is_none) {
            if !std::mem::replace(&mut self.drained, true) {
                for sender in &self.senders {
                    runtime.block_on(sender.send(PipelineMessage::Drained)).ok();
                }
            }
            return;
        }
        let chosen = random.random_range(0..self.readers.len());
        self.read_up_to(runtime, chosen, random.random_range(1..300));
    }

    /// Reads about so many bytes of one split.
    fn read_up_to(&mut self, runtime: &Runtime, chosen: usize, bytes: usize) {
        let Some((driver, reader)) = &mut self.readers[chosen] else { return };
        if let Some(acks) = &mut driver.acks
            && acks.has_changed().unwrap_or(false)
            && let Some(position) = acks.borrow_and_update().clone()
        {
            runtime.block_on(reader.acknowledge(&position)).expect("memory takes acknowledgements");
        }
        let Ok(permit) = driver.budget.clone().try_acquire_many_owned(1) else { return };
        let mut records = Records::default();
        let limits = ReadLimits { bytes, wait: std::time::Duration::ZERO };
        let status = runtime.block_on(reader.read(&mut records, limits)).expect("memory can be read");
        let split = driver.split.clone();
        if !records.is_empty() {
            let position = reader.position();
            let (split, turn) = (split.clone(), split.turns.give());
            let chunk = ReadChunk { split, turn, records, schemas: Vec::new(), position, promise: None, permit };
            driver.way.chunk(chunk).ok();
        }
        if status == ReadStatus::Ended {
            driver.way.tell(&split, News::Gone(Gone::Ended)).ok();
            self.ended.extend(self.readers[chosen].take().map(|(_, reader)| reader));
        }
    }

    /// Reads what the only split has, after telling it what has become durable, and has the lanes take it in.
    pub(super) fn take_in(&mut self, runtime: &Runtime) -> Result<(), RunError> {
        self.read_up_to(runtime, 0, 1000);
        for lane in &mut self.lanes {
            while let Ok(message) = lane.inbox.try_recv() {
                lane.handle(message).map_err(failure)?;
            }
        }
        Ok(())
    }

    fn lane(&mut self, random: &mut SmallRng) -> Result<(), RunError> {
        if self.senders.iter().any(|sender| sender.capacity() < ROOM) {
            return Ok(());
        }
        let chosen = random.random_range(0..self.lanes.len());
        let lane = &mut self.lanes[chosen];
        let Ok(message) = lane.inbox.try_recv() else { return Ok(()) };
        lane.handle(message).map_err(failure)
    }

    /// From now on, the local disk has no room, or has some again.
    pub(super) fn fill_disk(&self, full: bool) {
        self.pipelines.iter().for_each(|pipeline| pipeline.parts.budget.fill_disk(full));
    }

    /// True if the state has something that a sink lacks.
    pub(super) fn leaves_rows(&self) -> bool {
        self.coordinator
            .manifest
            .pipelines
            .values()
            .any(|pipeline| !pipeline.out.behind.is_empty() || !pipeline.out.prepared.is_empty())
    }

    /// Splits by name with whether they have ended, for what a failure shows.
    pub(super) fn standing(&self) -> BTreeMap<String, bool> {
        let sources = self.coordinator.manifest.sources.values();
        sources.flat_map(|source| source.splits.iter().map(|(name, split)| (name.clone(), split.ended))).collect()
    }
}

fn failure(stopped: Stopped) -> RunError {
    match stopped {
        Stopped::Failed(error) => error,
        Stopped::Closed => RunError::Lost("a pipeline"),
    }
}
