//! The right to write the next epoch.

use std::sync::Arc;

use super::chain::{Chain, Put};
use super::error::{Rival, StateError};
use super::manifest::Manifest;

/// The right to append to a chain, until another takes it or a write fails.
///
/// After an error it is dead: whether the epoch was written may be unknown, and writing it again with other contents would
/// fork what is told to sinks. Dropping the future of [`append`](Self::append) kills it for the same reason.
#[derive(Debug)]
pub struct Writer {
    chain: Chain,
    newest: Arc<Manifest>,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Alive,
    /// Another owns the chain.
    Fenced(u64, Option<Rival>),
    /// The fate of this epoch is not known.
    Unknown(u64),
}

impl Writer {
    pub(super) fn new(chain: Chain, newest: Manifest) -> Self {
        Self { chain, newest: Arc::new(newest), state: State::Alive }
    }

    /// The newest manifest, which this process wrote.
    pub fn newest(&self) -> &Arc<Manifest> {
        &self.newest
    }

    /// The epoch that [`append`](Self::append) will write; its segments are named by it.
    pub fn next_epoch(&self) -> u64 {
        self.newest.epoch + 1
    }

    /// Writes the next epoch: the commit point. What it names has happened once this returns, and may be shown.
    ///
    /// Whatever is in `version`, `epoch`, `generation`, `owner` and `written_at` is overwritten. All segments that it names
    /// are those of the epoch before or have been put under a name of this epoch.
    pub async fn append(&mut self, mut manifest: Manifest) -> Result<Arc<Manifest>, StateError> {
        let epoch = self.next_epoch();
        match std::mem::replace(&mut self.state, State::Unknown(epoch)) {
            State::Alive => {}
            State::Fenced(epoch, rival) => {
                self.state = State::Fenced(epoch, rival.clone());
                return Err(self.chain.fenced(epoch, rival));
            }
            State::Unknown(epoch) => {
                let what = format!("epoch {epoch} in {} may or may not have been written", self.chain.store().url());
                return Err(StateError::retry(what, "writing it failed before; start again to find out"));
            }
        }
        self.chain.sign(&mut manifest, epoch, self.newest.generation);
        match self.chain.put_manifest(Some(&self.newest), &manifest).await? {
            Put::Stands => {
                self.state = State::Alive;
                self.newest = Arc::new(manifest);
                Ok(self.newest.clone())
            }
            Put::Taken(rival) => {
                self.state = State::Fenced(epoch, rival.clone());
                Err(self.chain.fenced(epoch, rival))
            }
        }
    }
}
