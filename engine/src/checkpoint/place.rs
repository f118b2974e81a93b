//! Opens the place that a checkpoint url names.

use std::path::Path as DiskPath;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{ClientConfigKey, ObjectStore, RetryConfig};
use url::Url;

use super::disk::DiskStore;
use super::error::{StateError, reason};
use super::names::{CHECKPOINTS, SEGMENTS};

/// Time-outs of requests are the [`StateStore`](super::StateStore)'s, which knows how much they carry.
const CLIENT_TIMEOUT: &str = "15 minutes";

/// Where a chain lies.
#[derive(Debug, Clone)]
pub struct Place {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// The chain's folder in it.
    pub root: Path,
    /// The url for messages: whole, but without credentials.
    pub shown: String,
}

impl Place {
    /// Opens `url`: a local path (from the current folder; made if it is missing), `file://`, `s3://bucket/path`,
    /// `gs://bucket/path`, `az://container/path` or `abfss://container@account.dfs.core.windows.net/path`.
    ///
    /// Credentials, region and endpoint come from the environment, by the names that each cloud's own tools use; without
    /// any, from the machine's role. No request is made yet.
    pub fn open(url: &str) -> Result<Self, StateError> {
        if !url.contains("://") {
            return Self::on_disk(DiskPath::new(url));
        }
        let invalid = |why: &dyn std::fmt::Display| {
            let shown = without_credentials(url);
            let why = why.to_string().replace(url, &shown);
            StateError::config(format_args!("can't open the state store {shown}: {why}"))
        };
        let parsed = Url::parse(url).map_err(|error| invalid(&error))?;
        if parsed.scheme() == "file" {
            let folder = parsed.to_file_path().map_err(|()| invalid(&"a file url is written file:///folder"))?;
            return Self::on_disk(&folder);
        }
        let root = Path::from_url_path(parsed.path()).map_err(|error| invalid(&error))?;
        let store: Arc<dyn ObjectStore> = match parsed.scheme() {
            "s3" | "s3a" => Arc::new(s3(url).map_err(|error| invalid(&error))?),
            "gs" => Arc::new(gcs(url).map_err(|error| invalid(&error))?),
            "az" | "azure" | "abfs" | "abfss" => Arc::new(azure(url).map_err(|error| invalid(&error))?),
            scheme => {
                let known = "a local path, file://, s3://, gs://, az:// and abfss:// are known";
                return Err(invalid(&format_args!("unknown scheme `{scheme}`; {known}")));
            }
        };
        Ok(Self { store, root, shown: without_credentials(url) })
    }

    /// Opens a place that is another's: as [`open`](Self::open), but nothing is made or tidied in it.
    pub fn find(url: &str) -> Result<Self, StateError> {
        let local = match Url::parse(url) {
            Ok(parsed) if url.contains("://") => {
                (parsed.scheme() == "file").then(|| parsed.to_file_path().ok()).flatten()
            }
            _ => Some(url.into()),
        };
        match local {
            Some(folder) if !folder.is_dir() => {
                Err(StateError::config(format_args!("there is no folder {} on this machine", folder.display())))
            }
            _ => Self::open(url),
        }
    }

    fn on_disk(folder: &DiskPath) -> Result<Self, StateError> {
        let store = DiskStore::open(folder).map_err(|error| {
            let why = reason(&error).map_or_else(|| error.to_string(), str::to_string);
            StateError::config(format_args!("can't open the state folder {}: {why}", folder.display()))
        })?;
        [CHECKPOINTS, SEGMENTS].iter().for_each(|folder| store.remove_abandoned(folder));
        let shown = store.root().display().to_string();
        Ok(Self { store: Arc::new(store), root: Path::ROOT, shown })
    }
}

/// Few and quick: the [`StateStore`](super::StateStore) tries again itself, and says so.
fn retries() -> RetryConfig {
    RetryConfig { max_retries: 2, retry_timeout: Duration::from_secs(20), ..RetryConfig::default() }
}

fn s3(url: &str) -> object_store::Result<impl ObjectStore> {
    let timeout = AmazonS3ConfigKey::Client(ClientConfigKey::Timeout);
    AmazonS3Builder::from_env().with_url(url).with_config(timeout, CLIENT_TIMEOUT).with_retry(retries()).build()
}

fn gcs(url: &str) -> object_store::Result<impl ObjectStore> {
    let timeout = GoogleConfigKey::Client(ClientConfigKey::Timeout);
    GoogleCloudStorageBuilder::from_env()
        .with_url(url)
        .with_config(timeout, CLIENT_TIMEOUT)
        .with_retry(retries())
        .build()
}

fn azure(url: &str) -> object_store::Result<impl ObjectStore> {
    let timeout = AzureConfigKey::Client(ClientConfigKey::Timeout);
    MicrosoftAzureBuilder::from_env().with_url(url).with_config(timeout, CLIENT_TIMEOUT).with_retry(retries()).build()
}

/// The url without password, query and fragment; a user stays only where it names an Azure container.
fn without_credentials(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_string() };
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) if scheme.starts_with("abfs") && !user.contains(':') => format!("{user}@{host}"),
        Some((_, host)) => host.to_string(),
        None => authority.to_string(),
    };
    format!("{scheme}://{authority}{path}")
}
