//! What the config says about a parquet sink: keys, defaults, and what `url` may be.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::layout::Layout;
use super::plan::Plan;
use crate::error::SinkError;
use crate::sink::SinkContext;
use crate::units::{ByteSize, Period};

/// The keys of a `[sinks.NAME]` table with `connector = "parquet"`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParquetOptions {
    /// The folder: a local path, absolute or relative to the current folder, or a `file://` URL.
    pub url: String,
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
            partition_by: default_partition_by(),
            roll: Roll::default(),
            compression: Compression::default(),
            bloom_filters: Vec::new(),
            row_group_size: default_row_group_size(),
        }
    }

    /// Checks these options against the output of a pipeline, without touching the folder.
    pub fn check(&self, context: &SinkContext) -> Result<(), SinkError> {
        self.local_path()?;
        Plan::new(self, context).map(drop)
    }

    /// How the files of a pipeline lie below `url`.
    pub fn layout(&self, context: &SinkContext) -> Result<Layout, SinkError> {
        Layout::new(self, context)
    }

    /// The folder that `url` names.
    pub fn local_path(&self) -> Result<PathBuf, SinkError> {
        let url = self.url.as_str();
        if url.is_empty() {
            return Err(SinkError::config("url: is empty; write the folder for the files, such as \"lake/orders\""));
        }
        let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
            return Ok(PathBuf::from(url));
        };
        if !scheme.eq_ignore_ascii_case("file") {
            return Err(SinkError::config(format!(
                "url: {url:?}: {scheme}:// is not supported by this build yet; write a local path or a file:// URL"
            )));
        }
        let path = rest.strip_prefix("localhost").unwrap_or(rest);
        if !path.starts_with('/') {
            return Err(SinkError::config(format!(
                "url: {url:?} names a host; a local folder has three slashes, as in \"file:///var/lake\""
            )));
        }
        percent_decoded(path)
            .map(PathBuf::from)
            .ok_or_else(|| SinkError::config(format!("url: {url:?} has a broken % escape; write % itself as %25")))
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}
