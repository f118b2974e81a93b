//! Parquet files in a hive-partitioned folder, readable by any lake engine as they stand.
//!
//! The one idea: a file is written where no reader looks, and one step shows it. In a local folder it is a file under
//! `_watershed/staged/` and a rename (`rename.rs`); in an object store an upload and its completion (`upload.rs`).
//!
//! | step | what happens |
//! |---|---|
//! | `write` | rows become lake types, are split by partition and buffered; full row groups are sorted, encoded, streamed out |
//! | `prepare` | files that are due get their footer, and are durable |
//! | `commit` | they are `region=<r>/date=<d>/hour=<h>/<pipeline>-<epoch>-<n>.parquet` |
//!
//! Memory is bounded by what waits in buffers and by how many files are half written, over all sinks of a process
//! (`budget.rs`).
//! A checkpoint closes no file: after a crash, the rows of those that were half written are written again (`cursor.rs`).

mod budget;
mod cursor;
mod encode;
mod file;
mod files;
mod layout;
mod merge;
mod names;
mod options;
mod partition;
mod place;
mod plan;
mod rename;
mod retain;
mod runs;
mod sink;
mod types;
mod upload;

pub use budget::WriterBudget;
pub use layout::{FolderLevel, Layout, LevelValues};
pub(crate) use merge::{Input, Merger};
pub(crate) use names::partition_values;
#[cfg(test)]
pub(crate) use names::visible_epoch;
pub use options::{Compact, Compression, ParquetOptions, Roll};
pub(crate) use place::PreparedFile;
pub use place::visible_files;
pub(crate) use rename::sync_on_disk;
pub use sink::{Clock, ParquetSink};
pub use types::file_schema;

#[cfg(test)]
pub(crate) mod tests;
