//! Smooth ups and downs that are a function of a number.

use std::f64::consts::TAU;

/// Steps of one period.
const STEPS: u64 = 1024;

/// One period of a sine in steps, in thousandths.
#[derive(Debug)]
pub(super) struct Wave {
    thousandths: Vec<i64>,
}

impl Wave {
    pub(super) fn new() -> Self {
        let step = |i: u64| ((i as f64 * TAU / STEPS as f64).sin() * 1000.0).round() as i64;
        Self { thousandths: (0..STEPS).map(step).collect() }
    }

    /// Height at `at`, for a wave that repeats after `period`; in -1000..=1000.
    #[inline]
    pub(super) fn at(&self, at: u64, period: u64) -> i64 {
        let phase = u128::from(at % period) * u128::from(STEPS) / u128::from(period);
        self.thousandths[phase as usize]
    }
}
