//! Sends events as a schedule says, whatever the target does, and measures from the schedule.
//!
//! | file | holds |
//! |---|---|
//! | `events.rs` | which events, and what time they carry |
//! | `producer.rs` | makes what is due, and sends it |
//! | `meter.rs`, `timeline.rs` | what is measured |
//! | `report.rs` | what came of it |

mod events;
mod meter;
mod producer;
mod report;
mod timeline;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::schedule::Schedule;
use crate::target::Target;
use meter::Meter;
use producer::Producer;

pub(crate) use events::{EventTime, Events, name_of};
pub(crate) use meter::histogram;
pub(crate) use report::{Latency, Report, Second};
use timeline::Point;

/// How often whoever watches is told.
const WATCHED_EVERY: Duration = Duration::from_millis(200);

/// What is to be sent, and how.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Load {
    pub(crate) events: Events,
    /// None: flat out.
    pub(crate) schedule: Option<Schedule>,
    pub(crate) events_at_most: Option<u64>,
    /// Nothing that is to leave later is sent.
    pub(crate) length: Option<Duration>,
    pub(crate) producers: u64,
    /// Bytes after which a batch is full.
    pub(crate) batch_bytes: usize,
    /// How long an event waits for others.
    pub(crate) linger: Duration,
    /// Bytes that may be sent and not acknowledged.
    pub(crate) bytes_under_way: usize,
    /// Batches that may be sent and not acknowledged.
    pub(crate) batches_under_way: usize,
    /// How much later than `linger` an event may leave before it counts as late.
    pub(crate) tolerance: Duration,
}

impl Load {
    /// Endless events as fast as the target takes them, and what the command line has by default for the rest.
    pub(crate) fn flat_out(events: Events) -> Self {
        Self {
            events,
            schedule: None,
            events_at_most: None,
            length: None,
            producers: 1,
            batch_bytes: 1_000_000,
            // As long as the daemon's own `linger`.
            linger: Duration::from_millis(5),
            bytes_under_way: 64_000_000,
            batches_under_way: 256,
            tolerance: Duration::from_millis(10),
        }
    }
}

/// A load being sent.
struct Run {
    load: Load,
    target: Box<dyn Target>,
    began: Instant,
    /// The same, in milliseconds since the epoch.
    began_ms: i64,
    bytes: Arc<Semaphore>,
    batches: Arc<Semaphore>,
    meter: Mutex<Meter>,
    stop: watch::Sender<bool>,
    /// When it was stopped, if it was: what falls due later is none of this run's.
    stopped_at: OnceLock<Duration>,
}

impl Run {
    /// Lets all producers stop.
    fn halt(&self) {
        self.stopped_at.get_or_init(|| self.elapsed());
        self.stop.send_replace(true);
    }

    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn meter(&self) -> MutexGuard<'_, Meter> {
        // What a panic leaves behind is counts that can still be read.
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until so many bytes more may be under way.
    async fn room(self: Arc<Self>, bytes: usize) -> Vec<OwnedSemaphorePermit> {
        // A batch larger than all of it goes alone.
        let bytes = u32::try_from(bytes.min(self.load.bytes_under_way)).unwrap_or(u32::MAX);
        let (batch, bytes) =
            (self.batches.clone().acquire_owned().await, self.bytes.clone().acquire_many_owned(bytes).await);
        // Neither is ever closed.
        batch.into_iter().chain(bytes).collect()
    }
}

/// Where a load stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    pub(crate) elapsed: Duration,
    /// Events that should have left by now; as many as left where there is no schedule.
    pub(crate) due: u64,
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    pub(crate) late: u64,
    pub(crate) failed: u64,
    /// Of all latencies so far, in milliseconds.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Sends a load to its end, or until `stop` turns true, and tells `watch` how it goes.
pub(crate) async fn send(
    load: Load,
    target: Box<dyn Target>,
    mut stop: watch::Receiver<bool>,
    mut watch: impl FnMut(Progress),
) -> Report {
    let started: DateTime<Utc> = Utc::now();
    let run = Arc::new(Run {
        target,
        began: Instant::now(),
        began_ms: started.timestamp_millis(),
        bytes: Arc::new(Semaphore::new(load.bytes_under_way)),
        batches: Arc::new(Semaphore::new(load.batches_under_way)),
        meter: Mutex::new(Meter::new(load.linger + load.tolerance)),
        stop: watch::channel(false).0,
        stopped_at: OnceLock::new(),
        load,
    });
    let mut producers = JoinSet::new();
    for number in 0..run.load.producers {
        producers.spawn(Producer::new(run.clone(), number).produce());
    }
    let mut ticks = interval(WATCHED_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stoppable = true;
    loop {
        tokio::select! {
            ended = producers.join_next() => if ended.is_none() { break },
            _ = ticks.tick() => watch(progress(&run)),
            stopped = stop.wait_for(|stop| *stop), if stoppable => {
                // Nobody can stop it any more if the sender is gone.
                stoppable = false;
                if stopped.is_ok() {
                    run.halt();
                }
            }
        }
    }
    let elapsed = run.elapsed();
    let ended = run.stopped_at.get().copied().unwrap_or(elapsed);
    Report::new(&run.load, started, [ended, elapsed], &mut run.meter(), run.target.retries())
}

fn progress(run: &Run) -> Progress {
    let elapsed = run.elapsed();
    let meter = run.meter();
    let counts = meter.counts;
    let mut due = run.load.schedule.as_ref().map_or(counts.sent, |schedule| schedule.due(elapsed) as u64);
    due = due.min(run.load.events_at_most.unwrap_or(u64::MAX));
    Progress {
        elapsed,
        due: due.max(counts.sent),
        sent: counts.sent,
        acknowledged: counts.acknowledged,
        late: counts.late,
        failed: counts.failed,
        p50_ms: meter.latency.value_at_quantile(0.5) as f64 / 1000.0,
        p99_ms: meter.latency.value_at_quantile(0.99) as f64 / 1000.0,
    }
}
