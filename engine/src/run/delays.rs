//! How long it takes from an event until it is in its pane.
//!
//! The one idea: where event times are compared with the clock, their difference is what all before has taken: whoever made the event, the
//! network, the origin, the reader, the decoder.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use hdrhistogram::Histogram;

use crate::report::DelayReport;

/// A day, in microseconds; what is longer counts as a day.
const LONGEST: u64 = 86_400_000_000;

/// Upper bounds of what is shown together, in microseconds.
const BOUNDS: [u64; 17] = [
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    3_600_000_000,
];

/// The delays of a source's events, right to one percent.
pub(crate) struct Delays(Mutex<Seen>);

struct Seen {
    histogram: Histogram<u64>,
    /// Microseconds.
    sum: f64,
}

/// A look at them.
#[derive(Debug, Clone, PartialEq)]
pub struct DelayView {
    /// The source.
    pub source: String,
    /// All of them together, in seconds.
    pub sum: f64,
    /// How many there were.
    pub count: u64,
    /// Upper bounds in seconds, ascending, with how many there were up to each and above the one before. The last is unbounded.
    pub buckets: Vec<(f64, u64)>,
}

impl Default for Delays {
    fn default() -> Self {
        // The bounds and the digits are right, so that the other branch is never taken.
        let histogram = Histogram::new_with_bounds(1, LONGEST, 2);
        let histogram = histogram.unwrap_or_else(|_| unreachable!("the bounds of a histogram are constant and right"));
        Self(Mutex::new(Seen { histogram, sum: 0.0 }))
    }
}

impl Delays {
    /// Takes events that are in their panes at `now`, by their times.
    pub(super) fn record(&self, times: &[i64], now: i64) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for time in times {
            // An event of the future has taken no time.
            let delay = u64::try_from(now.saturating_sub(*time)).unwrap_or(0).min(LONGEST);
            seen.histogram.saturating_record(delay.max(1));
            seen.sum += delay as f64;
        }
    }

    /// A look, for those who watch.
    pub(super) fn view(&self, source: &str) -> DelayView {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bounds = BOUNDS.iter().map(|bound| *bound as f64 / 1e6).chain([f64::INFINITY]);
        let mut buckets: Vec<(f64, u64)> = bounds.map(|bound| (bound, 0)).collect();
        for step in seen.histogram.iter_recorded() {
            let bucket =
                BOUNDS.partition_point(|bound| *bound < seen.histogram.lowest_equivalent(step.value_iterated_to()));
            buckets[bucket].1 += step.count_at_value();
        }
        DelayView { source: source.to_string(), sum: seen.sum / 1e6, count: seen.histogram.len(), buckets }
    }

    /// The account at the end.
    pub(super) fn report(&self) -> DelayReport {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let millis = |quantile| seen.histogram.value_at_quantile(quantile) as f64 / 1e3;
        DelayReport {
            events: seen.histogram.len(),
            p50_ms: millis(0.5),
            p99_ms: millis(0.99),
            p999_ms: millis(0.999),
            max_ms: seen.histogram.max() as f64 / 1e3,
        }
    }
}

impl fmt::Debug for Delays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delays").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_told_by_bounds_and_by_percentiles() {
        let delays = Delays::default();
        let now = 1_000_000_000_000;
        // Of a hundred events one is of the future, one of a year ago, and one took a second.
        let mut times = vec![now - 7_000; 97];
        times.extend([now + 5, now - 365 * 86_400_000_000, now - 1_000_000]);
        delays.record(&times, now);
        let view = delays.view("orders");
        let not_empty: Vec<_> = view.buckets.iter().filter(|(_, count)| *count > 0).copied().collect();
        assert_eq!(not_empty, [(0.001, 1), (0.01, 97), (1.0, 1), (f64::INFINITY, 1)]);
        assert_eq!(view.count, 100);
        assert!((view.sum - (97.0 * 0.007 + 1.0 + 86_400.0)).abs() < 1e-6, "{}", view.sum);
        let report = delays.report();
        assert_eq!(report.events, 100);
        assert!((report.p50_ms - 7.0).abs() < 0.07, "{}", report.p50_ms);
        assert!((report.p99_ms - 1_000.0).abs() < 10.0, "{}", report.p99_ms);
        assert!(report.max_ms >= 86_400_000.0, "{}", report.max_ms);
    }
}
