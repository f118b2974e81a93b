//! What a cloud wants to know before it takes anything: who asks, where, and how long to be patient.
//!
//! The one idea: the keys are the same for every place that takes a URL, and each says which clouds it means something to.
//! A key for another cloud is an error, not a wish that is forgotten.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use url::Url;

use super::Cloud;
use crate::error::SinkError;
use crate::messages::Whereabouts;

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
    /// The region in which the place lies, where neither its address nor the store tells.
    pub location: Option<String>,
    /// S3.
    pub access_key_id: Option<String>,
    /// S3: belongs to `access_key_id`.
    pub secret_access_key: Option<String>,
    /// S3: belongs to `access_key_id`, for temporary credentials.
    pub session_token: Option<String>,
    /// S3: a profile of AWS's configuration files.
    pub profile: Option<String>,
    /// S3: a role to assume, by the keys that are found otherwise.
    pub role_arn: Option<String>,
    /// Azure: the storage account, where the URL does not name it.
    pub account: Option<String>,
    /// Azure: a key of the account.
    pub account_key: Option<String>,
    /// Azure: a shared access signature, in place of a key.
    pub sas_token: Option<String>,
    /// Azure: account, key or signature, and server, in one; see [`StoreOptions::take_connection_string`].
    pub connection_string: Option<String>,
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
            ("location", self.location.is_some(), ALL),
            ("access_key_id", self.access_key_id.is_some(), S3),
            ("secret_access_key", self.secret_access_key.is_some(), S3),
            ("session_token", self.session_token.is_some(), S3),
            ("profile", self.profile.is_some(), S3),
            ("role_arn", self.role_arn.is_some(), S3),
            ("account", self.account.is_some(), AZURE),
            ("account_key", self.account_key.is_some(), AZURE),
            ("sas_token", self.sas_token.is_some(), AZURE),
            ("connection_string", self.connection_string.is_some(), AZURE),
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
        if self.access_key_id.is_some() && self.profile.is_some() {
            let why = "`profile` and `access_key_id` are two ways to say who asks: leave one out";
            return Some(("profile", why.to_owned()));
        }
        match (&self.client_secret, &self.client_id, &self.tenant_id) {
            (Some(_), None, _) => return needs("client_secret", "client_id"),
            (Some(_), Some(_), None) => return needs("client_secret", "tenant_id"),
            _ => {}
        }
        if self.connection_string.is_some() {
            let beside = [
                ("account", &self.account),
                ("account_key", &self.account_key),
                ("sas_token", &self.sas_token),
                ("endpoint", &self.endpoint),
                ("client_id", &self.client_id),
            ];
            if let Some((key, _)) = beside.into_iter().find(|(_, value)| value.is_some()) {
                return Some((key, format!("`connection_string` says what `{key}` says: leave one out")));
            }
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
        self.wrong_value()
    }

    /// The key whose value no store can take, and why; the value may be a secret, and is not told.
    fn wrong_value(&self) -> Option<(&'static str, String)> {
        let wrong = |key: &'static str, why: &str| Some((key, format!("`{key}` {why}")));
        if let Some(why) = self.endpoint.as_deref().and_then(wrong_endpoint) {
            return wrong("endpoint", why);
        }
        if self.proxy.as_deref().is_some_and(|proxy| !is_http(proxy)) {
            return wrong("proxy", "is no address: write it with its scheme, as in \"http://proxy:3128\"");
        }
        if self.role_arn.as_deref().is_some_and(|role| !role.starts_with("arn:")) {
            return wrong("role_arn", "is no ARN: write \"arn:aws:iam::ACCOUNT:role/NAME\"");
        }
        if cfg!(not(feature = "kinesis"))
            && let Some(key) =
                [("profile", &self.profile), ("role_arn", &self.role_arn)].iter().find(|key| key.1.is_some())
        {
            return wrong(key.0, "is not part of this build, which lacks AWS's own client");
        }
        let decoded = |text: &String| BASE64_STANDARD.decode(text).ok();
        if let Some(key) = &self.customer_key
            && decoded(key).is_none_or(|key| key.len() != 32)
        {
            return wrong("customer_key", "is not 32 bytes in base64");
        }
        if let Some(key) = &self.account_key
            && decoded(key).is_none_or(|key| key.is_empty())
        {
            return wrong("account_key", "is not in base64, as the portal shows keys of an account");
        }
        if let Some(token) = &self.sas_token
            && !token.trim_start_matches('?').split('&').all(|pair| pair.contains('=') || pair.trim().is_empty())
        {
            return wrong("sas_token", "is no shared access signature, which looks like \"sv=…&sig=…\"");
        }
        if self.location.as_deref().is_some_and(|location| location.trim().is_empty()) {
            return wrong("location", "is empty: name the region, or leave it out");
        }
        None
    }

    /// The same as an error.
    pub(super) fn check(&self, cloud: Cloud) -> Result<(), SinkError> {
        self.wrong_for(Some(cloud)).map_or(Ok(()), |(_, why)| Err(SinkError::config(why)))
    }

    /// The region that the name of the server says.
    pub fn endpoint_region(&self) -> Option<String> {
        let url = Url::parse(self.endpoint.as_deref()?).ok()?;
        match Whereabouts::of(url.host_str()?) {
            Whereabouts::Region(region) => Some(region),
            Whereabouts::Here | Whereabouts::Unknown => None,
        }
    }

    /// Whether Amazon's own servers are asked.
    pub fn is_amazons(&self) -> bool {
        let Some(endpoint) = &self.endpoint else { return true };
        let url = Url::parse(endpoint).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default().to_ascii_lowercase();
        [".amazonaws.com", ".amazonaws.com.cn"].iter().any(|end| host.ends_with(end))
    }

    /// The region in which a place of `cloud` lies by the file's word: what `[residency]` goes by where the store does not tell.
    pub fn region(&self, cloud: Cloud) -> Option<String> {
        let signed_for = || self.aws_region.clone().filter(|_| cloud == Cloud::S3);
        self.location.clone().or_else(|| self.endpoint_region()).or_else(signed_for)
    }
}

/// Why this is no server to ask.
pub fn wrong_endpoint(endpoint: &str) -> Option<&'static str> {
    let Some(url) = is_http(endpoint).then(|| Url::parse(endpoint).ok()).flatten() else {
        return Some("is no address: write it with its scheme, as in \"https://minio.example:9000\"");
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Some("names a user: who asks is said by keys of their own");
    }
    let more = url.query().is_some() || url.fragment().is_some();
    more.then_some("has a query or a fragment: leave it out")
}

fn is_http(address: &str) -> bool {
    let is_plain = !address.contains(|c: char| c.is_whitespace() || c.is_control());
    is_plain && Url::parse(address).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// Shows no credentials.
impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.set().map(|(key, _)| key).collect();
        f.debug_struct("StoreOptions").field("set", &keys).finish()
    }
}
