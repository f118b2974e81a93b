//! The keys of `connector = "kafka"` as they are written.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use watershed_clients::Secret;

use super::settings::{Isolation, KafkaSettings, OnLost, Sasl, Scram, Tls};
use super::token::{ClientCredentials, GivenToken};
use super::topics::Topics;
use super::{COLUMNS, properties};
use crate::duration::HumanDuration;
use crate::error::SourceError;
use crate::size::ByteSize;
use crate::start::Start;
use crate::stream::Surroundings;

/// How often brokers are asked for new topics and partitions: seldom enough to be no load to them.
const REFRESH: Duration = Duration::from_secs(5);
/// Fetched ahead of the reading, over all partitions: a quarter of a second at 500 MB/s.
const BUFFER: ByteSize = ByteSize(128 << 20);
/// As for files.
const MAX_RECORD_BYTES: ByteSize = ByteSize(16 << 20);
/// The most that librdkafka takes for one message.
const MOST_RECORD_BYTES: u64 = 1_000_000_000;

/// What to read, as written in the region file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaOptions {
    /// Brokers to begin with, as `host:port`.
    pub(super) brokers: OneOrMore,
    /// The topic.
    #[serde(default)]
    pub(super) topic: Option<String>,
    /// Or several.
    #[serde(default)]
    pub(super) topics: Option<Vec<String>>,
    /// Or all whose name matches this regular expression.
    #[serde(default)]
    pub(super) topic_pattern: Option<String>,
    /// The consumer group that positions are committed to, for others to see.
    #[serde(default)]
    pub(super) group: Option<String>,
    /// Where to begin without a checkpoint.
    #[serde(default)]
    pub(super) start: Start,
    /// Which records of transactions are read.
    #[serde(default)]
    pub(super) isolation: Isolation,
    /// Encryption.
    #[serde(default)]
    pub(super) tls: Option<TlsOptions>,
    /// Credentials.
    #[serde(default)]
    pub(super) sasl: Option<SaslOptions>,
    /// What to do if records were deleted before they were read.
    #[serde(default)]
    pub(super) on_lost: OnLost,
    /// How often to look for new topics and partitions.
    #[serde(default = "default_refresh")]
    pub(super) refresh: HumanDuration,
    /// Bytes to fetch ahead, over all partitions.
    #[serde(default = "default_buffer")]
    pub(super) buffer: ByteSize,
    /// A longer record is set aside.
    #[serde(default = "default_max_record_bytes")]
    pub(super) max_record_bytes: ByteSize,
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
    /// For PLAIN and SCRAM.
    #[serde(default)]
    pub(super) username: Option<String>,
    /// For PLAIN and SCRAM.
    #[serde(default)]
    pub(super) password: Option<Secret>,
    /// For OAUTHBEARER: the token itself.
    #[serde(default)]
    pub(super) token: Option<Secret>,
    /// For OAUTHBEARER: who gives tokens.
    #[serde(default)]
    pub(super) token_endpoint: Option<String>,
    /// Asked with.
    #[serde(default)]
    pub(super) client_id: Option<String>,
    /// Asked with.
    #[serde(default)]
    pub(super) client_secret: Option<Secret>,
    /// Asked for.
    #[serde(default)]
    pub(super) scope: Option<String>,
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
    /// A token.
    #[serde(rename = "OAUTHBEARER")]
    OAuthBearer,
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

fn default_refresh() -> HumanDuration {
    HumanDuration(REFRESH)
}

fn default_buffer() -> ByteSize {
    BUFFER
}

fn default_max_record_bytes() -> ByteSize {
    MAX_RECORD_BYTES
}

impl KafkaOptions {
    /// What is read: a name for positions to belong to.
    pub(super) fn subject(&self) -> String {
        match (&self.topic, &self.topics, &self.topic_pattern) {
            (Some(topic), _, _) => topic.clone(),
            (_, Some(topics), _) => {
                let mut topics = topics.clone();
                topics.sort();
                topics.join(",")
            }
            (_, _, Some(pattern)) => format!("/{pattern}/"),
            (None, None, None) => String::new(),
        }
    }

