//! The sinks of one pipeline, written and committed together, epoch by epoch.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use watershed_sinks::{Committed, Flush, Sink, SinkError};

use super::error::RunError;
use crate::report::Counters;

/// Pause before a failed commit is tried again, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// A pipeline that could not commit for this long stops.
const GIVE_UP_AFTER: Duration = Duration::from_secs(600);

/// Where a pipeline's rows leave.
#[derive(Debug)]
pub(crate) struct Outlet {
    pipeline: Arc<str>,
    schema: SchemaRef,
    sinks: Vec<Box<dyn Sink>>,
    counters: Arc<Counters>,
    epoch: u64,
    /// True if rows were written since the last epoch that handed everything over.
    pending: bool,
}

impl Outlet {
    /// Opens the sinks.
    pub(crate) async fn open(
        pipeline: Arc<str>,
        schema: SchemaRef,
        mut sinks: Vec<Box<dyn Sink>>,
        counters: Arc<Counters>,
    ) -> Result<Self, RunError> {
        let mut epoch = 1;
        for sink in &mut sinks {
            epoch = epoch.max(sink.open().await.map_err(|error| failed(&pipeline, error))?);
        }
        Ok(Self { pipeline, schema, sinks, counters, epoch, pending: false })
    }

    /// Hands rows to every sink.
    pub(crate) async fn write(&mut self, batch: RecordBatch) -> Result<(), RunError> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(());
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let (_, columns, _) = batch.into_parts();
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error| RunError::query(&self.pipeline, &error.into()))?;
        for sink in &mut self.sinks {
            sink.write(batch.clone()).await.map_err(|error| broken(&self.pipeline, error))?;
        }
        self.pending = true;
        Counters::add(&self.counters.rows_out, rows as u64);
        Ok(())
    }

    /// Ends an epoch: makes what is due durable, then visible. Gives the number of files shown.
    pub(crate) async fn commit(&mut self, flush: Flush) -> Result<u64, RunError> {
        if !self.pending {
            return Ok(0);
        }
        let mut files = 0;
        let epoch = self.epoch;
        for sink in &mut self.sinks {
            let prepared = sink.prepare(epoch, flush).await.map_err(|error| broken(&self.pipeline, error))?;
            if prepared.is_nothing() {
                continue;
            }
            let mut pause = FIRST_PAUSE;
            let mut waited = Duration::ZERO;
            let committed: Committed = loop {
                match sink.commit(&prepared).await {
                    Ok(committed) => break committed,
                    Err(error @ SinkError::Retry { .. }) if waited < GIVE_UP_AFTER => {
                        tracing::warn!(pipeline = %self.pipeline, epoch, %error, "commit failed, trying again");
                        tokio::time::sleep(pause).await;
                        waited += pause;
                        pause = (pause * 2).min(Duration::from_secs(10));
                    }
                    Err(error) => return Err(broken(&self.pipeline, error)),
                }
            };
            files += committed.files;
        }
        Counters::add(&self.counters.files, files);
        self.epoch += 1;
        self.pending = flush == Flush::Due;
        Ok(files)
    }
}

fn failed(pipeline: &Arc<str>, error: SinkError) -> RunError {
    RunError::Sink { pipeline: pipeline.to_string(), error }
}

/// Trouble after the sink was opened: whatever its kind, it came while running.
fn broken(pipeline: &Arc<str>, error: SinkError) -> RunError {
    RunError::Write { pipeline: pipeline.to_string(), error }
}
