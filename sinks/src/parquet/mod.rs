//! Parquet files in a hive-partitioned folder, readable by any lake engine as they stand.
//!
//! The one idea: a file is written under `_watershed/staged/`, where no reader looks, and one rename shows it.
//!
//! | step | what happens |
//! |---|---|
//! | `write` | rows become lake types, are split by partition and buffered; full row groups are sorted, encoded, streamed out |
//! | `prepare` | files that are due get their footer and reach the disk |
//! | `commit` | `_watershed/staged/…` → `region=<r>/date=<d>/hour=<h>/<pipeline>-<epoch>-<n>.parquet`, unless a file is there |
//!
//! Memory is bounded by what waits in buffers and by how many files are half written; both limits stand in `files.rs`.
//! A checkpoint closes no file: after a crash, the rows of those that were half written are written again (`cursor.rs`).

mod cursor;
mod file;
mod files;
mod layout;
mod names;
mod options;
mod partition;
mod place;
mod plan;
mod sink;
mod trouble;
mod types;

pub use layout::{FolderLevel, Layout, LevelValues};
pub use options::{Compression, ParquetOptions, Roll};
pub use place::visible_files;
pub use sink::{Clock, ParquetSink};
pub use types::file_schema;

#[cfg(test)]
mod tests;
