//! Runs a planned region: readers feed lanes, lanes feed pipelines, pipelines feed sinks, and the coordinator ends epochs.
//!
//! Who owns what: this module starts every thread and task and waits for each to end. Readers are bounded by a budget of
//! bytes in flight; everything behind them by bounded channels. A part takes one message at a time and moves only by
//! them, so that a test can put the same parts together and choose the order itself.
//!
//! | room | what |
//! |---|---|
//! | `setup`, `restore`, `recover`, `wiring` | from a plan and the last epoch to parts that do not move yet |
//! | `sources`, `drivers`, `reader`, `attempts`, `schemas` | splits are found, and read chunk by chunk |
//! | `predecessors` | what other daemons have read of them |
//! | `way`, `lane`, `split`, `turns` | which lane works on a chunk, and in which order chunks take effect |
//! | `intake`, `redelivery`, `times`, `feed` | what came before, decode, lateness, panes |
//! | `pipeline`, `gaps`, `upkeep` | windows close, rows leave, state stays small |
//! | `outlet`, `line`, `dead_letters`, `sweeping` | rows on their way into files, and files that are looked after |
//! | `barrier`, `cut`, `coordinator`, `acks`, `step` | an epoch ends |
//! | `clock`, `tally`, `ledger`, `delays`, `board` | watermarks, counts and times, and who may look at them |

mod acks;
mod attempts;
mod barrier;
mod board;
mod clock;
mod coordinator;
mod cut;
mod dead_letters;
mod delays;
mod drivers;
mod error;
mod feed;
mod gaps;
mod gathered;
mod intake;
mod lane;
mod ledger;
mod line;
mod outlet;
mod pipeline;
mod predecessors;
mod reader;
mod recover;
mod redelivery;
mod restore;
mod schemas;
mod setup;
mod sources;
mod spawn;
mod split;
mod step;
mod sweeping;
mod tally;
mod times;
mod turns;
mod upkeep;
mod way;
mod wiring;
mod world;

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use watershed_connectors::Source;

pub use board::{Board, EpochView, PipelineView, SinkView, SplitView, SweptView, View};
pub(crate) use dead_letters::sink_of as dead_letter_sink;
pub use delays::DelayView;
pub use error::RunError;
pub use reader::CHUNK_BYTES;
pub use step::Step;
pub use world::{Connect, World};

use crate::plan::PlannedRegion;
use crate::report::{PipelineReport, Progress, RunReport};
use crate::watermark::{BEGINNING, END};
use restore::Begin;
use setup::Setup;
use tally::Tallies;

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
    /// Where the run shows what it is doing, and what can be pushed to it.
    pub board: Arc<Board>,
    /// Leaves earlier state behind and begins anew.
    pub reset_state: bool,
    /// Reads nothing, closes every window that the state holds, and ends.
    pub drain: bool,
    /// Puts out only windows that lie wholly in this range of event time; none: all.
    pub only: Option<Range<i64>>,
    /// Clock, stores and whatever else comes from outside.
    pub world: World,
}

impl RunOptions {
    /// A run on this machine that goes on from the last checkpoint, if there is one.
    pub fn new(stop: watch::Receiver<bool>) -> Self {
        Self {
            lanes: 0,
            chunk_bytes: 0,
            stop,
            progress: None,
            board: Arc::default(),
            reset_state: false,
            drain: false,
            only: None,
            world: World::default(),
        }
    }
}

/// How long sources may take to close.
const CLOSING: Duration = Duration::from_secs(5);

/// How often progress is told.
const PROGRESS_TICK: Duration = Duration::from_millis(100);

/// Runs until every source has ended or `stop` turns true.
pub async fn run(planned: PlannedRegion, options: RunOptions) -> Result<RunReport, RunError> {
    let begun = Instant::now();
    let lanes = if options.lanes == 0 { planned.region.lanes } else { options.lanes };
    let drain_timeout = planned.region.drain_timeout;
    let (finish, finished) = watch::channel(false);
    let setup = Setup {
        lanes,
        chunk_bytes: if options.chunk_bytes == 0 { CHUNK_BYTES } else { options.chunk_bytes },
        begin: if options.reset_state { Begin::Anew } else { Begin::Resume },
        drain: options.drain,
        only: options.only,
        stop: options.stop.clone(),
        finished,
        board: options.board,
        world: options.world,
    };
    let assembly = setup::assemble(planned, setup).await?;
    let (tallies, watermarks) = (assembly.tallies.clone(), assembly.watermarks.clone());
    let (names, sources) = (assembly.names.clone(), assembly.sources.clone());
    let delays = assembly.delays.clone();
    let (base, resumed) = (assembly.coordinator.base.clone(), assembly.resumed);
    let telling = options.progress.map(|sender| tokio::spawn(tell(sender, tallies.clone(), watermarks, begun)));
    let ended = tokio::select! {
        ended = spawn::run(assembly, finish) => ended,
        () = too_slow(options.stop, drain_timeout) => Err(RunError::DrainTimeout(drain_timeout)),
    };
    if let Some(telling) = telling {
        telling.abort();
    }
    close(sources).await;
    let last = ended?;
    let totals = tallies.so_far();
    let mut lifetime = base.total;
    lifetime += totals.total;
    let pipelines: BTreeMap<String, PipelineReport> = names
        .into_iter()
        .zip(totals.pipelines)
        .map(|(name, counts)| {
            let open_windows = last.as_ref().and_then(|last| last.pipelines.get(&name)).map_or(0, |p| p.open_windows);
            (name, PipelineReport { counts, open_windows })
        })
        .collect();
    let open: u64 = pipelines.values().map(|report| report.open_windows).sum();
    if open > 0 {
        tracing::info!(windows = open, "stopped with windows open; the checkpoint keeps them for the next run");
    }
    let epoch = last.map(|last| last.epoch);
    let delays = delays.iter().map(|(source, delays)| (source.to_string(), delays.report())).collect();
    Ok(RunReport::new(totals.total, lifetime, resumed, epoch, begun.elapsed(), pipelines, delays))
}

/// Lets every source let go of what others wait for, within bounds: whoever waits has a time-out of its own.
async fn close(sources: Vec<Arc<dyn Source>>) {
    let closing = futures::future::join_all(sources.iter().map(|source| source.close()));
    if tokio::time::timeout(CLOSING, closing).await.is_err() {
        tracing::warn!("a source could not be told that this run is over; others take over when they notice");
    }
}

/// Ends when a run that was told to stop has not done so in time.
async fn too_slow(mut stop: watch::Receiver<bool>, bound: Duration) {
    // An error says that whoever could have asked is gone: then nobody will.
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(bound).await;
}

async fn tell(
    sender: watch::Sender<Progress>,
    tallies: Arc<Tallies>,
    watermarks: Vec<(Arc<str>, watch::Receiver<i64>)>,
    begun: Instant,
) {
    let mut tick = tokio::time::interval(PROGRESS_TICK);
    loop {
        tick.tick().await;
        let counts = tallies.so_far().total;
        let watermark = watermarks.iter().map(|(_, watermark)| *watermark.borrow()).min();
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
