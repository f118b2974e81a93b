//! Carries what is durable back to the readers, for sources that want to be told.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;
use watershed_connectors::{Position, SplitId};

/// By source and split, who wants to be told.
type Listeners = HashMap<(String, String), watch::Sender<Option<Position>>>;

/// The positions up to which everything is durable.
#[derive(Debug, Default)]
pub(crate) struct Acks(Mutex<Listeners>);

impl Acks {
    /// Listens for one split.
    pub(crate) fn listen(&self, source: &str, split: &SplitId) -> watch::Receiver<Option<Position>> {
        let (sender, receiver) = watch::channel(None);
        let key = (source.to_string(), split.as_str().to_string());
        // Nobody panics while holding the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, sender);
        receiver
    }

    /// Tells those who listen among `positions`: source, split, and up to where it is durable.
    pub(crate) fn tell<'a>(&self, positions: impl Iterator<Item = (&'a str, &'a str, Option<&'a Position>)>) {
        let listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if listeners.is_empty() {
            return;
        }
        for (source, split, position) in positions {
            let Some(listener) = listeners.get(&(source.to_string(), split.to_string())) else { continue };
            listener.send_if_modified(|told| {
                let news = told.as_ref() != position;
                *told = position.cloned();
                news
            });
        }
    }
}
