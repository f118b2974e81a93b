//! Removing what is older than a lake is to keep.
//!
//! The one idea: a partition is kept or goes as a whole, by the time that its folder names. So nothing has to be read, what
//! was begun is finished by the next sweep, and a partition that is gone looks as if it had never been.
//!
//! | a file stays | because |
//! |---|---|
//! | until all of its partition is older than `retain` | it is asked for |
//! | if another pipeline wrote it | it is not ours |
//! | if the last commit showed it | after a crash it is looked for, and its absence would be a loss |
//! | for an hour after it was written | the last commit may be that of another process, which took over |
//! | in the folder for null | nobody knows how old its rows are |

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt, stream};

use super::file::Shape;
use super::names;
use super::plan::Level;
use crate::error::SinkError;
use crate::upkeep::{EVERY, Stop, Swept, Upkeep};

/// How long a file is let alone. A process that has lost its place learns so within minutes.
pub(super) const YOUNG: TimeDelta = TimeDelta::hours(1);

/// Keys of what the last commit showed, or is about to show.
pub(super) type Latest = Arc<Mutex<BTreeSet<String>>>;

/// Removes old partitions of one pipeline from a lake. It works beside the sink that it comes from.
pub(super) struct Retention {
    shape: Arc<Shape>,
    pipeline: Arc<str>,
    /// The folder below which all files lie.
    under: String,
    retain: TimeDelta,
    latest: Latest,
}

impl fmt::Debug for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retention")
            .field("pipeline", &self.pipeline)
            .field("retain", &self.retain)
            .finish_non_exhaustive()
    }
}

impl Retention {
    pub(super) fn new(
        shape: Arc<Shape>,
        pipeline: Arc<str>,
        under: String,
        retain: Duration,
        latest: Latest,
    ) -> Option<Self> {
        // What is kept for longer than time goes is kept for ever.
        let retain = TimeDelta::from_std(retain).ok()?;
        Some(Self { shape, pipeline, under, retain, latest })
    }

    fn is_over(&self, key: &str, now: DateTime<Utc>) -> bool {
        is_over(&self.shape.plan.levels, key, self.retain, now)
    }
}

#[async_trait]
impl Upkeep for Retention {
    fn every(&self) -> Duration {
        EVERY
    }

    /// Removes the files of every partition that ended `retain` before `now`.
    async fn sweep(&mut self, now: DateTime<Utc>, _: Stop<'_>, swept: &mut Swept) -> Result<(), SinkError> {
        let this = &*self;
        let place = &this.shape.place;
        let visible = place.visible(&this.under).await?;
        let ours = visible.into_iter().filter(|(key, file)| {
            let name = key.rsplit('/').next().unwrap_or(key);
            let is_ours = names::visible_epoch(name, &this.pipeline).is_some();
            is_ours && file.last_modified + YOUNG <= now && this.is_over(key, now)
        });
        let removing = ours.map(|(key, file)| async move {
            // Asked last of all: it may have been shown since.
            if lock(&this.latest).contains(&key) {
                return Ok(None);
            }
            place.remove(&key).await.map(|()| Some((key, file.size)))
        });
        let mut removed = stream::iter(removing).buffered(place.at_a_time());
        while let Some(removed) = removed.try_next().await? {
            if let Some((key, bytes)) = removed {
                swept.expired.add(&key, bytes);
            }
        }
        Ok(())
    }
}

/// True if the time that a file's folders name ended `ago` before `now`.
pub(super) fn is_over(levels: &[Level], key: &str, ago: TimeDelta, now: DateTime<Utc>) -> bool {
    end(levels, key).and_then(|end| end.checked_add_signed(ago)).is_some_and(|end| end <= now)
}

/// When the last row of a file may have been: the end of the time that its folders name; none if they name none.
pub(super) fn end(levels: &[Level], key: &str) -> Option<DateTime<Utc>> {
    let (mut date, mut hour) = (None, None);
    for (level, folder) in levels.iter().zip(key.split('/')) {
        let value = folder.split_once('=').map(|(_, value)| value);
        match level {
            Level::Date => date = Some(NaiveDate::parse_from_str(value?, "%Y-%m-%d").ok()?),
            Level::Hour => hour = Some(value?.parse::<u32>().ok()?),
            Level::Region | Level::Column(_) => {}
        }
    }
    let (start, length) = match hour {
        None => (NaiveTime::MIN, TimeDelta::days(1)),
        Some(hour) => (NaiveTime::from_hms_opt(hour, 0, 0)?, TimeDelta::hours(1)),
    };
    date?.and_time(start).and_utc().checked_add_signed(length)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nobody panics while holding the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_ends_with_the_time_that_its_folders_name() {
        use Level::{Column, Date, Hour, Region};
        let cases: [(&[Level], &str, Option<&str>); 8] = [
            (&[Date], "date=2026-02-28/p.parquet", Some("2026-03-01T00:00:00Z")),
            (&[Region, Date, Hour], "region=eu/date=2026-02-28/hour=23/p.parquet", Some("2026-03-01T00:00:00Z")),
            (&[Hour, Column(0), Date], "hour=05/country=DE/date=1969-12-31/p.parquet", Some("1969-12-31T06:00:00Z")),
            (&[Date], "date=__HIVE_DEFAULT_PARTITION__/p.parquet", None),
            (&[Date, Hour], "date=2026-02-28/hour=24/p.parquet", None),
            (&[Date, Hour], "date=2026-02-28/p.parquet", None),
            (&[Hour], "hour=05/p.parquet", None),
            (&[Region, Column(0)], "region=eu/date=2026-02-28/p.parquet", None),
        ];
        for (levels, key, expected) in cases {
            let expected = expected.and_then(|text| text.parse::<DateTime<Utc>>().ok());
            assert_eq!(end(levels, key), expected, "{key}");
        }
    }
}
