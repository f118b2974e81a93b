//! Runs a planned region: readers feed lanes, lanes feed pipelines, pipelines feed sinks.
//!
//! Who owns what: this module starts every thread and task and waits for each to end. Readers are bounded by a budget of
//! bytes in flight; everything behind them by bounded channels.

mod clock;
mod dead_letters;
mod error;
mod lane;
mod ledger;
mod outlet;
mod pipeline;
mod reader;
mod setup;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use watershed_sinks::SinkError;

pub use error::RunError;
pub use reader::CHUNK_BYTES;

use crate::plan::PlannedRegion;
use crate::report::{Counters, PipelineReport, Progress, RunReport};
use crate::watermark::{BEGINNING, END};
use lane::PipelineMessage;
use setup::Running;

/// How a run is driven from outside.
#[derive(Debug)]
pub struct RunOptions {
    /// Lanes to work on; 0 takes the region's own number.
    pub lanes: usize,
    /// Payload bytes that a lane takes at a time; 0 takes [`CHUNK_BYTES`]. Results do not depend on it.
    pub chunk_bytes: usize,
    /// Turns true when reading is to stop. What was read is finished, committed, and the run ends well.
    pub stop: watch::Receiver<bool>,
    /// Told where the run stands, several times a second.
    pub progress: Option<watch::Sender<Progress>>,
}

/// How often progress is told.
const PROGRESS_TICK: Duration = Duration::from_millis(100);

/// Runs until every source has ended or `stop` turns true.
pub async fn run(planned: PlannedRegion, options: RunOptions) -> Result<RunReport, RunError> {
    let begun = Instant::now();
    let lanes = if options.lanes == 0 { planned.region.lanes } else { options.lanes };
    let chunk_bytes = if options.chunk_bytes == 0 { CHUNK_BYTES } else { options.chunk_bytes };
    let (stop_reading, reading_stops) = watch::channel(false);
    let stop_reading = Arc::new(stop_reading);
    let forwarding = tokio::spawn(forward(options.stop, stop_reading.clone()));
    let running = setup::start(planned, lanes, chunk_bytes, reading_stops).await?;
    let total = running.total.clone();
    let names = running.names.clone();
    let watermarks = running.watermarks.clone();
    let telling = options.progress.map(|sender| tokio::spawn(tell(sender, total.clone(), watermarks, begun)));
    let outcome = finish(running, &stop_reading).await;
    forwarding.abort();
    if let Some(telling) = telling {
        telling.abort();
    }
    let reports = outcome?;
    let pipelines: BTreeMap<String, PipelineReport> = names.into_iter().zip(reports).collect();
    let still_open: u64 = pipelines.values().map(|report| report.open_windows).sum();
    if still_open > 0 {
        tracing::info!(windows = still_open, "stopped with windows open; their rows were not written");
    }
    Ok(RunReport::new(total.counts(), begun.elapsed(), pipelines))
}

/// Waits for the readers, then the pipelines, then the lanes; the first failure stops them all.
async fn finish(mut running: Running, stop_reading: &watch::Sender<bool>) -> Result<Vec<PipelineReport>, RunError> {
    let mut reports: Vec<Option<PipelineReport>> = vec![None; running.names.len()];
    let mut readers_done = false;
    let outcome = loop {
        tokio::select! {
            joined = running.readers.join_next(), if !readers_done => match joined {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => break Err(error),
                Some(Err(_)) => break Err(RunError::Lost("a reader")),
                None => {
                    readers_done = true;
                    for sender in running.senders.drain(..) {
                        // A pipeline that is gone already tells why itself.
                        let _ = sender.send(PipelineMessage::Drained).await;
                    }
                }
            },
            joined = running.pipelines.join_next() => match joined {
                Some(Ok(Ok((number, report)))) => reports[number] = Some(report),
                Some(Ok(Err(error))) => break Err(error),
                Some(Err(_)) => break Err(RunError::Lost("a pipeline")),
                None => break Ok(()),
            },
            Some(error) = running.failures.recv() => break Err(error),
        }
    };
    // Readers that work on threads of their own can't be cut off; they look after this.
    stop_reading.send_replace(true);
    running.readers.shutdown().await;
    running.pipelines.shutdown().await;
    running.lane_senders.clear();
    running.senders.clear();
    let mut lanes = running.lanes;
    while let Some(joined) = lanes.join_next().await {
        match joined {
            Ok(Ok(())) => {}
            Ok(Err(error)) if outcome.is_ok() => return Err(error),
            Ok(Err(_)) => {}
            Err(_) if outcome.is_ok() => return Err(RunError::Lost("a lane")),
            Err(_) => {}
        }
    }
    // Every lane is gone, and with them every sender of dead letters: their writers commit what is left and end.
    let letters = wait_all(running.dead_letters).await;
    match outcome {
        // Whoever read our standard output has seen enough; that is an end, not a failure.
        Err(RunError::Write { error: SinkError::Closed { .. }, .. }) => Ok(zero_reports(reports)),
        Err(error) => Err(error),
        Ok(()) => letters.map(|()| zero_reports(reports)),
    }
}

/// Passes the wish to stop on to the readers.
async fn forward(mut stop: watch::Receiver<bool>, stop_reading: Arc<watch::Sender<bool>>) {
    // An error says that whoever could have asked is gone: then nobody will.
    if stop.wait_for(|stop| *stop).await.is_ok() {
        stop_reading.send_replace(true);
    }
}

fn zero_reports(reports: Vec<Option<PipelineReport>>) -> Vec<PipelineReport> {
    reports
        .into_iter()
        .map(|report| report.unwrap_or(PipelineReport { counts: Default::default(), open_windows: 0 }))
        .collect()
}

async fn wait_all(mut tasks: JoinSet<Result<(), RunError>>) -> Result<(), RunError> {
    let mut first = Ok(());
    while let Some(joined) = tasks.join_next().await {
        let outcome = joined.unwrap_or(Err(RunError::Lost("the writer of dead letters")));
        if first.is_ok() {
            first = outcome;
        }
    }
    first
}

async fn tell(
    sender: watch::Sender<Progress>,
    total: Arc<Counters>,
    watermarks: Vec<watch::Receiver<i64>>,
    begun: Instant,
) {
    let mut tick = tokio::time::interval(PROGRESS_TICK);
    loop {
        tick.tick().await;
        let counts = total.counts();
        let watermark = watermarks.iter().map(|watermark| *watermark.borrow()).min();
        sender.send_replace(Progress {
            read: counts.read,
            bytes_in: counts.bytes_in,
            rows_out: counts.rows_out,
            windows: counts.windows,
            bad: counts.bad,
            late: counts.late,
            elapsed: begun.elapsed(),
            watermark: watermark.filter(|watermark| *watermark != BEGINNING && *watermark != END),
        });
    }
}
