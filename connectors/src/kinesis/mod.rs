//! Amazon Kinesis Data Streams as a source.
//!
//! The one idea: a shard is a split. Which shards to read, and where each begins, is decided in one place
//! ([`shards`]); how records come — asked for five times a second, or pushed over a subscription — in another
//! ([`feed`]); and one reader hands both out, opening the aggregates of the Kinesis Producer Library on the way.
//!
//! | file | holds |
//! |---|---|
//! | `client` | the connection, credentials, and each call of the service |
//! | `tls` | whom the connection trusts |
//! | `refusal` | what the service's errors mean, and the way out of each |
//! | `shards`, `lineage` | which shards to read now: parents before children |
//! | `place` | positions |
//! | `feed`, `polling`, `fanout`, `pace` | batches of records, one after the other |
//! | `aggregate` | what the Kinesis Producer Library packs |
//! | `leases` | which daemon reads which shard, where several share the stream |
//! | `reader`, `source`, `probe` | what the engine sees |

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use url::Url;
use watershed_clients::Secret;

use crate::duration::HumanDuration;
use crate::error::SourceError;
use crate::metadata::{MetadataField, MetadataType};
use crate::source::Source;
use crate::start::Start;
use crate::stream::{StreamOptions, Surroundings};

mod aggregate;
mod client;
mod fanout;
mod feed;
mod leases;
mod lineage;
mod pace;
mod place;
mod polling;
mod probe;
mod reader;
mod refusal;
mod shards;
mod source;
mod stream_name;
#[cfg(test)]
mod tests;
mod tls;

pub use leases::LeaseOptions;
use source::KinesisSource;
use stream_name::{StreamName, is_name, is_region};
use tls::KinesisTls;

/// What can stand beside the payload, in the order that `reader` answers by.
const METADATA: [MetadataField; 4] = [
    MetadataField { name: "_partition", kind: MetadataType::Text, doc: "the shard's id" },
    MetadataField {
        name: "_offset",
        kind: MetadataType::Text,
        doc: "the sequence number; of a record inside an aggregate, a colon and its place in it behind",
    },
    MetadataField { name: "_key", kind: MetadataType::Text, doc: "the partition key" },
    MetadataField { name: "_ingest_time", kind: MetadataType::Time, doc: "when the record arrived, about" },
];

/// How records come out of a shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// By `GetRecords`, five times a second.
    #[default]
    Polling,
    /// By `SubscribeToShard`: pushed, at two megabytes a second for this consumer alone.
    FanOut,
}

/// What to read, as written in the region file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KinesisOptions {
    /// Name or ARN of the stream.
    pub stream: String,
    /// Where the stream is; left out: the ARN's region, the region file's if it is one of AWS, else the default chain's.
    pub aws_region: Option<String>,
    /// Address of the service; left out: AWS's own.
    pub endpoint: Option<String>,
    /// How the servers are trusted; none: by the system's roots.
    pub tls: Option<KinesisTls>,
    /// Explicit credentials.
    pub access_key_id: Option<Secret>,
    /// Belongs to `access_key_id`.
    pub secret_access_key: Option<Secret>,
    /// Belongs to `access_key_id`, for temporary credentials.
    pub session_token: Option<Secret>,
    /// Credentials of this profile in the AWS configuration files.
    pub profile: Option<String>,
    /// A role to assume, with the credentials found otherwise.
    pub role_arn: Option<String>,
    /// How records come.
    #[serde(default)]
    pub(crate) mode: Mode,
    /// Name of the registered consumer, with `mode = "fan-out"`.
    pub consumer: Option<String>,
    /// Where the first start begins.
    #[serde(default)]
    pub start: Start,
    /// Shares the stream with other daemons.
    pub leases: Option<LeaseOptions>,
    /// How often the stream is asked for new shards, beside each end of one.
    #[serde(default = "default_refresh")]
    pub refresh: HumanDuration,
}

fn default_refresh() -> HumanDuration {
    HumanDuration(Duration::from_secs(10))
}

