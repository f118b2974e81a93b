//! Positions: behind which event a reader stands.
//!
//! | position | JSON | the receiver starts |
//! |---|---|---|
//! | behind an event | `{"sequence": 7, "offset": "448"}` | at sequence numbers greater than 7 |
//! | before the first | `{"sequence": -1}` | at the earliest |
//! | at a moment, nothing read yet | `{"enqueued": 1767225600000}` | at events enqueued then or later |

use std::time::{Duration, UNIX_EPOCH};

use azure_messaging_eventhubs::models::EventHubPartitionProperties;
use azure_messaging_eventhubs::{StartLocation, StartPosition};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::SourceError;
use crate::source::{Position, SplitId};
use crate::start::Start;

/// Where a reader stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Place {
    /// Behind this event.
    Behind {
        /// Its sequence number.
        sequence: i64,
        /// Its offset, which other clients want to know.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<String>,
    },
    /// At the first event that was enqueued at or after this moment, in milliseconds since the Unix epoch.
    At {
        /// The moment.
        enqueued: i64,
    },
}

/// What a partition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Sequence number of the oldest event.
    pub(super) begin: i64,
    /// Sequence number of the newest; one less than the oldest if there is none.
    pub(super) last: i64,
    /// When the newest was enqueued, in milliseconds since the Unix epoch.
    pub(super) enqueued: Option<i64>,
}

impl From<&EventHubPartitionProperties> for Extent {
    fn from(properties: &EventHubPartitionProperties) -> Self {
        let last = properties.last_enqueued_sequence_number;
        let time = properties.last_enqueued_time_utc.filter(|_| !properties.is_empty);
        let millis = |time: std::time::SystemTime| DateTime::<Utc>::from(time).timestamp_millis();
        let begin = if properties.is_empty { last + 1 } else { properties.beginning_sequence_number };
        Self { begin, last, enqueued: time.map(millis) }
    }
}

impl Place {
    /// Where the first read of a partition begins. "Earliest" and "latest" are pinned to what there is now, so that a reader that
    /// is opened again before it has read anything stands where the first one stood.
    pub(super) fn of(start: Start, extent: Extent) -> Self {
        match start {
            Start::Earliest => Self::Behind { sequence: extent.begin - 1, offset: None },
            Start::Latest => Self::Behind { sequence: extent.last, offset: None },
            Start::At(moment) => {
                // The service counts milliseconds; an event within the one of the moment may be older than it.
                let whole = moment.timestamp_micros().rem_euclid(1000) == 0;
                Self::At { enqueued: (moment.timestamp_millis() + i64::from(!whole)).max(0) }
            }
        }
    }

    /// Reads a position from the checkpoint.
    pub(super) fn restore(split: &SplitId, position: &Position) -> Result<Self, SourceError> {
        serde_json::from_value(position.0.clone()).map_err(|_| {
            SourceError::config(format!(
                "partition {split}: the checkpoint holds no position of Event Hubs; begin anew with --reset-state"
            ))
        })
    }

    /// As the checkpoint keeps it.
    pub(super) fn position(&self) -> Position {
        // A number and a text: nothing here can fail to become JSON.
        Position(serde_json::to_value(self).unwrap_or_default())
    }

    /// What a receiver is asked for.
    pub(super) fn start(&self) -> StartPosition {
        match self {
            Self::Behind { sequence, .. } if *sequence < 0 => {
                StartPosition { location: StartLocation::Earliest, inclusive: false }
            }
            Self::Behind { sequence, .. } => {
                StartPosition { location: StartLocation::SequenceNumber(*sequence), inclusive: false }
            }
            Self::At { enqueued } => {
                let since = Duration::from_millis(u64::try_from(*enqueued).unwrap_or_default());
                StartPosition { location: StartLocation::EnqueuedTime(UNIX_EPOCH + since), inclusive: true }
            }
        }
    }

    /// The same place among the events that are left, and how many between the two are gone for good. Nobody waits for those.
    pub(super) fn among(self, extent: Extent) -> (Self, u64) {
        match self {
            Self::Behind { sequence, .. } if sequence < extent.begin - 1 => {
                let expired = u64::try_from(extent.begin - 1 - sequence).unwrap_or_default();
                (Self::Behind { sequence: extent.begin - 1, offset: None }, expired)
            }
            here => (here, 0),
        }
    }

    /// True if the place lies behind the newest event there is: then the hub is not the one that was read.
    pub(super) fn is_beyond(&self, extent: Extent) -> bool {
        matches!(self, Self::Behind { sequence, .. } if *sequence > extent.last)
    }

    /// True if everything that was there at a look has been handed out, and nothing since.
    pub(super) fn is_at_end(&self, extent: Extent) -> bool {
        match self {
            Self::Behind { sequence, .. } => *sequence == extent.last,
            Self::At { .. } => self.lag(extent) == Some(0),
        }
    }

    /// How many events wait; none if there is no telling.
    pub(super) fn lag(&self, extent: Extent) -> Option<u64> {
        match self {
            Self::Behind { sequence, .. } => Some(u64::try_from(extent.last - sequence).unwrap_or_default()),
            Self::At { enqueued } => extent.enqueued.is_none_or(|newest| newest < *enqueued).then_some(0),
        }
    }

    /// The sequence number of the last event that was handed out, if there was one.
    pub(super) fn sequence(&self) -> Option<i64> {
        match self {
            Self::Behind { sequence, .. } => Some(*sequence),
            Self::At { .. } => None,
        }
    }
}
