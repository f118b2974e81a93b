//! How far a shard has been read, as lease tables spell it: a sequence number, or a word in its place.
//!
//! The one idea: checkpoints are ordered. Of what two places know of a shard, the greater is true: whoever wrote it had
//! made durable all that lies before.

use std::cmp::Ordering;
use std::fmt;

/// Where reading of a shard goes on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Checkpoint {
    /// At its oldest record.
    TrimHorizon,
    /// At the first record that arrived at or after the moment that `start` names.
    AtTimestamp,
    /// Behind its newest record.
    Latest,
    /// Behind this record.
    After {
        /// Of the record in the stream.
        sequence: Sequence,
        /// Number of the record within an aggregate; 0 where it is none.
        sub: u64,
    },
    /// Nowhere: all of it was read.
    ShardEnd,
}

/// A sequence number: a decimal number of up to some sixty digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sequence(String);

impl Sequence {
    /// None if `text` is no decimal number.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = !text.is_empty() && text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_digit());
        let significant = text.trim_start_matches('0');
        digits.then(|| Self(if significant.is_empty() { "0" } else { significant }.to_string()))
    }

    /// As it is written.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Ord for Sequence {
    fn cmp(&self, other: &Self) -> Ordering {
        // Without leading zeros a longer number is a greater one.
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Sequence {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Checkpoint {
    /// Reads the two attributes of a lease; none if they make no sense.
    pub(crate) fn parse(text: &str, sub: u64) -> Option<Self> {
        Some(match text {
            "TRIM_HORIZON" => Self::TrimHorizon,
            "AT_TIMESTAMP" => Self::AtTimestamp,
            "LATEST" => Self::Latest,
            "SHARD_END" => Self::ShardEnd,
            number => Self::After { sequence: Sequence::parse(number)?, sub },
        })
    }

    /// The first attribute: the sequence number, or the word in its place.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::TrimHorizon => "TRIM_HORIZON",
            Self::AtTimestamp => "AT_TIMESTAMP",
            Self::Latest => "LATEST",
            Self::After { sequence, .. } => sequence.as_str(),
            Self::ShardEnd => "SHARD_END",
        }
    }

    /// The second attribute.
    pub(crate) fn sub(&self) -> u64 {
        match self {
            Self::After { sub, .. } => *sub,
            _ => 0,
        }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After { sequence, sub } if *sub > 0 => write!(f, "{}:{sub}", sequence.as_str()),
            other => f.write_str(other.text()),
        }
    }
}
