//! The time by which redelivered records are told: time in which records come.
//!
//! The one idea: an origin that delivers a record again does so among other deliveries. While nothing comes — the source is
//! quiet, or cannot be reached, or this program is not running — nothing can come again either, and no key needs to be
//! forgotten. So the clock stands still then: a gap between two arrivals counts as [`LONGEST_GAP`] at most, and the time
//! between two lives of the program counts as nothing. It is stored with the keys, and goes on from there.
//!
//! | | counts as |
//! |---|---|
//! | first arrival of a life | 0 |
//! | 400 ms after the last arrival | 400 ms |
//! | an hour after the last arrival | [`LONGEST_GAP`] |
//! | a crash, three days, the next arrival | 0, from where the last checkpoint left the clock |

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longer than pauses between arrivals of a stream that flows, and short against any time that keys are kept.
pub const LONGEST_GAP: Duration = Duration::from_secs(1);

/// Counts time in which records come, in microseconds.
#[derive(Debug, Default)]
pub struct ArrivalClock(Mutex<Arrivals>);

#[derive(Debug, Default)]
struct Arrivals {
    counted: i64,
    last: Option<Duration>,
}

impl ArrivalClock {
    /// Goes on from what was counted in an earlier life. To be called before anything arrives.
    pub fn resume(&self, counted: i64) {
        *self.lock() = Arrivals { counted, last: None };
    }

    /// Records have come, `elapsed` after some moment that is the same for all calls; gives the time of their arrival.
    pub fn arrive(&self, elapsed: Duration) -> i64 {
        let mut arrivals = self.lock();
        let gap = arrivals.last.map_or(Duration::ZERO, |last| elapsed.saturating_sub(last));
        arrivals.counted = arrivals.counted.saturating_add(gap.min(LONGEST_GAP).as_micros() as i64);
        arrivals.last = arrivals.last.max(Some(elapsed));
        arrivals.counted
    }

    /// What is counted so far.
    pub fn now(&self) -> i64 {
        self.lock().counted
    }

    fn lock(&self) -> MutexGuard<'_, Arrivals> {
        // Nobody panics while holding the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
