//! Puts a run together, in the order in which it can still be refused: sources, sinks, state, tables, then threads.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, watch};
use watershed_sinks::{Flush, ParquetOptions, SinkContext};

use super::acks::Acks;
use super::barrier::{Aligner, Barrier};
use super::clock::PipelineClock;
use super::coordinator::{Audience, Coordinator, Phase, Seen};
use super::dead_letters::{self, DeadLetters, LetterMessage, LetterTask};
use super::error::RunError;
use super::lane::{Lane, LaneMessage, LanePipeline, PipelineMessage};
use super::outlet::{NamedSink, Outlet};
use super::pipeline::{PipelineParts, PipelineTask};
use super::reader::Driver;
use super::restore::{self, Begin, Recovered};
use super::sources::{self, Drivers, LiveSource, Reading, clock_delay};
use super::step::Step;
use super::tally::{Tallies, Totals};
use super::world::World;
use crate::checkpoint::Budget;
use crate::config::{OnBad, Region, SourceConfig};
use crate::connect;
use crate::plan::{CutWindow, PlannedPipeline, PlannedRegion, Stage, StaticTable};
use crate::report::Counts;
use crate::watermark::BEGINNING;
use crate::window::PaneStore;

/// Chunks in flight per lane: enough to keep a lane busy while readers wait for a disk or a network.
const CHUNKS_PER_LANE: usize = 16;
/// Messages that may wait for a pipeline before its lanes do.
const PIPELINE_INBOX: usize = 64;
/// Batches of dead letters that may wait for their writer.
const DEAD_LETTER_INBOX: usize = 16;

/// How a run is put together.
pub(super) struct Setup {
    pub(super) lanes: usize,
    pub(super) chunk_bytes: usize,
    pub(super) begin: Begin,
    /// Reads nothing, as if every source had ended.
    pub(super) drain: bool,
    /// Puts out only windows in this range.
    pub(super) only: Option<Range<i64>>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) finished: watch::Receiver<bool>,
    pub(super) world: World,
}

/// A run whose parts do not move yet.
pub(super) struct Assembly {
    /// True if it goes on from a checkpoint.
    pub(super) resumed: bool,
    pub(super) names: Vec<String>,
    pub(super) lanes: Vec<Lane>,
    pub(super) pipelines: Vec<PipelineTask>,
    pub(super) letters: Vec<LetterTask>,
    pub(super) coordinator: Coordinator,
    pub(super) drivers: Vec<Driver>,
    /// Those that look for new splits, with the number of the first they would find.
    pub(super) discoveries: Vec<(Drivers, usize)>,
    /// Ends when the last record has been read.
    pub(super) reading: mpsc::Receiver<()>,
    pub(super) senders: Vec<mpsc::Sender<PipelineMessage>>,
    pub(super) tallies: Arc<Tallies>,
    pub(super) watermarks: Vec<watch::Receiver<i64>>,
    pub(super) tables: Vec<Tables>,
}

/// The reference tables of one pipeline.
pub(super) struct Tables {
    pub(super) pipeline: Arc<str>,
    pub(super) tables: Vec<StaticTable>,
    pub(super) session: datafusion::execution::context::SessionContext,
}

/// The outlets of one pipeline, and its state.
struct Outlets {
    out: Outlet,
    late: Option<Outlet>,
}

