//! Batches of records, one after the other, whichever way they come.
//!
//! The one idea: the fetch under way is kept, not the wait for it. Whoever waits may go away and come back; what the
//! service has answered meanwhile is not lost, and nothing is fetched that nobody asked for.

use std::time::Duration;

use aws_sdk_kinesis::types::Record;
use futures::future::BoxFuture;

use super::fanout::FanOut;
use super::polling::Polling;
use crate::error::SourceError;

/// What one look at a shard has brought.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    /// How far the last of them is behind the end of the shard.
    pub(super) behind: Option<Duration>,
    /// The shard is closed, and these are the last.
    pub(super) ended: bool,
}

/// A way to read a shard.
#[derive(Debug)]
pub(super) enum Way {
    Polling(Polling),
    FanOut(Box<FanOut>),
}

type Fetched = (Way, Result<Batch, SourceError>);

impl Way {
    async fn fetch(mut self) -> Fetched {
        let outcome = match &mut self {
            Self::Polling(polling) => polling.fetch().await,
            Self::FanOut(fan_out) => fan_out.fetch().await,
        };
        (self, outcome)
    }
}

/// A shard's batches.
pub(super) enum Feed {
    /// Nothing is under way.
    Idle(Way),
    /// A fetch is.
    Busy(BoxFuture<'static, Fetched>),
    /// Only while one becomes the other.
    Between,
}

impl Feed {
    /// The next batch. Dropped before it is there, it is waited for again by the next call.
    pub(super) async fn next(&mut self) -> Result<Batch, SourceError> {
        loop {
            match std::mem::replace(self, Self::Between) {
                Self::Idle(way) => *self = Self::Busy(Box::pin(way.fetch())),
                busy => {
                    *self = busy;
                    let Self::Busy(fetch) = self else {
                        return Err(SourceError::fatal("a shard's reader", "was used while it was busy"));
                    };
                    let (way, outcome) = fetch.await;
                    *self = Self::Idle(way);
                    return outcome;
                }
            }
        }
    }
}
