//! Uploads: files that are at a store, byte for byte, and can be seen by nobody until one more request.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{PutPayload, Result};

use super::bucket::Bucket;

/// An upload that was begun, and neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// The object that it would become.
    pub key: Path,
    /// Its id.
    pub id: String,
}

/// The uploads of a store.
///
/// `begin`, then `part` any number of times and side by side, then once `complete`. Whatever is begun costs space until it
/// is completed or aborted. `complete` may be called again, by any process that knows id and parts: the object becomes
/// visible once, whole, and a call after that one fails.
#[async_trait]
pub trait Uploads: fmt::Debug + Send + Sync {
    /// Begins an upload of the object `key`; gives its id.
    async fn begin(&self, key: &Path) -> Result<String>;

    /// Stores part `number`, counted from 0; gives what `complete` has to know of it. Durable when it returns.
    async fn part(&self, key: &Path, id: &str, number: usize, bytes: Bytes) -> Result<String>;

    /// Makes the object visible.
    async fn complete(&self, key: &Path, id: &str, parts: &[String]) -> Result<()>;

    /// Forgets the upload and its parts.
    async fn abort(&self, key: &Path, id: &str) -> Result<()>;

    /// The unfinished uploads below a folder; none where a store keeps no list of them, and gets rid of them by itself.
    async fn unfinished(&self, below: &Path) -> Result<Vec<Unfinished>>;
}

/// The uploads of a cloud.
pub(super) struct CloudUploads<S> {
    pub(super) store: Arc<S>,
    pub(super) bucket: Option<Arc<Bucket>>,
    /// Headers that an upload begins with, and that the store's client does not know.
    pub(super) headers: Vec<(&'static str, String)>,
}

impl<S: fmt::Debug> fmt::Debug for CloudUploads<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CloudUploads").field(&self.store).finish()
    }
}

#[async_trait]
impl<S: MultipartStore + fmt::Debug> Uploads for CloudUploads<S> {
    async fn begin(&self, key: &Path) -> Result<String> {
        match &self.bucket {
            Some(bucket) if !self.headers.is_empty() => bucket.begin(key, &self.headers).await,
            _ => self.store.create_multipart(key).await,
        }
    }

    async fn part(&self, key: &Path, id: &str, number: usize, bytes: Bytes) -> Result<String> {
        let part = self.store.put_part(key, &id.to_owned(), number, PutPayload::from_bytes(bytes)).await?;
        Ok(part.content_id)
    }

    async fn complete(&self, key: &Path, id: &str, parts: &[String]) -> Result<()> {
        let parts = parts.iter().map(|part| PartId { content_id: part.clone() }).collect();
        self.store.complete_multipart(key, &id.to_owned(), parts).await.map(drop)
    }

    async fn abort(&self, key: &Path, id: &str) -> Result<()> {
        self.store.abort_multipart(key, &id.to_owned()).await
    }

    async fn unfinished(&self, below: &Path) -> Result<Vec<Unfinished>> {
        match &self.bucket {
            Some(bucket) => bucket.unfinished(below).await,
            None => Ok(Vec::new()),
        }
    }
}
