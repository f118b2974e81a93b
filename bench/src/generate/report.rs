//! What came of a load.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use hdrhistogram::Histogram;
use serde::Serialize;
use watershed_connectors::Profile;

use super::meter::Meter;
use super::{Load, Point};

/// Ticks of the percentile curve in each halving of what is left to 100 %.
const TICKS_PER_HALF: u32 = 8;

/// The report of a load, as it is written to `--report`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    /// When the first event was to leave.
    pub(crate) started: String,
    /// From then until the last event was acknowledged or given up.
    pub(crate) wall_s: f64,
    pub(crate) profile: Profile,
    pub(crate) seed: u64,
    pub(crate) producers: u64,
    /// True if there was a schedule; without one, latencies begin when an event was made.
    pub(crate) scheduled: bool,
    /// Events that should have left by the end.
    pub(crate) due: u64,
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    /// Events that the target did not take.
    pub(crate) failed: u64,
    /// Events that left later than linger and tolerance allow.
    pub(crate) late: u64,
    /// What an event waits for others, and what it may be later than that, in milliseconds.
    pub(crate) linger_ms: f64,
    pub(crate) tolerance_ms: f64,
    /// Payload bytes acknowledged.
    pub(crate) bytes: u64,
    pub(crate) batches: u64,
    pub(crate) retries: u64,
    /// Acknowledged events per second of wall time.
    pub(crate) events_per_s: f64,
    /// From the moment of the schedule to the acknowledgement.
    pub(crate) latency: Latency,
    /// From the moment of the schedule until the event left.
    pub(crate) delay: Latency,
    /// Second by second.
    pub(crate) timeline: Vec<Second>,
    /// The first reason for which events failed.
    pub(crate) trouble: Option<String>,
}

/// One second.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Second {
    /// Events that were to leave in it; none without a schedule.
    pub(crate) due: Option<f64>,
    #[serde(flatten)]
    pub(crate) point: Point,
}

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Latency {
    pub(crate) mean_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) p9999_ms: f64,
    pub(crate) max_ms: f64,
    /// Pairs of a quantile and its milliseconds, growing.
    pub(crate) curve: Vec<(f64, f64)>,
}

impl Latency {
    /// The percentiles of a histogram of microseconds.
    pub(crate) fn of(micros: &Histogram<u64>) -> Self {
        if micros.is_empty() {
            return Self::default();
        }
        let at = |quantile| micros.value_at_quantile(quantile) as f64 / 1000.0;
        let ticks = micros.iter_quantiles(TICKS_PER_HALF);
        let curve = ticks.map(|tick| (tick.quantile_iterated_to(), tick.value_iterated_to() as f64 / 1000.0));
        Self {
            mean_ms: micros.mean() / 1000.0,
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            p9999_ms: at(0.9999),
            max_ms: micros.max() as f64 / 1000.0,
            curve: curve.filter(|(quantile, _)| *quantile < 1.0).collect(),
        }
    }
}

impl Report {
    /// What `meter` holds of a load that fell due until `ended`, and was answered at `elapsed`.
    pub(super) fn new(
        load: &Load,
        started: DateTime<Utc>,
        [ended, elapsed]: [Duration; 2],
        meter: &mut Meter,
        retries: u64,
    ) -> Self {
        let counts = meter.counts;
        let due = |seconds: f64| {
            let time = Duration::from_secs_f64(seconds);
            let time = load.length.map_or(time, |length| time.min(length)).min(ended);
            let due = load.schedule.as_ref().map(|schedule| schedule.due(time));
            due.map(|due| due.min(load.events_at_most.map_or(f64::MAX, |most| most as f64)))
        };
        let second = |point: &Point| {
            let (before, after) = (due(point.at_s), due(point.at_s + point.seconds));
            Second { due: after.zip(before).map(|(after, before)| after - before), point: point.clone() }
        };
        let wall_s = elapsed.as_secs_f64();
        Self {
            started: started.to_rfc3339_opts(SecondsFormat::Millis, true),
            wall_s,
            profile: load.events.profile,
            seed: load.events.seed,
            producers: load.producers,
            scheduled: load.schedule.is_some(),
            // An event that is due at the very end counts like those before it.
            due: due(wall_s).map_or(counts.sent, |due| due.ceil() as u64).max(counts.sent),
            sent: counts.sent,
            acknowledged: counts.acknowledged,
            failed: counts.failed,
            late: counts.late,
            linger_ms: load.linger.as_secs_f64() * 1000.0,
            tolerance_ms: load.tolerance.as_secs_f64() * 1000.0,
            bytes: counts.bytes,
            batches: counts.batches,
            retries,
            events_per_s: counts.acknowledged as f64 / wall_s.max(1e-9),
            latency: Latency::of(&meter.latency),
            delay: Latency::of(&meter.delay),
            timeline: meter.timeline(elapsed).iter().map(second).collect(),
            trouble: meter.trouble.clone(),
        }
    }
}
