//! Where a reader stands in a shard.
//!
//! The engine's positions are half-open: everything before them has been handed out. Sequence numbers have gaps, so the
//! next record has no name yet; a place therefore names the *last* record handed out, and the place itself is the gap
//! behind it. Inside an aggregate of the Kinesis Producer Library many records share one sequence number; `sub` then says
//! which of them was the last. It is kept behind the last of an aggregate too: whoever reads on from a lease table can't
//! tell an aggregate from a plain record, and would take the rest for unread.
//!
//! | place | reading goes on |
//! |---|---|
//! | `{"records": 0}` | at the shard's oldest record |
//! | `{"records": 0, "since": 1700000000000}` | at the first record that arrived at this millisecond or later |
//! | `{"sequence": "495…", "records": 7}` | after this record |
//! | `{"sequence": "495…", "sub": 2, "records": 7}` | at the same aggregate, after its third record |

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::SourceError;
use crate::source::{Position, SplitId};

/// A place between two records of a shard.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Sequence number of the last record handed out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sequence: Option<Arc<str>>,
    /// Which record of an aggregate was the last, counted from 0. None of a plain record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sub: Option<u32>,
    /// How many records were handed out of this shard: the ordinal of the next. Sequence numbers have too many digits to be
    /// one.
    #[serde(default)]
    pub(super) records: u64,
    /// Where the pipeline's first start began, in milliseconds since the Unix epoch; none: with the oldest record. Every
    /// place carries it, so that shards first opened after a restart begin there too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<i64>,
}

/// What the service is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Point {
    /// The oldest record there is.
    Horizon,
    /// The first record that arrived at this millisecond or later.
    Moment(i64),
    /// This record.
    At(Arc<str>),
    /// The record behind this one.
    After(Arc<str>),
}

impl Place {
    /// Before the first record of a shard.
    pub(super) fn first(since: Option<i64>) -> Self {
        Self { since, ..Self::default() }
    }

    /// Reads what [`position`](Self::position) wrote.
    pub(super) fn parse(split: &SplitId, position: &Position) -> Result<Self, SourceError> {
        let place: Option<Self> = serde_json::from_value(position.0.clone()).ok();
        let digits = |sequence: &Arc<str>| !sequence.is_empty() && sequence.bytes().all(|b| b.is_ascii_digit());
        place
            .filter(|place| place.sequence.as_ref().map_or(place.sub.is_none(), digits))
            .ok_or_else(|| SourceError::config(format!("shard {split}: the checkpoint holds no place in a shard")))
    }

    pub(super) fn position(&self) -> Position {
        // A struct of numbers and text always has JSON.
        Position(serde_json::to_value(self).unwrap_or_default())
    }

    /// What to ask for to go on from here.
    pub(super) fn point(&self) -> Point {
        match (&self.sequence, self.sub, self.since) {
            (Some(sequence), Some(_), _) => Point::At(sequence.clone()),
            (Some(sequence), None, _) => Point::After(sequence.clone()),
            (None, _, Some(since)) => Point::Moment(since),
            (None, _, None) => Point::Horizon,
        }
    }

    /// How many records of the aggregate under `sequence` were handed out before.
    pub(super) fn handed_out_of(&self, sequence: &str) -> usize {
        match (&self.sequence, self.sub) {
            (Some(last), Some(sub)) if **last == *sequence => sub as usize + 1,
            (Some(last), None) if **last == *sequence => usize::MAX,
            _ => 0,
        }
    }
}
