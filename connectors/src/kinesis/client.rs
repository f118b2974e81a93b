//! The connection: whose credentials, which region, and each call of the service that is made.
//!
//! Two clients over one pool: one that tries again by itself, for what is asked seldom, and one that does not, for reads:
//! those have a pace of their own.

use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{Builder, Credentials, ProvideCredentials};
use aws_sdk_kinesis::operation::describe_stream_summary::DescribeStreamSummaryOutput;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::ShardIteratorType;

use super::KinesisOptions;
use super::lineage::Shard;
use super::place::Point;
use super::refusal::{Call, Keys, Refusal, causes, is_missing_credentials, no_credentials, refused_credentials};
use super::stream_name::StreamName;
use super::tls::{self, advised};
use crate::error::SourceError;
use crate::source::SplitId;

/// A service that does not take the connection, or does not begin to answer, is tried again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// The most records that one read may bring.
const RECORDS_PER_READ: i32 = 10_000;
/// The most shards that one page may list.
const SHARDS_PER_PAGE: i32 = 1_000;
/// How far to look for the stream that was perhaps meant.
const STREAMS_PER_PAGE: i32 = 1_000;
const STREAM_PAGES: usize = 5;
/// Pages of a list after which something is wrong: no stream has a million shards.
const MOST_PAGES: usize = 1_000;

/// A stream, and how to reach it.
#[derive(Debug)]
pub(super) struct Connection {
    /// Tries again by itself.
    pub(super) patient: Client,
    /// Tries once.
    pub(super) once: Client,
    pub(super) stream: StreamName,
    pub(super) region: String,
    /// What other services are reached by.
    pub(super) config: SdkConfig,
    /// The stream as IAM policies name it.
    pub(super) resource: String,
    keys: Keys,
}

impl Connection {
    /// Finds credentials and region; nothing is asked of the stream yet.
    pub(super) async fn open(
        options: &KinesisOptions,
        stream: &StreamName,
        region: Option<&str>,
    ) -> Result<Self, SourceError> {
        let config = sdk_config(options, region).await?;
        let Some(region) = config.region().map(ToString::to_string) else {
            return Err(SourceError::config("no AWS region is known: set `aws_region`"));
        };
        let fixed = check_credentials(&config).await?;
        let mut shared = Builder::from(&config);
        if let Some(endpoint) = &options.endpoint {
            shared = shared.endpoint_url(endpoint);
        }
        let once = shared.clone().retry_config(RetryConfig::disabled()).build();
        let resource = stream.resource(&region);
        let keys = match options.access_key_id.is_some() && options.role_arn.is_none() {
            true => Keys::Given,
            false if fixed => Keys::Fixed,
            false => Keys::Renewed,
        };
        Ok(Self {
            patient: Client::from_conf(shared.build()),
            once: Client::from_conf(once),
            stream: stream.clone(),
            region,
            config,
            resource,
            keys,
        })
    }

    /// Names a call, for messages.
    pub(super) fn call(&self, action: &'static str) -> Call<'_> {
        Call { action, resource: &self.resource, region: &self.region, keys: self.keys }
    }

    /// All shards of the stream, oldest first.
    pub(super) async fn shards(&self) -> Result<Vec<Shard>, SourceError> {
        let mut shards = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let request = self.patient.list_shards().max_results(SHARDS_PER_PAGE);
            let request = match token {
                // A token says which stream; both are refused.
                Some(token) => request.next_token(token),
                None => request.set_stream_name(self.stream.requested_name()).set_stream_arn(self.stream.arn.clone()),
            };
            let page = match request.send().await {
                Ok(page) => page,
                Err(error) => {
                    return Err(self.stream_error("ListShards", self.call("ListShards").refusal(&error)).await);
                }
            };
            shards.extend(page.shards().iter().map(shard));
            token = page.next_token().map(str::to_string);
            if token.is_none() {
                return Ok(shards);
            }
        }
        Err(self.call("ListShards").error(Refusal::Invalid("the list does not end".to_string())))
    }

    /// An iterator that stands at `point`.
    pub(super) async fn iterator(&self, shard: &SplitId, point: &Point) -> Result<Option<String>, Refusal> {
        let request = self.once.get_shard_iterator().shard_id(shard.as_str());
        let request = request.set_stream_name(self.stream.requested_name()).set_stream_arn(self.stream.arn.clone());
        let request = match point {
            Point::Horizon => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Point::Moment(millis) => {
                request.shard_iterator_type(ShardIteratorType::AtTimestamp).timestamp(DateTime::from_millis(*millis))
            }
            Point::At(sequence) => {
                request.shard_iterator_type(ShardIteratorType::AtSequenceNumber).starting_sequence_number(&**sequence)
            }
            Point::After(sequence) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(&**sequence),
        };
        let answer = request.send().await.map_err(|error| self.call("GetShardIterator").refusal(&error))?;
        Ok(answer.shard_iterator)
    }

