//! What a cloud wants to know before it takes anything: who asks, where, and how long to be patient.
//!
//! The one idea: the keys are the same for every place that takes a URL, and each says which clouds it means something to.
//! A key for another cloud is an error, not a wish that is forgotten.

use std::fmt;
use std::time::Duration;

use super::Cloud;
use crate::error::SinkError;

/// Who encrypts objects in S3, and with which key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// S3, with keys of its own.
    S3,
    /// S3, with a key of the Key Management Service.
    Kms,
    /// The same, twice.
    KmsTwice,
    /// S3, with the key that each request brings.
    Customer,
}

/// Credentials and ways of an object store. What is left out comes from the environment, by the names that each cloud's
/// own tools use, and from the machine's role.
#[derive(Clone, Default, PartialEq)]
pub struct StoreOptions {
    /// The server to ask in place of the cloud's.
    pub endpoint: Option<String>,
    /// S3: the bucket's region.
    pub aws_region: Option<String>,
    /// S3.
    pub access_key_id: Option<String>,
    /// S3: belongs to `access_key_id`.
    pub secret_access_key: Option<String>,
    /// S3: belongs to `access_key_id`, for temporary credentials.
    pub session_token: Option<String>,
    /// Azure: the storage account, where the URL does not name it.
    pub account: Option<String>,
    /// Azure: a key of the account.
    pub account_key: Option<String>,
    /// Azure: a shared access signature, in place of a key.
    pub sas_token: Option<String>,
    /// Azure: the tenant of `client_id`.
    pub tenant_id: Option<String>,
    /// Azure: an application of Entra, or a managed identity.
    pub client_id: Option<String>,
    /// Azure: belongs to `client_id`.
    pub client_secret: Option<String>,
    /// Google: a file with the key of a service account.
    pub credentials: Option<String>,
    /// S3: encryption of what is written.
    pub sse: Option<Encryption>,
    /// The key to encrypt with, in the cloud's own store of keys.
    pub kms_key: Option<String>,
    /// S3: the key that each request brings, in base64.
    pub customer_key: Option<String>,
    /// The class of the files that a lake gets.
    pub storage_class: Option<String>,
    /// S3: the requester pays.
    pub request_payer: bool,
    /// A proxy to go through.
    pub proxy: Option<String>,
    /// What a request may take before it is given up, beside the time for its bytes.
    pub timeout: Option<Duration>,
    /// How often the client asks again by itself.
    pub retries: Option<usize>,
    /// How long what is written is tried again before the run ends.
    pub patience: Option<Duration>,
    /// How many parts of files are on their way at a time.
    pub max_uploads: Option<usize>,
}

/// What a request may take, if nothing is said.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A daemon that could not commit for so long stops: another may have taken over by then.
const PATIENCE: Duration = Duration::from_secs(600);

/// Parts on their way: eight of 5 MiB each fill a fast line, and fit a small machine.
const MAX_UPLOADS: usize = 8;

