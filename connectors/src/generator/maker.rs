//! Single events at moments that somebody else chooses: what a load generator with a schedule of its own sends.

use std::fmt;

use super::clock::Clock;
use super::dice::{Dice, key, scale};
use super::line::Line;
use super::profile::{Events, Moment, Profile};
use super::rate::Rate;
use super::share::Share;
use crate::duration::HumanDuration;

/// Makes the events of a generator with one split, each at the time that it is given.
///
/// Event `n` is a function of profile, seed, `n` and its time, whoever makes it: several makers of one seed that share the
/// numbers among themselves make what one would.
pub struct EventMaker {
    events: Box<dyn Events>,
    key: u64,
    disorder_ms: u64,
    share: Share,
    clock: Clock,
    line: Line,
}

impl EventMaker {
    /// A maker of events of `profile`, of which the first happens at `start_ms`, in milliseconds since the Unix epoch, and the
    /// others as `rate` says; that of all of a sequence, where `profile` has a share of one.
    pub fn new(profile: Profile, seed: u64, start_ms: i64, rate: Rate) -> Self {
        Self {
            events: profile.events(),
            key: key([seed, profile as u64, 0]),
            disorder_ms: 0,
            share: profile.share(),
            clock: Clock::new(start_ms, rate),
            line: Line::new(),
        }
    }

    /// A random half of the events carries a time that is earlier by up to this much.
    #[must_use]
    pub fn with_disorder(mut self, disorder: HumanDuration) -> Self {
        self.disorder_ms = u64::try_from(disorder.0.as_millis()).unwrap_or(u64::MAX - 1);
        self
    }

    /// When event `number` happens, in milliseconds since the Unix epoch.
    pub fn time(&self, number: u64) -> i64 {
        self.clock.at(self.share.place(number))
    }

    /// Appends event `number` as a JSON object without a newline. `ms` is its time before disorder: that of
    /// [`time`](EventMaker::time), or another.
    pub fn write(&mut self, number: u64, ms: i64, into: &mut Vec<u8>) {
        let mut dice = Dice::new(self.key, number);
        let ms = moment(ms, self.disorder_ms, &mut dice);
        self.line.clear();
        let number = self.share.place(number);
        self.events.write(Moment { number, ms }, &mut dice, &mut self.clock, &mut self.line);
        into.extend_from_slice(self.line.as_bytes());
    }
}

/// The time that an event carries: of a random half, up to `disorder_ms` before its own.
#[inline]
pub(super) fn moment(ms: i64, disorder_ms: u64, dice: &mut Dice) -> i64 {
    if disorder_ms == 0 {
        return ms;
    }
    let roll = dice.roll();
    // The lowest bit chooses the half that is late; the product is made of the others.
    ms.saturating_sub_unsigned((roll & 1) * scale(roll, disorder_ms + 1))
}

impl fmt::Debug for EventMaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventMaker").field("events", &self.events).finish_non_exhaustive()
    }
}
