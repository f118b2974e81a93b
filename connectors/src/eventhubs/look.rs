//! When to ask a partition how far it goes, and what the answer means. No I/O.
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
/// Looks a second that one source makes at most: such questions have a quota of their own, which others share.
const LOOKS: u32 = 20;

/// How long to wait until the next look, where a source has so many partitions.
pub(super) fn pause(patience: &Patience, partitions: usize, silent: bool) -> Duration {
    let partitions = u32::try_from(partitions).unwrap_or(u32::MAX);
    let least = if silent { patience.look } else { BUSY };
    least.max(patience.look.saturating_mul(partitions) / LOOKS)
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
