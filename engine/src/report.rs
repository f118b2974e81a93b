//! What a run counted: live, as progress, and at its end as the run report.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

/// Counts that lanes and pipelines add to as they go.
///
/// Every record read ends in exactly one of `bad`, `filtered`, `late` and `aggregated`.
#[derive(Debug, Default)]
pub struct Counters {
    /// Records read.
    pub read: AtomicU64,
    /// Records that could not be read, or had no usable event time.
    pub bad: AtomicU64,
    /// Records that no WHERE or join let through.
    pub filtered: AtomicU64,
    /// Records that had come before; they are among the filtered.
    pub duplicates: AtomicU64,
    /// Records whose last window had closed.
    pub late: AtomicU64,
    /// Records that went into a window; without windows, into a sink.
    pub aggregated: AtomicU64,
    /// Windows closed.
    pub windows: AtomicU64,
    /// Rows put out.
    pub rows_out: AtomicU64,
    /// Files made visible.
    pub files: AtomicU64,
    /// Payload bytes read.
    pub bytes_in: AtomicU64,
}

impl Counters {
    /// Adds to one of the counts.
    pub fn add(count: &AtomicU64, n: u64) {
        count.fetch_add(n, Ordering::Relaxed);
    }

    /// The counts so far.
    pub fn counts(&self) -> Counts {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            read: get(&self.read),
            bad: get(&self.bad),
            filtered: get(&self.filtered),
            duplicates: get(&self.duplicates),
            late: get(&self.late),
            aggregated: get(&self.aggregated),
            windows: get(&self.windows),
            rows_out: get(&self.rows_out),
            files: get(&self.files),
            bytes_in: get(&self.bytes_in),
        }
    }
}

/// Counts at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Records read.
    pub read: u64,
    /// Records set aside.
    pub bad: u64,
    /// Records not asked for.
    pub filtered: u64,
    /// Records that had come before; they are among `filtered`.
    pub duplicates: u64,
    /// Records that came too late.
    pub late: u64,
    /// Records that went into a window or a sink.
    pub aggregated: u64,
    /// Windows closed.
    pub windows: u64,
    /// Rows put out.
    pub rows_out: u64,
    /// Files made visible.
    pub files: u64,
    /// Payload bytes read.
    pub bytes_in: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.bad += other.bad;
        self.filtered += other.filtered;
        self.duplicates += other.duplicates;
        self.late += other.late;
        self.aggregated += other.aggregated;
        self.windows += other.windows;
        self.rows_out += other.rows_out;
        self.files += other.files;
        self.bytes_in += other.bytes_in;
    }
}

/// The run report.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    /// Counts of this run over all pipelines; a record that several pipelines read counts once.
    #[serde(flatten)]
    pub total: Counts,
    /// The same, over every run since the state began.
    pub lifetime: Counts,
    /// True if the run went on from a checkpoint.
    pub resumed: bool,
    /// The last epoch.
    pub epoch: Option<u64>,
    /// Wall time in seconds.
    pub wall_s: f64,
    /// CPU time of the process in seconds.
    pub cpu_s: f64,
    /// Greatest resident memory of the process.
    pub peak_rss_bytes: u64,
    /// Counts by pipeline.
    pub pipelines: BTreeMap<String, PipelineReport>,
    /// By source, of those whose event times are compared with the clock.
    pub event_delays: BTreeMap<String, DelayReport>,
}

/// How long it took from events until they were in their panes, or on their way to a sink; right to one percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DelayReport {
    /// How many events there were.
    pub events: u64,
    /// Half of them took so many milliseconds at most.
    pub p50_ms: f64,
    /// 99 in 100 did.
    pub p99_ms: f64,
    /// 999 in 1000 did.
    pub p999_ms: f64,
    /// All did; a day is the most that is told.
    pub max_ms: f64,
}

/// One pipeline's part of the run report.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PipelineReport {
    /// What it counted.
    #[serde(flatten)]
    pub counts: Counts,
    /// Windows that were still open when the run was stopped; the checkpoint keeps their rows.
    pub open_windows: u64,
}

impl RunReport {
    /// Puts a report together; asks the system for this process's CPU time and memory.
    pub(crate) fn new(
        total: Counts,
        lifetime: Counts,
        resumed: bool,
        epoch: Option<u64>,
        wall: Duration,
        pipelines: BTreeMap<String, PipelineReport>,
        event_delays: BTreeMap<String, DelayReport>,
    ) -> Self {
        let (cpu_s, peak_rss_bytes) = usage();
        let wall_s = wall.as_secs_f64();
        Self { total, lifetime, resumed, epoch, wall_s, cpu_s, peak_rss_bytes, pipelines, event_delays }
    }
}

/// CPU seconds and greatest resident bytes of this process; zeros where the system does not tell.
fn usage() -> (f64, u64) {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return (0.0, 0) };
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    // Linux counts resident memory in KiB.
    let resident = u64::try_from(usage.max_rss()).unwrap_or(0) * 1024;
    (seconds(usage.user_time()) + seconds(usage.system_time()), resident)
}

/// Where a run stands, for whoever watches it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    /// Records read.
    pub read: u64,
    /// Payload bytes read.
    pub bytes_in: u64,
    /// Rows put out.
    pub rows_out: u64,
    /// Windows closed.
    pub windows: u64,
    /// Records set aside.
    pub bad: u64,
    /// Records that came too late.
    pub late: u64,
    /// Time since the start.
    pub elapsed: Duration,
    /// The least watermark of all pipelines, in microseconds since the Unix epoch, once there is one.
    pub watermark: Option<i64>,
}
