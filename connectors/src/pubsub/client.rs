//! The client of a source: where it connects, and as whom.

use std::path::Path;
use std::time::Duration;

use google_cloud_auth::credentials::{
    Builder, Credentials, anonymous, external_account, impersonated, service_account, user_account,
};
use google_cloud_pubsub::client::Subscriber;
use serde_json::Value;

use super::{PubSubOptions, fault};
use crate::error::SourceError;

/// Files of credentials are some kilobytes.
const MOST_BYTES: u64 = 1 << 20;
/// How long credentials may take to give a first token.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client on connections of its own.
pub(super) async fn connect(options: &PubSubOptions) -> Result<Subscriber, SourceError> {
    let name = options.name();
    let plain = options.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let credentials = match &options.credentials {
        _ if plain => anonymous::Builder::new().build(),
        Some(path) => from_file(path)?,
        None => Builder::default().build().map_err(|error| fault::credentials(&name, &error))?,
    };
    if !plain {
        // The client would try again for ever, and say nothing.
        let token = tokio::time::timeout(PATIENCE, credentials.headers(Default::default()));
        match token.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) if options.credentials.is_some() && error.is_transient() => {
                return Err(SourceError::retry(format!("{name}: no token for these credentials"), error));
            }
            Ok(Err(error)) => return Err(fault::credentials(&name, &error)),
            Err(_) => return Err(fault::credentials(&name, &"nobody gave a token in time")),
        }
    }
    let mut builder = Subscriber::builder().with_credentials(credentials);
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    builder.build().await.map_err(|error| SourceError::config(format!("{name}: {error}")))
}

/// The kinds of credentials that Google's tools write.
fn from_file(path: &Path) -> Result<Credentials, SourceError> {
    let shown = path.display();
    let wrong = |why: &dyn std::fmt::Display| SourceError::config(format!("`credentials` file {shown}: {why}"));
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
