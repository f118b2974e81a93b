//! What reading needs to know, resolved; and what librdkafka is told of it.
//!
//! The one idea: whoever speaks Kafka's protocol fills in [`KafkaSettings`], whatever its own keys are called.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use serde::Deserialize;
use watershed_clients::Secret;

use super::columns::Column;
use super::token::TokenSource;
use super::topics::Topics;
use crate::start::Start;

/// How often librdkafka tells where its partitions stand: the finest it does.
pub(super) const STATISTICS: Duration = Duration::from_secs(1);
/// A partition at its end is answered this often, and known to be caught up as soon.
const FETCH_WAIT: Duration = Duration::from_millis(100);
/// A partition whose buffer is full is looked at again after this; librdkafka's own second would starve its reader.
const FULL_BUFFER_WAIT: Duration = Duration::from_millis(10);
/// After this long without an answer a connection is given up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// After this long without a connection another try is made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The share of the buffer that one partition gets, at least and at most, in KiB: less would make a request for a few records,
/// and more than this one reader does not need.
const PARTITION_KIB: (u64, u64) = (256, 32 << 10);
/// librdkafka's own limits of a fetch: of one partition, of all, and of an answer.
const PARTITION_FETCH_BYTES: u64 = 1 << 20;
const FETCH_BYTES: (u64, u64) = (1 << 20, 50 << 20);
const ANSWER_BYTES: u64 = 100_000_000;
/// Above what a fetch or a record may be, for what stands around them.
const ANSWER_SLACK: u64 = 1 << 20;
/// The group that is named to librdkafka, which asks for one, where the user has none. Nothing is committed to it.
const NO_GROUP: &str = "watershed";

/// What to read, and how.
#[derive(Debug, Clone)]
pub(crate) struct KafkaSettings {
    /// Name of the source, for logs.
    pub(crate) name: Arc<str>,
    /// Brokers to begin with, separated by commas.
    pub(crate) brokers: String,
    pub(crate) topics: Topics,
    /// Where positions are committed to.
    pub(crate) group: Option<String>,
    pub(crate) start: Start,
    pub(crate) isolation: Isolation,
    pub(crate) tls: Option<Tls>,
    pub(crate) sasl: Option<Sasl>,
    pub(crate) on_lost: OnLost,
    /// Time between two looks for new topics and partitions.
    pub(crate) refresh: Duration,
    /// Bytes to fetch ahead, over all partitions.
    pub(crate) buffer_bytes: u64,
    pub(crate) max_record_bytes: usize,
    /// Further properties of librdkafka.
    pub(crate) properties: BTreeMap<String, String>,
    /// What the metadata columns of the connector hold, in the order of its list.
    pub(crate) columns: &'static [Column],
}

/// Which records of transactions are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Isolation {
    /// Those of committed ones.
    #[default]
    ReadCommitted,
    /// All, also of those that were aborted.
    ReadUncommitted,
}

/// What to do if records were deleted before they were read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnLost {
    /// Stop, and say so.
    #[default]
    Fail,
    /// Say so, and go on at the earliest record there is.
    Earliest,
}

/// Encryption.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tls {
    /// PEM file of the authorities; none: the system's.
    pub(crate) ca: Option<PathBuf>,
    /// PEM files of certificate and key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    pub(crate) key_password: Option<Secret>,
}

/// Who we are.
#[derive(Clone)]
pub(crate) enum Sasl {
    Plain { username: String, password: Secret },
    Scram { hash: Scram, username: String, password: Secret },
    OAuthBearer(Arc<dyn TokenSource>),
}

/// The hash of SCRAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scram {
    Sha256,
    Sha512,
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.mechanism())
    }
}

impl Sasl {
    /// As brokers call it.
    pub(crate) fn mechanism(&self) -> &'static str {
        match self {
            Self::Plain { .. } => "PLAIN",
            Self::Scram { hash: Scram::Sha256, .. } => "SCRAM-SHA-256",
            Self::Scram { hash: Scram::Sha512, .. } => "SCRAM-SHA-512",
            Self::OAuthBearer(_) => "OAUTHBEARER",
        }
    }
}

impl KafkaSettings {
    /// What librdkafka is told, for a consumer of so many partitions.
    pub(super) fn client(&self, partitions: usize) -> ClientConfig {
        let buffer_kib = self.buffer_bytes / 1024 / partitions.max(1) as u64;
        let fetch_bytes = (self.buffer_bytes / 2).clamp(FETCH_BYTES.0, FETCH_BYTES.1);
        let record_bytes = self.max_record_bytes as u64;
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "watershed")
            .set("group.id", self.group.as_deref().unwrap_or(NO_GROUP))
            .set("isolation.level", self.isolation.name())
            .set("allow.auto.create.topics", "false")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("statistics.interval.ms", millis(STATISTICS))
            .set("fetch.wait.max.ms", millis(FETCH_WAIT))
            .set("fetch.queue.backoff.ms", millis(FULL_BUFFER_WAIT))
            .set("queued.max.messages.kbytes", buffer_kib.clamp(PARTITION_KIB.0, PARTITION_KIB.1).to_string())
            .set("max.partition.fetch.bytes", PARTITION_FETCH_BYTES.to_string())
            .set("fetch.max.bytes", fetch_bytes.to_string())
            .set("receive.message.max.bytes", self.answer_bytes(fetch_bytes.max(record_bytes)).to_string())
            .set("socket.keepalive.enable", "true")
            .set("socket.timeout.ms", millis(ANSWER_TIMEOUT))
            .set("socket.connection.setup.timeout.ms", millis(CONNECT_TIMEOUT))
            .set("security.protocol", self.protocol());
        if let Some(tls) = &self.tls {
            tls.tell(&mut config);
        }
        if let Some(sasl) = &self.sasl {
            sasl.tell(&mut config);
        }
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        // That a broker hangs up on us is only a line of information to librdkafka, and the only word about it.
        config.set_log_level(RDKafkaLogLevel::Info);
        config
    }

    /// The largest answer that is taken: one that holds a whole fetch, set by the user or not, or the longest record.
    fn answer_bytes(&self, needed: u64) -> u64 {
        let set = self.properties.get("fetch.max.bytes").and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
        (needed.max(set) + ANSWER_SLACK).clamp(ANSWER_BYTES, i32::MAX as u64)
    }

    fn protocol(&self) -> &'static str {
        match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        }
    }
}

impl Isolation {
    fn name(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read_committed",
            Self::ReadUncommitted => "read_uncommitted",
        }
    }
}

impl Tls {
    fn tell(&self, config: &mut ClientConfig) {
        match &self.ca {
            Some(ca) => config.set("ssl.ca.location", ca.display().to_string()),
            // OpenSSL is part of the program, and does not know where the system keeps its roots: they are looked for.
            None => config.set("ssl.ca.location", "probe"),
        };
        if let Some((certificate, key)) = &self.identity {
            config.set("ssl.certificate.location", certificate.display().to_string());
            config.set("ssl.key.location", key.display().to_string());
        }
        if let Some(password) = &self.key_password {
            config.set("ssl.key.password", password.expose());
        }
    }
}

impl Sasl {
    fn tell(&self, config: &mut ClientConfig) {
        config.set("sasl.mechanism", self.mechanism());
        if let Self::Plain { username, password } | Self::Scram { username, password, .. } = self {
            config.set("sasl.username", username);
            config.set("sasl.password", password.expose());
        }
    }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}
