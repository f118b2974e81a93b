//! Put-if-absent that can be believed.
//!
//! The one idea: no answer but a plain yes says who owns the name; what lies under it does. Stores answer a taken name
//! with "already exists" (S3, GCS, disks) or with "precondition failed" (Azure), S3 says the former also when two puts
//! merely met and nothing landed, and an answer that got lost makes one's own object look like another's.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error as StoreError, PutMode, PutPayload};

use super::error::StateError;
use super::store::StateStore;

/// What became of a put-if-absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// The object is there with these bytes, put by this call.
    Written,
    /// Something else is there.
    Conflict {
        /// Its bytes.
        found: Bytes,
    },
}

/// Puts `bytes` where nothing may be yet.
///
/// | answer | what is there | so |
/// |---|---|---|
/// | yes | | written |
/// | exists, or precondition | nothing | nothing landed: put again |
/// | exists, or precondition | the same bytes | written, and an answer was lost |
/// | exists, or precondition | other bytes | conflict |
/// | an error, or none in time | | unknown: put again, and the next answer tells |
///
/// The bytes must be unique to the caller (a random name in them), or another's are taken for one's own. On an error it
/// stays unknown whether they landed.
pub async fn create(store: &StateStore, path: &Path, bytes: Bytes) -> Result<Created, StateError> {
    let mut trial = store.begin(format!("write {}", store.shown(path)));
    let length = bytes.len() as u64;
    loop {
        let payload = PutPayload::from_bytes(bytes.clone());
        let put = store.object_store().put_opts(path, payload, PutMode::Create.into());
        let error = match store.once(length, put).await {
            Ok(_) => {
                trial.succeed();
                return Ok(Created::Written);
            }
            Err(error) => error,
        };
        if matches!(error, StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) {
            match store.get(path, None, length).await? {
                Some(found) if found == bytes => {
                    trial.succeed();
                    return Ok(Created::Written);
                }
                Some(found) => {
                    trial.succeed();
                    return Ok(Created::Conflict { found });
                }
                None => {}
            }
        }
        trial.wait(error).await?;
    }
}
