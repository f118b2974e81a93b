//! What a parquet sink has to get again after a crash, exact to the row.
//!
//! The one idea: the rows of a folder go into its files in the order in which they came, and there is one open file for
//! a folder at a time. So all rows before the one that began the open file are in finished files, all from it on are
//! not; and how a batch splits into folders depends on nothing but the batch, so a row is named by its batch, its folder
//! and its place among the batch's rows for that folder.
//!
//! Batches from `through` on were written after the cursor, and are new. Before that:
//!
//! | a row of batch `n` for folder `f`, where the cursor | is |
//! |---|---|
//! | does not name `f` | finished |
//! | names `f` with a number `> n` | finished |
//! | names `f` with the number `n` and `rows` | finished if its place is less than `rows` |
//! | names `f` with a number `< n` | in the open file: to be taken again |

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
    /// The row that began it.
    #[serde(flatten)]
    pub(super) begin: RowPlace,
    /// Milliseconds since that row came: a restart must not make a file young again, or it might never be due.
    pub(super) age_ms: u64,
    /// Milliseconds since its last row came.
    pub(super) idle_ms: u64,
}

impl OpenState {
    pub(super) fn new(begin: RowPlace, first_row: Moment, last_row: Moment, now: Instant) -> Self {
        Self { begin, age_ms: first_row.age_millis(now), idle_ms: last_row.age_millis(now) }
    }
}

/// Which rows are in no finished file.
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
    /// The first batch of which some row is in no finished file.
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

    /// How many of the rows that batch `number`, which comes again, has for `folder` are finished; `u64::MAX` for all.
    pub(super) fn finished(&self, folder: &str, number: u64) -> u64 {
        match self.cursor.open.get(folder) {
            Some(file) if file.begin.number < number => 0,
            Some(file) if file.begin.number == number => file.begin.rows,
            _ => u64::MAX,
        }
    }

    /// When the rows of the folder's file came.
    pub(super) fn came(&self, folder: &str) -> Option<Came> {
        let file = self.cursor.open.get(folder)?;
        Some(Came { first: Moment::before(self.at, file.age_ms), last: Moment::before(self.at, file.idle_ms) })
    }
}
