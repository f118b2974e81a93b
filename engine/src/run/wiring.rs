//! Gives every part of a run the ends of the channels that it talks over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{Semaphore, mpsc, watch};
use watershed_sinks::Flush;

use super::acks::Acks;
use super::barrier::{Aligner, Barrier};
use super::board::Shown;
use super::clock::PipelineClock;
use super::coordinator::{Audience, Coordinator, CoordinatorMessage, Phase, Seen};
use super::dead_letters::{DeadLetters, LetterMessage, LetterTask};
use super::drivers::{Drivers, Reading};
use super::error::RunError;
use super::lane::{Lane, LaneMessage, LanePipeline, PipelineMessage};
use super::outlet::Outlet;
use super::pipeline::{PipelineParts, PipelineTask};
use super::reader::Driver;
use super::redelivery::Redelivery;
use super::restore::{Begin, Recovered};
use super::setup::{Assembly, Outlets, Setup, Tables};
use super::sources::{LiveSource, clock_delay};
use super::sweeping;
use super::tally::{Tallies, Totals};
use super::way::{LaneEnd, Load};
use crate::checkpoint::Budget;
use crate::config::OnBad;
use crate::plan::{CutWindow, PlannedPipeline, PlannedRegion, Stage};
use crate::report::Counts;
use crate::watermark::BEGINNING;
use crate::window::PaneStore;

/// Chunks in flight per lane: enough to keep a lane busy while readers wait for a disk or a network.
const CHUNKS_PER_LANE: usize = 16;
/// Messages that may wait for a pipeline before its lanes do.
const PIPELINE_INBOX: usize = 64;
/// Batches of dead letters that may wait for their writer.
const DEAD_LETTER_INBOX: usize = 16;

/// What every part is given.
struct Wires {
    setup: Setup,
    live: Vec<LiveSource>,
    recovered: Recovered,
    budget: Arc<Budget>,
    tallies: Arc<Tallies>,
    lanes: Vec<mpsc::UnboundedSender<LaneMessage>>,
    /// By lane.
    loads: Vec<Load>,
    coordinator: mpsc::UnboundedSender<CoordinatorMessage>,
}

/// Connects what has been opened and restored.
pub(super) fn connect(
    planned: PlannedRegion,
    setup: Setup,
    live: Vec<LiveSource>,
    mut outlets: Vec<Outlets>,
    letters: Vec<Option<Outlet>>,
    recovered: Recovered,
    budget: Arc<Budget>,
) -> Result<Assembly, RunError> {
    let PlannedRegion { region, pipelines: plans } = planned;
    let (coordinator, inbox) = mpsc::unbounded_channel();
    let (barrier, barrier_asked) = watch::channel(Barrier { round: 0, epoch: 0, flush: Flush::Due });
    let (lanes, lane_inboxes) = (0..setup.lanes).map(|_| mpsc::unbounded_channel::<LaneMessage>()).unzip();
    let tallies = Arc::new(Tallies::new(plans.len()));
    let loads = (0..setup.lanes).map(|_| Load::default()).collect();
    let wires = Wires { setup, live, recovered, budget, tallies, lanes, loads, coordinator };

    let names: Vec<Arc<str>> = plans.iter().map(|plan| plan.name.clone()).collect();
    let stores = (0..wires.setup.lanes).map(|_| pane_stores(&plans)).collect();
    let base = wires.base(&names);
    let sweeping = wires.sweeping(&mut outlets);
    let letters = wires.letters(letters);
    let pipelines = wires.pipelines(plans, outlets)?;
    let lanes = wires.lanes(lane_inboxes, stores, &pipelines.for_lanes, &letters.for_lanes, &barrier_asked)?;
    let acks = Arc::new(Acks::default());
    let (reading, reading_ends) = mpsc::channel(1);
    let (drivers, discoveries) = wires.drivers(region.linger, reading, &acks);
    let seen = wires.seen()?;
    let redeliveries = wires.redeliveries()?;

    let Wires { setup, live, recovered, budget, tallies, lanes: lane_senders, .. } = wires;
    let senders = pipelines.senders;
    let audience =
        Audience { barrier, lanes: lane_senders, pipelines: senders.clone(), letters: letters.senders, acks };
    let coordinator = Coordinator {
        inbox,
        audience,
        sources: live.iter().map(|source| source.name.clone()).collect(),
        pipelines: names.clone(),
        seen,
        redeliveries,
        budget,
        chain: recovered.chain,
        writer: recovered.writer,
        manifest: recovered.manifest,
        base,
        tallies: tallies.clone(),
        interval: region.checkpoint.interval,
        world: setup.world.clone(),
        phase: Phase::Waiting,
        round: 0,
        awaited: 0,
        done: 0,
        board: setup.board.clone(),
    };
    let delays: Vec<_> = live.iter().filter_map(|source| Some((source.name.clone(), source.delays.clone()?))).collect();
    setup.board.begin(Shown {
        pipelines: names.clone(),
        tallies: tallies.clone(),
        watermarks: pipelines.watermarks.clone(),
        delays: delays.clone(),
        memory: coordinator.budget.clone(),
        interval: region.checkpoint.interval,
    });
    Ok(Assembly {
        resumed: setup.begin == Begin::Resume && coordinator.manifest.generation > 1,
        names: names.iter().map(|name| name.to_string()).collect(),
        lanes,
        pipelines: pipelines.tasks,
        letters: letters.tasks,
        coordinator,
        sources: live.iter().map(|live| live.source.clone()).collect(),
        drivers,
        discoveries,
        reading: reading_ends,
        senders,
        tallies,
        delays,
        watermarks: pipelines.watermarks,
        tables: pipelines.tables,
        sweeping,
    })
}

