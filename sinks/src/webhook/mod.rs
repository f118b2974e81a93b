//! Rows as requests to a web server: `connector = "http"`.
//!
//! The one idea: a request may be answered by silence, and nobody then knows whether it was taken. So it is sent until it is
//! answered, and what tells a repetition from a first time goes with it, for the server to use.
//!
//! | file | holds |
//! |---|---|
//! | `options.rs` | the keys of the sink |
//! | `publisher.rs` | an epoch as requests, one after the other |
//! | `signature.rs` | who sent it, and when |
//! | `answer.rs` | what an answer means |

mod answer;
mod options;
mod publisher;
mod signature;
#[cfg(test)]
mod tests;

pub use options::WebhookOptions;