    /// The settings.
    pub(super) fn resolve(&self, around: &Surroundings) -> Result<KafkaSettings, SourceError> {
        properties::check(&self.properties)?;
        if self.max_record_bytes.0 == 0 || self.max_record_bytes.0 > MOST_RECORD_BYTES {
            return Err(SourceError::config("`max_record_bytes` is to be between 1 byte and 1 GB"));
        }
        if self.refresh.0.is_zero() {
            return Err(SourceError::config("`refresh` is to be longer than nothing, such as \"5s\""));
        }
        if self.group.as_deref() == Some("") {
            return Err(SourceError::config("`group` is empty: name one, or leave it out"));
        }
        Ok(KafkaSettings {
            name: around.source.clone(),
            brokers: self.brokers.joined()?,
            topics: self.topics()?,
            group: self.group.clone(),
            start: self.start,
            isolation: self.isolation,
            tls: self.tls.as_ref().map(TlsOptions::resolve).transpose()?.flatten(),
            sasl: self.sasl.as_ref().map(SaslOptions::resolve).transpose()?,
            on_lost: self.on_lost,
            refresh: self.refresh.0,
            buffer_bytes: self.buffer.0,
            max_record_bytes: self.max_record_bytes.0 as usize,
            properties: self.properties.iter().map(|(name, value)| (name.clone(), value.text())).collect(),
            columns: COLUMNS,
        })
    }

    fn topics(&self) -> Result<Topics, SourceError> {
        match (&self.topic, &self.topics, &self.topic_pattern) {
            (Some(topic), None, None) => Topics::named([topic.clone()]),
            (None, Some(topics), None) => Topics::named(topics.iter().cloned()),
            (None, None, Some(pattern)) => Topics::matching(pattern),
            (None, None, None) => Err(SourceError::config("no topic: write one of `topic`, `topics`, `topic_pattern`")),
            _ => Err(SourceError::config("only one of `topic`, `topics`, `topic_pattern` can be given")),
        }
    }
}

impl OneOrMore {
    fn joined(&self) -> Result<String, SourceError> {
        let all: Vec<&str> = match self {
            Self::One(text) => text.split(',').collect(),
            Self::More(list) => list.iter().map(String::as_str).collect(),
        };
        let all: Vec<&str> = all.into_iter().map(str::trim).filter(|broker| !broker.is_empty()).collect();
        if all.is_empty() {
            return Err(SourceError::config("`brokers` names none: write \"host:9092\" or a list of such"));
        }
        match all.iter().find(|broker| broker.contains("://")) {
            Some(broker) => {
                Err(SourceError::config(format!("`brokers`: write {broker} as host:port; TLS is chosen by `tls`")))
            }
            None => Ok(all.join(",")),
        }
    }
}

impl TlsOptions {
    fn resolve(&self) -> Result<Option<Tls>, SourceError> {
        match self {
            Self::Plain(false) => Ok(None),
            Self::Plain(true) => Ok(Some(Tls::default())),
            Self::Files(files) => {
                let identity = match (&files.cert, &files.key) {
                    (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
                    (None, None) if files.key_password.is_none() => None,
                    _ => return Err(SourceError::config("`tls` needs both `cert` and `key`, or neither")),
                };
                Ok(Some(Tls { ca: files.ca.clone(), identity, key_password: files.key_password.clone() }))
            }
        }
    }
}

impl SaslOptions {
    fn resolve(&self) -> Result<Sasl, SourceError> {
        if self.mechanism == Mechanism::OAuthBearer {
            if self.username.is_some() || self.password.is_some() {
                return Err(SourceError::config("`sasl`: OAUTHBEARER takes a token, no `username` and `password`"));
            }
            return self.tokens();
        }
        let token = [self.token.is_some(), self.token_endpoint.is_some(), self.client_id.is_some()];
        if token.contains(&true) || self.client_secret.is_some() || self.scope.is_some() {
            return Err(SourceError::config("`sasl`: tokens are for mechanism = \"OAUTHBEARER\""));
        }
        let (Some(username), Some(password)) = (self.username.clone(), self.password.clone()) else {
            return Err(SourceError::config("`sasl` needs `username` and `password`"));
        };
        Ok(match self.mechanism {
            Mechanism::ScramSha256 => Sasl::Scram { hash: Scram::Sha256, username, password },
            Mechanism::ScramSha512 => Sasl::Scram { hash: Scram::Sha512, username, password },
            Mechanism::Plain | Mechanism::OAuthBearer => Sasl::Plain { username, password },
        })
    }

    fn tokens(&self) -> Result<Sasl, SourceError> {
        let asked = (&self.token_endpoint, &self.client_id, &self.client_secret);
        match (&self.token, asked) {
            (Some(token), (None, None, None)) if self.scope.is_none() => {
                Ok(Sasl::OAuthBearer(std::sync::Arc::new(GivenToken::new(token.clone()))))
            }
            (None, (Some(endpoint), Some(id), Some(secret))) => {
                let credentials = ClientCredentials::new(endpoint, id, secret.clone(), self.scope.as_deref())?;
                Ok(Sasl::OAuthBearer(std::sync::Arc::new(credentials)))
            }
            _ => Err(SourceError::config(
                "`sasl`: OAUTHBEARER needs `token`, or `token_endpoint` with `client_id` and `client_secret`",
            )),
        }
    }
}

impl Property {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
        }
    }
}
