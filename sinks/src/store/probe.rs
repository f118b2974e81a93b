//! Tries at a place what a run will ask of it.

use std::hash::{BuildHasher, RandomState};

use futures::TryStreamExt;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload};

use super::{Deed, Store, refusal};
use crate::error::SinkError;

impl Store {
    /// Writes, reads, lists and removes an object; an error names what is not allowed. Says what it did.
    pub async fn probe(&self) -> Result<String, SinkError> {
        let path = self.root.clone().join(format!("probe-{:016x}", RandomState::new().hash_one(std::process::id())));
        let failed = |deed, what: &str, error: Error| match self.cloud.and_then(|cloud| refusal(&error, cloud, deed)) {
            Some(why) => SinkError::config(format!("cannot {what} in {}: {why}", self.shown)),
            None => SinkError::retry(format!("cannot {what} in {}", self.shown), error),
        };
        let content = PutPayload::from_static(b"a probe of watershed; it may be removed\n");
        let written = self.objects.put_opts(&path, content, PutMode::Create.into()).await;
        written.map_err(|error| failed(Deed::Write, "write", error))?;
        let read = self.objects.head(&path).await;
        read.map_err(|error| failed(Deed::Read, "read", error))?;
        let listed = self.objects.list(Some(&self.root)).try_next().await;
        listed.map_err(|error| failed(Deed::List, "list", error))?;
        let removed = self.objects.delete(&path).await;
        removed.map_err(|error| failed(Deed::Delete, "remove", error))?;
        Ok("wrote, read, listed and removed a probe".to_owned())
    }
}
