//! Rows as records of a stream of Amazon Kinesis: `connector = "kinesis"`.
//!
//! The one idea: a record has no headers, so what tells a repetition stands where there is room: in the partition key, if no
//! column is one, and in a field of the row, if one is asked for.
//!
//! | file | holds |
//! |---|---|
//! | `options.rs` | the keys of the sink |
//! | `broker.rs` | a part as one request, of which the service may refuse some records |
//! | `record.rs` | a message as a record |

mod broker;
mod options;
mod record;
#[cfg(test)]
mod tests;

pub use options::KinesisOptions;
