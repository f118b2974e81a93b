//! Where a URL leads: the one place that makes an object store of it, for lakes, state, dead letters, reference tables and
//! queries alike.
//!
//! The one idea: a [`Store`] is an object store, a root in it, and what object stores have beside objects: [`Uploads`] that
//! are finished later. What a cloud wants to know stands in [`StoreOptions`], the same for every place.
//!
//! | room | what |
//! |---|---|
//! | `location` | a folder of this machine, or a store |
//! | `options` | credentials, endpoints, encryption, patience |
//! | `open` | clients of S3, Azure and Google |
//! | `connection_string` | of an Azure account, taken apart |
//! | `chain` | keys of S3 by a profile or a role |
//! | `encrypting` | what Google's client does not tell of new objects |
//! | `uploads` | files that are there and not to be seen |
//! | `bucket` | requests that the clients do not know |
//! | `refusal` | why a cloud said no, and what to allow |
//! | `probe` | what a run will ask, tried beforehand |

mod bucket;
#[cfg(feature = "kinesis")]
mod chain;
mod connection_string;
mod encrypting;
mod location;
#[cfg(any(test, feature = "conformance"))]
mod memory;
mod open;
mod options;
mod probe;
mod refusal;
mod uploads;

use std::fmt;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;

use self::bucket::Bucket;
pub use self::location::{Address, Location, without_credentials};
#[cfg(any(test, feature = "conformance"))]
pub use self::memory::MemoryUploads;
pub use self::open::{Patience, open};
pub use self::options::{Encryption, StoreOptions, wrong_endpoint};
pub use self::refusal::{Deed, refusal};
pub use self::uploads::{Unfinished, Uploads};
use crate::error::SinkError;

/// Who runs a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cloud {
    /// Amazon S3, and what speaks like it.
    S3,
    /// Azure Blob Storage, and Data Lake Storage Gen2.
    Azure,
    /// Google Cloud Storage.
    Google,
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::S3 => "S3",
            Self::Azure => "Azure",
            Self::Google => "Google Cloud Storage",
        })
    }
}

/// A place in an object store.
#[derive(Debug, Clone)]
pub struct Store {
    /// The bucket or container.
    pub objects: Arc<dyn ObjectStore>,
    /// Its unfinished uploads.
    pub uploads: Arc<dyn Uploads>,
    /// The folder in it.
    pub root: Path,
    /// The URL for messages: whole, but without credentials and without a slash at the end.
    pub shown: Arc<str>,
    /// Who runs it; none in tests.
    pub cloud: Option<Cloud>,
    /// Asks what the clients do not know, where there is a way to.
    bucket: Option<Arc<Bucket>>,
}

impl Store {
    /// A store that is no cloud's.
    pub fn new(objects: Arc<dyn ObjectStore>, uploads: Arc<dyn Uploads>, root: Path, shown: &str) -> Self {
        Self { objects, uploads, root, shown: shown.trim_end_matches('/').into(), cloud: None, bucket: None }
    }

    /// The region that the bucket says it lies in; none if it cannot be asked. Azure's containers do not tell.
    pub async fn region(&self) -> Result<Option<String>, SinkError> {
        let Some(bucket) = &self.bucket else { return Ok(None) };
        bucket.region().await.map_err(|error| match self.cloud.and_then(|cloud| refusal(&error, cloud, Deed::Locate)) {
            Some(why) => SinkError::config(format!("cannot ask {} for its region: {why}", self.shown)),
            None => SinkError::retry(format!("cannot ask {} for its region", self.shown), error),
        })
    }
}

#[cfg(test)]
mod tests;
