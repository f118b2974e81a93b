//! Who asks S3, where the region file names a profile or a role: the keys come from AWS's own chain, as those of Kinesis do.
//!
//! The one idea: whoever signs asks here for keys each time, and they are found anew shortly before they run out.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use object_store::aws::AwsCredential;
use object_store::client::CredentialProvider;
use object_store::{Error, Result};
use tokio::sync::Mutex;
use watershed_clients::ClientError;
use watershed_clients::aws::Access;

use super::StoreOptions;

/// Keys that last less than this are found anew; those of a role last an hour or more.
const MARGIN: Duration = Duration::from_secs(5 * 60);

/// Keys by a profile or a role.
pub(super) struct Chain {
    options: StoreOptions,
    /// Where STS is asked.
    region: String,
    found: Mutex<Option<(Arc<AwsCredential>, Option<SystemTime>)>>,
}

impl Chain {
    pub(super) fn new(options: &StoreOptions, region: &str) -> Self {
        Self { options: options.clone(), region: region.to_owned(), found: Mutex::default() }
    }

    async fn find(&self) -> Result<(Arc<AwsCredential>, Option<SystemTime>), ClientError> {
        let options = &self.options;
        let access = Access {
            region: Some(&self.region),
            endpoint: None,
            endpoint_from_outside: false,
            ca: None,
            access_key_id: options.access_key_id.as_deref(),
            secret_access_key: options.secret_access_key.as_deref(),
            session_token: options.session_token.as_deref(),
            profile: options.profile.as_deref(),
            role_arn: options.role_arn.as_deref(),
        };
        let keys = access.keys().await?;
        let credential = AwsCredential { key_id: keys.id, secret_key: keys.secret, token: keys.token };
        Ok((Arc::new(credential), keys.until))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").field("region", &self.region).finish_non_exhaustive()
    }
}

#[async_trait]
impl CredentialProvider for Chain {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> Result<Arc<AwsCredential>> {
        let mut found = self.found.lock().await;
        let lasts = |margin: Duration| {
            let (keys, until) = found.as_ref()?;
            until.is_none_or(|until| until > SystemTime::now() + margin).then(|| Arc::clone(keys))
        };
        if let Some(keys) = lasts(MARGIN) {
            return Ok(keys);
        }
        match self.find().await {
            Ok(new) => Ok(Arc::clone(&found.insert(new).0)),
            // What cannot be renewed at this moment may still do.
            Err(error) => lasts(Duration::ZERO).ok_or_else(|| Error::Generic { store: "S3", source: Box::new(error) }),
        }
    }
}
