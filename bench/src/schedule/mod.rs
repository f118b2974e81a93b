//! When each event is to leave, whatever becomes of those before it.
//!
//! The one idea: a schedule is a row of stretches, each with one rate; event `n` leaves when the sum of the rates reaches
//! `n`. So the time of any event is a function of its number, which producers can share among themselves, and nothing that a
//! server does can move it. Time is an argument here.

mod parse;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub(crate) use parse::rate;

/// Stretches in which a sine is cut. Its rate then differs from the curve by at most 0.9 % of its height.
const SINE_STRETCHES: u32 = 360;

/// A stretch of time with one rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    /// How long it is.
    pub(crate) length: Duration,
    /// Events a second; may be zero.
    pub(crate) rate: f64,
}

/// A step at its place.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stretch {
    /// Seconds before it.
    begin: f64,
    /// Events before it.
    before: f64,
    seconds: f64,
    rate: f64,
}

/// When each event is to leave, counted from the start.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schedule {
    stretches: Vec<Stretch>,
    /// Of all stretches together.
    seconds: f64,
    events: f64,
    /// True if it begins anew behind the last stretch.
    repeats: bool,
}

impl Schedule {
    /// The same rate for ever.
    pub(crate) fn constant(rate: f64) -> Self {
        Self::of([Step { length: Duration::from_secs(1), rate }], true)
    }

    /// One step after the other, then the end.
    pub(crate) fn steps(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::of(steps, false)
    }

    /// The same steps again and again.
    pub(crate) fn bursts(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::of(steps, true)
    }

    /// Between `least` and `most` and back in each `period`, for ever; begins in the middle, rising.
    pub(crate) fn sine(period: Duration, least: f64, most: f64) -> Self {
        let (middle, height) = ((least + most) / 2.0, (most - least) / 2.0);
        let part = std::f64::consts::TAU / f64::from(SINE_STRETCHES);
        // The mean of the sine over the stretch, so that as many events leave in it as under the curve.
        let mean = |i: u32| (((f64::from(i)) * part).cos() - (f64::from(i + 1) * part).cos()) / part;
        let step = |i| Step { length: period / SINE_STRETCHES, rate: (middle + height * mean(i)).max(0.0) };
        Self::of((0..SINE_STRETCHES).map(step), true)
    }

    fn of(steps: impl IntoIterator<Item = Step>, repeats: bool) -> Self {
        let mut schedule = Self { stretches: Vec::new(), seconds: 0.0, events: 0.0, repeats };
        for Step { length, rate } in steps {
            let seconds = length.as_secs_f64();
            schedule.stretches.push(Stretch { begin: schedule.seconds, before: schedule.events, seconds, rate });
            schedule.seconds += seconds;
            schedule.events += seconds * rate;
        }
        schedule
    }

    /// How many events it has; none if it never ends.
    pub(crate) fn total(&self) -> Option<u64> {
        // What rounding adds is no event.
        (!self.repeats).then(|| (self.events - 1e-6).ceil().max(0.0) as u64)
    }

    /// When event `n` is to leave; none behind the last.
    pub(crate) fn time(&self, n: u64) -> Option<Duration> {
        if self.total().is_some_and(|total| n >= total) || self.events <= 0.0 {
            return None;
        }
        let passes = if self.repeats { (n as f64 / self.events).floor() } else { 0.0 };
        let within = (n as f64 - passes * self.events).max(0.0);
        // Of stretches that begin with the same event, the last: the others have none.
        let found = self.stretches.partition_point(|stretch| stretch.before <= within);
        let stretch = &self.stretches[found.saturating_sub(1)];
        let inside = if stretch.rate > 0.0 { (within - stretch.before) / stretch.rate } else { stretch.seconds };
        Some(Duration::from_secs_f64(passes * self.seconds + stretch.begin + inside))
    }

    /// How many events are to have left after `time`.
    pub(crate) fn due(&self, time: Duration) -> f64 {
        let time = time.as_secs_f64();
        if !self.repeats && time >= self.seconds {
            return self.events;
        }
        let passes = if self.repeats { (time / self.seconds).floor() } else { 0.0 };
        let within = (time - passes * self.seconds).max(0.0);
        let found = self.stretches.partition_point(|stretch| stretch.begin <= within);
        let stretch = &self.stretches[found.saturating_sub(1)];
        passes * self.events + stretch.before + (within - stretch.begin).min(stretch.seconds) * stretch.rate
    }
}
