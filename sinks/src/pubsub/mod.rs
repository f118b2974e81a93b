//! Rows as messages of a topic of Google Cloud Pub/Sub: `connector = "pubsub"`.
//!
//! The one idea: the service numbers each message anew, however often it is sent, so its own number tells nothing; an
//! attribute does.
//!
//! | file | holds |
//! |---|---|
//! | `options.rs` | the keys of the sink |
//! | `broker.rs` | a part as messages, each with an answer of its own |
//! | `fault.rs` | what a refusal means |

mod broker;
mod fault;
mod options;
#[cfg(test)]
mod tests;

pub use options::PubSubOptions;
