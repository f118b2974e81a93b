//! Rows as events of an Azure event hub: `connector = "eventhubs"`.
//!
//! The one idea: the service keeps no record of what was sent, and a confirmation may get lost. So an event is sent until it
//! is confirmed, and what tells a repetition from a first time goes with it, for the reader to use.
//!
//! | file | holds |
//! |---|---|
//! | `options.rs` | the keys of the sink |
//! | `publisher.rs` | an epoch as events, each sent until it is confirmed |
//! | `event.rs` | a row as an event, and events as batches |
//! | `session.rs` | a connection, and what it sends on |

mod event;
mod options;
mod publisher;
mod session;
#[cfg(test)]
mod tests;

pub use options::EventHubsOptions;
