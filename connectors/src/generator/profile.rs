//! The kinds of events that can be generated.

use serde::{Deserialize, Serialize};

use super::clicks::Clicks;
use super::clock::Clock;
use super::dice::Dice;
use super::line::Line;
use super::nexmark::{self, Auctions, Bids, People};
use super::orders::Orders;
use super::sensors::Sensors;
use super::share::Share;
use super::trades::Trades;

/// A kind of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// What customers of a shop do, in six cloud regions; flat, about 215 bytes.
    Orders,
    /// Readings of 200 machines with a daily rhythm and rare spikes.
    Sensors,
    /// Trades in 500 symbols whose prices wander.
    Trades,
    /// Page views, with a nested object and a list.
    Clicks,
    /// Those who buy and sell at Nexmark's auctions: one in fifty events of a sequence.
    NexmarkPerson,
    /// Nexmark's auctions: three in fifty events.
    NexmarkAuction,
    /// Bids at Nexmark's auctions: forty-six in fifty events.
    NexmarkBid,
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
        Profile::NexmarkPerson => People::FIELDS,
        Profile::NexmarkAuction => Auctions::FIELDS,
        Profile::NexmarkBid => Bids::FIELDS,
    };
    ProfileSchema { fields, event_time: profile.event_time() }
}

/// When an event happens, and which one of its whole sequence it is.
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
            Self::NexmarkPerson => Box::new(People::new()),
            Self::NexmarkAuction => Box::new(Auctions::new()),
            Self::NexmarkBid => Box::new(Bids::new()),
        }
    }

    /// Which events of the sequence that a seed stands for are of this profile.
    pub(super) fn share(self) -> Share {
        match self {
            Self::Orders | Self::Sensors | Self::Trades | Self::Clicks => Share::WHOLE,
            Self::NexmarkPerson => nexmark::PERSON,
            Self::NexmarkAuction => nexmark::AUCTION,
            Self::NexmarkBid => nexmark::BID,
        }
    }

    fn event_time(self) -> &'static str {
        match self {
            Self::Orders | Self::Sensors | Self::Trades | Self::Clicks => "ts",
            Self::NexmarkPerson | Self::NexmarkAuction | Self::NexmarkBid => "date_time",
        }
    }
}
