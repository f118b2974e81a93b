//! What happened in each second of a run.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::meter::histogram;

/// How long a point stands for.
pub(super) const STEP: Duration = Duration::from_secs(1);

/// One second; the last may be cut short.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Point {
    /// Where it begins, from the start of the run.
    pub(crate) at_s: f64,
    /// How long it is.
    pub(crate) seconds: f64,
    /// Events that left.
    pub(crate) sent: u64,
    /// Events that were acknowledged.
    pub(crate) acknowledged: u64,
    /// Of the latencies of what was acknowledged, in milliseconds; none if nothing was.
    #[serde(flatten)]
    pub(crate) latency: Option<Spread>,
}

/// Latencies of a second, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

/// Points as they fill. What comes is never earlier than what came before, but for what threads do to each other: that is
/// put into the second that is open.
#[derive(Debug)]
pub(super) struct Timeline {
    points: Vec<Point>,
    sent: u64,
    acknowledged: u64,
    latency: Histogram<u64>,
}

impl Timeline {
    pub(super) fn new() -> Self {
        Self { points: Vec::new(), sent: 0, acknowledged: 0, latency: histogram() }
    }

    pub(super) fn sent(&mut self, now: Duration, events: u64) {
        self.close_before(now);
        self.sent += events;
    }

    pub(super) fn acknowledged(&mut self, now: Duration, micros: u64) {
        self.close_before(now);
        self.acknowledged += 1;
        self.latency.saturating_record(micros);
    }

    /// All seconds up to `now`, the open one included, which is closed by that.
    pub(super) fn points(&mut self, now: Duration) -> &[Point] {
        self.close_before(now);
        let open = now.saturating_sub(self.begin());
        // Less than a tenth of a second makes rates of chance.
        if self.points.is_empty() || open > STEP / 10 {
            self.close(open);
        } else if let Some(last) = self.points.last_mut() {
            last.sent += self.sent;
            last.acknowledged += self.acknowledged;
            last.seconds += open.as_secs_f64();
        }
        &self.points
    }

    fn begin(&self) -> Duration {
        STEP * u32::try_from(self.points.len()).unwrap_or(u32::MAX)
    }

    #[inline]
    fn close_before(&mut self, now: Duration) {
        while now >= self.begin() + STEP {
            self.close(STEP);
        }
    }

    fn close(&mut self, length: Duration) {
        let ms = |micros: u64| micros as f64 / 1000.0;
        let latency = (self.acknowledged > 0).then(|| Spread {
            p50_ms: ms(self.latency.value_at_quantile(0.5)),
            p99_ms: ms(self.latency.value_at_quantile(0.99)),
            max_ms: ms(self.latency.max()),
        });
        self.points.push(Point {
            at_s: self.begin().as_secs_f64(),
            seconds: length.as_secs_f64(),
            sent: std::mem::take(&mut self.sent),
            acknowledged: std::mem::take(&mut self.acknowledged),
            latency,
        });
        self.latency.reset();
    }
}