impl StoreOptions {
    /// What a request may take beside the time for its bytes.
    pub fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(TIMEOUT)
    }

    /// How long what is written is tried again.
    pub fn patience(&self) -> Duration {
        self.patience.unwrap_or(PATIENCE)
    }

    /// How many parts are on their way at a time, at most.
    pub fn max_uploads(&self) -> usize {
        self.max_uploads.unwrap_or(MAX_UPLOADS).max(1)
    }

    /// The keys that are set, and the clouds that know them.
    fn set(&self) -> impl Iterator<Item = (&'static str, &'static [Cloud])> {
        const ALL: &[Cloud] = &[Cloud::S3, Cloud::Azure, Cloud::Google];
        const S3: &[Cloud] = &[Cloud::S3];
        const AZURE: &[Cloud] = &[Cloud::Azure];
        const GOOGLE: &[Cloud] = &[Cloud::Google];
        let keys = [
            ("endpoint", self.endpoint.is_some(), ALL),
            ("aws_region", self.aws_region.is_some(), S3),
            ("access_key_id", self.access_key_id.is_some(), S3),
            ("secret_access_key", self.secret_access_key.is_some(), S3),
            ("session_token", self.session_token.is_some(), S3),
            ("account", self.account.is_some(), AZURE),
            ("account_key", self.account_key.is_some(), AZURE),
            ("sas_token", self.sas_token.is_some(), AZURE),
            ("tenant_id", self.tenant_id.is_some(), AZURE),
            ("client_id", self.client_id.is_some(), AZURE),
            ("client_secret", self.client_secret.is_some(), AZURE),
            ("credentials", self.credentials.is_some(), GOOGLE),
            ("sse", self.sse.is_some(), S3),
            ("kms_key", self.kms_key.is_some(), &[Cloud::S3, Cloud::Google]),
            ("customer_key", self.customer_key.is_some(), S3),
            ("storage_class", self.storage_class.is_some(), &[Cloud::S3, Cloud::Google]),
            ("request_payer", self.request_payer, S3),
            ("proxy", self.proxy.is_some(), ALL),
            ("timeout", self.timeout.is_some(), ALL),
            ("retries", self.retries.is_some(), ALL),
            ("patience", self.patience.is_some(), ALL),
            ("max_uploads", self.max_uploads.is_some(), ALL),
        ];
        keys.into_iter().filter(|(_, is_set, _)| *is_set).map(|(key, _, clouds)| (key, clouds))
    }

    /// What is wrong with these keys at a place of `cloud` (none: a folder of this machine): the key, and why.
    pub fn wrong_for(&self, cloud: Option<Cloud>) -> Option<(&'static str, String)> {
        for (key, clouds) in self.set() {
            match cloud {
                None => return Some((key, format!("`{key}` is about object stores, and the url is a local folder"))),
                Some(cloud) if !clouds.contains(&cloud) => {
                    let of: Vec<String> = clouds.iter().map(Cloud::to_string).collect();
                    return Some((key, format!("`{key}` is for {}, and the url is of {cloud}", of.join(" and "))));
                }
                Some(_) => {}
            }
        }
        let needs = |key: &'static str, other: &str| Some((key, format!("`{key}` needs `{other}` beside it")));
        match (&self.access_key_id, &self.secret_access_key, &self.session_token) {
            (Some(_), None, _) => return needs("access_key_id", "secret_access_key"),
            (None, Some(_), _) => return needs("secret_access_key", "access_key_id"),
            (None, None, Some(_)) => return needs("session_token", "access_key_id"),
            _ => {}
        }
        match (&self.client_secret, &self.client_id, &self.tenant_id) {
            (Some(_), None, _) => return needs("client_secret", "client_id"),
            (Some(_), Some(_), None) => return needs("client_secret", "tenant_id"),
            _ => {}
        }
        if self.account_key.is_some() && self.sas_token.is_some() {
            return Some(("sas_token", "`account_key` and `sas_token` are two ways to say who writes".to_owned()));
        }
        let by_kms = matches!(self.sse, Some(Encryption::Kms | Encryption::KmsTwice));
        match (self.sse == Some(Encryption::Customer), &self.customer_key) {
            (true, None) => return needs("sse", "customer_key"),
            (false, Some(_)) => {
                return Some(("customer_key", "`customer_key` goes with sse = \"customer\"".to_owned()));
            }
            _ => {}
        }
        if self.sse == Some(Encryption::Customer) && self.storage_class.is_some() {
            let why = "`storage_class` cannot be told together with a customer's key: let a rule of the bucket move the files";
            return Some(("storage_class", why.to_owned()));
        }
        if cloud == Some(Cloud::S3) && self.kms_key.is_some() && !by_kms {
            return Some(("kms_key", "`kms_key` goes with sse = \"aws:kms\"".to_owned()));
        }
        None
    }

    /// The same as an error.
    pub(super) fn check(&self, cloud: Cloud) -> Result<(), SinkError> {
        self.wrong_for(Some(cloud)).map_or(Ok(()), |(_, why)| Err(SinkError::config(why)))
    }

    /// The region in which a place of `cloud` lies, as far as these options say.
    pub fn region(&self, cloud: Cloud) -> Option<String> {
        let host = self.endpoint.as_deref().map(host);
        match cloud {
            Cloud::S3 => self.aws_region.clone().or_else(|| aws_region_of(host?)),
            // https://storage.europe-west3.rep.googleapis.com
            Cloud::Google => Some(host?.strip_prefix("storage.")?.strip_suffix(".rep.googleapis.com")?.to_owned()),
            Cloud::Azure => None,
        }
    }
}

/// `s3.eu-west-1.amazonaws.com`, with or without something before it.
fn aws_region_of(host: &str) -> Option<String> {
    let (before, _) = host.split_once(".amazonaws.com")?;
    let mut parts = before.rsplit('.');
    let (region, service) = (parts.next()?, parts.next()?);
    matches!(service, "s3" | "dualstack" | "vpce").then(|| region.to_owned())
}

fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', ':', '?']).next().unwrap_or_default()
}

/// Shows no credentials.
impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.set().map(|(key, _)| key).collect();
        f.debug_struct("StoreOptions").field("set", &keys).finish()
    }
}
