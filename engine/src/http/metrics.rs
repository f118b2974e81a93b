//! How a run stands, for Prometheus.
//!
//! The one idea: nothing is kept up to date for a scrape; each takes one look at the board and writes it down. Names of
//! sources, splits and pipelines are the only labels, so no filled-in value can get into one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::connection::Connections;
use crate::report::Counts;
use crate::run::{Board, DelayView, SweptView, View};

/// What is shown to Prometheus.
#[derive(Debug)]
pub(super) struct Metrics {
    board: Arc<Board>,
    connections: Connections,
    /// Answers to pushed records, by source and status.
    requests: Mutex<BTreeMap<(String, u16), u64>>,
}

/// Takes one count out of many.
type Pick = fn(&Counts) -> u64;

/// Every count, as in the run report.
const COUNTS: [(&str, &str, Pick); 10] = [
    ("records_read", "Records read", |counts| counts.read),
    ("records_bad", "Records set aside as bad", |counts| counts.bad),
    ("records_filtered", "Records not asked for, duplicates included", |counts| counts.filtered),
    ("records_duplicate", "Records that had come before", |counts| counts.duplicates),
    ("records_late", "Records that came too late", |counts| counts.late),
    ("records_aggregated", "Records that went into a window or a sink", |counts| counts.aggregated),
    ("windows_closed", "Windows closed", |counts| counts.windows),
    ("rows_out", "Rows put out", |counts| counts.rows_out),
    ("files", "Files made visible", |counts| counts.files),
    ("payload_bytes", "Payload bytes read", |counts| counts.bytes_in),
];

/// Takes one count of files that were looked after.
type PickSwept = fn(&SweptView) -> u64;

/// What is done with files beside the flow.
const SWEPT: [(&str, &str, PickSwept); 3] = [
    ("expired_files", "Files removed because their partition is old", |swept| swept.expired),
    ("compacted_files", "Small files that larger ones took the place of", |swept| swept.compacted),
    ("vacuumed_files", "Files deleted because the table no longer has them", |swept| swept.vacuumed),
];

impl Metrics {
    pub(super) fn new(board: Arc<Board>, connections: Connections) -> Arc<Self> {
        Arc::new(Self { board, connections, requests: Mutex::default() })
    }

    /// Counts an answer to records pushed to `source`.
    pub(super) fn count(&self, source: &str, status: StatusCode) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((source.to_string(), status.as_u16())).or_default() += 1;
    }

    /// Everything, in the text format of OpenMetrics.
    pub(super) fn text(self: &Arc<Self>) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("watershed");
        registry.register_collector(Box::new(Look(self.clone())));
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// One scrape.
#[derive(Debug)]
struct Look(Arc<Metrics>);

impl Collector for Look {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        let requests = self.0.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let requests = requests.iter().map(|((source, status), count)| {
            (vec![("source", source.clone()), ("status", status.to_string())], *count)
        });
        page.counters("http_requests", "Answers to pushed records", requests)?;
        page.gauge("http_connections", "Connections to this server", Some(self.0.connections.open() as f64))?;
        match self.0.board.view() {
            Some(view) => page.run(&view),
            None => Ok(()),
        }
    }
}

/// A number under labels.
type Labels = Vec<(&'static str, String)>;

/// What is written.
struct Page<'e>(DescriptorEncoder<'e>);

