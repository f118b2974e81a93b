//! The spellings of time that a timestamp column can arrive in.

use std::fmt;
use std::str::FromStr;

use super::Pattern;

/// How a timestamp is spelled. Whatever the spelling, it is stored as microseconds since the Unix epoch, UTC; finer
/// digits are cut off.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TimestampFormat {
    /// `2026-03-01T12:00:00.5Z`: `T` or a space, up to nine digits of fraction, `Z`, an offset `+hh:mm`, or none
    /// (UTC). A date alone is its midnight.
    #[default]
    Rfc3339,
    /// Seconds since the epoch; a fraction is kept.
    EpochSeconds,
    /// Milliseconds since the epoch.
    EpochMillis,
    /// Microseconds since the epoch.
    EpochMicros,
    /// Nanoseconds since the epoch.
    EpochNanos,
    /// A strptime pattern such as `%d/%b/%Y:%H:%M:%S %z`; without an offset in it the time is UTC.
    Pattern(String),
}

/// A timestamp format that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimestampFormatError {
    /// Neither a known name nor a pattern.
    #[error(
        "unknown timestamp format `{0}`: write rfc3339, epoch_s, epoch_ms, epoch_us, epoch_ns, or a pattern such as \
         \"%Y-%m-%d %H:%M:%S\""
    )]
    Unknown(String),
    /// A pattern that can't be read, or that leaves the date open.
    #[error("pattern `{pattern}` can't tell a time: {reason}")]
    Pattern {
        /// The pattern as written.
        pattern: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl FromStr for TimestampFormat {
    type Err = TimestampFormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "rfc3339" => Ok(Self::Rfc3339),
            "epoch_s" => Ok(Self::EpochSeconds),
            "epoch_ms" => Ok(Self::EpochMillis),
            "epoch_us" => Ok(Self::EpochMicros),
            "epoch_ns" => Ok(Self::EpochNanos),
            pattern if pattern.contains('%') => {
                Pattern::compile(pattern)?;
                Ok(Self::Pattern(pattern.to_owned()))
            }
            other => Err(TimestampFormatError::Unknown(other.to_owned())),
        }
    }
}

impl fmt::Display for TimestampFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rfc3339 => "rfc3339",
            Self::EpochSeconds => "epoch_s",
            Self::EpochMillis => "epoch_ms",
            Self::EpochMicros => "epoch_us",
            Self::EpochNanos => "epoch_ns",
            Self::Pattern(pattern) => pattern,
        })
    }
}
