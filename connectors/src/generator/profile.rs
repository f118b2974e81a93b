//! The kinds of events that can be generated.

use serde::{Deserialize, Serialize};

use super::clicks::Clicks;
use super::clock::Clock;
use super::dice::Dice;
use super::line::Line;
use super::orders::Orders;
use super::sensors::Sensors;
use super::trades::Trades;

/// A kind of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// What customers of a shop do, in six cloud regions; flat, about 215 bytes.
    Orders,
    /// Readings of 200 machines with a daily rhythm and rare spikes.
    Sensors,
    /// Trades in 500 symbols whose prices wander.
    Trades,
    /// Page views, with a nested object and a list.
    Clicks,
}

/// What the events of a profile hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileSchema {
    /// Name and SQL type of each field, in the order in which they are written.
    pub fields: &'static [(&'static str, &'static str)],
    /// The field that holds the event time.
    pub event_time: &'static str,
}

/// What the events of `profile` hold, spelled as in a source's `schema`.
pub fn profile_schema(profile: Profile) -> ProfileSchema {
    let fields = match profile {
        Profile::Orders => Orders::FIELDS,
        Profile::Sensors => Sensors::FIELDS,
        Profile::Trades => Trades::FIELDS,
        Profile::Clicks => Clicks::FIELDS,
    };
    ProfileSchema { fields, event_time: "ts" }
}

/// When an event happens, and which one of the whole source it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) number: u64,
    /// Milliseconds since the epoch.
    pub(super) ms: i64,
}

/// Writes events of one kind. The same dice at the same moment make the same event.
pub(super) trait Events: Send + Sync + std::fmt::Debug {
    /// Writes one event as a JSON object; `line` is empty before.
    fn write(&self, moment: Moment, dice: &mut Dice, clock: &mut Clock, line: &mut Line);

    /// A field that holds a number, and one that holds a string that is never empty: where an event can be broken.
    fn weak_spots(&self) -> (&'static str, &'static str);
}

impl Profile {
    /// The writer of this profile's events.
    pub(super) fn events(self) -> Box<dyn Events> {
        match self {
            Self::Orders => Box::new(Orders::new()),
            Self::Sensors => Box::new(Sensors::new()),
            Self::Trades => Box::new(Trades::new()),
            Self::Clicks => Box::new(Clicks::new()),
        }
    }
}