/// The writers of dead letters, and their ends.
#[derive(Default)]
struct Letters {
    tasks: Vec<LetterTask>,
    senders: Vec<mpsc::Sender<LetterMessage>>,
    /// By source.
    for_lanes: Vec<DeadLetters>,
}

/// The pipelines, and their ends.
#[derive(Default)]
struct Pipelines {
    tasks: Vec<PipelineTask>,
    senders: Vec<mpsc::Sender<PipelineMessage>>,
    watermarks: Vec<(Arc<str>, watch::Receiver<i64>)>,
    tables: Vec<Tables>,
    /// As the first lane sees them.
    for_lanes: Vec<LanePipeline>,
}

impl Wires {
    /// What looks after the files of the sinks.
    fn sweeping(&self, outlets: &mut [Outlets]) -> Vec<BoxFuture<'static, ()>> {
        let outlets = outlets.iter_mut().flat_map(|outlets| [Some(&mut outlets.out), outlets.late.as_mut()]).flatten();
        let sweep = |upkeep| {
            let Setup { world, board, finished, .. } = &self.setup;
            sweeping::run(upkeep, world.clone(), board.clone(), finished.clone()).boxed()
        };
        outlets.flat_map(Outlet::sweeping).map(sweep).collect()
    }

    /// The counts with which the run begins.
    fn base(&self, names: &[Arc<str>]) -> Totals {
        let manifest = &self.recovered.manifest;
        let of = |name: &Arc<str>| manifest.pipelines.get(name.as_ref()).map_or(Counts::default(), |p| p.counters);
        Totals { total: manifest.counters, pipelines: names.iter().map(of).collect() }
    }

    fn letters(&self, outlets: Vec<Option<Outlet>>) -> Letters {
        let mut letters = Letters::default();
        for (source, outlet) in self.live.iter().zip(outlets) {
            letters.for_lanes.push(match (source.config.on_bad, outlet) {
                (OnBad::Fail, _) => DeadLetters::Fail,
                (OnBad::DeadLetter, Some(outlet)) => {
                    let (sender, inbox) = mpsc::channel::<LetterMessage>(DEAD_LETTER_INBOX);
                    letters.senders.push(sender.clone());
                    letters.tasks.push(LetterTask {
                        source: source.name.clone(),
                        inbox,
                        outlet,
                        aligner: Aligner::new(self.setup.lanes),
                        coordinator: self.coordinator.clone(),
                    });
                    DeadLetters::Keep(sender)
                }
                _ => DeadLetters::Skip,
            });
        }
        letters
    }

    fn pipelines(&self, plans: Vec<PlannedPipeline>, outlets: Vec<Outlets>) -> Result<Pipelines, RunError> {
        let mut pipelines = Pipelines::default();
        for (number, (mut plan, outlets)) in plans.into_iter().zip(outlets).enumerate() {
            let read: Vec<&LiveSource> = self.live.iter().filter(|live| live.read_by(&plan)).collect();
            let restored = self.recovered.windows_of(&plan)?;
            let reached = match restored.as_ref().map_or(BEGINNING, |restored| restored.closed_through) {
                BEGINNING => BEGINNING,
                through => through.saturating_add(plan.allowed_lateness),
            };
            let clock = Arc::new(PipelineClock::new(read.iter().map(|source| source.clock.clone()).collect(), reached));
            let (sender, inbox) = mpsc::channel(PIPELINE_INBOX);
            let (shown, watermark) = watch::channel(BEGINNING);
            if matches!(plan.stage, Stage::Windows { .. }) {
                pipelines.watermarks.push((plan.name.clone(), watermark));
            }
            pipelines.for_lanes.push(LanePipeline {
                lane: 0,
                name: plan.name.clone(),
                sender: sender.clone(),
                clock: clock.clone(),
                allowed_lateness: plan.allowed_lateness,
                wants_late: outlets.late.is_some(),
            });
            pipelines.senders.push(sender);
            pipelines.tables.push(Tables {
                pipeline: plan.name.clone(),
                tables: std::mem::take(&mut plan.tables),
                session: plan.session.clone(),
            });
            let parts = PipelineParts {
                number,
                clock,
                tally: self.tallies.of(1),
                tallies: self.tallies.clone(),
                inbox,
                lanes: self.lanes.clone(),
                coordinator: self.coordinator.clone(),
                outlet: outlets.out,
                late: outlets.late,
                clock_delay: clock_delay(&read),
                watermark: shown,
                restored,
                only: self.setup.only.clone(),
                budget: self.budget.clone(),
                world: self.setup.world.clone(),
            };
            pipelines.tasks.push(PipelineTask::new(plan, parts)?);
        }
        Ok(pipelines)
    }

    fn lanes(
        &self,
        inboxes: Vec<mpsc::UnboundedReceiver<LaneMessage>>,
        stores: Vec<BTreeMap<(usize, usize), PaneStore>>,
        pipelines: &[LanePipeline],
        dead_letters: &[DeadLetters],
        barrier: &watch::Receiver<Barrier>,
    ) -> Result<Vec<Lane>, RunError> {
        let lane = |(number, (inbox, stores))| {
            let sources = self.live.iter().zip(dead_letters).map(|(source, letters)| source.for_lane(letters));
            Ok(Lane {
                number,
                lanes: self.setup.lanes,
                inbox,
                load: self.loads[number].clone(),
                sources: sources.collect::<Result<_, RunError>>()?,
                pipelines: pipelines.iter().map(|known| LanePipeline { lane: number, ..known.clone() }).collect(),
                stores,
                splits: BTreeMap::new(),
                barrier: barrier.clone(),
                ended: 0,
                tally: self.tallies.of(1),
                tallies: self.tallies.clone(),
                coordinator: self.coordinator.clone(),
                budget: self.budget.clone(),
                world: self.setup.world.clone(),
            })
        };
        inboxes.into_iter().zip(stores).enumerate().map(lane).collect()
    }

    /// A driver for each split, and for sources that can grow those that look for new ones, with the number of the first
    /// that they would find. None in a drain.
    fn drivers(
        &self,
        linger: Duration,
        reading: mpsc::Sender<()>,
        acks: &Arc<Acks>,
    ) -> (Vec<Driver>, Vec<(Drivers, usize)>) {
        let setup = &self.setup;
        let ends = self.lanes.iter().zip(&self.loads);
        let shared = Reading {
            lanes: ends.map(|(sender, load)| LaneEnd { sender: sender.clone(), load: load.clone() }).collect(),
            budget: Arc::new(Semaphore::new(CHUNKS_PER_LANE * setup.lanes * setup.chunk_bytes)),
            budget_bytes: CHUNKS_PER_LANE * setup.lanes * setup.chunk_bytes,
            chunk_bytes: setup.chunk_bytes,
            linger,
            stop: setup.stop.clone(),
            finished: setup.finished.clone(),
            reading,
            acks: acks.clone(),
            memory: self.budget.clone(),
            board: setup.board.clone(),
        };
        let (mut drivers, mut discoveries, mut number) = (Vec::new(), Vec::new(), 0);
        for (index, source) in self.live.iter().enumerate().filter(|_| !setup.drain) {
            let state = self.recovered.manifest.sources.get(source.name.as_ref()).cloned().unwrap_or_default();
            let mut own = Drivers::new(index, source, state, &shared);
            own.warn_of_lost(&source.splits);
            drivers.extend(own.make(&source.splits, &mut number));
            if source.source.discovers() {
                // Numbers only have to differ.
                discoveries.push((own, 1_000_000_000 * (index + 1)));
            }
        }
        (drivers, discoveries)
    }

    /// The keys that sources have seen, by index of the source.
    fn seen(&self) -> Result<BTreeMap<usize, Seen>, RunError> {
        let mut seen = BTreeMap::new();
        for (index, source) in self.live.iter().enumerate() {
            let Some(keys) = source.seen.clone() else { continue };
            self.recovered.keys_of(&source.name, &keys)?;
            let by_clock = source.config.event_time.is_none();
            seen.insert(index, Seen { keys, clock: source.clock.clone(), watermark: BEGINNING, by_clock });
        }
        Ok(seen)
    }

    /// What sources were delivered that may be delivered again, by index of the source.
    fn redeliveries(&self) -> Result<BTreeMap<usize, Arc<Redelivery>>, RunError> {
        let mut redeliveries = BTreeMap::new();
        for (index, source) in self.live.iter().enumerate() {
            let Some(redelivery) = source.redelivery.clone() else { continue };
            self.recovered.delivered_of(&source.name, &redelivery)?;
            redeliveries.insert(index, redelivery);
        }
        Ok(redeliveries)
    }
}

fn pane_stores(plans: &[PlannedPipeline]) -> BTreeMap<(usize, usize), PaneStore> {
    let mut stores = BTreeMap::new();
    for (pipeline, plan) in plans.iter().enumerate() {
        let Stage::Windows { cuts, .. } = &plan.stage else { continue };
        for (number, cut) in cuts.iter().enumerate() {
            if let CutWindow::Grid(grid) = &cut.window {
                stores.insert((pipeline, number), PaneStore::new(*grid, cut.work.clone()));
            }
        }
    }
    stores
}
