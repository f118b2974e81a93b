//! How much may be out at a time, and for how long: all of it follows from the checkpoint interval.
//!
//! The one idea: messages are acknowledged once an interval, so an interval's worth of them, and what comes while the
//! checkpoint is being stored, must be allowed to be out at once. Less would throttle the source.

use std::time::Duration;

use crate::error::SourceError;

/// Messages a second that the defaults leave room for.
const RATE: u64 = 100_000;
/// The intervals that may be out at once: the one that fills and the one that is being stored.
const INTERVALS: u64 = 2;
/// Bounds of the default number of messages out. Each takes some hundred bytes here.
const MESSAGES: (u64, u64) = (10_000, 2_000_000);
/// Bytes out by default, as Pub/Sub counts them.
const BYTES: u64 = 1 << 30;
/// How long ids are kept by default; at least so many intervals.
const KEEP: Duration = Duration::from_secs(600);
const KEEP_INTERVALS: u32 = 10;
/// Bounds of one extension of a lease: what a crash costs at most until messages come again. Pub/Sub allows 10 s to 600 s.
const EXTENSION: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(600));
const EXTENSION_INTERVALS: u32 = 3;
/// How long a message is held at least. A run that cannot commit for ten minutes stops.
const LEASE: Duration = Duration::from_secs(3600);

/// Limits of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flow {
    /// Messages out, per stream.
    pub(super) messages: u64,
    /// Bytes out, per stream.
    pub(super) bytes: u64,
    /// One extension of a lease.
    pub(super) extension: Duration,
    /// How long a lease is extended again and again.
    pub(super) lease: Duration,
    /// How long an id is kept.
    pub(super) keep: Duration,
}

impl Flow {
    pub(super) fn new(
        interval: Duration,
        streams: usize,
        messages: Option<u64>,
        bytes: Option<u64>,
        keep: Option<Duration>,
    ) -> Result<Self, SourceError> {
        for (key, value) in [("max_outstanding_messages", messages), ("max_outstanding_bytes", bytes)] {
            if value == Some(0) {
                return Err(SourceError::config(format!("`{key}` is at least 1: nothing at all would be read")));
            }
        }
        let seconds = interval.as_secs_f64().max(0.001);
        let room = ((RATE * INTERVALS) as f64 * seconds) as u64;
        let messages = messages.unwrap_or(room.clamp(MESSAGES.0, MESSAGES.1));
        let extension = (interval * EXTENSION_INTERVALS).clamp(EXTENSION.0, EXTENSION.1);
        // An id that is forgotten before its message was acknowledged tells nothing.
        let least = interval * EXTENSION_INTERVALS + extension;
        let keep = keep.unwrap_or(KEEP.max(interval * KEEP_INTERVALS));
        if keep < least {
            let least = least.as_secs().max(1);
            return Err(SourceError::config(format!(
                "`dedup_for` is too short for this checkpoint interval: a message may come again {least} s after it first \
                 came; write dedup_for = \"{least}s\" or more"
            )));
        }
        let share = |all: u64| all.div_ceil(streams.max(1) as u64);
        Ok(Self {
            messages: share(messages),
            bytes: share(bytes.unwrap_or(BYTES)),
            extension,
            lease: LEASE.max(interval * KEEP_INTERVALS),
            keep,
        })
    }
}
