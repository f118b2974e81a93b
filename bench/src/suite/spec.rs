//! A suite as it is written: which events, which load, which queries.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use watershed_connectors::{HumanDuration, Profile, Rate};

/// Suites that the program brings along, by name.
const SUITES: [(&str, &str); 2] =
    [("w", include_str!("../../suites/w.toml")), ("latency", include_str!("../../suites/latency.toml"))];

/// A suite.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Suite {
    /// How its results call it.
    pub(crate) name: String,
    /// How often each query is run.
    #[serde(default = "default_runs")]
    pub(crate) runs: u32,
    pub(crate) events: EventsSpec,
    #[serde(default)]
    pub(crate) daemon: DaemonSpec,
    /// Events are sent while the daemon runs; left out, it reads them from a file.
    #[serde(default)]
    pub(crate) load: Option<LoadSpec>,
    /// Each run over a file is followed by one that is killed and goes on.
    #[serde(default)]
    pub(crate) recovery: bool,
    pub(crate) queries: BTreeMap<String, Query>,
}

/// Which events.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsSpec {
    pub(crate) profile: Profile,
    #[serde(default = "default_seed")]
    pub(crate) seed: u64,
    /// How many, in a file.
    #[serde(default)]
    pub(crate) count: u64,
    /// Time of the first, in a file.
    #[serde(default, deserialize_with = "moment")]
    pub(crate) start: Option<DateTime<Utc>>,
    /// How fast their time passes, in a file.
    #[serde(default = "default_event_rate")]
    pub(crate) event_rate: Rate,
    /// Half of them are earlier by up to this.
    #[serde(default)]
    pub(crate) disorder: HumanDuration,
}

/// How the daemon runs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DaemonSpec {
    pub(crate) lanes: u32,
    pub(crate) checkpoint: HumanDuration,
    pub(crate) max_delay: HumanDuration,
    /// How long a record waits for others.
    pub(crate) linger: HumanDuration,
}

/// Events that are sent.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoadSpec {
    pub(crate) rate: Rate,
    /// How long.
    #[serde(rename = "for")]
    pub(crate) length: HumanDuration,
    /// Windows that end before so long are not looked at: caches and connections are cold.
    #[serde(default)]
    pub(crate) warm_up: HumanDuration,
    /// How long an event waits for others before it leaves.
    #[serde(default = "default_linger")]
    pub(crate) linger: HumanDuration,
    /// When the HTTP source answers.
    #[serde(default)]
    pub(crate) ack: Ack,
}

/// When the HTTP source answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ack {
    /// When a checkpoint holds the events.
    #[default]
    Durable,
    /// When they were taken.
    Memory,
}

/// One query, over a source that is called as the profile.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    pub(crate) sql: String,
}

impl Default for DaemonSpec {
    fn default() -> Self {
        let second = HumanDuration(std::time::Duration::from_secs(1));
        Self { lanes: 1, checkpoint: second, max_delay: second, linger: default_linger() }
    }
}

/// The program's own, and the generator's.
fn default_linger() -> HumanDuration {
    HumanDuration(std::time::Duration::from_millis(5))
}

fn default_runs() -> u32 {
    5
}

fn default_seed() -> u64 {
    42
}

fn default_event_rate() -> Rate {
    Rate::per_second(100_000)
}

fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parsed = DateTime::parse_from_rfc3339(&text);
    let moment =
        parsed.map_err(|_| D::Error::custom(format!("\"{text}\" is no moment such as 2026-03-01T00:00:00Z")))?;
    Ok(Some(moment.to_utc()))
}

impl Suite {
    /// Reads a file, or the suite of that name that the program brings along.
    ///
    /// # Errors
    /// Says what is wrong, and where.
    pub(crate) fn load(name: &str) -> Result<Self, String> {
        let text = match SUITES.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => (*text).to_owned(),
            None if Path::new(name).exists() => {
                fs::read_to_string(name).map_err(|error| format!("cannot read {name}: {error}"))?
            }
            None => {
                let names: Vec<&str> = SUITES.iter().map(|(name, _)| *name).collect();
                return Err(format!(
                    "there is no file {name}, and no suite of that name; there are {}",
                    names.join(", ")
                ));
            }
        };
        let suite: Self = toml::from_str(&text).map_err(|error| format!("{name}: {error}"))?;
        suite.check().map_err(|why| format!("{name}: {why}"))?;
        Ok(suite)
    }

    /// Says what makes no sense together.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.runs == 0 {
            return Err("`runs` is zero".to_owned());
        }
        if self.queries.is_empty() {
            return Err("it has no queries".to_owned());
        }
        match &self.load {
            None if self.events.count == 0 => {
                Err("`events.count` is missing: how many events the file holds".to_owned())
            }
            Some(_) if self.recovery => Err("`recovery` is for suites that read a file".to_owned()),
            Some(load) if load.length.0 <= load.warm_up.0 => {
                Err("`load.for` must be longer than `load.warm_up`".to_owned())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{SUITES, Suite};

    #[test]
    fn suites_that_come_along_are_right() {
        for (name, _) in SUITES {
            let suite = Suite::load(name);
            assert!(suite.is_ok(), "{suite:?}");
        }
    }

    #[test]
    fn what_is_no_suite_is_refused() {
        let error = Suite::load("no-such-suite").err().unwrap_or_default();
        assert!(error.contains("there are w, latency"), "{error}");
    }
}
