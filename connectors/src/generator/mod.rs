//! Made-up events as a source: seeded, as fast as asked for, in several splits, in or out of order, whole or broken.
//!
//! The one idea: event `k` of a split is a function of seed, profile, split and `k`, so that any reader can start anywhere
//! and makes the same events whatever it is asked for at once.

mod bad;
mod clicks;
mod clock;
mod dice;
mod line;
mod maker;
mod nexmark;
mod orders;
mod pace;
mod profile;
mod rate;
mod reader;
mod sensors;
mod share;
mod skew;
#[cfg(test)]
mod tests;
mod trades;
mod wave;

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::duration::HumanDuration;
use crate::error::SourceError;
use crate::moment;
use crate::source::{Position, Reader, Source, SplitId};
use profile::Events;
use reader::GeneratorReader;
use share::Share;

pub use maker::EventMaker;
pub use profile::{Profile, ProfileSchema, profile_schema};
pub use rate::{InvalidRate, Rate};

/// What to make, as written in the region file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneratorOptions {
    /// The kind of events.
    pub profile: Profile,
    /// How many events all splits make together; without end if left out. Profiles that take turns in one sequence make their
    /// shares of so many.
    #[serde(default)]
    pub events: Option<u64>,
    /// How many events all splits make in a unit of time, or their shares of so many; as many as are asked for if left out.
    #[serde(default)]
    pub rate: Option<Rate>,
    /// Number of splits, over which the events are dealt out in turn.
    #[serde(default = "GeneratorOptions::default_splits")]
    pub splits: u32,
    /// Other seeds make other events.
    #[serde(default = "GeneratorOptions::default_seed")]
    pub seed: u64,
    /// Event time of the first event, as RFC 3339; the moment at which the source is made if left out.
    #[serde(default, deserialize_with = "moment::rfc3339")]
    pub start: Option<DateTime<Utc>>,
    /// A random half of the events carry a time that is earlier by up to this much.
    #[serde(default)]
    pub disorder: HumanDuration,
    /// Share of broken events, from 0 to 1.
    #[serde(default)]
    pub bad: f64,
}

impl GeneratorOptions {
    /// Endless events of `profile`, flat out, with all other options at their defaults.
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            events: None,
            rate: None,
            splits: Self::default_splits(),
            seed: Self::default_seed(),
            start: None,
            disorder: HumanDuration::default(),
            bad: 0.0,
        }
    }

    fn default_splits() -> u32 {
        1
    }

    fn default_seed() -> u64 {
        42
    }
}

/// How fast event time passes where no rate is given: an ordinary load for one small machine.
const EVENT_RATE: Rate = Rate::per_second(100_000);

/// More splits than any broker has partitions for one stream.
const MAX_SPLITS: u32 = 65_536;

/// The options as the readers need them.
#[derive(Debug)]
struct Plan {
    profile: Profile,
    events: Box<dyn Events>,
    /// Of its sequence.
    share: Share,
    event_time: &'static str,
    total: Option<u64>,
    splits: u64,
    seed: u64,
    /// How fast events are made.
    pace: Option<Rate>,
    /// How fast event time passes, by the events of the sequence.
    event_rate: Rate,
    disorder_ms: u64,
    bad: f64,
}

impl Plan {
    /// How many events `split` makes: those of all splits are numbered in turn.
    fn events_of(&self, split: u64) -> u64 {
        self.total.map_or(u64::MAX, |total| total.saturating_sub(split).div_ceil(self.splits))
    }
}

/// A source that makes its events up.
#[derive(Debug)]
pub struct GeneratorSource {
    plan: Arc<Plan>,
    start_ms: i64,
    configured_start: bool,
}

impl GeneratorSource {
    /// Checks the options and builds the profile's tables.
    ///
    /// # Errors
    /// [`SourceError::Config`] for a number of splits or a share of bad events out of range.
    pub fn new(options: GeneratorOptions) -> Result<Self, SourceError> {
        if !(1..=MAX_SPLITS).contains(&options.splits) {
            return Err(SourceError::config(format!(
                "splits = {} is out of range: choose from 1 to {MAX_SPLITS}",
                options.splits
            )));
        }
        if !(0.0..=1.0).contains(&options.bad) {
            return Err(SourceError::config(format!("bad = {} is not a share: choose from 0.0 to 1.0", options.bad)));
        }
        let share = options.profile.share();
        let plan = Plan {
            profile: options.profile,
            events: options.profile.events(),
            share,
            event_time: profile_schema(options.profile).event_time,
            total: options.events.map(|events| share.among(events)),
            splits: u64::from(options.splits),
            seed: options.seed,
            pace: options.rate.map(|rate| rate.of(share)),
            event_rate: options.rate.unwrap_or(EVENT_RATE),
            disorder_ms: u64::try_from(options.disorder.0.as_millis()).unwrap_or(u64::MAX - 1),
            bad: options.bad,
        };
        let start_ms = options.start.unwrap_or_else(Utc::now).timestamp_millis();
        Ok(Self { plan: Arc::new(plan), start_ms, configured_start: options.start.is_some() })
    }
}

#[async_trait]
impl Source for GeneratorSource {
    async fn splits(&self) -> Result<Vec<SplitId>, SourceError> {
        Ok((0..self.plan.splits).map(|split| SplitId::new(split.to_string())).collect())
    }

    async fn open(&self, split: &SplitId, from: Option<&Position>) -> Result<Box<dyn Reader>, SourceError> {
        let number = split.as_str().parse().ok().filter(|number| *number < self.plan.splits).ok_or_else(|| {
            SourceError::config(format!("split {split} does not exist: this generator has {} splits", self.plan.splits))
        })?;
        let (mut next, mut start_ms) = (0, self.start_ms);
        if let Some(Position(position)) = from {
            next = position["event"].as_u64().ok_or_else(|| {
                SourceError::config(format!(
                    "split {split}: the checkpoint holds no event number; start with --reset-state"
                ))
            })?;
            // A run that began at some moment goes on from that moment, not from the one of its restart.
            if let (false, Some(began)) = (self.configured_start, position["start_ms"].as_i64()) {
                start_ms = began;
            }
        }
        Ok(Box::new(GeneratorReader::new(self.plan.clone(), number, next, start_ms)))
    }

    fn bounded(&self) -> bool {
        self.plan.total.is_some()
    }

    fn blocks(&self) -> bool {
        true
    }
}
