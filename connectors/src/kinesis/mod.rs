//! Amazon Kinesis Data Streams as a source.
//!
//! The one idea: a shard is a split. Which shards to read, and where each begins, is decided in one place
//! ([`shards`]); how records come — asked for five times a second, or pushed over a subscription — in another
//! ([`feed`]); and one reader hands both out, opening the aggregates of the Kinesis Producer Library on the way.
//!
//! | file | holds |
//! |---|---|
//! | `client` | the calls of the service that reading takes |
//! | `shards`, `lineage` | which shards to read now: parents before children |
//! | `place` | positions |
//! | `feed`, `polling`, `fanout`, `pace` | batches of records, one after the other |
//! | `aggregate` | what the Kinesis Producer Library packs |
//! | `leases` | which daemon reads which shard, where several share the stream |
//! | `reader`, `source`, `probe` | what the engine sees |

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use watershed_clients::Secret;
use watershed_clients::aws::{Access, StreamName, Tls, is_name};

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
mod shards;
mod source;
#[cfg(test)]
mod tests;

pub use leases::LeaseOptions;
use source::KinesisSource;

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
    pub tls: Option<Tls>,
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
        let region = self.access().region_of(&stream, &around.region)?;
        Ok(Arc::new(KinesisSource::new(self.clone(), stream, region, around.source.clone())))
    }
}

impl KinesisOptions {
    /// Refuses what makes no sense together.
    fn check(&self) -> Result<StreamName, SourceError> {
        let stream = StreamName::parse(&self.stream)?;
        self.access().check()?;
        let refuse = |what: &str| Err(SourceError::config(what));
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

    /// Who reads, and where.
    fn access(&self) -> Access<'_> {
        Access {
            region: self.aws_region.as_deref(),
            endpoint: self.endpoint.as_deref(),
            endpoint_from_outside: true,
            ca: self.tls.as_ref().map(|tls| tls.ca.as_path()),
            access_key_id: self.access_key_id.as_ref().map(Secret::expose),
            secret_access_key: self.secret_access_key.as_ref().map(Secret::expose),
            session_token: self.session_token.as_ref().map(Secret::expose),
            profile: self.profile.as_deref(),
            role_arn: self.role_arn.as_deref(),
        }
    }
}
