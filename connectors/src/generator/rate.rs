//! Event rates as a user writes them: `"100000/s"`, `"5k/s"`, `"100/m"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::share::Share;

/// Events per unit of time: second, minute or hour. `k` and `M` multiply by a thousand and a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    events: u64,
    per_ms: u64,
}

/// Text that is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{text}\" is not a rate: write events per second, minute or hour, for example \"100000/s\", \"5k/s\" or \"100/m\""
)]
pub struct InvalidRate {
    text: String,
}

impl Rate {
    /// `events` a second; none counts as one.
    pub const fn per_second(events: u64) -> Self {
        Self { events: if events == 0 { 1 } else { events }, per_ms: 1000 }
    }

    /// How fast the events of a share come, where this is how fast all of the sequence do.
    pub(super) fn of(self, share: Share) -> Self {
        Self { events: self.events.saturating_mul(share.count), per_ms: self.per_ms.saturating_mul(share.of) }
    }

    /// How many milliseconds `n` events take.
    #[inline]
    pub(super) fn millis(self, n: u64) -> u64 {
        match n.checked_mul(self.per_ms) {
            Some(product) => product / self.events,
            None => (u128::from(n) * u128::from(self.per_ms) / u128::from(self.events)) as u64,
        }
    }

    /// Events in a second.
    pub fn a_second(self) -> f64 {
        self.events as f64 * 1000.0 / self.per_ms as f64
    }

    /// How long `n` events take, rounded up.
    pub(super) fn time(self, n: u64) -> Duration {
        let nanos = (u128::from(n) * u128::from(self.per_ms) * 1_000_000).div_ceil(u128::from(self.events));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many events fit into `time`.
    pub(super) fn events(self, time: Duration) -> u64 {
        (time.as_nanos() * u128::from(self.events) / (u128::from(self.per_ms) * 1_000_000)) as u64
    }
}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let parse = || {
            let (count, unit) = text.trim().split_once('/')?;
            let per_ms = match unit.trim() {
                "s" | "sec" | "second" => 1000,
                "m" | "min" | "minute" => 60_000,
                "h" | "hour" => 3_600_000,
                _ => return None,
            };
            let count = count.trim();
            let (digits, factor) = match count.as_bytes().last()? {
                b'k' | b'K' => (&count[..count.len() - 1], 1000),
                b'M' => (&count[..count.len() - 1], 1_000_000),
                _ => (count, 1),
            };
            let events = digits.trim_end().replace('_', "").parse::<u64>().ok()?.checked_mul(factor)?;
            // Above a million million events a second, products with nanoseconds would no longer fit.
            (1..=1_000_000_000_000).contains(&events).then_some(Self { events, per_ms })
        };
        parse().ok_or_else(|| InvalidRate { text: text.to_owned() })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per_ms {
            1000 => "s",
            60_000 => "m",
            _ => "h",
        };
        write!(f, "{}/{unit}", self.events)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