pub(super) async fn assemble(planned: PlannedRegion, setup: Setup) -> Result<Assembly, RunError> {
    if planned.pipelines.is_empty() {
        return Err(RunError::Config("there is no pipeline to run; add [pipelines.NAME]".to_string()));
    }
    let world = setup.world.clone();
    let region = &planned.region;
    let budget = Arc::new(Budget::new(region.memory, Some(region.spill.clone())));
    let mut live = Vec::new();
    for name in sources::names(&planned.pipelines) {
        live.push(LiveSource::open(&planned.region, &name, &planned.pipelines, &world).await?);
    }
    // Sinks before state: were it the other way round, an epoch that another process ends in between would be missed.
    let mut free = 1;
    let mut outlets = Vec::new();
    for plan in &planned.pipelines {
        outlets.push(open_outlets(&planned.region, plan, &budget, &world, &mut free).await?);
    }
    let mut letters = Vec::new();
    for source in &live {
        letters.push(open_letters(&planned.region, &source.config, &budget, &world, &mut free).await?);
    }
    let stateless: Vec<&str> =
        live.iter().filter(|live| !live.source.resumes()).map(|live| live.name.as_ref()).collect();
    let recovered = restore::recover(&planned, setup.begin, free, &stateless, &budget, &world).await?;
    publish_again(&recovered, &planned, &mut outlets, &live, &mut letters, &world).await?;
    for (plan, outlets) in planned.pipelines.iter().zip(&mut outlets) {
        recovered.rows_of_pipeline(&plan.name, &mut outlets.out, outlets.late.as_mut()).await?;
    }
    for (source, letters) in live.iter().zip(&mut letters) {
        if let Some(outlet) = letters {
            recovered.rows_of_dead_letters(&source.name, outlet).await?;
        }
    }
    for plan in &planned.pipelines {
        for table in &plan.tables {
            let failed = |error| RunError::Table { pipeline: plan.name.to_string(), error };
            table.load(&plan.session).await.map_err(failed)?;
        }
    }
    recovered.tell();
    world.reach(Step::Restored);
    connect_parts(planned, setup, live, outlets, letters, recovered, budget)
}

/// Shows once more what the last epoch of the process before had prepared.
async fn publish_again(
    recovered: &Recovered,
    planned: &PlannedRegion,
    outlets: &mut [Outlets],
    live: &[LiveSource],
    letters: &mut [Option<Outlet>],
    world: &World,
) -> Result<(), RunError> {
    for (plan, outlets) in planned.pipelines.iter().zip(outlets) {
        let Some(state) = recovered.manifest.pipelines.get(plan.name.as_ref()) else { continue };
        let files = outlets.out.publish_again(&state.out).await?;
        if let Some(late) = &mut outlets.late {
            late.publish_again(&state.late).await?;
        }
        tracing::debug!(pipeline = %plan.name, files, "files of the last epoch are visible");
    }
    for (source, outlet) in live.iter().zip(letters) {
        if let (Some(state), Some(outlet)) = (recovered.manifest.sources.get(source.name.as_ref()), outlet) {
            outlet.publish_again(&state.dead_letters).await?;
        }
    }
    world.reach(Step::PublishedAgain);
    Ok(())
}

