//! Puts a run together, in the order in which it can still be refused: sources, sinks, state, tables, then threads.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use watershed_connectors::Source;
use watershed_sinks::store::Location;
use watershed_sinks::{ParquetOptions, SinkContext, WriterBudget};

use super::board::Board;
use super::coordinator::Coordinator;
use super::dead_letters::{self, LetterTask};
use super::delays::Delays;
use super::drivers::Drivers;
use super::error::RunError;
use super::lane::{Lane, PipelineMessage};
use super::line::NamedSink;
use super::outlet::{Opened, Outlet, in_order};
use super::pipeline::PipelineTask;
use super::predecessors::StatesBefore;
use super::reader::Driver;
use super::restore::{self, Begin, Recovered};
use super::sources::{self, LiveSource};
use super::step::Step;
use super::tally::Tallies;
use super::wiring;
use super::world::World;
use crate::checkpoint::Budget;
use crate::config::{OnBad, Region, SourceConfig};
use crate::connect;
use crate::plan::{PlannedPipeline, PlannedRegion, StaticTable};

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
    pub(super) board: Arc<Board>,
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
    /// Closed at the end.
    pub(super) sources: Vec<Arc<dyn Source>>,
    pub(super) drivers: Vec<Driver>,
    /// Those that look for new splits, with the number of the first they would find.
    pub(super) discoveries: Vec<(Drivers, usize)>,
    /// Ends when the last record has been read.
    pub(super) reading: mpsc::Receiver<()>,
    pub(super) senders: Vec<mpsc::Sender<PipelineMessage>>,
    pub(super) tallies: Arc<Tallies>,
    /// By source, of those whose event times are compared with the clock.
    pub(super) delays: Vec<(Arc<str>, Arc<Delays>)>,
    /// By pipeline, of those with windows.
    pub(super) watermarks: Vec<(Arc<str>, watch::Receiver<i64>)>,
    pub(super) tables: Vec<Tables>,
    /// What removes old rows, until the end.
    pub(super) sweeping: Vec<BoxFuture<'static, ()>>,
}

/// The reference tables of one pipeline.
pub(super) struct Tables {
    pub(super) pipeline: Arc<str>,
    pub(super) tables: Vec<StaticTable>,
    pub(super) session: datafusion::execution::context::SessionContext,
}

/// The outlets of one pipeline, and its state.
pub(super) struct Outlets {
    pub(super) out: Outlet,
    pub(super) late: Option<Outlet>,
}

