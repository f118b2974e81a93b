//! Rows as messages of Apache Kafka, and of what speaks its protocol.
//!
//! The one idea: a commit is one transaction of an epoch's messages and its number. The number on record says whether that
//! has happened already.

mod advice;
mod client;
mod options;
mod properties;
mod publisher;
#[cfg(test)]
mod tests;
mod writer;

pub use options::KafkaOptions;
