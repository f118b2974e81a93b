//! The keys of `connector = "kinesis"` as they are written.

use async_trait::async_trait;
use serde::Deserialize;
use watershed_clients::Secret;
use watershed_clients::aws::{Access, StreamName, Tls, is_region};

use super::broker::KinesisBroker;
use crate::error::SinkError;
use crate::messages::{
    Delivery, Limits, MessageOptions, MessageSink, Publisher as _, check_json, check_max_epoch_bytes, host_of_url,
    key_column, name_of,
};
use crate::sink::{Sink, SinkContext};
use crate::units::ByteSize;

/// What one request may hold.
const REQUEST_RECORDS: usize = 500;
/// Below the 5 MiB that the service and its stand-ins took before it became 10, with room for ids.
const REQUEST_BYTES: usize = 4_000_000;

/// Where the rows go, as written in the region file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KinesisOptions {
    /// Name or ARN of the stream. It has to exist.
    pub(super) stream: String,
    /// Where the stream is; left out: the ARN's region, `location`, the region file's if it is one of AWS, else the default
    /// chain's.
    #[serde(default)]
    pub(super) aws_region: Option<String>,
    /// Address of the service; left out: AWS's own.
    #[serde(default)]
    pub(super) endpoint: Option<String>,
    /// How the servers are trusted; none: by the system's roots.
    #[serde(default)]
    pub(super) tls: Option<Tls>,
    /// Explicit credentials.
    #[serde(default)]
    pub(super) access_key_id: Option<Secret>,
    /// Belongs to `access_key_id`.
    #[serde(default)]
    pub(super) secret_access_key: Option<Secret>,
    /// Belongs to `access_key_id`, for temporary credentials.
    #[serde(default)]
    pub(super) session_token: Option<Secret>,
    /// Credentials of this profile in the AWS configuration files.
    #[serde(default)]
    pub(super) profile: Option<String>,
    /// A role to assume, with the credentials found otherwise.
    #[serde(default)]
    pub(super) role_arn: Option<String>,
    /// The column whose text is the partition key; each record's id if left out.
    #[serde(default)]
    pub(super) key: Option<String>,
    /// A field to add to each row, with the record's id.
    #[serde(default)]
    pub(super) id_field: Option<String>,
    /// Bytes of messages that one epoch sends; the rest goes with the next.
    #[serde(default = "crate::messages::default_max_epoch_bytes")]
    pub(super) max_epoch_bytes: ByteSize,
    /// The region in which the stream lies.
    #[serde(default)]
    pub(super) location: Option<String>,
}

#[async_trait]
impl MessageOptions for KinesisOptions {
    fn connector(&self) -> &'static str {
        "kinesis"
    }

    fn hosts(&self) -> Vec<String> {
        let of_arn = || StreamName::parse(&self.stream).ok()?.region;
        let service = match self.aws_region.clone().or_else(of_arn) {
            Some(region) => format!("kinesis.{region}.amazonaws.com"),
            None => "kinesis.amazonaws.com".to_owned(),
        };
        // The stream lies where requests are signed for, whatever they go through.
        self.endpoint.as_deref().and_then(host_of_url).into_iter().chain([service]).collect()
    }

    fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    fn check(&self, context: &SinkContext) -> Result<(), SinkError> {
        let stream = StreamName::parse(&self.stream)?;
        self.access().check()?;
        self.region(&stream, context)?;
        key_column(self.key.as_deref(), context)?;
        check_max_epoch_bytes(self.max_epoch_bytes)?;
        match &self.id_field {
            Some(field) if field.is_empty() => {
                return Err(SinkError::config("`id_field` is empty: name a field, or leave it out"));
            }
            Some(field) if context.schema.index_of(field).is_ok() => {
                return Err(SinkError::config(format!(
                    "`id_field` names \"{field}\", which is a column already: choose another name"
                )));
            }
            _ => {}
        }
        check_json(context)
    }

    fn sink(&self, context: &SinkContext, name: &str) -> Result<Box<dyn Sink>, SinkError> {
        let limits = Limits {
            epoch_bytes: self.max_epoch_bytes.as_usize(),
            part_rows: REQUEST_RECORDS,
            part_bytes: REQUEST_BYTES,
        };
        let key = key_column(self.key.as_deref(), context)?;
        Ok(Box::new(MessageSink::new(self.publisher(context, name)?, key, limits)))
    }

    async fn probe(&self, context: &SinkContext, name: &str) -> Result<String, SinkError> {
        self.publisher(context, name)?.probe().await
    }
}

impl KinesisOptions {
    fn publisher(&self, context: &SinkContext, name: &str) -> Result<Delivery<KinesisBroker>, SinkError> {
        self.check(context)?;
        let stream = StreamName::parse(&self.stream)?;
        let region = self.region(&stream, context)?;
        Ok(Delivery::new(KinesisBroker::new(self.clone(), stream, region), name_of(context, name)))
    }

    /// Where the stream is; none leaves it to the default chain. Where `location` names a region of AWS, rows go to no other.
    fn region(&self, stream: &StreamName, context: &SinkContext) -> Result<Option<String>, SinkError> {
        let said = self.location.as_deref().filter(|location| is_region(location));
        Ok(self.access().region_of(stream, said.unwrap_or(&context.region))?)
    }

    /// Who writes, and where. What is not in the region file cannot say where rows go.
    pub(super) fn access(&self) -> Access<'_> {
        Access {
            region: self.aws_region.as_deref(),
            endpoint: self.endpoint.as_deref(),
            endpoint_from_outside: false,
            ca: self.tls.as_ref().map(|tls| tls.ca.as_path()),
            access_key_id: self.access_key_id.as_ref().map(Secret::expose),
            secret_access_key: self.secret_access_key.as_ref().map(Secret::expose),
            session_token: self.session_token.as_ref().map(Secret::expose),
            profile: self.profile.as_deref(),
            role_arn: self.role_arn.as_deref(),
        }
    }
}
