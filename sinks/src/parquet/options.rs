//! What the config says about a parquet sink: keys, defaults, and what `url` may be.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::layout::Layout;
use super::plan::Plan;
use crate::error::SinkError;
use crate::sink::SinkContext;
use crate::store::{Location, StoreOptions, without_credentials};
use crate::units::{ByteSize, Period};

/// The keys of a `[sinks.NAME]` table with `connector = "parquet"` or `"delta"`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParquetOptions {
    /// The folder: a local path, absolute or relative to the current folder, or the URL of a place in an object store.
    pub url: String,
    /// What that store wants to know.
    #[serde(skip)]
    pub store: StoreOptions,
    /// Folder levels: `region` (from the region file), `date` and `hour` (from the window's start or the event time, in
    /// UTC), or any output column, which then is not repeated inside the files. Nulls and empty strings go to the folder
    /// `__HIVE_DEFAULT_PARTITION__`.
    #[serde(default = "default_partition_by")]
    pub partition_by: Vec<String>,
    /// When a file is closed.
    #[serde(default)]
    pub roll: Roll,
    /// How pages are compressed.
    #[serde(default)]
    pub compression: Compression,
    /// Columns that get a bloom filter: those looked up by exact value that are not sorted by.
    #[serde(default)]
    pub bloom_filters: Vec<String>,
    /// Size of a row group in memory, before it is encoded.
    #[serde(default = "default_row_group_size")]
    pub row_group_size: ByteSize,
    /// How long partitions are kept, counted from their end; none: for ever. Needs the folder level `date`.
    #[serde(default)]
    pub retain: Option<Period>,
    /// When small files of a table become larger ones; none: never by itself. Only where a log says which files a table has.
    #[serde(default)]
    pub compact: Option<Compact>,
    /// How long files that a table no longer has are kept for those who still read them; none: a week. What the table says of
    /// that goes before. Only where there is a log, as above.
    #[serde(default)]
    pub vacuum: Option<Period>,
    /// Whether what is prepared says what is in the columns of each file: where a log wants to know.
    #[serde(skip)]
    pub stats: bool,
}

/// When a file is closed: at the first of these. A checkpoint alone closes none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Roll {
    /// Its size, estimated from how well earlier row groups were compressed.
    pub size: ByteSize,
    /// Time since its first row.
    pub every: Period,
    /// Time since its last row.
    pub idle: Period,
}

/// When small files become larger ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Compact {
    /// How often they are looked for.
    pub every: Period,
    /// How long ago their partition must have ended; where no level names a time, how old they must be.
    pub after: Period,
}

impl Default for Compact {
    /// Partitions are hours by default: in one that ended an hour ago, most of what is late has come.
    fn default() -> Self {
        Self { every: Period(Duration::from_secs(3600)), after: Period(Duration::from_secs(3600)) }
    }
}

/// How pages are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Zstandard, level 3: the smallest files at a speed that keeps up.
    #[default]
    Zstd,
    /// Snappy: for readers that know nothing newer.
    Snappy,
    /// No compression.
    None,
}

fn default_partition_by() -> Vec<String> {
    ["region", "date", "hour"].map(str::to_owned).to_vec()
}

/// Lake engines skip by row group and read them in parallel; 32 MB of rows is about what one task takes, and four fit in
/// a small machine's memory.
fn default_row_group_size() -> ByteSize {
    ByteSize(32_000_000)
}

impl Default for Roll {
    fn default() -> Self {
        Self {
            size: ByteSize(128_000_000),
            every: Period(Duration::from_secs(5 * 60)),
            idle: Period(Duration::from_secs(60)),
        }
    }
}

impl ParquetOptions {
    /// The defaults, for files below `url`.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            store: StoreOptions::default(),
            partition_by: default_partition_by(),
            roll: Roll::default(),
            compression: Compression::default(),
            bloom_filters: Vec::new(),
            row_group_size: default_row_group_size(),
            retain: None,
            compact: None,
            vacuum: None,
            stats: false,
        }
    }

    /// Checks these options against the output of a pipeline, without touching the folder.
    pub fn check(&self, context: &SinkContext) -> Result<(), SinkError> {
        self.check_place()?;
        Plan::new(self, context).map(drop)
    }

    /// How the files of a pipeline lie below `url`.
    pub fn layout(&self, context: &SinkContext) -> Result<Layout, SinkError> {
        Layout::new(self, context)
    }

    /// Checks `url`, and that the keys beside it are for such a place; gives it.
    pub fn check_place(&self) -> Result<Location, SinkError> {
        let location = Location::of(&self.url)?;
        match self.store.wrong_for(location.cloud()) {
            Some((_, why)) => Err(SinkError::config(why)),
            None => Ok(location),
        }
    }

    /// The folder that `url` names; an error if it leads elsewhere.
    pub fn local_path(&self) -> Result<PathBuf, SinkError> {
        match self.check_place()? {
            Location::Folder(folder) => Ok(folder),
            Location::Store(address) => {
                let (url, cloud) = (without_credentials(&self.url), address.cloud);
                Err(SinkError::config(format!("url: {url:?} is a place of {cloud}, not a local folder")))
            }
        }
    }
}
