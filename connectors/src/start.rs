//! Where a stream is read from when no checkpoint says it.

#[cfg(any(feature = "eventhubs", feature = "kafka", test))]
mod beginning;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

#[cfg(any(feature = "eventhubs", feature = "kafka", test))]
pub(crate) use beginning::Beginning;

/// `start`: where the first read of a split begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record that is still there.
    #[default]
    Earliest,
    /// Behind the newest record there is at the first start.
    Latest,
    /// At the first record that arrived at or after this moment.
    At(DateTime<Utc>),
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            moment => match DateTime::parse_from_rfc3339(moment) {
                Ok(moment) => Ok(Self::At(moment.to_utc())),
                Err(_) => Err(Error::custom(format!(
                    "\"{text}\" is no place to start: write \"earliest\", \"latest\" or a moment such as \
                     \"2026-03-01T00:00:00Z\""
                ))),
            },
        }
    }
}
