//! Makes the events of one split as they are asked for, or as they are due.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::Plan;
use super::bad::broken;
use super::clock::Clock;
use super::dice::{Dice, key};
use super::line::Line;
use super::maker::moment;
use super::pace::Pace;
use super::profile::Moment;
use crate::error::SourceError;
use crate::records::Records;
use crate::source::{Position, ReadLimits, ReadStatus, Reader};

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
    /// From the first read on, where a rate is given.
    pace: Option<Pace>,
}

impl GeneratorReader {
    pub(super) fn new(plan: Arc<Plan>, split: u64, next: u64, start_ms: i64) -> Self {
        let clock = Clock::new(start_ms, plan.event_rate);
        let key = key([plan.seed, plan.profile as u64, split]);
        let end = plan.events_of(split);
        Self { plan, split, next, end, start_ms, key, clock, line: Line::new(), pace: None }
    }

    fn make(&mut self, until: u64, records: &mut Records, limit: usize) {
        while self.next < until && records.byte_len() < limit {
            let mut dice = Dice::new(self.key, self.next);
            let of_profile = self.next.saturating_mul(self.plan.splits).saturating_add(self.split);
            let number = self.plan.share.place(of_profile);
            let ms = moment(self.clock.at(number), self.plan.disorder_ms, &mut dice);
            self.line.clear();
            self.plan.events.write(Moment { number, ms }, &mut dice, &mut self.clock, &mut self.line);
            // Rolled last: with other shares of bad events, the good ones stay the same.
            if self.plan.bad > 0.0 && dice.unit() < self.plan.bad {
                let (number, text) = self.plan.events.weak_spots();
                let places = [number, text, self.plan.event_time];
                records.push(&broken(self.line.as_bytes(), places, &mut dice), self.next);
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
        let held = records.byte_len();
        let limit = held.saturating_add(limits.bytes.max(1)).min(Records::MAX_BYTES / 2);
        let deadline = Instant::now().checked_add(limits.wait);
        if self.pace.is_none() {
            let timetable = |rate| Pace::new(rate, self.plan.splits, self.split, Instant::now(), self.next);
            self.pace = self.plan.pace.map(timetable);
        }
        loop {
            let now = Instant::now();
            let due = self.pace.as_ref().map_or(self.end, |pace| pace.due(now).min(self.end));
            self.make(due, records, limit);
            if self.next >= self.end {
                return Ok(ReadStatus::Ended);
            }
            if self.next < due {
                return Ok(ReadStatus::More);
            }
            if records.byte_len() > held || deadline.is_some_and(|deadline| deadline <= now) {
                return Ok(ReadStatus::CaughtUp);
            }
            // Dropped here, nothing has been taken.
            let wake = self.pace.as_ref().map_or(now, |pace| pace.wake(self.next, now));
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
