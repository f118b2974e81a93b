//! Makes the events of one split as they are asked for, or as they are due.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::Plan;
use super::bad::broken;
use super::clock::Clock;
use super::dice::{Dice, key, scale};
use super::line::Line;
use super::profile::Moment;
use crate::error::SourceError;
use crate::records::Records;
use crate::source::{Position, ReadLimits, ReadStatus, Reader};

/// Events that fall due while the reader waits come out together: a few milliseconds of them are worth waking up for.
const SLICE: Duration = Duration::from_millis(3);

/// A reader of one split.
pub(super) struct GeneratorReader {
    plan: Arc<Plan>,
    split: u64,
    /// Of the next event, counted in this split.
    next: u64,
    /// Where this split ends; `u64::MAX` if it does not.
    end: u64,
    start_ms: i64,
    key: u64,
    clock: Clock,
    line: Line,
    /// When the first event of this reader was asked for, and its number.
    began: Option<(Instant, u64)>,
}

impl GeneratorReader {
    pub(super) fn new(plan: Arc<Plan>, split: u64, next: u64, start_ms: i64) -> Self {
        let clock = Clock::new(start_ms, plan.event_rate);
        let key = key([plan.seed, plan.profile as u64, split]);
        let end = plan.events_of(split);
        Self { plan, split, next, end, start_ms, key, clock, line: Line::new(), began: None }
    }

    /// The first event that is not due yet.
    fn due(&mut self, now: Instant) -> u64 {
        let Some(pace) = self.plan.pace else { return self.end };
        let (began, first) = *self.began.get_or_insert((now, self.next));
        // Of all splits together, this many events have fallen due since the first one did.
        let passed = pace.events(now.saturating_duration_since(began));
        let mine = if passed < self.split { 0 } else { (passed - self.split) / self.plan.splits + 1 };
        first.saturating_add(mine).min(self.end)
    }

    /// When the next event falls due.
    fn next_due(&self, now: Instant) -> Instant {
        let (Some(pace), Some((began, first))) = (self.plan.pace, self.began) else { return now };
        let before = (self.next - first).saturating_mul(self.plan.splits).saturating_add(self.split);
        // An event a century away is as good as none.
        began.checked_add(pace.time(before)).unwrap_or(now + Duration::from_secs(3_153_600_000))
    }

    fn make(&mut self, until: u64, records: &mut Records, limit: usize) {
        while self.next < until && records.byte_len() < limit {
            let mut dice = Dice::new(self.key, self.next);
            let number = self.next.saturating_mul(self.plan.splits).saturating_add(self.split);
            let mut ms = self.clock.at(number);
            if self.plan.disorder_ms > 0 {
                let roll = dice.roll();
                // The lowest bit chooses the half that is late; the product is made of the others.
                ms = ms.saturating_sub_unsigned((roll & 1) * scale(roll, self.plan.disorder_ms + 1));
            }
            self.line.clear();
            self.plan.events.write(Moment { number, ms }, &mut dice, &mut self.clock, &mut self.line);
            // Rolled last: with other shares of bad events, the good ones stay the same.
            if self.plan.bad > 0.0 && dice.unit() < self.plan.bad {
                let (number, text) = self.plan.events.weak_spots();
                records.push(&broken(self.line.as_bytes(), number, text, &mut dice), self.next);
            } else {
                records.push(self.line.as_bytes(), self.next);
            }
            self.next += 1;
        }
    }
}

#[async_trait]
impl Reader for GeneratorReader {
    async fn read(&mut self, records: &mut Records, limits: ReadLimits) -> Result<ReadStatus, SourceError> {
        let limit = limits.bytes.clamp(1, Records::MAX_BYTES / 2);
        let deadline = Instant::now().checked_add(limits.wait);
        loop {
            let now = Instant::now();
            let due = self.due(now);
            self.make(due, records, limit);
            if self.next >= self.end {
                return Ok(ReadStatus::Ended);
            }
            if self.next < due {
                return Ok(ReadStatus::More);
            }
            if !records.is_empty() || deadline.is_some_and(|deadline| deadline <= now) {
                return Ok(ReadStatus::CaughtUp);
            }
            // Dropped here, nothing has been taken.
            let wake = self.next_due(now).max(now + SLICE);
            sleep_until(deadline.map_or(wake, |deadline| deadline.min(wake))).await;
        }
    }

    fn position(&self) -> Position {
        Position(json!({ "event": self.next, "start_ms": self.start_ms }))
    }

    async fn acknowledge(&mut self, _position: &Position) -> Result<(), SourceError> {
        Ok(())
    }
}
