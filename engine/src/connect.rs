//! From resolved configuration to live sources and sinks: the one place that knows every connector.

use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use watershed_connectors::{
    Container, EventTime, FileContent, FileSource, Framing, GeneratorSource, ReplayFormat, ReplaySource, Source,
    SourceError, StdinSource,
};
use watershed_sinks::{
    DeltaSink, NullSink, ParquetOptions, ParquetSink, Sink, SinkContext, SinkError, StdoutSink, WriterBudget,
};

use crate::config::{ConnectorOptions, Region, SinkConfig, SinkOptions, SourceConfig};
use crate::decode::Format;
use crate::plan::PlannedPipeline;
use crate::schema::TimestampFormat;

/// Opens a source.
pub fn source(config: &SourceConfig) -> Result<Arc<dyn Source>, SourceError> {
    let framing = || match &config.format {
        Format::Json | Format::Raw => Ok(Framing::Lines),
        Format::Csv(options) => Ok(Framing::Csv { header: options.header, quote: options.quote }),
        Format::Parquet => Err(SourceError::config("format \"parquet\" is read by connector = \"replay\"")),
        Format::Avro(_) | Format::Arrow => Err(SourceError::config("standard input can't be read block by block")),
        Format::Protobuf(_) => Err(SourceError::config("nothing says where a protobuf message ends in a file")),
    };
    let content = || match &config.format {
        Format::Avro(_) => Ok(FileContent::Container(Container::Avro)),
        Format::Arrow => Ok(FileContent::Container(Container::Arrow)),
        _ => framing().map(FileContent::Framed),
    };
    Ok(match &config.connector {
        ConnectorOptions::File(options) => Arc::new(FileSource::new(options.clone(), content()?)?),
        ConnectorOptions::Stdin(options) => Arc::new(StdinSource::new(options.clone(), framing()?)?),
        ConnectorOptions::Generator(options) => Arc::new(GeneratorSource::new(options.clone())?),
        ConnectorOptions::Replay(options) => Arc::new(ReplaySource::new(options.clone(), replay_format(config)?)?),
        ConnectorOptions::Stream(options) => options.framed(framing().ok(), &config.around)?,
    })
}

/// What a replay has to know of the declared columns.
fn replay_format(config: &SourceConfig) -> Result<ReplayFormat, SourceError> {
    match &config.format {
        Format::Json => Ok(ReplayFormat::Json),
        Format::Csv(_) | Format::Avro(_) | Format::Protobuf(_) | Format::Arrow | Format::Raw => {
            Err(SourceError::config("a replay reads \"parquet\" or \"json\""))
        }
        Format::Parquet => {
            let columns = config.schema.as_ref().map(|schema| schema.fields.iter().map(|f| f.name.clone()).collect());
            Ok(ReplayFormat::Parquet { columns, event_time: event_time(config) })
        }
    }
}

/// The column of event time, and what its numbers mean.
fn event_time(config: &SourceConfig) -> Option<EventTime> {
    let column = config.event_time.clone()?;
    let field = config.schema.as_ref()?.fields.iter().find(|field| field.name == column)?;
    let unit = match field.timestamp {
        Some(TimestampFormat::EpochSeconds) => Some(TimeUnit::Second),
        Some(TimestampFormat::EpochMillis) => Some(TimeUnit::Millisecond),
        Some(TimestampFormat::EpochMicros) => Some(TimeUnit::Microsecond),
        Some(TimestampFormat::EpochNanos) => Some(TimeUnit::Nanosecond),
        Some(TimestampFormat::Rfc3339 | TimestampFormat::Pattern(_)) | None => None,
    };
    Some(EventTime { column, unit, days: field.data_type == DataType::Date32 })
}

/// What a pipeline's sinks are told about its rows. They write within `writers`, with whoever else has it.
pub fn sink_context(region: &Region, pipeline: &PlannedPipeline, writers: &Arc<WriterBudget>) -> SinkContext {
    SinkContext {
        pipeline: pipeline.name.clone(),
        late: false,
        region: region.name.clone(),
        sql_hash: pipeline.sql_hash.clone(),
        schema: pipeline.output_schema.clone(),
        time_column: pipeline.time_column.clone(),
        sort_by: pipeline.sort_by.clone(),
        writers: writers.clone(),
    }
}

/// What the sink of a pipeline's late rows is told: they are rows of the source.
pub fn late_context(
    region: &Region,
    pipeline: &PlannedPipeline,
    source: &SourceConfig,
    writers: &Arc<WriterBudget>,
) -> Option<SinkContext> {
    let schema: SchemaRef = source.schema.as_ref()?.arrow_schema();
    let time_column = source.event_time.clone();
    Some(SinkContext {
        late: true,
        schema,
        time_column,
        sort_by: Vec::new(),
        ..sink_context(region, pipeline, writers)
    })
}

/// Checks a sink against the rows that it would get, without touching its place.
pub fn check_sink(config: &SinkConfig, context: &SinkContext) -> Result<(), SinkError> {
    match &config.options {
        SinkOptions::Parquet(options) => options.check(context),
        SinkOptions::Delta(options) => watershed_sinks::delta::check(options, context),
        SinkOptions::Messages(options) => options.check(context),
        SinkOptions::Stdout | SinkOptions::Null => Ok(()),
    }
}

/// Makes a sink.
pub fn sink(config: &SinkConfig, context: SinkContext) -> Result<Box<dyn Sink>, SinkError> {
    Ok(match &config.options {
        SinkOptions::Parquet(options) => parquet(options.as_ref().clone(), context)?,
        SinkOptions::Delta(options) => Box::new(delta(options.as_ref().clone(), context)?),
        SinkOptions::Messages(options) => options.sink(&context, &config.name)?,
        SinkOptions::Stdout => Box::new(StdoutSink::new(context)),
        SinkOptions::Null => Box::new(NullSink::new()),
    })
}

/// Makes a Parquet sink on this machine's clock.
pub fn parquet(options: ParquetOptions, context: SinkContext) -> Result<Box<dyn Sink>, SinkError> {
    Ok(Box::new(ParquetSink::at(options, context, Arc::new(Instant::now))?))
}

fn delta(options: ParquetOptions, context: SinkContext) -> Result<DeltaSink, SinkError> {
    DeltaSink::at(options, context, Arc::new(Instant::now))
}

/// Finds out whether a sink's place allows what a run will ask of it; says what it found.
pub async fn probe_sink(config: &SinkConfig, context: SinkContext) -> Result<String, SinkError> {
    match &config.options {
        SinkOptions::Parquet(options) => probe_parquet(options.as_ref().clone(), context).await,
        SinkOptions::Delta(options) => delta(options.as_ref().clone(), context)?.probe().await,
        SinkOptions::Messages(options) => options.probe(&context, &config.name).await,
        SinkOptions::Stdout | SinkOptions::Null => sink(config, context)?.open().await.map(|_| "opened".to_string()),
    }
}

/// The same for the place of a Parquet sink.
pub async fn probe_parquet(options: ParquetOptions, context: SinkContext) -> Result<String, SinkError> {
    ParquetSink::at(options, context, Arc::new(Instant::now))?.probe().await
}
