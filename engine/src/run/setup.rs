//! Starts everything a run needs, in the order in which it can still be refused: sinks, tables, sources, then threads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use watershed_connectors::{Source, SourceError, SplitId};
use watershed_sinks::{Flush, ParquetOptions, SinkContext};

use super::clock::{PipelineClock, SourceClock};
use super::dead_letters::{self, DeadLetters};
use super::error::RunError;
use super::lane::{Lane, LaneMessage, LanePipeline, LaneSource, LaneSplit, PipelineMessage, Tap, TapKind};
use super::outlet::Outlet;
use super::pipeline::{PipelineParts, PipelineTask};
use super::reader::{Driver, stopped};
use crate::config::{OnBad, Region, SourceConfig};
use crate::connect;
use crate::decode::decoder;
use crate::plan::{CutWindow, PlannedPipeline, PlannedRegion, Stage};
use crate::report::{Counters, PipelineReport};
use crate::watermark::BEGINNING;
use crate::window::PaneStore;

/// Chunks in flight per lane: enough to keep a lane busy while readers wait for a disk or a network.
const CHUNKS_PER_LANE: usize = 16;
/// Messages that may wait for a pipeline before its lanes do.
const PIPELINE_INBOX: usize = 64;
/// Batches of dead letters that may wait for their writer.
const DEAD_LETTER_INBOX: usize = 16;
/// Files of a bounded source that are open at once, per lane.
const OPEN_FILES_PER_LANE: usize = 8;
/// How often a source that can grow is asked for new splits.
const DISCOVERY: Duration = Duration::from_secs(1);

/// Everything that runs, and the ends by which it is stopped.
pub(super) struct Running {
    pub(super) names: Vec<String>,
    pub(super) readers: JoinSet<Result<(), RunError>>,
    pub(super) pipelines: JoinSet<Result<(usize, PipelineReport), RunError>>,
    pub(super) lanes: JoinSet<Result<(), RunError>>,
    pub(super) dead_letters: JoinSet<Result<(), RunError>>,
    pub(super) senders: Vec<mpsc::Sender<PipelineMessage>>,
    pub(super) lane_senders: Vec<mpsc::UnboundedSender<LaneMessage>>,
    pub(super) failures: mpsc::UnboundedReceiver<RunError>,
    pub(super) total: Arc<Counters>,
    pub(super) watermarks: Vec<watch::Receiver<i64>>,
}

/// A source that some pipeline reads.
struct LiveSource {
    config: SourceConfig,
    source: Arc<dyn Source>,
    splits: Vec<SplitId>,
    clock: Arc<SourceClock>,
    dead_letters: DeadLetters,
    taps: Arc<Vec<Tap>>,
    projection: Vec<usize>,
    event_time: Option<usize>,
}

