//! Rows that leave as messages: to a broker, a web server, a database.
//!
//! The one idea: a place that cannot prepare now and show later gets nothing before the manifest is durable. So the manifest
//! keeps the messages themselves, and a commit publishes them. What publishes is a [`Publisher`]; whether a repetition can be
//! told from a first time is up to it.
//!
//! | file | holds |
//! |---|---|
//! | `digest.rs` | what tells contents apart |
//! | `message.rs` | a row as a message, and an epoch of them |
//! | `publisher.rs` | what a place has to be able to do |
//! | `sink.rs` | the sink over any of them |
//! | `options.rs` | what the engine asks of options, whatever the place |
//! | `whereabouts.rs` | where a host lies, as far as its name says |

#![cfg_attr(
    not(all(feature = "eventhubs", feature = "http", feature = "kafka", feature = "postgres")),
    allow(dead_code, unused_imports, reason = "a build may lack the places that need a part of it")
)]

#[cfg(any(feature = "eventhubs", feature = "http"))]
mod digest;
mod message;
mod options;
mod publisher;
mod sink;
#[cfg(test)]
mod tests;
mod whereabouts;

pub use options::MessageOptions;
pub use whereabouts::Whereabouts;

#[cfg(any(feature = "eventhubs", feature = "http"))]
pub(crate) use digest::{digest, hex};
pub(crate) use message::{Epoch, Message, check_json, key_column};
pub(crate) use options::{MAX_EPOCH_BYTES, name_of};
pub(crate) use publisher::Publisher;
pub(crate) use sink::{Limits, MessageSink};
#[cfg(test)]
pub(crate) use tests::Again;
pub(crate) use whereabouts::host_of;
