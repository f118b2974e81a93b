//! Rows that leave as messages: to a broker, a web server, a database.
//!
//! The one idea: a place that cannot prepare now and show later gets nothing before the manifest is durable. So the manifest
//! keeps the messages themselves, and a commit publishes them. What publishes is a [`Publisher`]; whether a repetition can be
//! told from a first time is up to it.
//!
//! | file | holds |
//! |---|---|
//! | `message.rs` | a row as a message, and an epoch of them |
//! | `publisher.rs` | what a place has to be able to do |
//! | `sink.rs` | the sink over any of them |
//! | `delivery.rs` | an epoch, to a place that takes some messages and leaves others |
//! | `options.rs` | what the engine asks of options, whatever the place |
//! | `whereabouts.rs` | where a host lies, as far as its name says |

#![cfg_attr(
    not(all(
        feature = "eventhubs",
        feature = "http",
        feature = "kafka",
        feature = "kinesis",
        feature = "postgres",
        feature = "pubsub"
    )),
    allow(dead_code, unused_imports, reason = "a build may lack the places that need a part of it")
)]

#[cfg(any(feature = "kinesis", feature = "pubsub"))]
mod delivery;
mod message;
mod options;
mod publisher;
mod sink;
#[cfg(test)]
mod tests;
mod whereabouts;

pub use options::MessageOptions;
pub use whereabouts::Whereabouts;

#[cfg(any(feature = "kinesis", feature = "pubsub"))]
pub(crate) use delivery::{Broker, Delivery, Outgoing, Refused};
pub(crate) use message::{Epoch, Message, check_json, key_column};
pub(crate) use options::{check_max_epoch_bytes, default_max_epoch_bytes, name_of};
pub(crate) use publisher::{IDEMPOTENCY_KEY, Publisher};
pub(crate) use sink::{Limits, MessageSink};
#[cfg(test)]
pub(crate) use tests::Again;
pub(crate) use whereabouts::{host_of, host_of_url};