pub(super) async fn start(
    planned: PlannedRegion,
    lanes: usize,
    chunk_bytes: usize,
    stop: watch::Receiver<bool>,
) -> Result<Running, RunError> {
    let PlannedRegion { region, pipelines: plans } = planned;
    if plans.is_empty() {
        return Err(RunError::Config("there is no pipeline to run; add [pipelines.NAME]".to_string()));
    }
    let total = Arc::new(Counters::default());
    let mut dead_letters = JoinSet::new();
    let names = source_names(&plans);
    let mut sources = Vec::new();
    for name in &names {
        sources.push(open_source(&region, name, &plans, &mut dead_letters).await?);
    }

    let mut lane_pipelines = Vec::new();
    let mut parts = Vec::new();
    let mut senders = Vec::new();
    let mut watermarks = Vec::new();
    let (lane_senders, lane_inboxes): (Vec<_>, Vec<_>) =
        (0..lanes).map(|_| mpsc::unbounded_channel::<LaneMessage>()).unzip();
    for (number, plan) in plans.iter().enumerate() {
        let counters = Arc::new(Counters::default());
        let (outlet, late) = open_outlets(&region, plan, &counters).await?;
        for table in &plan.tables {
            let failed = |error| RunError::Table { pipeline: plan.name.to_string(), error };
            table.load(&plan.session).await.map_err(failed)?;
        }
        let read: Vec<&LiveSource> = sources.iter().filter(|source| reads(plan, &source.config.name)).collect();
        let clock = Arc::new(PipelineClock::new(read.iter().map(|source| source.clock.clone()).collect()));
        let (sender, inbox) = mpsc::channel(PIPELINE_INBOX);
        let (shown, watermark) = watch::channel(BEGINNING);
        lane_pipelines.push(LanePipeline {
            name: plan.name.clone(),
            sender: sender.clone(),
            clock: clock.clone(),
            counters: counters.clone(),
            allowed_lateness: plan.allowed_lateness,
            wants_late: late.is_some(),
        });
        if matches!(plan.stage, Stage::Windows { .. }) {
            watermarks.push(watermark);
        }
        parts.push(PipelineParts {
            number,
            clock,
            counters,
            total: total.clone(),
            inbox,
            lanes: lane_senders.clone(),
            outlet,
            late,
            commit_every: region.checkpoint.interval,
            clock_delay: clock_delay(&read),
            watermark: shown,
        });
        senders.push(sender);
    }

    let (failed, failures) = mpsc::unbounded_channel();
    let lane_pipelines = Arc::new(lane_pipelines);
    let mut lane_tasks = JoinSet::new();
    for (number, inbox) in lane_inboxes.into_iter().enumerate() {
        let lane = Lane {
            inbox,
            sources: sources.iter().map(lane_source).collect::<Result<_, _>>()?,
            pipelines: lane_pipelines.clone(),
            stores: pane_stores(&plans),
            total: total.clone(),
            splits: BTreeMap::new(),
        };
        spawn_lane(number, lane, &mut lane_tasks, failed.clone())?;
    }
    drop(lane_pipelines);

    let mut pipelines = JoinSet::new();
    let pipeline_names = plans.iter().map(|plan| plan.name.to_string()).collect();
    let refreshing = plans.iter().any(|plan| plan.tables.iter().any(|table| table.refresh.is_some()));
    for (number, (mut plan, parts)) in plans.into_iter().zip(parts).enumerate() {
        let tables = std::mem::take(&mut plan.tables);
        let session = plan.session.clone();
        let name = plan.name.clone();
        let task = PipelineTask::new(plan, parts)?;
        pipelines.spawn(async move {
            let refresh = async {
                match refreshing {
                    true => refresh_tables(&name, &tables, &session).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                report = task.run() => report.map(|report| (number, report)),
                never = refresh => match never {},
            }
        });
    }

    let mut readers = JoinSet::new();
    let budget = Arc::new(Semaphore::new(CHUNKS_PER_LANE * lanes * chunk_bytes));
    let mut number = 0;
    for (index, live) in sources.iter().enumerate() {
        let drivers = Drivers {
            index,
            config: live.config.clone(),
            source: live.source.clone(),
            clock: live.clock.clone(),
            lanes: lane_senders.clone(),
            budget: budget.clone(),
            open: live.source.bounded().then(|| Arc::new(Semaphore::new(OPEN_FILES_PER_LANE * lanes))),
            chunk_bytes,
            linger: region.linger,
            stop: stop.clone(),
        };
        // Every split is on the clock before the first is read: none can fall behind a watermark it did not know.
        let made: Vec<Driver> = live.splits.iter().map(|split| drivers.make(split, &mut number)).collect();
        made.into_iter().for_each(|driver| spawn_driver(driver, &mut readers));
        if live.source.discovers() {
            readers.spawn(drivers.discover(live.splits.clone(), number + 1_000_000 * (index + 1)));
        }
    }
    Ok(Running {
        names: pipeline_names,
        readers,
        pipelines,
        lanes: lane_tasks,
        dead_letters,
        senders,
        lane_senders,
        failures,
        total,
        watermarks,
    })
}

fn source_names(plans: &[PlannedPipeline]) -> Vec<Arc<str>> {
    let names: BTreeSet<Arc<str>> =
        plans.iter().flat_map(|plan| plan.branches().map(|(_, branch)| branch.rows.source.clone())).collect();
    names.into_iter().collect()
}

fn reads(plan: &PlannedPipeline, source: &str) -> bool {
    plan.branches().any(|(_, branch)| branch.rows.source.as_ref() == source)
}

/// The delay behind the clock at which silent sources let their watermark go on; none if one of them must not.
fn clock_delay(sources: &[&LiveSource]) -> Option<i64> {
    let delay = |live: &&LiveSource| {
        let follows = live.config.max_future.is_some() && !live.source.bounded();
        follows.then(|| micros(live.config.max_delay))
    };
    sources.iter().map(delay).try_fold(0, |most, delay| delay.map(|delay| most.max(delay)))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

async fn open_source(
    region: &Region,
    name: &Arc<str>,
    plans: &[PlannedPipeline],
    tasks: &mut JoinSet<Result<(), RunError>>,
) -> Result<LiveSource, RunError> {
    let failed = |error| RunError::Source { source_name: name.to_string(), error };
    let Some(config) = region.sources.get(name.as_ref()) else {
        return Err(RunError::Config(format!("there is no source `{name}`")));
    };
    let Some(schema) = &config.schema else {
        return Err(RunError::Config(format!("source `{name}` has no schema")));
    };
    let source = connect::source(config).map_err(failed)?;
    let splits = source.splits().await.map_err(failed)?;

    let late_wanted =
        |plan: &PlannedPipeline| region.pipelines.get(plan.name.as_ref()).is_some_and(|config| config.late.is_some());
    let mut wanted: BTreeSet<usize> = BTreeSet::new();
    let mut windowed = false;
    for plan in plans {
        for (_, branch) in plan.branches().filter(|(_, branch)| branch.rows.source == *name) {
            wanted.extend(&branch.rows.columns);
            windowed |= matches!(plan.stage, Stage::Windows { .. });
            if late_wanted(plan) {
                wanted.extend(0..schema.fields.len());
            }
        }
    }
    let time_column = config.event_time.as_ref().filter(|_| windowed);
    let time_column = time_column.and_then(|time| schema.fields.iter().position(|field| field.name == *time));
    wanted.extend(time_column);
    let projection: Vec<usize> = wanted.into_iter().collect();
    let place = |column: &usize| projection.iter().position(|wanted| wanted == column);

    let mut taps = Vec::new();
    for (pipeline, plan) in plans.iter().enumerate() {
        let mut numbers: BTreeMap<usize, usize> = BTreeMap::new();
        for (cut, branch) in plan.branches() {
            let number = numbers.entry(cut).or_default();
            if branch.rows.source == *name {
                taps.push(Tap {
                    pipeline,
                    cut,
                    branch_number: *number,
                    branch: branch.clone(),
                    columns: branch.rows.columns.iter().filter_map(place).collect(),
                    kind: TapKind::of(window_of(plan, cut)),
                });
            }
            *number += 1;
        }
    }
    let event_time = time_column.as_ref().and_then(place);
    let dead_letters = match config.on_bad {
        OnBad::Skip => DeadLetters::Skip,
        OnBad::Fail => DeadLetters::Fail,
        OnBad::DeadLetter => DeadLetters::Keep(open_dead_letters(region, config, tasks)?),
    };
    Ok(LiveSource {
        config: config.clone(),
        source,
        splits,
        clock: Arc::new(SourceClock::default()),
        dead_letters,
        taps: Arc::new(taps),
        projection,
        event_time,
    })
}

fn window_of(plan: &PlannedPipeline, cut: usize) -> Option<&CutWindow> {
    match &plan.stage {
        Stage::Rows(_) => None,
        Stage::Windows { cuts, .. } => cuts.get(cut).map(|cut| &cut.window),
    }
}

/// Starts the writer of a source's dead letters. It opens its folder when the first one comes.
fn open_dead_letters(
    region: &Region,
    config: &SourceConfig,
    tasks: &mut JoinSet<Result<(), RunError>>,
) -> Result<mpsc::Sender<arrow::array::RecordBatch>, RunError> {
    let (sender, mut inbox) = mpsc::channel(DEAD_LETTER_INBOX);
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
    let commit_every = region.checkpoint.interval;
    let source_name = config.name.clone();
    tasks.spawn(async move {
        let Some(first) = inbox.recv().await else { return Ok(()) };
        let failed = |error| RunError::Sink { pipeline: format!("{source_name} (dead letters)"), error };
        let sink = connect::parquet(options, context).map_err(failed)?;
        let name: Arc<str> = format!("{source_name} (dead letters)").into();
        let mut outlet = Outlet::open(name, dead_letters::schema(), vec![sink], Arc::default()).await?;
        outlet.write(first).await?;
        let mut tick = tokio::time::interval(commit_every);
        loop {
            tokio::select! {
                batch = inbox.recv() => match batch {
                    Some(batch) => outlet.write(batch).await?,
                    None => return outlet.commit(Flush::All).await.map(drop),
                },
                _ = tick.tick() => drop(outlet.commit(Flush::Due).await?),
            }
        }
    });
    Ok(sender)
}

async fn open_outlets(
    region: &Region,
    plan: &PlannedPipeline,
    counters: &Arc<Counters>,
) -> Result<(Outlet, Option<Outlet>), RunError> {
    let failed = |error| RunError::Sink { pipeline: plan.name.to_string(), error };
    let Some(config) = region.pipelines.get(plan.name.as_ref()) else {
        return Err(RunError::Config(format!("there is no pipeline `{}`", plan.name)));
    };
    let named =
        |name: &str| region.sinks.get(name).ok_or_else(|| RunError::Config(format!("there is no sink `{name}`")));
    let mut sinks = Vec::new();
    for name in &config.sinks {
        let context = connect::sink_context(region, plan);
        sinks.push(connect::sink(named(name)?, context).map_err(failed)?);
    }
    let outlet = Outlet::open(plan.name.clone(), plan.output_schema.clone(), sinks, counters.clone()).await?;
    let Some(late) = &config.late else { return Ok((outlet, None)) };
    let source = plan.branches().find_map(|(_, branch)| region.sources.get(branch.rows.source.as_ref()));
    let Some(context) = source.and_then(|source| connect::late_context(region, plan, source)) else {
        return Err(RunError::Config(format!("pipeline `{}` has no source for late rows", plan.name)));
    };
    let schema = context.schema.clone();
    let sink = connect::sink(named(late)?, context).map_err(failed)?;
    let late = Outlet::open(plan.name.clone(), schema, vec![sink], Arc::default()).await?;
    Ok((outlet, Some(late)))
}

fn lane_source(live: &LiveSource) -> Result<LaneSource, RunError> {
    let schema = live.config.schema.as_ref();
    let schema = schema.ok_or_else(|| RunError::Config(format!("source `{}` has no schema", live.config.name)))?;
    let decoder = decoder(&live.config.format, schema, &live.projection)
        .map_err(|error| RunError::Config(format!("source `{}`: {error}", live.config.name)))?;
    Ok(LaneSource {
        name: live.config.name.as_str().into(),
        decoder,
        event_time: live.event_time,
        max_delay: micros(live.config.max_delay),
        max_future: live.config.max_future.map(micros),
        dead_letters: live.dead_letters.clone(),
        taps: live.taps.clone(),
    })
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

/// Gives the lane a thread of its own. A failure is told at once; the end of the thread is waited for.
fn spawn_lane(
    number: usize,
    lane: Lane,
    tasks: &mut JoinSet<Result<(), RunError>>,
    failed: mpsc::UnboundedSender<RunError>,
) -> Result<(), RunError> {
    let (done, ended) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name(format!("lane-{number}"))
        .spawn(move || {
            if let Err(error) = lane.run() {
                // Nobody listens any more if another failure came first.
                let _ = failed.send(error);
            }
            let _ = done.send(());
        })
        .map_err(|error| RunError::Config(format!("can't start a thread for lane {number}: {error}")))?;
    tasks.spawn(async move { ended.await.map_err(|_| RunError::Lost("a lane")) });
    Ok(())
}

fn spawn_driver(driver: Driver, readers: &mut JoinSet<Result<(), RunError>>) {
    if driver.source.blocks() {
        let handle = tokio::runtime::Handle::current();
        readers.spawn_blocking(move || handle.block_on(driver.run()));
    } else {
        readers.spawn(driver.run());
    }
}

/// Reads the tables again, each on its own interval. A failed read keeps the rows of the last.
async fn refresh_tables(
    pipeline: &str,
    tables: &[crate::plan::StaticTable],
    session: &datafusion::execution::context::SessionContext,
) -> std::convert::Infallible {
    let loops = tables.iter().filter_map(|table| {
        let every = table.refresh?;
        Some(async move {
            loop {
                tokio::time::sleep(every).await;
                if let Err(error) = table.load(session).await {
                    tracing::warn!(pipeline, %error, "reference table not refreshed; the last rows stay in use");
                }
            }
        })
    });
    futures::future::join_all(loops.map(|refresh: _| -> futures::future::BoxFuture<'_, ()> { Box::pin(refresh) }))
        .await;
    std::future::pending().await
}

/// Makes drivers for the splits of one source.
struct Drivers {
    index: usize,
    config: SourceConfig,
    source: Arc<dyn Source>,
    clock: Arc<SourceClock>,
    lanes: Vec<mpsc::UnboundedSender<LaneMessage>>,
    budget: Arc<Semaphore>,
    open: Option<Arc<Semaphore>>,
    chunk_bytes: usize,
    linger: Duration,
    stop: watch::Receiver<bool>,
}

impl Drivers {
    fn make(&self, id: &SplitId, number: &mut usize) -> Driver {
        let split = LaneSplit { number: *number, source: self.index, id: id.clone(), clock: self.clock.add() };
        let lane = self.lanes[*number % self.lanes.len()].clone();
        *number += 1;
        Driver {
            source_name: self.config.name.as_str().into(),
            source: self.source.clone(),
            split: Arc::new(split),
            lane,
            budget: self.budget.clone(),
            open: self.open.clone(),
            chunk_bytes: self.chunk_bytes,
            linger: self.linger,
            idle_after: self.config.idle_after,
            stop: self.stop.clone(),
        }
    }

    /// Finds new splits and reads them, until the run stops.
    async fn discover(mut self, known: Vec<SplitId>, mut number: usize) -> Result<(), RunError> {
        let mut known: BTreeSet<SplitId> = known.into_iter().collect();
        let mut readers: JoinSet<Result<(), RunError>> = JoinSet::new();
        let mut tick = tokio::time::interval(DISCOVERY);
        let mut stop = self.stop.clone();
        loop {
            tokio::select! {
                _ = stopped(&mut stop) => break,
                Some(joined) = readers.join_next() => joined.unwrap_or(Err(RunError::Lost("a reader")))?,
                _ = tick.tick() => match self.source.splits().await {
                    Ok(splits) => for split in splits {
                        if known.insert(split.clone()) {
                            tracing::info!(source = %self.config.name, %split, "new split");
                            spawn_driver(self.make(&split, &mut number), &mut readers);
                        }
                    },
                    Err(error @ SourceError::Retry { .. }) => {
                        tracing::debug!(source = %self.config.name, %error, "could not look for new splits");
                    }
                    Err(error) => {
                        return Err(RunError::Source { source_name: self.config.name.clone(), error });
                    }
                }
            }
        }
        self.lanes.clear();
        while let Some(joined) = readers.join_next().await {
            joined.unwrap_or(Err(RunError::Lost("a reader")))?;
        }
        Ok(())
    }
}