impl Page<'_> {
    fn run(&mut self, view: &View) -> fmt::Result {
        for (name, help, pick) in COUNTS {
            self.counters(name, help, [(Vec::new(), pick(&view.total))].into_iter())?;
            let of = |pipeline: &'_ crate::run::PipelineView| {
                (vec![("pipeline", pipeline.name.clone())], pick(&pipeline.counts))
            };
            self.counters(&format!("pipeline_{name}"), &format!("{help}, by pipeline"), view.pipelines.iter().map(of))?;
        }
        let watermarks = view
            .pipelines
            .iter()
            .filter_map(|pipeline| Some((vec![("pipeline", pipeline.name.clone())], pipeline.watermark? as f64 / 1e6)));
        self.gauges("watermark_seconds", "Event time up to which windows have closed", watermarks)?;
        self.epochs(view)?;
        self.gauge(
            "state_memory_bytes",
            "Memory that state and rows on their way take",
            Some(view.memory_used as f64),
        )?;
        let limit = view.memory_limit.map(|limit| limit as f64);
        self.gauge("state_memory_limit_bytes", "Memory that they may take", limit)?;
        for (name, help, pick) in SWEPT {
            let of = |swept: &SweptView| {
                (vec![("pipeline", swept.pipeline.clone()), ("sink", swept.sink.clone())], pick(swept))
            };
            self.counters(name, help, view.swept.iter().map(of))?;
        }
        let labels = |pipeline: &str, sink: &str| vec![("pipeline", pipeline.to_string()), ("sink", sink.to_string())];
        let down =
            view.sinks.iter().map(|(pipeline, sink, view)| (labels(pipeline, sink), f64::from(u8::from(view.down))));
        self.gauges("sink_down", "1 while the place of a sink that spills does not answer", down)?;
        let spilled = view.sinks.iter().map(|(pipeline, sink, view)| (labels(pipeline, sink), view.spilled as f64));
        self.gauges("spilled_bytes", "Rows that wait for a sink which was down", spilled)?;
        self.gauge("state_spilled_bytes", "State on the local disk", Some(view.spilled as f64))?;
        self.gauge("uptime_seconds", "Time since the start", Some(view.up.as_secs_f64()))?;
        self.delays(&view.delays)?;
        self.splits(view)
    }

    fn epochs(&mut self, view: &View) -> fmt::Result {
        let epochs = &view.epochs;
        self.gauge("epoch", "The last epoch that was stored", epochs.last.map(|last| last as f64))?;
        self.counters("checkpoints", "Checkpoints that have succeeded", [(Vec::new(), epochs.ended)].into_iter())?;
        let age = Some(epochs.age.as_secs_f64());
        self.gauge("checkpoint_age_seconds", "Time since a checkpoint has succeeded", age)?;
        let took = epochs.took.map(|took| took.as_secs_f64());
        self.gauge("checkpoint_duration_seconds", "How long the last one took", took)
    }

    fn splits(&mut self, view: &View) -> fmt::Result {
        let labels =
            |split: &crate::run::SplitView| vec![("source", split.source.clone()), ("split", split.split.clone())];
        let records = view.splits.iter().filter_map(|split| Some((labels(split), split.lag.records? as f64)));
        self.gauges("lag_records", "Records that are written and not read yet", records)?;
        let behind = view.splits.iter().filter_map(|split| Some((labels(split), split.lag.behind?.as_secs_f64())));
        self.gauges("lag_seconds", "Time between the last record read and the end of the split", behind)?;
        let ages = view.splits.iter().map(|split| (labels(split), split.since_moved.as_secs_f64()));
        self.gauges("position_age_seconds", "Time since a record of the split was read", ages)
    }

    fn delays(&mut self, delays: &[DelayView]) -> fmt::Result {
        let help = "Time from an event until it is in its window, or on its way to a sink";
        let mut metric = self.0.encode_descriptor("event_delay_seconds", help, None, MetricType::Histogram)?;
        for DelayView { source, sum, count, buckets } in delays {
            let labels = [("source", source.as_str())];
            metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)?;
        }
        Ok(())
    }

    fn counters(&mut self, name: &str, help: &str, rows: impl Iterator<Item = (Labels, u64)>) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in rows {
            match labels.is_empty() {
                true => metric.encode_counter::<NoLabelSet, _, u64>(&value, None)?,
                false => metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?,
            }
        }
        Ok(())
    }

    fn gauges(&mut self, name: &str, help: &str, rows: impl Iterator<Item = (Labels, f64)>) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in rows {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// One number without labels, if there is one.
    fn gauge(&mut self, name: &str, help: &str, value: Option<f64>) -> fmt::Result {
        let Some(value) = value else { return Ok(()) };
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }
}
