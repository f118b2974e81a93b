//! The keys of `connector = "http"` as they are written.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use url::Url;
use watershed_clients::Secret;

use super::publisher::{OWN_HEADERS, WebhookPublisher};
use crate::error::SinkError;
use crate::messages::{Limits, MessageOptions, MessageSink, Publisher as _, check_json, name_of};
use crate::sink::{Sink, SinkContext};
use crate::units::{ByteSize, Period};

/// Rows of a request: a server answers it within moments, and a loss costs as many.
const BATCH_ROWS: u32 = 500;
/// Below the 1 MiB that web servers take without being told otherwise.
const BATCH_BYTES: ByteSize = ByteSize(1_000_000);
/// As long as servers take for their slowest requests.
const TIMEOUT: Period = Period(Duration::from_secs(30));

/// Where the requests go, as written in the region file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookOptions {
    /// The address that takes them by POST. May be a secret as a whole: scheme, host and port are shown.
    pub(super) url: Secret,
    /// How rows stand in a request.
    #[serde(default)]
    pub(super) format: Format,
    /// Most rows of a request.
    #[serde(default = "default_batch_rows")]
    pub(super) batch_rows: u32,
    /// Most bytes of rows of a request; a single row may be longer.
    #[serde(default = "default_batch_bytes")]
    pub(super) batch_bytes: ByteSize,
    /// What requests are signed with.
    #[serde(default)]
    pub(super) secret: Option<Secret>,
    /// Bearer token to send.
    #[serde(default)]
    pub(super) token: Option<Secret>,
    /// Headers to send.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Secret>,
    /// How long an answer may take.
    #[serde(default = "default_timeout")]
    pub(super) timeout: Period,
    /// How the server is trusted; none: by the system's roots.
    #[serde(default)]
    pub(super) tls: Option<WebhookTls>,
    /// Bytes of messages that one epoch sends; the rest goes with the next.
    #[serde(default = "crate::messages::default_max_epoch_bytes")]
    pub(super) max_epoch_bytes: ByteSize,
    /// The region in which the server lies.
    #[serde(default)]
    pub(super) location: Option<String>,
}

/// How rows stand in a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// One JSON object a line.
    #[default]
    Ndjson,
    /// A JSON array of objects.
    Json,
}

/// How the server is trusted.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookTls {
    /// File with the certificates, in PEM, one of which has signed the server's.
    pub(super) ca: PathBuf,
}

fn default_batch_rows() -> u32 {
    BATCH_ROWS
}

fn default_batch_bytes() -> ByteSize {
    BATCH_BYTES
}

fn default_timeout() -> Period {
    TIMEOUT
}

#[async_trait]
impl MessageOptions for WebhookOptions {
    fn connector(&self) -> &'static str {
        "http"
    }

    fn hosts(&self) -> Vec<String> {
        self.address().ok().and_then(|url| url.host_str().map(str::to_owned)).into_iter().collect()
    }

    fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    fn check(&self, context: &SinkContext) -> Result<(), SinkError> {
        self.address()?;
        self.headers()?;
        for (key, is_zero) in [
            ("batch_rows", self.batch_rows == 0),
            ("batch_bytes", self.batch_bytes.0 == 0),
            ("max_epoch_bytes", self.max_epoch_bytes.0 == 0),
            ("timeout", self.timeout.0.is_zero()),
        ] {
            if is_zero {
                return Err(SinkError::config(format!("`{key}` cannot be zero: leave it out for the default")));
            }
        }
        if self.secret.as_ref().is_some_and(|secret| secret.expose().is_empty()) {
            return Err(SinkError::config(
                "`secret` is empty: give it a value, or leave it out to send without signature",
            ));
        }
        check_json(context)
    }

    fn sink(&self, context: &SinkContext, name: &str) -> Result<Box<dyn Sink>, SinkError> {
        self.check(context)?;
        let publisher = WebhookPublisher::new(self, name_of(context, name))?;
        let limits = Limits {
            epoch_bytes: self.max_epoch_bytes.as_usize(),
            part_rows: self.batch_rows as usize,
            part_bytes: self.batch_bytes.as_usize(),
        };
        Ok(Box::new(MessageSink::new(publisher, None, limits)))
    }

    async fn probe(&self, context: &SinkContext, name: &str) -> Result<String, SinkError> {
        self.check(context)?;
        WebhookPublisher::new(self, name_of(context, name))?.probe().await
    }
}

impl WebhookOptions {
    pub(super) fn address(&self) -> Result<Url, SinkError> {
        let url = Url::parse(self.url.expose().trim()).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        url.ok_or_else(|| SinkError::config("`url` is no http:// or https:// address"))
    }

    /// What goes with every request. Values are marked, so that nobody prints them.
    pub(super) fn headers(&self) -> Result<HeaderMap, SinkError> {
        let marked = |value: &str, key: &str| {
            let value = HeaderValue::from_str(value);
            let mut value =
                value.map_err(|_| SinkError::config(format!("`{key}` holds a character that no header can")))?;
            value.set_sensitive(true);
            Ok::<_, SinkError>(value)
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| SinkError::config(format!("`headers`: \"{name}\" is no name of a header")))?;
            if OWN_HEADERS.contains(&name.as_str()) {
                return Err(SinkError::config(format!("`headers`: {name} is the sink's own")));
            }
            headers.insert(name, marked(value.expose(), "headers")?);
        }
        if let Some(token) = &self.token {
            if headers.contains_key(AUTHORIZATION) {
                return Err(SinkError::config("`token` and the header authorization are one: leave one of them out"));
            }
            headers.insert(AUTHORIZATION, marked(&format!("Bearer {}", token.expose().trim()), "token")?);
        }
        Ok(headers)
    }
}
