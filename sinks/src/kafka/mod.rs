//! Rows as messages of Apache Kafka, and of what speaks its protocol.
//!
//! The one idea: a transaction does not outlive its producer, so the manifest keeps the messages, and a commit is one
//! transaction of an epoch's messages and its number. The number on record says whether that has happened already.

mod advice;
mod client;
mod messages;
mod options;
mod properties;
mod publisher;
mod sink;
#[cfg(test)]
mod tests;

pub use options::KafkaOptions;
pub use sink::KafkaSink;
