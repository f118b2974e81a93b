//! What the region file says of who asks, and where.

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_kinesis::config::{Credentials, ProvideCredentials, SharedCredentialsProvider};
use url::Url;

use super::refusal::{causes, is_missing_credentials, no_credentials, refused_credentials};
use super::stream_name::{StreamName, is_region};
use super::tls::{self, advised};
use crate::error::ClientError;

/// A service that does not take the connection, or does not begin to answer, is tried again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// The keys that a source and a sink have in common. Not shown: some of them are secrets.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    /// Where the stream is; left out: the ARN's region, the region file's if it is one of AWS, else the default chain's.
    pub region: Option<&'a str>,
    /// Address of the service; left out: AWS's own.
    pub endpoint: Option<&'a str>,
    /// Whether the environment and the AWS configuration files may name one instead.
    pub endpoint_from_outside: bool,
    /// File with the certificates to trust, in PEM; left out: the system's roots.
    pub ca: Option<&'a Path>,
    /// Explicit credentials.
    pub access_key_id: Option<&'a str>,
    /// Belongs to `access_key_id`.
    pub secret_access_key: Option<&'a str>,
    /// Belongs to `access_key_id`, for temporary credentials.
    pub session_token: Option<&'a str>,
    /// Credentials of this profile in the AWS configuration files.
    pub profile: Option<&'a str>,
    /// A role to assume, with the credentials found otherwise.
    pub role_arn: Option<&'a str>,
}

impl Access<'_> {
    /// Refuses what makes no sense together, without asking anybody.
    pub fn check(&self) -> Result<(), ClientError> {
        if let Some(endpoint) = self.endpoint {
            check_endpoint(endpoint)?;
        }
        let refuse = |what: &str| Err(ClientError::config(what));
        match (self.access_key_id, self.secret_access_key) {
            (Some(_), None) => return refuse("`access_key_id` needs `secret_access_key` beside it"),
            (None, Some(_)) => return refuse("`secret_access_key` needs `access_key_id` beside it"),
            (None, None) if self.session_token.is_some() => {
                return refuse("`session_token` needs `access_key_id` and `secret_access_key` beside it");
            }
            (Some(_), Some(_)) if self.profile.is_some() => {
                return refuse("`profile` and `access_key_id` are two ways to say who asks: leave one out");
            }
            _ => {}
        }
        if self.role_arn.is_some_and(|role| !role.starts_with("arn:")) {
            return refuse("`role_arn` is no ARN: write \"arn:aws:iam::ACCOUNT:role/NAME\"");
        }
        Ok(())
    }

    /// Where `stream` is, in a file whose `region` is `file`; none leaves it to the default chain.
    pub fn region_of(&self, stream: &StreamName, file: &str) -> Result<Option<String>, ClientError> {
        match (self.region, stream.region.as_deref()) {
            (Some(given), Some(named)) if given != named => Err(ClientError::config(format!(
                "`aws_region` is {given}, but the ARN in `stream` names {named}: leave `aws_region` out"
            ))),
            (Some(region), _) | (None, Some(region)) => Ok(Some(region.to_owned())),
            (None, None) => Ok(is_region(file).then(|| file.to_owned())),
        }
    }

    /// Whether keys of the region file are what requests are signed with.
    pub(super) fn gives_keys(&self) -> bool {
        self.access_key_id.is_some() && self.role_arn.is_none()
    }

    /// What clients are made of; `region` is where the service is, none leaves it to the default chain.
    pub(super) async fn sdk_config(&self, region: Option<&str>) -> Result<SdkConfig, ClientError> {
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(ANSWER_TIMEOUT).build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts);
        let client = self.ca.map(tls::client).transpose()?;
        if let Some(client) = &client {
            loader = loader.http_client(client.clone());
        }
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_string()));
        }
        if let Some(profile) = self.profile {
            // Named in the region file, it comes before what the environment says.
            let provider = ProfileFileCredentialsProvider::builder().configure(&tls::provider_config(client.as_ref()));
            let provider = provider.profile_name(profile).build();
            loader = loader.profile_name(profile).credentials_provider(provider);
        }
        if let (Some(id), Some(secret)) = (self.access_key_id, self.secret_access_key) {
            let token = self.session_token.map(str::to_owned);
            loader = loader.credentials_provider(Credentials::new(id, secret, token, None, "region file"));
        }
        let config = loader.load().await;
        let Some(role) = self.role_arn else { return Ok(config) };
        let role = AssumeRoleProvider::builder(role).session_name("watershed").configure(&config);
        let provider = match config.credentials_provider() {
            Some(base) => role.build_from_provider(base).await,
            None => role.build().await,
        };
        Ok(config.into_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build())
    }
}

/// Keys that requests are signed with, for a service of which the client is another's.
pub struct SigningKeys {
    /// Who asks.
    pub id: String,
    /// What is signed with.
    pub secret: String,
    /// Belongs to keys that do not last.
    pub token: Option<String>,
    /// When they run out; none: never, as far as is known.
    pub until: Option<SystemTime>,
}

/// The id only: the rest is secret.
impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeys").field("id", &self.id).field("until", &self.until).finish_non_exhaustive()
    }
}

impl Access<'_> {
    /// Asks for keys as they are now: files are read, and services asked, anew.
    pub async fn keys(&self) -> Result<SigningKeys, ClientError> {
        let found = credentials(&self.sdk_config(self.region).await?).await?;
        Ok(SigningKeys {
            id: found.access_key_id().to_owned(),
            secret: found.secret_access_key().to_owned(),
            token: found.session_token().map(str::to_owned),
            until: found.expiry(),
        })
    }
}

/// Without credentials every call would fail, in words that do not say why. True if they run out, and nothing renews them.
pub(super) async fn check_credentials(config: &SdkConfig) -> Result<bool, ClientError> {
    let found = credentials(config).await?;
    Ok(found.session_token().is_some() && found.expiry().is_none())
}

async fn credentials(config: &SdkConfig) -> Result<Credentials, ClientError> {
    let Some(provider) = config.credentials_provider() else { return Err(no_credentials("none are set")) };
    provider.provide_credentials().await.map_err(|error| {
        refused_credentials(&error).unwrap_or_else(|| {
            let why = causes(&error);
            match is_missing_credentials(&why) {
                true => no_credentials(&why),
                false => ClientError::retry("AWS credentials", advised(why)),
            }
        })
    })
}

fn check_endpoint(endpoint: &str) -> Result<(), ClientError> {
    let refuse = |why: &str| Err(ClientError::config(format!("`endpoint` {why}: write \"https://HOST:PORT\"")));
    match Url::parse(endpoint) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => refuse("is neither http nor https"),
        Ok(url) if url.password().is_some() || !url.username().is_empty() => refuse("holds credentials"),
        Ok(_) => Ok(()),
        Err(_) => refuse("is no address"),
    }
}
