//! An archive as a source: Parquet or NDJSON files of events that were kept, read again for a range of event time.
//!
//! The one idea: what Parquet's statistics say about event time is used twice, to leave out row groups that lie outside
//! the range, and to promise what cannot come any more. Files of an archive overlap and their rows stand in order of
//! arrival, so that no newest event says how far time has come; these promises do. Which rows lie inside the range is
//! the engine's to say, for both formats, once it knows their event time.

mod folders;
mod footer;
mod reader;
#[cfg(test)]
mod tests;
mod time;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::error::SourceError;
use crate::file::{FileOptions, FileSource, Pattern};
use crate::framing::Framing;
use crate::moment;
use crate::source::{Position, Reader, Source, SplitId};
use footer::{Footer, Wanted};
use reader::ParquetReader;

pub use time::EventTime;

/// What to read again, as written in the region file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayOptions {
    /// One file, a glob, or a folder, as in [`FileOptions::path`].
    pub path: String,
    /// Events before this moment are left out; RFC 3339.
    #[serde(default, deserialize_with = "moment::rfc3339")]
    pub from: Option<DateTime<Utc>>,
    /// Events at this moment and later are left out; RFC 3339.
    #[serde(default, deserialize_with = "moment::rfc3339")]
    pub to: Option<DateTime<Utc>>,
}

impl ReplayOptions {
    /// Everything at `path`.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), from: None, to: None }
    }

    /// Event times to keep, in microseconds since the Unix epoch; none if all are.
    pub fn range(&self) -> Option<Range<i64>> {
        if self.from.is_none() && self.to.is_none() {
            return None;
        }
        let micros = |moment: DateTime<Utc>| moment.timestamp_micros();
        Some(self.from.map_or(i64::MIN, micros)..self.to.map_or(i64::MAX, micros))
    }
}

/// How an archive is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayFormat {
    /// One JSON object a line; files may be compressed, as in [`FileSource`].
    Json,
    /// Parquet, which comes out as columns.
    Parquet {
        /// Columns to read, where they exist; all if none are named.
        columns: Option<Vec<String>>,
        /// The column of event time: without it nothing is left out and nothing promised.
        event_time: Option<EventTime>,
    },
}

/// An archive; each file is a split, named by its path as it was listed.
///
/// Parquet splits come in order of their earliest event, so that windows can close while later files are still unread.
/// Those of unknown time come first: nothing closes before they are read.
#[derive(Debug)]
pub struct ReplaySource {
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    Lines(FileSource),
    Parquet(Archive),
}

/// Parquet files.
#[derive(Debug)]
struct Archive {
    path: String,
    pattern: Pattern,
    wanted: Wanted,
    projected: OnceLock<Vec<String>>,
    /// The earliest event of each file that was listed.
    earliest: Mutex<HashMap<SplitId, Option<i64>>>,
}

impl ReplaySource {
    /// Checks the options; looks at no file yet, except that it tells a folder from a file.
    ///
    /// # Errors
    /// [`SourceError::Config`] for an empty path, a broken glob, or a range that holds nothing.
    pub fn new(options: ReplayOptions, format: ReplayFormat) -> Result<Self, SourceError> {
        if let (Some(from), Some(to)) = (options.from, options.to)
            && from >= to
        {
            return Err(SourceError::config(
                "`from` must lie before `to`: what is read starts at the one and ends before the other",
            ));
        }
        let range = options.range();
        let inner = match format {
            ReplayFormat::Json => Inner::Lines(FileSource::new(FileOptions::new(options.path), Framing::Lines)?),
            ReplayFormat::Parquet { columns, event_time } => Inner::Parquet(Archive {
                pattern: Pattern::parse(&options.path)?,
                path: options.path,
                wanted: Wanted { columns, event_time, range },
                projected: OnceLock::new(),
                earliest: Mutex::default(),
            }),
        };
        Ok(Self { inner })
    }
}

impl Archive {
    /// Lists the files that hold something of the range. Each footer is read for that, and let go of.
    async fn list(&self) -> Result<Vec<SplitId>, SourceError> {
        let (pattern, wanted) = (self.pattern.clone(), self.wanted.clone());
        let look = move || {
            let mut files = Vec::new();
            for file in pattern.files(false)? {
                let footer = Footer::open(&file.path, &wanted)?;
                if footer.is_wanted() {
                    files.push((footer.earliest_from(0), SplitId::new(file.path)));
                }
            }
            files.sort();
            Ok::<_, SourceError>(files)
        };
        let files = tokio::task::spawn_blocking(look)
            .await
            .map_err(|e| SourceError::fatal(format!("cannot list {}", self.path), e))??;
        let splits = files.iter().map(|(_, split)| split.clone()).collect();
        self.earliest().extend(files.into_iter().map(|(earliest, split)| (split, earliest)));
        Ok(splits)
    }

    fn earliest(&self) -> MutexGuard<'_, HashMap<SplitId, Option<i64>>> {
        // Every change is a single insertion, so a panic elsewhere leaves the map whole.
        self.earliest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, split: &SplitId, from: Option<&Position>) -> Result<ParquetReader, SourceError> {
        let mut wanted = self.wanted.clone();
        if let Some(projected) = self.projected.get() {
            wanted.columns = Some(projected.clone());
        }
        ParquetReader::open(split.clone(), from, &wanted)
    }
}

#[async_trait]
impl Source for ReplaySource {
    async fn splits(&self) -> Result<Vec<SplitId>, SourceError> {
        let files = match &self.inner {
            Inner::Parquet(archive) => return archive.list().await,
            Inner::Lines(files) => files.splits().await?,
        };
        match files.iter().find(|file| file.as_str().ends_with(".parquet")) {
            Some(file) => Err(SourceError::config(format!("{file} is Parquet, not JSON: set format = \"parquet\""))),
            None => Ok(files),
        }
    }

    async fn open(&self, split: &SplitId, from: Option<&Position>) -> Result<Box<dyn Reader>, SourceError> {
        match &self.inner {
            Inner::Lines(files) => files.open(split, from).await,
            Inner::Parquet(archive) => Ok(Box::new(archive.open(split, from)?)),
        }
    }

    fn bounded(&self) -> bool {
        true
    }

    fn blocks(&self) -> bool {
        true
    }

    fn project(&self, columns: &[String]) {
        if let Inner::Parquet(archive) = &self.inner {
            // Told twice, the first word stands.
            let _ = archive.projected.set(columns.to_vec());
        }
    }

    fn promise(&self, split: &SplitId) -> Option<i64> {
        match &self.inner {
            Inner::Lines(_) => None,
            Inner::Parquet(archive) => archive.earliest().get(split).copied().flatten(),
        }
    }
}
