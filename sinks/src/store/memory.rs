//! Uploads in memory, beside a store that knows nothing of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutPayload, Result};

use super::uploads::{Unfinished, Uploads};

/// One upload: its object, and its parts by number.
type Begun = (Path, BTreeMap<usize, Bytes>);

/// Uploads that become objects of a store when they are completed.
pub struct MemoryUploads {
    store: Arc<dyn ObjectStore>,
    begun: Mutex<(u64, BTreeMap<String, Begun>)>,
}

impl MemoryUploads {
    /// Uploads into `store`.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, begun: Mutex::default() }
    }

    fn with<T>(&self, id: &str, act: impl FnOnce(&mut BTreeMap<String, Begun>) -> Option<T>) -> Result<T> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut begun.1).ok_or_else(|| Error::NotFound { path: id.to_owned(), source: "NoSuchUpload".into() })
    }
}

impl fmt::Debug for MemoryUploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryUploads")
    }
}

#[async_trait]
impl Uploads for MemoryUploads {
    async fn begin(&self, key: &Path) -> Result<String> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.0 += 1;
        let id = format!("upload-{}", begun.0);
        begun.1.insert(id.clone(), (key.clone(), BTreeMap::new()));
        Ok(id)
    }

    async fn part(&self, _: &Path, id: &str, number: usize, bytes: Bytes) -> Result<String> {
        self.with(id, |begun| begun.get_mut(id).map(|(_, parts)| parts.insert(number, bytes)))?;
        Ok(format!("{id}-{number}"))
    }

    async fn complete(&self, key: &Path, id: &str, parts: &[String]) -> Result<()> {
        let (_, stored) = self.with(id, |begun| begun.remove(id))?;
        assert_eq!(stored.len(), parts.len(), "parts of {key}");
        let payload: PutPayload = stored.into_values().collect();
        self.store.put(key, payload).await.map(drop)
    }

    async fn abort(&self, _: &Path, id: &str) -> Result<()> {
        self.with(id, |begun| begun.remove(id)).map(drop)
    }

    async fn unfinished(&self, below: &Path) -> Result<Vec<Unfinished>> {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let below = begun.1.iter().filter(|(_, (key, _))| key.prefix_matches(below));
        Ok(below.map(|(id, (key, _))| Unfinished { key: key.clone(), id: id.clone() }).collect())
    }
}
