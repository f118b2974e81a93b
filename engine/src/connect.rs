//! From resolved configuration to live sources and sinks: the one place that knows every connector.

use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use watershed_connectors::{FileSource, Framing, GeneratorSource, Source, SourceError, StdinSource};
use watershed_sinks::{NullSink, ParquetOptions, ParquetSink, Sink, SinkContext, SinkError, StdoutSink};

use crate::config::{ConnectorOptions, Region, SinkConfig, SinkOptions, SourceConfig};
use crate::decode::Format;
use crate::plan::PlannedPipeline;

/// Opens a source.
pub fn source(config: &SourceConfig) -> Result<Arc<dyn Source>, SourceError> {
    let framing = match &config.format {
        Format::Json => Framing::Lines,
        Format::Csv(options) => Framing::Csv { header: options.header, quote: options.quote },
    };
    Ok(match &config.connector {
        ConnectorOptions::File(options) => Arc::new(FileSource::new(options.clone(), framing)?),
        ConnectorOptions::Stdin(options) => Arc::new(StdinSource::new(options.clone(), framing)?),
        ConnectorOptions::Generator(options) => Arc::new(GeneratorSource::new(options.clone())?),
    })
}

/// What a pipeline's sinks are told about its rows.
pub fn sink_context(region: &Region, pipeline: &PlannedPipeline) -> SinkContext {
    SinkContext {
        pipeline: pipeline.name.clone(),
        region: region.name.clone(),
        sql_hash: pipeline.sql_hash.clone(),
        schema: pipeline.output_schema.clone(),
        time_column: pipeline.time_column.clone(),
        sort_by: pipeline.sort_by.clone(),
    }
}

/// What the sink of a pipeline's late rows is told: they are rows of the source.
pub fn late_context(region: &Region, pipeline: &PlannedPipeline, source: &SourceConfig) -> Option<SinkContext> {
    let schema: SchemaRef = source.schema.as_ref()?.arrow_schema();
    let time_column = source.event_time.clone();
    Some(SinkContext { schema, time_column, sort_by: Vec::new(), ..sink_context(region, pipeline) })
}

/// Checks a sink against the rows that it would get, without touching its place.
pub fn check_sink(config: &SinkConfig, context: &SinkContext) -> Result<(), SinkError> {
    match &config.options {
        SinkOptions::Parquet(options) => options.check(context),
        SinkOptions::Stdout | SinkOptions::Null => Ok(()),
    }
}

/// Makes a sink.
pub fn sink(config: &SinkConfig, context: SinkContext) -> Result<Box<dyn Sink>, SinkError> {
    Ok(match &config.options {
        SinkOptions::Parquet(options) => parquet(options.clone(), context)?,
        SinkOptions::Stdout => Box::new(StdoutSink::new(context)),
        SinkOptions::Null => Box::new(NullSink::new()),
    })
}

/// Makes a Parquet sink on this machine's clock.
pub fn parquet(options: ParquetOptions, context: SinkContext) -> Result<Box<dyn Sink>, SinkError> {
    Ok(Box::new(ParquetSink::local(options, context, Arc::new(Instant::now))?))
}
