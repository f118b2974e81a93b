//! Axes: where a value lies, and which values have a line.

use crate::numbers::short;

/// One axis.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    least: f64,
    most: f64,
    logarithmic: bool,
    /// Values with their names.
    pub(super) ticks: Vec<(f64, String)>,
}

/// About how many lines an axis has.
const LINES: f64 = 6.0;

impl Axis {
    pub(super) fn with_ticks(least: f64, most: f64, ticks: Vec<(f64, String)>) -> Self {
        Self { least, most, logarithmic: false, ticks }
    }

    /// Seconds from the start of a run.
    pub(super) fn seconds(most: f64) -> Self {
        Self::from_zero(most, |seconds| format!("{} s", short(seconds)))
    }

    pub(super) fn from_zero(most: f64, name: fn(f64) -> String) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let step = round(most / LINES);
        let ticks = (0..).map(|i| f64::from(i) * step).take_while(|value| *value <= most * 1.001);
        Self { least: 0.0, most, logarithmic: false, ticks: ticks.map(|value| (value, name(value))).collect() }
    }

    /// Whole powers of ten around `least` and `most`, both above zero.
    pub(super) fn logarithmic(least: f64, most: f64, name: fn(f64) -> String) -> Self {
        let (first, last) = (least.log10().floor() as i32, most.log10().ceil() as i32);
        let last = last.max(first + 1);
        let ticks = (first..=last).map(|power| 10f64.powi(power));
        Self {
            least: 10f64.powi(first),
            most: 10f64.powi(last),
            logarithmic: true,
            ticks: ticks.map(|value| (value, name(value))).collect(),
        }
    }

    /// Where a value lies, from 0 to 1.
    pub(super) fn share(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value.max(self.least) / self.least).ln() / (self.most / self.least).ln()
        } else {
            (value - self.least) / (self.most - self.least)
        };
        share.clamp(0.0, 1.0)
    }
}

/// The next 1, 2 or 5 with zeros.
fn round(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|digit| digit * power).find(|round| *round >= step).unwrap_or(step)
}