/// Gives every part the ends of the channels that it talks over.
fn connect_parts(
    planned: PlannedRegion,
    setup: Setup,
    live: Vec<LiveSource>,
    outlets: Vec<Outlets>,
    letters: Vec<Option<Outlet>>,
    recovered: Recovered,
    budget: Arc<Budget>,
) -> Result<Assembly, RunError> {
    let PlannedRegion { region, pipelines: plans } = planned;
    let world = setup.world;
    let tallies = Arc::new(Tallies::new(plans.len()));
    let (coordinator, coordinator_inbox) = mpsc::unbounded_channel();
    let (barrier, barrier_asked) = watch::channel(Barrier { round: 0, epoch: 0, flush: Flush::Due });
    let (lane_senders, lane_inboxes): (Vec<_>, Vec<_>) =
        (0..setup.lanes).map(|_| mpsc::unbounded_channel::<LaneMessage>()).unzip();

    let mut letter_tasks = Vec::new();
    let mut letter_senders = Vec::new();
    let mut dead_letters = Vec::new();
    for (source, outlet) in live.iter().zip(letters) {
        dead_letters.push(match (source.config.on_bad, outlet) {
            (OnBad::Fail, _) => DeadLetters::Fail,
            (OnBad::DeadLetter, Some(outlet)) => {
                let (sender, inbox) = mpsc::channel::<LetterMessage>(DEAD_LETTER_INBOX);
                letter_senders.push(sender.clone());
                letter_tasks.push(LetterTask {
                    source: source.name.clone(),
                    inbox,
                    outlet,
                    aligner: Aligner::new(setup.lanes),
                    coordinator: coordinator.clone(),
                });
                DeadLetters::Keep(sender)
            }
            _ => DeadLetters::Skip,
        });
    }

    let mut tables = Vec::new();
    let mut clocks = Vec::new();
    let mut senders = Vec::new();
    let mut watermarks = Vec::new();
    let mut pipelines = Vec::new();
    let mut wants_late = Vec::new();
    let stores: Vec<_> = (0..setup.lanes).map(|_| pane_stores(&plans)).collect();
    let lateness: Vec<i64> = plans.iter().map(|plan| plan.allowed_lateness).collect();
    let names: Vec<Arc<str>> = plans.iter().map(|plan| plan.name.clone()).collect();
    let base = base(&recovered, &names);
    for (number, (mut plan, outlets)) in plans.into_iter().zip(outlets).enumerate() {
        let read: Vec<&LiveSource> = live.iter().filter(|live| live.read_by(&plan)).collect();
        let restored = recovered.windows_of(&plan)?;
        let reached = match restored.as_ref().map_or(BEGINNING, |restored| restored.closed_through) {
            BEGINNING => BEGINNING,
            through => through.saturating_add(plan.allowed_lateness),
        };
        let clock = Arc::new(PipelineClock::new(read.iter().map(|source| source.clock.clone()).collect(), reached));
        let (sender, inbox) = mpsc::channel(PIPELINE_INBOX);
        let (shown, watermark) = watch::channel(BEGINNING);
        if matches!(plan.stage, Stage::Windows { .. }) {
            watermarks.push(watermark);
        }
        wants_late.push(outlets.late.is_some());
        clocks.push(clock.clone());
        senders.push(sender);
        tables.push(Tables {
            pipeline: plan.name.clone(),
            tables: std::mem::take(&mut plan.tables),
            session: plan.session.clone(),
        });
        let parts = PipelineParts {
            number,
            clock,
            tally: tallies.of(1),
            tallies: tallies.clone(),
            inbox,
            lanes: lane_senders.clone(),
            coordinator: coordinator.clone(),
            outlet: outlets.out,
            late: outlets.late,
            clock_delay: clock_delay(&read),
            watermark: shown,
            restored,
            only: setup.only.clone(),
            budget: budget.clone(),
            world: world.clone(),
        };
        pipelines.push(PipelineTask::new(plan, parts)?);
    }

    let mut lanes = Vec::new();
    for (number, (inbox, stores)) in lane_inboxes.into_iter().zip(stores).enumerate() {
        let pipeline = |index: usize| LanePipeline {
            lane: number,
            name: names[index].clone(),
            sender: senders[index].clone(),
            clock: clocks[index].clone(),
            allowed_lateness: lateness[index],
            wants_late: wants_late[index],
        };
        lanes.push(Lane {
            number,
            lanes: setup.lanes,
            inbox,
            sources: live.iter().zip(&dead_letters).map(|(s, l)| s.for_lane(l)).collect::<Result<_, _>>()?,
            pipelines: (0..names.len()).map(pipeline).collect(),
            stores,
            splits: BTreeMap::new(),
            barrier: barrier_asked.clone(),
            ended: 0,
            tally: tallies.of(1),
            tallies: tallies.clone(),
            coordinator: coordinator.clone(),
            budget: budget.clone(),
            world: world.clone(),
        });
    }

    let acks = Arc::new(Acks::default());
    let (reading, reading_ends) = mpsc::channel(1);
    let shared = Reading {
        lanes: lane_senders.clone(),
        budget: Arc::new(Semaphore::new(CHUNKS_PER_LANE * setup.lanes * setup.chunk_bytes)),
        chunk_bytes: setup.chunk_bytes,
        linger: region.linger,
        stop: setup.stop,
        finished: setup.finished,
        reading,
        acks: acks.clone(),
        memory: budget.clone(),
    };
    let mut number = 0;
    let mut drivers = Vec::new();
    let mut discoveries = Vec::new();
    for (index, source) in live.iter().enumerate().filter(|_| !setup.drain) {
        let state = recovered.manifest.sources.get(source.name.as_ref()).cloned().unwrap_or_default();
        let mut own = Drivers::new(index, source, state, &shared);
        own.warn_of_lost(&source.splits);
        drivers.extend(own.make(&source.splits, &mut number));
        if source.source.discovers() {
            // Numbers only have to differ.
            discoveries.push((own, 1_000_000_000 * (index + 1)));
        }
    }
    let audience = Audience { barrier, lanes: lane_senders, pipelines: senders.clone(), letters: letter_senders, acks };
    let mut seen = BTreeMap::new();
    for (index, source) in live.iter().enumerate() {
        let Some(keys) = source.seen.clone() else { continue };
        recovered.keys_of(&source.name, &keys)?;
        let by_clock = source.config.event_time.is_none();
        seen.insert(index, Seen { keys, clock: source.clock.clone(), watermark: BEGINNING, by_clock });
    }
    let coordinator = Coordinator {
        inbox: coordinator_inbox,
        audience,
        sources: live.iter().map(|source| source.name.clone()).collect(),
        pipelines: names.clone(),
        seen,
        budget,
        chain: recovered.chain,
        writer: recovered.writer,
        manifest: recovered.manifest,
        base,
        tallies: tallies.clone(),
        interval: region.checkpoint.interval,
        world,
        phase: Phase::Waiting,
        round: 0,
        done: 0,
    };
    Ok(Assembly {
        resumed: setup.begin == Begin::Resume && coordinator.manifest.generation > 1,
        names: names.iter().map(|name| name.to_string()).collect(),
        lanes,
        pipelines,
        letters: letter_tasks,
        coordinator,
        drivers,
        discoveries,
        reading: reading_ends,
        senders,
        tallies,
        watermarks,
        tables,
    })
}

