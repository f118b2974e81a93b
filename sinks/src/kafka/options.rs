//! The keys of `connector = "kafka"` as they are written, spelled as at the source of that name.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use watershed_clients::Secret;

use super::properties;
use super::publisher::KafkaPublisher;
use crate::error::SinkError;
use crate::messages::{
    Limits, MessageOptions, MessageSink, Publisher as _, check_json, check_max_epoch_bytes, host_of, key_column,
    name_of,
};
use crate::sink::{Sink, SinkContext};
use crate::units::ByteSize;

/// A transaction that is not ended by then is aborted by the brokers. Readers wait as long behind one that a dead process left
/// open, unless another takes its id before.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);
/// The property that says otherwise.
pub(super) const TRANSACTION_TIMEOUT_MS: &str = "transaction.timeout.ms";

/// Where the messages go, as written in the region file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaOptions {
    /// Brokers to begin with, as `host:port`.
    pub(super) brokers: OneOrMore,
    /// The topic. It has to exist.
    pub(super) topic: String,
    /// The column whose text is the message's key; none if left out.
    #[serde(default)]
    pub(super) key: Option<String>,
    /// Bytes of messages that one epoch publishes; the rest goes with the next.
    #[serde(default = "crate::messages::default_max_epoch_bytes")]
    pub(super) max_epoch_bytes: ByteSize,
    /// The region in which the brokers lie.
    #[serde(default)]
    pub(super) location: Option<String>,
    /// Encryption.
    #[serde(default)]
    pub(super) tls: Option<TlsOptions>,
    /// Credentials.
    #[serde(default)]
    pub(super) sasl: Option<SaslOptions>,
    /// Properties of librdkafka.
    #[serde(default)]
    pub(super) properties: BTreeMap<String, Property>,
}

/// One text or a list.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected text or a list of texts")]
pub(super) enum OneOrMore {
    /// `"a"`, or `"a,b"`.
    One(String),
    /// `["a", "b"]`.
    More(Vec<String>),
}

/// `tls = true`, or a table.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected true, or a table of `ca`, `cert`, `key` and `key_password`")]
pub(super) enum TlsOptions {
    /// With the system's roots, or without encryption.
    Plain(bool),
    /// With these files.
    Files(TlsFiles),
}

/// PEM files.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsFiles {
    /// Who may have signed the brokers' certificates; the system's roots if left out.
    #[serde(default)]
    pub(super) ca: Option<PathBuf>,
    /// Our certificate.
    #[serde(default)]
    pub(super) cert: Option<PathBuf>,
    /// Its key.
    #[serde(default)]
    pub(super) key: Option<PathBuf>,
    /// What the key is encrypted with.
    #[serde(default)]
    pub(super) key_password: Option<Secret>,
}

/// Who we are to the brokers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SaslOptions {
    /// How it is said.
    pub(super) mechanism: Mechanism,
    /// The user.
    pub(super) username: String,
    /// Its password.
    pub(super) password: Secret,
}

/// A SASL mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Mechanism {
    /// User and password, as they are.
    #[serde(rename = "PLAIN")]
    Plain,
    /// A proof that we know the password.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// As SHA-256, with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

/// The value of a librdkafka property.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected text, a number or a boolean")]
pub(super) enum Property {
    /// Text.
    Text(String),
    /// A number.
    Number(i64),
    /// True or false.
    Flag(bool),
}

#[async_trait]
impl MessageOptions for KafkaOptions {
    fn connector(&self) -> &'static str {
        "kafka"
    }

    fn hosts(&self) -> Vec<String> {
        self.list().map(|broker| host_of(broker).to_owned()).collect()
    }

    fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    fn check(&self, context: &SinkContext) -> Result<(), SinkError> {
        properties::check(&self.properties)?;
        self.transaction_timeout()?;
        self.bootstrap()?;
        if self.topic.is_empty() {
            return Err(SinkError::config("`topic` is empty: name the topic that takes the rows"));
        }
        check_max_epoch_bytes(self.max_epoch_bytes)?;
        if let Some(TlsOptions::Files(files)) = &self.tls
            && (files.cert.is_some() != files.key.is_some() || (files.key.is_none() && files.key_password.is_some()))
        {
            return Err(SinkError::config("`tls` needs both `cert` and `key`, or neither"));
        }
        key_column(self.key.as_deref(), context)?;
        check_json(context)
    }

    fn sink(&self, context: &SinkContext, name: &str) -> Result<Box<dyn Sink>, SinkError> {
        self.check(context)?;
        let publisher = KafkaPublisher::new(self.clone(), &name_of(context, name));
        let key = key_column(self.key.as_deref(), context)?;
        Ok(Box::new(MessageSink::new(publisher, key, Limits::whole(self.max_epoch_bytes.as_usize()))))
    }

    async fn probe(&self, context: &SinkContext, name: &str) -> Result<String, SinkError> {
        self.check(context)?;
        KafkaPublisher::new(self.clone(), &name_of(context, name)).probe().await
    }
}

impl KafkaOptions {
    /// How long a transaction may take.
    pub(super) fn transaction_timeout(&self) -> Result<Duration, SinkError> {
        let Some(set) = self.properties.get(TRANSACTION_TIMEOUT_MS) else { return Ok(TRANSACTION_TIMEOUT) };
        let millis = set.text().parse().ok().filter(|millis| *millis > 0);
        let millis = millis.ok_or_else(|| {
            SinkError::config(format!("`properties`: \"{TRANSACTION_TIMEOUT_MS}\" takes a number of milliseconds"))
        })?;
        Ok(Duration::from_millis(millis))
    }

    /// Brokers to begin with.
    fn list(&self) -> impl Iterator<Item = &str> {
        let all: Vec<&str> = match &self.brokers {
            OneOrMore::One(text) => text.split(',').collect(),
            OneOrMore::More(list) => list.iter().map(String::as_str).collect(),
        };
        all.into_iter().map(str::trim).filter(|broker| !broker.is_empty())
    }

    /// Brokers to begin with, separated by commas.
    pub(super) fn bootstrap(&self) -> Result<String, SinkError> {
        let all: Vec<&str> = self.list().collect();
        if all.is_empty() {
            return Err(SinkError::config("`brokers` names none: write \"host:9092\" or a list of such"));
        }
        match all.iter().find(|broker| broker.contains("://") || broker.contains('@')) {
            Some(broker) => {
                // A password may stand before the host.
                let broker = broker.rsplit('@').next().unwrap_or_default();
                Err(SinkError::config(format!(
                    "`brokers`: write {broker} as host:port; TLS is chosen by `tls`, users by `sasl`"
                )))
            }
            None => Ok(all.join(",")),
        }
    }
}

impl Mechanism {
    /// As brokers call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl Property {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
        }
    }
}