pub(super) async fn assemble(planned: PlannedRegion, setup: Setup) -> Result<Assembly, RunError> {
    if planned.pipelines.is_empty() {
        return Err(RunError::Config("there is no pipeline to run; add [pipelines.NAME]".to_string()));
    }
    let world = setup.world.clone();
    let region = &planned.region;
    let budget = Arc::new(Budget::new(region.memory, Some(region.spill.clone())));
    let writers = region.writers();
    let mut live = Vec::new();
    for name in sources::names(&planned.pipelines) {
        live.push(LiveSource::open(&planned.region, &name, &planned.pipelines, &world, setup.drain)?);
    }
    #[cfg(feature = "http")]
    setup.board.offer(live.iter().filter_map(|live| Some((live.name.to_string(), live.source.inlet()?))));
    // Sinks before state: were it the other way round, an epoch that another process ends in between would be missed.
    let opening = planned.pipelines.iter().map(|plan| open_outlets(&planned.region, plan, &budget, &writers, &setup));
    let opening_letters =
        live.iter().map(|source| open_letters(&planned.region, &source.config, &budget, &writers, &setup));
    let (opening, opening_letters) = futures::join!(in_order(opening), in_order(opening_letters));
    let mut opened = Opened::nothing();
    let mut outlets = Vec::new();
    for (outlet, says) in opening? {
        outlets.push(outlet);
        opened = opened.and(says);
    }
    let mut letters = Vec::new();
    for (outlet, says) in opening_letters? {
        letters.push(outlet);
        opened = opened.and(says);
    }
    let stateless: Vec<&str> =
        live.iter().filter(|live| !live.source.resumes()).map(|live| live.name.as_ref()).collect();
    let recovered = restore::recover(&planned, setup.begin, &opened, &stateless, &budget, &world).await?;
    if !setup.drain {
        for source in &mut live {
            if source.source.shares() {
                let identity = source.config.connector.identity();
                let before = StatesBefore::new(
                    &recovered.chain,
                    &planned.region.checkpoint.store,
                    &source.name,
                    &identity,
                    &world,
                )
                .await?;
                source.source.succeed(Arc::new(before));
            }
            let state = recovered.manifest.sources.get(source.name.as_ref()).cloned();
            source.list(state.as_ref(), &setup.stop).await?;
        }
    }
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
    wiring::connect(planned, setup, live, outlets, letters, recovered, budget)
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

/// How long a place that can't be reached is waited for at the start. A local folder is there or not.
fn patience(options: &ParquetOptions) -> Duration {
    match Location::of(&options.url) {
        Ok(Location::Store(_)) => options.store.patience(),
        _ => Duration::ZERO,
    }
}

/// The outlet of a source's dead letters, if they are kept.
async fn open_letters(
    region: &Region,
    config: &SourceConfig,
    budget: &Arc<Budget>,
    writers: &Arc<WriterBudget>,
    setup: &Setup,
) -> Result<(Option<Outlet>, Opened), RunError> {
    if config.on_bad != OnBad::DeadLetter {
        return Ok((None, Opened::nothing()));
    }
    let (options, context) = dead_letters::sink_of(region, config, writers);
    let patience = patience(&options);
    let name: Arc<str> = format!("{} (dead letters)", config.name).into();
    let connect = setup.world.connect.clone();
    let make = Arc::new(move || connect.dead_letters(options.clone(), context.clone()));
    let sinks = vec![NamedSink { name: "dead_letters".to_string(), make, patience, spill: None, standby: None }];
    let (outlet, opened) = Outlet::open(name, dead_letters::schema(), sinks, budget.clone(), setup).await?;
    Ok((Some(outlet), opened))
}

async fn open_outlets(
    region: &Region,
    plan: &PlannedPipeline,
    budget: &Arc<Budget>,
    writers: &Arc<WriterBudget>,
    setup: &Setup,
) -> Result<(Outlets, Opened), RunError> {
    let Some(config) = region.pipelines.get(plan.name.as_ref()) else {
        return Err(RunError::Config(format!("there is no pipeline `{}`", plan.name)));
    };
    let make = |name: &str, context: SinkContext| -> Result<NamedSink, RunError> {
        let sink = region.sinks.get(name).ok_or_else(|| RunError::Config(format!("there is no sink `{name}`")))?;
        let (connect, sink) = (setup.world.connect.clone(), sink.clone());
        let (spill, standby) = (sink.spill, sink.standby.clone());
        let patience = sink.options.files().map_or(Duration::ZERO, patience);
        let make = Arc::new(move || connect.sink(&sink, context.clone()));
        Ok(NamedSink { name: name.to_string(), make, patience, spill, standby })
    };
    let named = config.sinks.iter().map(|name| make(name, connect::sink_context(region, plan, writers)));
    let sinks = named.collect::<Result<Vec<_>, _>>()?;
    let open = |schema, sinks| Outlet::open(plan.name.clone(), schema, sinks, budget.clone(), setup);
    let out = open(plan.output_schema.clone(), sinks);
    let Some(late) = &config.late else {
        let (out, opened) = out.await?;
        return Ok((Outlets { out, late: None }, opened));
    };
    let source = plan.branches().find_map(|(_, branch)| region.sources.get(branch.rows.source.as_ref()));
    let Some(context) = source.and_then(|source| connect::late_context(region, plan, source, writers)) else {
        return Err(RunError::Config(format!("pipeline `{}` has no source for late rows", plan.name)));
    };
    let late = open(context.schema.clone(), vec![make(late, context)?]);
    let (out, late) = futures::join!(out, late);
    let ((out, opened), (late, late_opened)) = (out?, late?);
    Ok((Outlets { out, late: Some(late) }, opened.and(late_opened)))
}