/// The counts with which the run begins.
fn base(recovered: &Recovered, names: &[Arc<str>]) -> Totals {
    let of =
        |name: &Arc<str>| recovered.manifest.pipelines.get(name.as_ref()).map_or(Counts::default(), |p| p.counters);
    Totals { total: recovered.manifest.counters, pipelines: names.iter().map(of).collect() }
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

/// The outlet of a source's dead letters, if they are kept.
async fn open_letters(
    region: &Region,
    config: &SourceConfig,
    budget: &Arc<Budget>,
    world: &World,
    free: &mut u64,
) -> Result<Option<Outlet>, RunError> {
    if config.on_bad != OnBad::DeadLetter {
        return Ok(None);
    }
    let context = SinkContext {
        pipeline: config.name.as_str().into(),
        region: region.name.clone(),
        sql_hash: "".into(),
        schema: dead_letters::schema(),
        time_column: Some("time".to_string()),
        sort_by: Vec::new(),
    };
    let mut options = ParquetOptions::at(&config.dead_letters);
    options.partition_by = vec!["date".to_string()];
    let name: Arc<str> = format!("{} (dead letters)", config.name).into();
    let failed = |error| RunError::Sink { pipeline: name.to_string(), error };
    let sink = world.connect.dead_letters(options, context).map_err(failed)?;
    let sinks = vec![("dead_letters".to_string(), sink)];
    let (outlet, epoch) =
        Outlet::open(name.clone(), dead_letters::schema(), sinks, budget.clone(), world.clone()).await?;
    *free = (*free).max(epoch);
    Ok(Some(outlet))
}

async fn open_outlets(
    region: &Region,
    plan: &PlannedPipeline,
    budget: &Arc<Budget>,
    world: &World,
    free: &mut u64,
) -> Result<Outlets, RunError> {
    let failed = |error| RunError::Sink { pipeline: plan.name.to_string(), error };
    let Some(config) = region.pipelines.get(plan.name.as_ref()) else {
        return Err(RunError::Config(format!("there is no pipeline `{}`", plan.name)));
    };
    let make = |name: &str, context: SinkContext| -> Result<NamedSink, RunError> {
        let sink = region.sinks.get(name).ok_or_else(|| RunError::Config(format!("there is no sink `{name}`")))?;
        Ok((name.to_string(), world.connect.sink(sink, context).map_err(failed)?))
    };
    let named = config.sinks.iter().map(|name| make(name, connect::sink_context(region, plan)));
    let sinks = named.collect::<Result<Vec<_>, _>>()?;
    let (out, epoch) =
        Outlet::open(plan.name.clone(), plan.output_schema.clone(), sinks, budget.clone(), world.clone()).await?;
    *free = (*free).max(epoch);
    let Some(late) = &config.late else { return Ok(Outlets { out, late: None }) };
    let source = plan.branches().find_map(|(_, branch)| region.sources.get(branch.rows.source.as_ref()));
    let Some(context) = source.and_then(|source| connect::late_context(region, plan, source)) else {
        return Err(RunError::Config(format!("pipeline `{}` has no source for late rows", plan.name)));
    };
    let schema = context.schema.clone();
    let sinks = vec![make(late, context)?];
    let (late, epoch) = Outlet::open(plan.name.clone(), schema, sinks, budget.clone(), world.clone()).await?;
    *free = (*free).max(epoch);
    Ok(Outlets { out, late: Some(late) })
}
