//! How soon a shard may be asked again.
//!
//! The service's own rules, as decisions without a clock: five reads a second a shard, two megabytes a second, and when it
//! says that it was too much all the same (others read the shard as well), a pause that doubles with each refusal and
//! halves with each answer. Being refused is not an error.

use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// What may be asked of one shard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Time from one read to the next.
    pub(super) interval: Duration,
    /// Bytes a second.
    pub(super) bytes_per_second: f64,
}

impl Limits {
    /// The quota of a shard: <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>.
    pub(super) const SHARD: Self = Self { interval: Duration::from_millis(200), bytes_per_second: 2_000_000.0 };

    /// A shard is subscribed to at most so often: within five seconds of the last time the service refuses. What then
    /// comes is pushed.
    pub(super) const SUBSCRIPTION: Self = Self { interval: Duration::from_secs(5), bytes_per_second: f64::INFINITY };
}

/// The first pause after a refusal: the service counts by the second.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// No pause is longer: records wait meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// When to ask next.
#[derive(Debug)]
pub(super) struct Pace {
    limits: Limits,
    due: Instant,
    pause: Duration,
}

impl Pace {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        Self { limits, due: now, pause: Duration::ZERO }
    }

    /// The next read may begin.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// A read that began at `began` brought `bytes`.
    pub(super) fn answered(&mut self, began: Instant, bytes: usize) {
        self.eased();
        let paid = Duration::from_secs_f64(bytes as f64 / self.limits.bytes_per_second);
        self.due = began + self.limits.interval.max(paid) + self.pause;
    }

    /// What was begun at `began` is under way; whether it goes well will be seen.
    pub(super) fn begun(&mut self, began: Instant) {
        self.due = began + self.limits.interval;
    }

    /// It goes well: the pause shrinks.
    pub(super) fn eased(&mut self) {
        self.pause /= 2;
        if self.pause < FIRST_PAUSE / 2 {
            self.pause = Duration::ZERO;
        }
    }

    /// A read was refused at `now`. `jitter`, from 0.5 to 1, keeps many readers from coming back at one instant.
    pub(super) fn refused(&mut self, now: Instant, jitter: f64) {
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.due = now + self.pause.mul_f64(jitter);
    }
}
