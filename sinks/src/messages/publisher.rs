//! What a place has to be able to do to take messages.

use std::fmt;

use async_trait::async_trait;

use super::message::Epoch;
use crate::error::SinkError;

/// Under which name a message carries what tells a repetition, where it has room for names.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Publishes epochs at one place, one after the other.
///
/// An epoch is durable before it comes here, and comes until it is published: after [`SinkError::Retry`], and again in a new
/// process. Only what has been put into the manifest of an epoch may be published under its number, and manifests are made
/// once; so two processes that publish the same epoch publish the same messages.
///
/// A place that keeps a record of the last epoch makes this exactly once. One that keeps none is at least once, and sends
/// with each part what tells a repetition.
///
/// Futures may be dropped at any point; what they began may go on.
#[async_trait]
pub(crate) trait Publisher: Send + Sync + fmt::Debug {
    /// What it publishes to, for messages; without secrets.
    fn place(&self) -> &str;

    /// Makes ready to publish; gives the epoch on record at the place, zero if there is none.
    async fn open(&mut self) -> Result<u64, SinkError>;

    /// Looks whether the place can be reached, and changes nothing there; says what it found.
    async fn probe(&mut self) -> Result<String, SinkError>;

    /// Keeps the place from forgetting what is on record there. It is called whenever an epoch has nothing to publish, does not
    /// wait, and need not succeed.
    fn keep_record(&mut self) {}

    /// Publishes `epoch`, unless it is on record; gives the epoch on record then, zero if there is none.
    async fn publish(&mut self, epoch: Epoch) -> Result<u64, SinkError>;
}
