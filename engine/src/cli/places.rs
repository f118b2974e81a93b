//! Sources and sinks as `check` and `run` look at them before anything flows.

use std::error::Error;
use std::sync::Arc;

use watershed_connectors::{Source, SourceError};
use watershed_sinks::store::{self, Location, Patience};
use watershed_sinks::{SinkContext, SinkError, WriterBudget};

use super::failure::{Failure, Outcome};
use super::residency::{Lies, lies_in};
use super::tables;
use crate::checkpoint::{Place, StateError};
use crate::config::{Checkpoint, OnBad, PipelineConfig, Region, SinkConfig, SourceConfig, TableConfig};
use crate::connect;
use crate::diagnostic::{self, Diagnostic};
use crate::plan::{PlannedPipeline, PlannedRegion};
use crate::registry::{Registry, RegistryOptions};
use crate::run::dead_letter_sink;

/// The source of a config; nothing is opened yet.
pub(super) fn source(config: &SourceConfig) -> Outcome<Arc<dyn Source>> {
    connect::source(config).map_err(|error| {
        Failure::wrong(Diagnostic::at(config.location.clone(), format!("source `{}`: {error}", config.name)))
    })
}

/// Every sink that a pipeline writes to, with what it is told about its rows; late rows included.
pub(super) fn sinks<'r>(region: &'r Region, pipeline: &PlannedPipeline) -> Vec<(&'r SinkConfig, SinkContext)> {
    let Some(config) = region.pipelines.get(&*pipeline.name) else { return Vec::new() };
    let writers = region.writers();
    let named = config.sinks.iter().filter_map(|name| region.sinks.get(name));
    let mut sinks: Vec<_> = named.map(|sink| (sink, connect::sink_context(region, pipeline, &writers))).collect();
    sinks.extend(late_sink(region, config, pipeline, &writers));
    sinks
}

fn late_sink<'r>(
    region: &'r Region,
    config: &PipelineConfig,
    pipeline: &PlannedPipeline,
    writers: &Arc<WriterBudget>,
) -> Option<(&'r SinkConfig, SinkContext)> {
    let sink = region.sinks.get(config.late.as_ref()?)?;
    // Planning made sure that there is only one source.
    let (_, branch) = pipeline.branches().next()?;
    let source = region.sources.get(&*branch.rows.source)?;
    Some((sink, connect::late_context(region, pipeline, source, writers)?))
}

/// Checks every sink against the rows of every pipeline that writes to it, without touching anything.
pub(super) fn check_sinks(region: &Region, planned: &PlannedRegion) -> Outcome {
    let mut errors = Vec::new();
    for pipeline in &planned.pipelines {
        for (sink, context) in sinks(region, pipeline) {
            if let Err(error) = connect::check_sink(sink, &context) {
                let message = format!("pipeline `{}` cannot write to sink `{}`: {error}", pipeline.name, sink.name);
                errors.push(Diagnostic::at(sink.location.clone(), message));
            }
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Failure::Wrong(errors)) }
}

/// A place that can't be opened: as a run would end, the user's to mend or not.
fn failure(location: &diagnostic::Location, message: String, mends: bool) -> Failure {
    match mends {
        true => Failure::wrong(Diagnostic::at(location.clone(), message)),
        false => Failure::running(message),
    }
}

