//! A Delta table: the files of the parquet sink, and a log that says which of them count.
//!
//! The one idea: the log is the commit. Files are written, prepared and shown as those of the parquet sink are, where no
//! reader of the table looks at them yet; then one entry of the log adds all files of an epoch, together with the epoch
//! itself as the pipeline's `txn`. Whoever commits an epoch asks for that `txn` first, so a repetition adds nothing.
//!
//! | room | what |
//! |---|---|
//! | `sink` | the sink: files first, then the log |
//! | `log` | the table's log: read, created, added to |
//! | `columns` | the table's columns, and whether a table that is there may take ours |
//! | `upkeep`, `plan`, `vacuum` | beside the flow: old partitions go, small files are merged, what nobody reads is deleted |
//! | `stats` | what a file's footer says of its columns, as the log has it |
//!
//! Two pipelines, or a pipeline and anybody else, may write to one table: appends do not disturb each other, and each
//! pipeline, and its late rows, have a `txn` of their own.

mod columns;
mod log;
mod plan;
mod sink;
pub(crate) mod stats;
#[cfg(test)]
mod tests;
mod upkeep;
mod vacuum;

pub use log::{Contents, contents};
pub use sink::{DeltaSink, check};
pub use upkeep::TableUpkeep;
