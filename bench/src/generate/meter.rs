//! What is measured while events leave: how long each took from the moment at which it was to leave.
//!
//! The one idea: a latency begins when the schedule says, not when the event was sent. A server that stalls makes events
//! wait here, and that counts (what Gil Tene calls coordinated omission is leaving it out). Time is an argument here.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::timeline::{Point, Timeline};

/// Three digits are kept of each latency.
const DIGITS: u8 = 3;

/// What happened to events so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Left for the target.
    pub(crate) sent: u64,
    /// Acknowledged by the target.
    pub(crate) acknowledged: u64,
    /// Given up.
    pub(crate) failed: u64,
    /// Left later than they may.
    pub(crate) late: u64,
    /// Payload bytes of those acknowledged, newlines included.
    pub(crate) bytes: u64,
    /// Batches sent.
    pub(crate) batches: u64,
}

/// Takes measurements.
#[derive(Debug)]
pub(crate) struct Meter {
    pub(crate) counts: Counts,
    /// From the moment of the schedule to the acknowledgement, in microseconds.
    pub(crate) latency: Histogram<u64>,
    /// From the moment of the schedule until an event left, in microseconds.
    pub(crate) delay: Histogram<u64>,
    timeline: Timeline,
    /// How much later than its moment an event may leave.
    tolerance: Duration,
    /// Why events failed, as the first of them did.
    pub(crate) trouble: Option<String>,
}

impl Meter {
    pub(crate) fn new(tolerance: Duration) -> Self {
        Self {
            counts: Counts::default(),
            latency: histogram(),
            delay: histogram(),
            timeline: Timeline::new(),
            tolerance,
            trouble: None,
        }
    }

    /// Events leave at `now`; they were to leave at `moments`, in nanoseconds like `now` from the start.
    pub(crate) fn sent(&mut self, moments: &[u64], now: Duration) {
        self.counts.batches += 1;
        self.counts.sent += moments.len() as u64;
        self.timeline.sent(now, moments.len() as u64);
        for moment in moments {
            let delay = now.saturating_sub(Duration::from_nanos(*moment));
            self.counts.late += u64::from(delay > self.tolerance);
            self.delay.saturating_record(micros(delay));
        }
    }

    /// They were acknowledged at `now`.
    pub(crate) fn acknowledged(&mut self, moments: &[u64], bytes: usize, now: Duration) {
        self.counts.acknowledged += moments.len() as u64;
        self.counts.bytes += bytes as u64;
        for moment in moments {
            let latency = micros(now.saturating_sub(Duration::from_nanos(*moment)));
            self.latency.saturating_record(latency);
            self.timeline.acknowledged(now, latency);
        }
    }

    /// They never will be.
    pub(crate) fn failed(&mut self, events: usize, why: String) {
        self.counts.failed += events as u64;
        self.trouble.get_or_insert(why);
    }

    /// What happened in each second, up to now.
    pub(crate) fn timeline(&mut self, now: Duration) -> &[Point] {
        self.timeline.points(now)
    }
}

/// From a microsecond to an hour; what is more counts as an hour.
pub(crate) fn histogram() -> Histogram<u64> {
    // The bounds and the digits are right, so that the other branch is never taken.
    let bounded = Histogram::new_with_bounds(1, 3_600_000_000, DIGITS);
    bounded.unwrap_or_else(|_| unreachable!("the bounds of a histogram are constant and right"))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}
