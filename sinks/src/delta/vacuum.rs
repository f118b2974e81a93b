//! Deleting what a table no longer has.
//!
//! The one idea: a file goes because the log says that it went, long ago, and not because the log does not name it: an epoch that
//! is being committed shows its files before they are logged. Only merged files may go without a word of the log, and their
//! names tell them from those of epochs.
//!
//! | a file of this pipeline that the table does not have | |
//! |---|---|
//! | went longer ago than `vacuum` | deleted |
//! | went not so long ago | stays: somebody may read the table as it was |
//! | an epoch wrote it, and the log never had it | stays: its epoch may be logged yet |
//! | it was merged from others, and the log never had it | deleted, after all who are merging are told that they are late |
//!
//! A log's checkpoint forgets what went longer ago than `delta.deletedFileRetentionDuration`, which may be before anybody came to
//! delete it. So where files lie that nothing is known of, the entries are read, as far as they are still there.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use deltalake_core::kernel::{Action, Transaction};
use deltalake_core::protocol::DeltaOperation;
use futures::{StreamExt, TryStreamExt, stream};

use super::log::Log;
use super::upkeep::TableUpkeep;
use crate::error::SinkError;
use crate::parquet::Input;
use crate::upkeep::{Stop, Swept};

/// What Delta takes for the same where a table says nothing.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Files that are deleted before it is asked whether to go on.
const AT_ONCE: usize = 100;

/// Entries that are read at a time.
const ENTRIES_AT_A_TIME: usize = 8;

/// How often an entry is tried.
const TRIES: usize = 20;

/// How long what went is kept, and how far the log was read for it.
#[derive(Debug)]
pub(super) struct Vacuum {
    kept: Option<Duration>,
    /// The first entry that was not read yet.
    next: u64,
}

impl Vacuum {
    pub(super) fn new(kept: Option<Duration>) -> Self {
        Self { kept, next: 0 }
    }

    /// The keys of `unknown` that an entry took out of the table up to `cut`, and the first entry that was not read. Entries that
    /// were read before, and whose files are deleted, are not read again.
    async fn went(
        &self,
        log: &Log,
        unknown: &BTreeSet<&str>,
        cut: DateTime<Utc>,
    ) -> Result<(BTreeSet<String>, u64), SinkError> {
        let entries = log.entries_from(self.next).await?;
        // What an entry says of has gone by the time that it was written.
        let old: Vec<u64> = entries.into_iter().take_while(|(_, put)| *put <= cut).map(|(entry, _)| entry).collect();
        let next = old.last().map_or(self.next, |last| last + 1);
        let mut reading = stream::iter(old).map(|entry| log.entry(entry)).buffered(ENTRIES_AT_A_TIME);
        let mut went = BTreeSet::new();
        while let Some(actions) = reading.try_next().await? {
            let removed = actions.into_iter().filter_map(|action| match action {
                Action::Remove(removed) if unknown.contains(removed.path.as_str()) => Some(removed.path),
                _ => None,
            });
            went.extend(removed);
        }
        Ok((went, next))
    }
}

impl TableUpkeep {
    /// Deletes what may go.
    pub(super) async fn clear(
        &mut self,
        now: DateTime<Utc>,
        stop: Stop<'_>,
        swept: &mut Swept,
    ) -> Result<(), SinkError> {
        // First what lies there, then what the table has: otherwise what is logged in between would seem not to be.
        let there = self.merger.visible().await?;
        if !self.log.look_again().await? {
            return Ok(());
        }
        let has = self.log.files(|key| self.merger.owns(key));
        let has: BTreeSet<&str> = has.iter().map(|file| file.input.key.as_str()).collect();
        let gone: Vec<_> = there.into_iter().filter(|(file, _)| !has.contains(file.key.as_str())).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let (table_keeps, is_told) = self.log.keeps_deleted();
        let kept = if is_told { table_keeps } else { self.vacuum.kept.unwrap_or(KEPT) };
        let (Ok(kept), Ok(table_keeps)) = (TimeDelta::from_std(kept), TimeDelta::from_std(table_keeps)) else {
            return Ok(());
        };
        let Some(cut) = now.checked_sub_signed(kept) else { return Ok(()) };
        let buried = self.log.tombstones().await?;
        let (mut deleted, mut never_logged, mut unknown): (Vec<Input>, Vec<Input>, Vec<Input>) = Default::default();
        for (file, put) in gone {
            match buried.get(&file.key) {
                Some(went) if (1..=cut.timestamp_millis()).contains(went) => deleted.push(file),
                Some(_) => {}
                // Was it ever in the table, so long ago that the log has forgotten? Not if it is younger than what that forgets;
                // and if it was, it may go when what is forgotten is older than what is kept.
                None if self.merger.is_merged(&file.key)
                    && (now - put < table_keeps || (put <= cut && kept <= table_keeps)) =>
                {
                    never_logged.push(file);
                }
                None if put <= cut => unknown.push(file),
                None => {}
            }
        }
        let mut next = self.vacuum.next;
        if !unknown.is_empty() {
            let keys = unknown.iter().map(|file| file.key.as_str()).collect();
            let went;
            (went, next) = self.vacuum.went(&self.log, &keys, cut).await?;
            deleted.extend(unknown.into_iter().filter(|file| went.contains(&file.key)));
        }
        if !never_logged.is_empty() && !stop() {
            self.call_off(&mut never_logged).await?;
            deleted.extend(never_logged);
        }
        if self.delete(deleted, stop, swept).await? {
            self.vacuum.next = next;
        }
        Ok(())
    }

    /// Tells all who are merging that what they have shown by now is not to be logged, by an entry; leaves of `files` what is not
    /// in the table when that is written.
    async fn call_off(&mut self, files: &mut Vec<Input>) -> Result<(), SinkError> {
        for _ in 0..TRIES {
            let has = self.log.files(|key| self.merger.is_merged(key));
            files.retain(|file| has.iter().all(|has| has.input.key != file.key));
            if files.is_empty() {
                return Ok(());
            }
            // Greater than any before it.
            let transaction = Transaction::new(&self.calls_off, Utc::now().timestamp_millis());
            let (default, specified) = (self.log.keeps_deleted().0.as_millis(), self.vacuum.kept);
            let operation = DeltaOperation::VacuumStart {
                retention_check_enabled: true,
                specified_retention_millis: specified.and_then(|kept| i64::try_from(kept.as_millis()).ok()),
                default_retention_millis: i64::try_from(default).unwrap_or(i64::MAX),
            };
            if self.log.append(Vec::new(), operation, Some(transaction)).await? {
                return Ok(());
            }
            self.log.look_again().await?;
        }
        Err(self.log.is_busy())
    }

    /// Deletes the files; false if it was told to stop before it was through.
    async fn delete(&self, files: Vec<Input>, stop: Stop<'_>, swept: &mut Swept) -> Result<bool, SinkError> {
        for files in files.chunks(AT_ONCE) {
            if stop() {
                return Ok(false);
            }
            let merger = &self.merger;
            let removing =
                files.iter().cloned().map(|file| async move { merger.remove(&file.key).await.map(|()| file.bytes) });
            let mut removed = stream::iter(removing).buffered(self.merger.at_a_time());
            while let Some(bytes) = removed.try_next().await? {
                swept.vacuumed.add(bytes);
            }
        }
        Ok(true)
    }
}