/// Opens every split of every source, and tries at every place what a run will ask of it; one that fails keeps no other from
/// being tried. Says what it found, and what failed.
pub(super) async fn open_all(region: &Region, planned: &PlannedRegion) -> (Vec<String>, Vec<Failure>) {
    let mut found = Vec::new();
    for config in region.sources.values() {
        let name = &config.name;
        found.push(open_source(config).await.map(|found| format!("source {name}: {found}")));
        if let Some(registry) = &config.registry {
            found.push(open_registry(config, registry).await.map(|found| format!("source {name}: {found}")));
        }
        if config.on_bad == OnBad::DeadLetter {
            found.push(open_letters(region, config).await.map(|found| format!("dead letters of {name}: {found}")));
        }
    }
    found.push(open_state(region).await.map(|found| format!("state: {found}")));
    for table in region.tables.values() {
        found.push(open_table(region, table).await.map(|found| format!("table {}: {found}", table.name)));
    }
    for pipeline in &planned.pipelines {
        for (config, context) in sinks(region, pipeline) {
            let what = format!("sink {} of pipeline {}", config.name, pipeline.name);
            let failed = |error| {
                let place = format!("sink `{}` of pipeline `{}`", config.name, pipeline.name);
                sink_failure(&config.location, place, &error)
            };
            let opened = open_sink(region, config, context).await;
            found.push(opened.map(|found| format!("{what}: {found}")).map_err(failed));
        }
    }
    let (opened, failed): (Vec<_>, Vec<_>) = found.into_iter().partition(Result::is_ok);
    (opened.into_iter().filter_map(Result::ok).collect(), failed.into_iter().filter_map(Result::err).collect())
}

fn sink_failure(location: &diagnostic::Location, place: String, error: &SinkError) -> Failure {
    failure(location, format!("{place}: {error}"), matches!(error, SinkError::Config { .. }))
}

fn source_failure(config: &SourceConfig, error: &SourceError) -> Failure {
    let mends = matches!(error, SourceError::Config { .. });
    failure(&config.location, format!("source `{}`: {error}", config.name), mends)
}

async fn open_source(config: &SourceConfig) -> Outcome<String> {
    source(config)?.probe().await.map_err(|error| source_failure(config, &error))
}

async fn open_registry(config: &SourceConfig, registry: &RegistryOptions) -> Outcome<String> {
    let probed = async { Registry::new(registry)?.probe().await };
    probed.await.map_err(|error| source_failure(config, &error))
}

async fn open_letters(region: &Region, config: &SourceConfig) -> Outcome<String> {
    let (options, context) = dead_letter_sink(region, config, &region.writers());
    let opened = async {
        // Nothing is written to a place that may lie outside.
        let lies = lies_in(region, &options.url, &options.store).await?;
        Ok::<_, SinkError>(format!("{}{lies}", connect::probe_parquet(options, context).await?))
    };
    opened.await.map_err(|error| sink_failure(&config.location, format!("dead letters of `{}`", config.name), &error))
}

async fn open_state(region: &Region) -> Outcome<String> {
    let Checkpoint { url, store, .. } = &region.checkpoint;
    let opened = async {
        let lies = lies_in(region, url, store).await?;
        Ok::<_, Box<dyn Error + Send + Sync>>(format!("{}{lies}", probe_state(&region.checkpoint).await?))
    };
    opened.await.map_err(|error| {
        let mends = matches!(error.downcast_ref(), Some(SinkError::Config { .. }))
            || matches!(error.downcast_ref(), Some(StateError::Config { .. }));
        let message = format!("state: {error}");
        if mends { Failure::wrong(Diagnostic::in_file(&region.file, message)) } else { Failure::running(message) }
    })
}

async fn open_table(region: &Region, table: &TableConfig) -> Outcome<String> {
    let lies = lies_in(region, &table.url, &table.store).await;
    let failed = |error| sink_failure(&table.location, format!("table `{}`", table.name), &error);
    let lies = lies.map_err(failed)?;
    tables::find(table).await.map_err(Failure::wrong)?;
    Ok(format!("opened{lies}"))
}

async fn open_sink(region: &Region, config: &SinkConfig, context: SinkContext) -> Result<String, SinkError> {
    let lies = match config.options.files() {
        Some(options) => lies_in(region, &options.url, &options.store).await?,
        None => Lies::Here,
    };
    Ok(format!("{}{lies}", connect::probe_sink(config, context).await?))
}

async fn probe_state(checkpoint: &Checkpoint) -> Result<String, Box<dyn Error + Send + Sync>> {
    if let Location::Folder(_) = Location::of(&checkpoint.url)? {
        Place::open(&checkpoint.url, &checkpoint.store)?;
        return Ok("opened".to_string());
    }
    Ok(store::open(&checkpoint.url, &checkpoint.store, Patience::Client)?.probe().await?)
}
