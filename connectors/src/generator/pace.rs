//! When events fall due, for a generator that keeps a rate. Time is an argument here.

use std::time::Duration;

use tokio::time::Instant;

use super::rate::Rate;

/// Events that fall due while the reader waits come out together: a few milliseconds of them are worth waking up for.
const SLICE: Duration = Duration::from_millis(3);

/// The timetable of one split. It starts at the first event that is asked for, and never waits for those who ask: what
/// fell due while nobody did is due all at once, as in a log that somebody has fallen behind of.
#[derive(Debug)]
pub(super) struct Pace {
    /// Of all splits together.
    rate: Rate,
    splits: u64,
    split: u64,
    began: Instant,
    first: u64,
}

impl Pace {
    /// Event `first` of `split` is the first of the timetable, and `began` when it starts.
    pub(super) fn new(rate: Rate, splits: u64, split: u64, began: Instant, first: u64) -> Self {
        Self { rate, splits, split, began, first }
    }

    /// The first event of the split that is not due yet.
    pub(super) fn due(&self, now: Instant) -> u64 {
        let passed = self.rate.events(now.saturating_duration_since(self.began));
        let mine = if passed < self.split { 0 } else { (passed - self.split) / self.splits + 1 };
        self.first.saturating_add(mine)
    }

    /// When to look again, if `next` is not due yet.
    pub(super) fn wake(&self, next: u64, now: Instant) -> Instant {
        let before = (next - self.first).saturating_mul(self.splits).saturating_add(self.split);
        // An event a century away is as good as none.
        let due = self.began.checked_add(self.rate.time(before)).unwrap_or(now + Duration::from_secs(3_153_600_000));
        due.max(now + SLICE)
    }
}
