//! When to ask a partition how far it goes, and what the answer means. No I/O.
//!
//! The one idea: an answer grows old. What it said of the end of the partition holds for a moment, as nobody hears of events
//! that come over a connection which has died since.
//!
//! | the newest event | received so far | room for more | then |
//! |---|---|---|---|
//! | not newer than what was received | | | all is well |
//! | newer | something since the last look | | all is well |
//! | newer | nothing since | no | all is well: the engine takes its time |
//! | newer | nothing for longer than [`Patience::stall`] | yes | the receiver is dead |

use std::time::Duration;

use super::patience::Patience;

/// Between two looks while events come: for the lag alone.
const BUSY: Duration = Duration::from_secs(5);
/// Looks at a silent partition after which an answer is old: the second one may be on its way.
const FRESH_LOOKS: u32 = 3;
/// Looks a second that one source makes at most: such questions have a quota of their own, which others share.
const LOOKS: u32 = 20;

/// How long to wait between two looks at a silent partition, where a source has so many.
pub(super) fn pause(patience: &Patience, partitions: usize) -> Duration {
    let partitions = u32::try_from(partitions).unwrap_or(u32::MAX);
    patience.look.max(patience.look.saturating_mul(partitions) / LOOKS)
}

/// True if it is time for a look, so long after the last event and the last look.
pub(super) fn is_due(pause: Duration, silent_for: Duration, looked_before: Duration) -> bool {
    silent_for >= pause || looked_before >= BUSY
}

/// True if an answer of that age still says where the partition ends.
pub(super) fn is_fresh(pause: Duration, age: Duration) -> bool {
    age < pause * FRESH_LOOKS
}

/// What is known of a receiver when a look has been answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// Sequence number of the newest event of the partition.
    pub(super) last: i64,
    /// Sequence number of the newest event that was received, or of where the receiver began.
    pub(super) received: i64,
    /// Since when nothing was received.
    pub(super) silent_for: Duration,
    /// True if an event waits until the engine takes it.
    pub(super) full: bool,
}

/// True if the receiver must be given up.
pub(super) fn is_stalled(patience: &Patience, seen: Seen) -> bool {
    seen.last > seen.received && !seen.full && seen.silent_for >= patience.stall
}
