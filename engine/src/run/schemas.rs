//! The schemas that records name by number, on their way to the lane: a source without them waits, as it would for its own
//! servers, and says so once.

use std::time::Instant;

use tokio::sync::{Mutex, watch};
use watershed_connectors::{Records, SourceError};

use super::attempts::Attempts;
use super::reader::stopped;
use crate::decode::{Registered, schema_ids};
use crate::registry::{Registry, RegistryOptions};

/// The registry of one source, shared by its readers.
#[derive(Debug)]
pub(super) struct Schemas {
    registry: Registry,
    /// Held by the one reader that asks: the others find the answer when it has it.
    asking: Mutex<Attempts>,
}

impl Schemas {
    pub(super) fn new(options: &RegistryOptions, source: &str) -> Result<Self, SourceError> {
        Ok(Self { registry: Registry::new(options)?, asking: Mutex::new(Attempts::new(source, None)) })
    }

    /// What the records need. None if the run stops before the registry has answered: then they are read again another
    /// time.
    pub(super) async fn of(
        &self,
        records: &Records,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Option<Registered>, SourceError> {
        let ids = schema_ids(records);
        if let Ok(known) = self.registry.known(&ids, Instant::now()) {
            return Ok(Some(known));
        }
        let mut attempts = self.asking.lock().await;
        loop {
            let now = Instant::now();
            let missing = match self.registry.known(&ids, now) {
                Ok(known) => return Ok(Some(known)),
                Err(missing) => missing,
            };
            let fetched = tokio::select! {
                biased;
                _ = stopped(stop) => return Ok(None),
                fetched = self.registry.fetch(missing, now) => fetched,
            };
            match fetched {
                Ok(()) => {
                    attempts.succeeded();
                    attempts.progressed();
                }
                Err(error @ SourceError::Retry { .. }) => attempts.failed(&error, stop).await,
                Err(error) => return Err(error),
            }
        }
    }
}
