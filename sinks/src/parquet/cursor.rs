//! What a parquet sink has to get again after a crash, exact to the row.
//!
//! The one idea: the rows of a folder go into its files in the order in which they came, and there is one open file for
//! a folder at a time, of which the first row groups may be encoded. So all rows before the first that waits in a buffer are in
//! finished files or in those row groups, which are kept as bytes; all from it on are not. How a batch splits into folders
//! depends on nothing but the batch, so a row is named by its batch, its folder and its place among the batch's rows for that
//! folder.
//!
//! Batches from `through` on were written after the cursor, and are new. Before that:
//!
//! | a row of batch `n` for folder `f`, where the cursor | is |
//! |---|---|
//! | does not name `f` | finished |
//! | names `f` with a number `> n` | finished or encoded |
//! | names `f` with the number `n` and `rows` | finished or encoded if its place is less than `rows` |
//! | names `f` with a number `< n` | to be taken again |

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A place among the rows of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct RowPlace {
    /// The batch.
    pub(super) number: u64,
    /// How many of its rows for the folder come before.
    pub(super) rows: u64,
}

/// A moment of a file's life. In two parts, because an `Instant` need not reach back to before the machine was started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    at: Instant,
    before: Duration,
}

impl Moment {
    pub(super) fn now(at: Instant) -> Self {
        Self { at, before: Duration::ZERO }
    }

    /// So many milliseconds before `at`.
    fn before(at: Instant, millis: u64) -> Self {
        Self { at, before: Duration::from_millis(millis) }
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at).saturating_add(self.before)
    }

    fn age_millis(&self, now: Instant) -> u64 {
        u64::try_from(self.age(now).as_millis()).unwrap_or(u64::MAX)
    }
}

/// When rows came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Came {
    /// The first row of a file that they begin.
    pub(super) first: Moment,
    /// They themselves.
    pub(super) last: Moment,
}

/// An open file, as it travels in the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct OpenState {
    /// The first of its rows that is not encoded; where all are, the place behind them.
    #[serde(flatten)]
    pub(super) begin: RowPlace,
    /// Its row groups, by their numbers, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) encoded: Vec<u64>,
    /// Milliseconds since that row came: a restart must not make a file young again, or it might never be due.
    pub(super) age_ms: u64,
    /// Milliseconds since its last row came.
    pub(super) idle_ms: u64,
}

impl OpenState {
    pub(super) fn new(begin: RowPlace, encoded: Vec<u64>, first_row: Moment, last_row: Moment, now: Instant) -> Self {
        Self { begin, encoded, age_ms: first_row.age_millis(now), idle_ms: last_row.age_millis(now) }
    }

    /// When its rows came, as of `at`.
    pub(super) fn came(&self, at: Instant) -> Came {
        Came { first: Moment::before(at, self.age_ms), last: Moment::before(at, self.idle_ms) }
    }
}

/// Which rows are neither in a finished file nor encoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// The folder levels; with others, a folder's name would say nothing about its rows.
    pub(super) partition_by: Vec<String>,
    /// The number after that of the last batch written.
    pub(super) through: u64,
    /// By folder; a folder that is not here has no open file.
    pub(super) open: BTreeMap<String, OpenState>,
}

impl Cursor {
    /// The first batch of which some row is neither in a finished file nor encoded.
    pub(super) fn first(&self) -> Option<u64> {
        self.open.values().map(|file| file.begin.number).min()
    }
}

/// A cursor of a dead process, while its batches come again.
#[derive(Debug)]
pub(super) struct Resumed {
    cursor: Cursor,
    at: Instant,
}

impl Resumed {
    pub(super) fn new(cursor: Cursor, at: Instant) -> Self {
        Self { cursor, at }
    }

    /// How many of the rows that batch `number`, which comes again, has for `folder` are finished or encoded; `u64::MAX` for
    /// all.
    pub(super) fn finished(&self, folder: &str, number: u64) -> u64 {
        match self.cursor.open.get(folder) {
            Some(file) if file.begin.number < number => 0,
            Some(file) if file.begin.number == number => file.begin.rows,
            _ => u64::MAX,
        }
    }

    /// When the rows of the folder's file came.
    pub(super) fn came(&self, folder: &str) -> Option<Came> {
        Some(self.cursor.open.get(folder)?.came(self.at))
    }
}