impl StreamOptions for KinesisOptions {
    fn connector(&self) -> &'static str {
        "kinesis"
    }

    fn identity(&self) -> String {
        // The name alone: a stream stays the same whether it is written as name or as ARN.
        let name = StreamName::parse(&self.stream).map_or_else(|_| self.stream.clone(), |stream| stream.name);
        format!("kinesis {name}")
    }

    fn metadata(&self) -> &'static [MetadataField] {
        &METADATA
    }

    fn lies_in(&self) -> Option<String> {
        self.aws_region.clone().or_else(|| StreamName::parse(&self.stream).ok()?.region)
    }

    fn source(&self, around: &Surroundings) -> Result<Arc<dyn Source>, SourceError> {
        let stream = self.check()?;
        if let Some(leases) = &self.leases {
            leases.check(around.checkpoint_interval)?;
        }
        let region = self.region(&stream, around)?;
        Ok(Arc::new(KinesisSource::new(self.clone(), stream, region, around.source.clone())))
    }
}

impl KinesisOptions {
    /// Refuses what makes no sense together.
    fn check(&self) -> Result<StreamName, SourceError> {
        let stream = StreamName::parse(&self.stream)?;
        if let Some(endpoint) = &self.endpoint {
            check_endpoint(endpoint)?;
        }
        let refuse = |what: &str| Err(SourceError::config(what));
        match (&self.access_key_id, &self.secret_access_key) {
            (Some(_), None) => return refuse("`access_key_id` needs `secret_access_key` beside it"),
            (None, Some(_)) => return refuse("`secret_access_key` needs `access_key_id` beside it"),
            (None, None) if self.session_token.is_some() => {
                return refuse("`session_token` needs `access_key_id` and `secret_access_key` beside it");
            }
            (Some(_), Some(_)) if self.profile.is_some() => {
                return refuse("`profile` and `access_key_id` are two ways to say who reads: leave one out");
            }
            _ => {}
        }
        if self.role_arn.as_ref().is_some_and(|role| !role.starts_with("arn:")) {
            return refuse("`role_arn` is no ARN: write \"arn:aws:iam::ACCOUNT:role/NAME\"");
        }
        match (self.mode, &self.consumer) {
            (Mode::FanOut, None) => return refuse("mode = \"fan-out\" needs `consumer`, the name to register under"),
            (Mode::Polling, Some(_)) => {
                return refuse("`consumer` is for mode = \"fan-out\": leave it out, or set that");
            }
            (Mode::FanOut, Some(name)) if !is_name(name) => {
                return refuse("`consumer` is a name of at most 128 letters, digits, dots, dashes and underscores");
            }
            _ => {}
        }
        // ListShards is limited, and other consumers of the stream ask too.
        if self.refresh.0 < Duration::from_secs(1) {
            return refuse("`refresh` is at least \"1s\"");
        }
        Ok(stream)
    }

    /// Where the stream is; none leaves it to the default chain.
    fn region(&self, stream: &StreamName, around: &Surroundings) -> Result<Option<String>, SourceError> {
        match (&self.aws_region, &stream.region) {
            (Some(given), Some(named)) if given != named => Err(SourceError::config(format!(
                "`aws_region` is {given}, but the ARN in `stream` names {named}: leave `aws_region` out"
            ))),
            (Some(region), _) | (None, Some(region)) => Ok(Some(region.clone())),
            (None, None) => Ok(is_region(&around.region).then(|| around.region.to_string())),
        }
    }
}

fn check_endpoint(endpoint: &str) -> Result<(), SourceError> {
    let refuse = |why: &str| Err(SourceError::config(format!("`endpoint` {why}: write \"https://HOST:PORT\"")));
    match Url::parse(endpoint) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => refuse("is neither http nor https"),
        Ok(url) if url.password().is_some() || !url.username().is_empty() => refuse("holds credentials"),
        Ok(_) => Ok(()),
        Err(_) => refuse("is no address"),
    }
}