    /// The records behind an iterator.
    pub(super) async fn records(&self, iterator: &str, limit: Option<i32>) -> Result<GetRecordsOutput, Refusal> {
        let request = self.once.get_records().shard_iterator(iterator).limit(limit.unwrap_or(RECORDS_PER_READ));
        // An iterator alone does not say in which region an ARN lies.
        let request = request.set_stream_arn(self.stream.arn.clone());
        request.send().await.map_err(|error| self.call("GetRecords").refusal(&error))
    }

    /// What the stream says of itself.
    pub(super) async fn summary(&self) -> Result<DescribeStreamSummaryOutput, Refusal> {
        let request = self.patient.describe_stream_summary();
        let request = request.set_stream_name(self.stream.requested_name()).set_stream_arn(self.stream.arn.clone());
        request.send().await.map_err(|error| self.call("DescribeStreamSummary").refusal(&error))
    }

    /// The error of a call about the stream as a whole: one that is absent is looked for.
    pub(super) async fn stream_error(&self, action: &'static str, refusal: Refusal) -> SourceError {
        if !matches!(refusal, Refusal::Missing) {
            return self.call(action).error(refusal);
        }
        let (name, region) = (&self.stream.name, &self.region);
        let near = nearest(name, &self.streams().await).map(|near| format!("did you mean {near}? "));
        SourceError::config(format!(
            "there is no stream {name} in {region}: {}check `stream` and `aws_region`",
            near.unwrap_or_default()
        ))
    }

    /// Names of streams that there are, as many as can be had: it may not be allowed, and is only a courtesy.
    async fn streams(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for _ in 0..STREAM_PAGES {
            let request = self.patient.list_streams().limit(STREAMS_PER_PAGE);
            let Ok(page) = request.set_exclusive_start_stream_name(names.last().cloned()).send().await else { break };
            names.extend_from_slice(page.stream_names());
            if !page.has_more_streams() {
                break;
            }
        }
        names
    }
}

fn shard(listed: &aws_sdk_kinesis::types::Shard) -> Shard {
    let parents = [listed.parent_shard_id(), listed.adjacent_parent_shard_id()];
    let ending = listed.sequence_number_range().and_then(|range| range.ending_sequence_number());
    Shard {
        id: SplitId::new(listed.shard_id()),
        parents: parents.into_iter().flatten().map(SplitId::new).collect(),
        closed: ending.is_some(),
        hash_keys: listed
            .hash_key_range()
            .map(|range| (range.starting_hash_key().into(), range.ending_hash_key().into())),
    }
}

async fn sdk_config(options: &KinesisOptions, region: Option<&str>) -> Result<SdkConfig, SourceError> {
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(ANSWER_TIMEOUT).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts);
    let client = options.tls.as_ref().map(|tls| tls::client(&tls.ca)).transpose()?;
    if let Some(client) = &client {
        loader = loader.http_client(client.clone());
    }
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_string()));
    }
    if let Some(profile) = &options.profile {
        // Named in the region file, it comes before what the environment says.
        let provider = ProfileFileCredentialsProvider::builder().configure(&tls::provider_config(client.as_ref()));
        let provider = provider.profile_name(profile).build();
        loader = loader.profile_name(profile).credentials_provider(provider);
    }
    if let (Some(id), Some(secret)) = (&options.access_key_id, &options.secret_access_key) {
        let token = options.session_token.as_ref().map(|token| token.expose().to_string());
        loader =
            loader.credentials_provider(Credentials::new(id.expose(), secret.expose(), token, None, "region file"));
    }
    let config = loader.load().await;
    let Some(role) = &options.role_arn else { return Ok(config) };
    let role = AssumeRoleProvider::builder(role).session_name("watershed").configure(&config);
    let provider = match config.credentials_provider() {
        Some(base) => role.build_from_provider(base).await,
        None => role.build().await,
    };
    let provider = aws_sdk_kinesis::config::SharedCredentialsProvider::new(provider);
    Ok(config.into_builder().credentials_provider(provider).build())
}

/// Without credentials every call would fail, in words that do not say why. True if they run out, and nothing renews them.
async fn check_credentials(config: &SdkConfig) -> Result<bool, SourceError> {
    let Some(provider) = config.credentials_provider() else { return Err(no_credentials("none are set")) };
    match provider.provide_credentials().await {
        Ok(credentials) => Ok(credentials.session_token().is_some() && credentials.expiry().is_none()),
        Err(error) => Err(refused_credentials(&error).unwrap_or_else(|| {
            let why = causes(&error);
            match is_missing_credentials(&why) {
                true => no_credentials(&why),
                false => SourceError::retry("AWS credentials", advised(why)),
            }
        })),
    }
}

/// The name that was perhaps meant: the same but for case, one that holds the other, or one a letter or two away.
pub(super) fn nearest<'a>(name: &str, names: &'a [String]) -> Option<&'a str> {
    let name = name.to_lowercase();
    let far = |other: &&String| {
        let other = other.to_lowercase();
        let holds = name.len() > 2 && other.len() > 2 && (other.contains(&name) || name.contains(&other));
        let edits = edits(&name, &other);
        (edits <= 2 || holds).then_some(edits)
    };
    names.iter().filter_map(|other| far(&other).map(|edits| (edits, other))).min().map(|(_, other)| other.as_str())
}

/// Levenshtein's distance.
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.bytes().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}
