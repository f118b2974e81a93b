//! Sources and sinks as `check` and `run` look at them before anything flows.

use std::sync::Arc;

use watershed_connectors::{Source, SourceError};
use watershed_sinks::{SinkContext, SinkError};

use super::failure::{Failure, Outcome};
use crate::config::{PipelineConfig, Region, SinkConfig, SourceConfig};
use crate::connect;
use crate::diagnostic::{Diagnostic, Location};
use crate::plan::{PlannedPipeline, PlannedRegion};
use crate::registry::Registry;

/// The source of a config; nothing is opened yet.
pub(super) fn source(config: &SourceConfig) -> Outcome<Arc<dyn Source>> {
    connect::source(config).map_err(|error| {
        Failure::wrong(Diagnostic::at(config.location.clone(), format!("source `{}`: {error}", config.name)))
    })
}

/// Every sink that a pipeline writes to, with what it is told about its rows; late rows included.
pub(super) fn sinks<'r>(region: &'r Region, pipeline: &PlannedPipeline) -> Vec<(&'r SinkConfig, SinkContext)> {
    let Some(config) = region.pipelines.get(&*pipeline.name) else { return Vec::new() };
    let named = config.sinks.iter().filter_map(|name| region.sinks.get(name));
    let mut sinks: Vec<_> = named.map(|sink| (sink, connect::sink_context(region, pipeline))).collect();
    sinks.extend(late_sink(region, config, pipeline));
    sinks
}

fn late_sink<'r>(
    region: &'r Region,
    config: &PipelineConfig,
    pipeline: &PlannedPipeline,
) -> Option<(&'r SinkConfig, SinkContext)> {
    let sink = region.sinks.get(config.late.as_ref()?)?;
    // Planning made sure that there is only one source.
    let (_, branch) = pipeline.branches().next()?;
    let source = region.sources.get(&*branch.rows.source)?;
    Some((sink, connect::late_context(region, pipeline, source)?))
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
fn failure(location: &Location, message: String, mends: bool) -> Failure {
    match mends {
        true => Failure::wrong(Diagnostic::at(location.clone(), message)),
        false => Failure::running(message),
    }
}

/// Opens every split of every source and every sink, and lets go of them again. Says what it opened.
pub(super) async fn open_all(region: &Region, planned: &PlannedRegion) -> Outcome<Vec<String>> {
    let mut opened = Vec::new();
    for config in region.sources.values() {
        let failed = |error: SourceError| {
            let mends = matches!(error, SourceError::Config { .. });
            failure(&config.location, format!("source `{}`: {error}", config.name), mends)
        };
        let source = source(config)?;
        let found = source.probe().await.map_err(failed)?;
        opened.push(format!("source {}: {found}", config.name));
        if let Some(registry) = &config.registry {
            let found = Registry::new(registry).map_err(failed)?.probe().await.map_err(failed)?;
            opened.push(format!("source {}: {found}", config.name));
        }
    }
    for pipeline in &planned.pipelines {
        for (config, context) in sinks(region, pipeline) {
            let failed = |error: SinkError| {
                let mends = matches!(error, SinkError::Config { .. });
                let message = format!("sink `{}` of pipeline `{}`: {error}", config.name, pipeline.name);
                failure(&config.location, message, mends)
            };
            let mut sink = connect::sink(config, context).map_err(failed)?;
            sink.open().await.map_err(failed)?;
            opened.push(format!("sink {} of pipeline {}: opened", config.name, pipeline.name));
        }
    }
    Ok(opened)
}
