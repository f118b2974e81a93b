//! Which events are made, and what time they carry.

use std::time::Duration;

use watershed_connectors::{EventMaker, HumanDuration, Profile, Rate};

/// How fast event time passes where nothing says otherwise: as in the source of connector `generator`.
const EVENT_RATE: Rate = Rate::per_second(100_000);

/// What is made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Events {
    pub(crate) profile: Profile,
    pub(crate) seed: u64,
    pub(crate) disorder: HumanDuration,
    pub(crate) time: EventTime,
    /// How fast event time passes.
    pub(crate) rate: Rate,
}

/// What time an event carries, before disorder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventTime {
    /// The moment at which it is to leave. So the time at which something comes of it, less this, is the latency.
    Intended,
    /// So many milliseconds since the epoch for the first, and for the others what the rate of event time says.
    From(i64),
}

impl Events {
    pub(crate) fn new(profile: Profile) -> Self {
        Self { profile, seed: 42, disorder: HumanDuration::default(), time: EventTime::Intended, rate: EVENT_RATE }
    }

    pub(crate) fn maker(&self) -> EventMaker {
        let start_ms = match self.time {
            EventTime::Intended => 0,
            EventTime::From(start_ms) => start_ms,
        };
        EventMaker::new(self.profile, self.seed, start_ms, self.rate).with_disorder(self.disorder)
    }
}

impl EventTime {
    /// The time of event `n` of `maker`, in milliseconds since the epoch, in a run that began at `began_ms`, where it is to leave
    /// after `moment`.
    pub(crate) fn of(self, maker: &EventMaker, n: u64, began_ms: i64, moment: Duration) -> i64 {
        match self {
            Self::Intended => began_ms.saturating_add(i64::try_from(moment.as_millis()).unwrap_or(i64::MAX)),
            Self::From(_) => maker.time(n),
        }
    }
}

/// A profile's name, as it is written in region files.
pub(crate) fn name_of(profile: Profile) -> String {
    let name = serde_json::to_value(profile).ok();
    // A profile is a variant without content, which is written as its name.
    name.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}
