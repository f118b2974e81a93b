//! In whose name the service is asked, and where it is.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use google_cloud_auth::credentials::{
    Builder, Credentials, anonymous, external_account, impersonated, service_account, user_account,
};
use serde_json::Value;

use super::reach::Address;
use crate::error::ClientError;

#[cfg(test)]
mod tests;

/// Files of credentials are some kilobytes.
const MOST_BYTES: u64 = 1 << 20;
/// How long credentials may take to give a first token.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the region file says of the way to a service. Not shown: an endpoint may hold what was filled in.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    /// Where the service is, if not where Google has it. Nothing secret is sent to a plain `http` address.
    pub endpoint: Option<&'a str>,
    /// A file with credentials in Google's JSON; without it, the default chain.
    pub credentials: Option<&'a Path>,
}

impl Access<'_> {
    /// Refuses what makes no sense, without asking anybody.
    pub fn check(&self) -> Result<(), ClientError> {
        self.address()?;
        if self.is_plain() && self.credentials.is_some() {
            return Err(ClientError::config(
                "`credentials` are not sent to an `endpoint` without TLS: remove one of them, or write https://",
            ));
        }
        Ok(())
    }

    /// Where the service is.
    pub fn address(&self) -> Result<Address, ClientError> {
        self.endpoint.map_or_else(Address::google, Address::parse)
    }

    /// Credentials that have given a token once; `name` is what is asked for, for messages.
    pub async fn credentials(&self, name: &str) -> Result<Credentials, ClientError> {
        let missing = |cause: &dyn Display| ClientError::config(no_credentials(name, cause));
        if self.is_plain() {
            return Ok(anonymous::Builder::new().build());
        }
        let credentials = match self.credentials {
            Some(path) => from_file(path)?,
            None => Builder::default().build().map_err(|error| missing(&error))?,
        };
        // The client would try again for ever, and say nothing.
        match tokio::time::timeout(PATIENCE, credentials.headers(Default::default())).await {
            Ok(Ok(_)) => Ok(credentials),
            Ok(Err(error)) if self.credentials.is_some() && error.is_transient() => {
                Err(ClientError::retry(format!("{name}: no token for these credentials"), error))
            }
            Ok(Err(error)) => Err(missing(&error)),
            Err(_) => Err(missing(&"nobody gave a token in time")),
        }
    }

    fn is_plain(&self) -> bool {
        self.endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"))
    }
}

/// No credentials for `name`, or none that are taken.
pub fn no_credentials(name: &str, cause: &dyn Display) -> String {
    format!(
        "no credentials for {name}: set `credentials` to a key file, or GOOGLE_APPLICATION_CREDENTIALS, or run where a \
         service account is attached ({cause})"
    )
}

/// The kinds of credentials that Google's tools write.
fn from_file(path: &Path) -> Result<Credentials, ClientError> {
    let shown = path.display();
    let wrong = |why: &dyn Display| ClientError::config(format!("`credentials` file {shown}: {why}"));
    let size = std::fs::metadata(path).map_err(|error| wrong(&error))?.len();
    if size > MOST_BYTES {
        return Err(wrong(&"too large to be credentials"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    // What serde says of it may repeat a part of it.
    let json: Value = serde_json::from_str(&text).map_err(|_| wrong(&"this is not JSON"))?;
    let built = match json["type"].as_str() {
        Some("service_account") => service_account::Builder::new(json).build(),
        Some("authorized_user") => user_account::Builder::new(json).build(),
        Some("impersonated_service_account") => impersonated::Builder::new(json).build(),
        Some("external_account") => external_account::Builder::new(json).build(),
        _ => {
            return Err(wrong(
                &"its `type` is none of service_account, authorized_user, impersonated_service_account, external_account",
            ));
        }
    };
    built.map_err(|_| wrong(&"it lacks something that credentials of its `type` have"))
}
