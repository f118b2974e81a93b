//! An epoch, to a place that takes messages one by one: some of a part, and leaves others.
//!
//! The one idea: a message has an id that is the same whoever sends it, and however often. What was left is sent again,
//! and nothing else; what comes twice all the same, after silence or a crash, is told by its id.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use super::message::{Epoch, Message};
use super::publisher::Publisher;
use crate::digest::digest;
use crate::error::SinkError;

#[cfg(test)]
mod tests;

/// So often what is left is sent without any of it being taken, before the engine hears of it: six seconds. The pause is
/// doubled each time; as soon as some of it is taken, it is short again, as what is refused for its rate may go soon.
const TRIES: u32 = 7;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outgoing<'a> {
    /// `<region>/<pipeline>/<sink>/<epoch>/<n>/<digest of the row>`: no other message ever has it.
    pub(crate) id: String,
    /// Its key, if it has one.
    pub(crate) key: Option<&'a str>,
    /// The row, as JSON.
    pub(crate) value: &'a str,
}

/// A message that was not taken.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Its place among those that were sent.
    pub(crate) at: usize,
    /// Why.
    pub(crate) why: SinkError,
}

/// A stream or topic that answers for each message by itself, and keeps no record of epochs.
#[async_trait]
pub(crate) trait Broker: Send + Sync + fmt::Debug {
    /// What it is, for messages; without secrets.
    fn place(&self) -> &str;

    /// Finds credentials, and looks whether it is there.
    async fn open(&mut self) -> Result<(), SinkError>;

    /// Looks whether messages would be taken, and sends none; says what it found.
    async fn probe(&mut self) -> Result<String, SinkError>;

    /// Sends a part, in this order. Gives those that were not taken, in ascending order; an error says that none is known to
    /// have been.
    async fn send(&mut self, part: &[&Outgoing<'_>]) -> Result<Vec<Refused>, SinkError>;
}

/// Publishes by a [`Broker`], at least once.
#[derive(Debug)]
pub(crate) struct Delivery<B> {
    broker: B,
    /// Region, pipeline and sink.
    name: String,
    taken: Taken,
}

/// How much of the epoch on its way was taken.
#[derive(Debug, Default)]
struct Taken {
    epoch: u64,
    /// As many parts, whole.
    parts: usize,
    /// What is left of the next; none: all.
    left: Option<Vec<usize>>,
}

impl<B: Broker> Delivery<B> {
    /// A publisher that calls itself `name`.
    pub(crate) fn new(broker: B, name: String) -> Self {
        Self { broker, name, taken: Taken::default() }
    }

    /// Sends what is left of the next part, until all of it is taken.
    async fn deliver(&mut self, part: &[Outgoing<'_>]) -> Result<(), SinkError> {
        let mut left = self.taken.left.clone().unwrap_or_else(|| (0..part.len()).collect());
        let mut tries = TRIES;
        let mut pause = FIRST_PAUSE;
        loop {
            let sent: Vec<&Outgoing<'_>> = left.iter().map(|at| &part[*at]).collect();
            let (still, why) = match self.broker.send(&sent).await {
                Ok(refused) => {
                    let still: Vec<usize> = refused.iter().map(|refused| left[refused.at]).collect();
                    match worst(refused) {
                        None => return Ok(()),
                        Some(why) => (still, why),
                    }
                }
                Err(why) => (left.clone(), why),
            };
            if still.len() < left.len() {
                (tries, pause) = (TRIES, FIRST_PAUSE);
            }
            left = still;
            self.taken.left = Some(left.clone());
            tries -= 1;
            if tries == 0 || !matches!(why, SinkError::Retry { .. }) {
                return Err(why);
            }
            tracing::debug!(error = %why, left = left.len(), "to be sent again");
            sleep(pause).await;
            pause *= 2;
        }
    }
}

/// The trouble that does not pass, if there is any; none if there is no trouble.
fn worst(refused: Vec<Refused>) -> Option<SinkError> {
    refused.into_iter().map(|refused| refused.why).reduce(|worst, next| match worst {
        SinkError::Retry { .. } => next,
        lasting => lasting,
    })
}

#[async_trait]
impl<B: Broker> Publisher for Delivery<B> {
    fn place(&self) -> &str {
        self.broker.place()
    }

    async fn open(&mut self) -> Result<u64, SinkError> {
        self.broker.open().await?;
        Ok(0)
    }

    async fn probe(&mut self) -> Result<String, SinkError> {
        self.broker.probe().await
    }

    async fn publish(&mut self, epoch: Epoch) -> Result<u64, SinkError> {
        if self.taken.epoch != epoch.epoch {
            self.taken = Taken { epoch: epoch.epoch, ..Taken::default() };
        }
        let mut first = 0;
        for (number, part) in epoch.parts.iter().enumerate() {
            if number >= self.taken.parts {
                let part = outgoing(&self.name, epoch.epoch, first, part);
                self.deliver(&part).await?;
                self.taken = Taken { parts: number + 1, left: None, ..self.taken };
            }
            first += part.len();
        }
        Ok(0)
    }
}

/// The messages of a part, of which the first has the number `first` in its epoch.
fn outgoing<'a>(name: &str, epoch: u64, first: usize, part: &'a [Message]) -> Vec<Outgoing<'a>> {
    let numbered = part.iter().enumerate();
    let one = |(at, Message(key, value)): (usize, &'a Message)| Outgoing {
        id: format!("{name}/{epoch}/{}/{}", first + at, digest(value.as_bytes())),
        key: key.as_deref().filter(|key| !key.is_empty()),
        value,
    };
    numbered.map(one).collect()
}
