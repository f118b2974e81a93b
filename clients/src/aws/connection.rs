//! A stream, and the clients that reach it.
//!
//! Two clients over one pool: one that tries again by itself, for what is asked seldom, and one that does not, for what has
//! a pace of its own.

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::Builder;
use aws_sdk_kinesis::operation::describe_stream_summary::DescribeStreamSummaryOutput;

use super::access::{Access, check_credentials};
use super::refusal::{Call, Keys, Refusal};
use super::stream_name::StreamName;
use crate::error::ClientError;

#[cfg(test)]
mod tests;

/// How far to look for the stream that was perhaps meant.
const STREAMS_PER_PAGE: i32 = 1_000;
const STREAM_PAGES: usize = 5;

/// A stream, and how to reach it.
#[derive(Debug)]
pub struct Connection {
    /// Tries again by itself.
    pub patient: Client,
    /// Tries once.
    pub once: Client,
    /// Which stream it is.
    pub stream: StreamName,
    /// Where it is.
    pub region: String,
    /// What other services are reached by.
    pub config: SdkConfig,
    /// The stream as IAM policies name it.
    pub resource: String,
    keys: Keys,
}

impl Connection {
    /// Finds credentials and region; nothing is asked of the stream yet.
    pub async fn open(access: &Access<'_>, stream: &StreamName, region: Option<&str>) -> Result<Self, ClientError> {
        let config = access.sdk_config(region).await?;
        let Some(region) = config.region().map(ToString::to_string) else {
            return Err(ClientError::config("no AWS region is known: set `aws_region`"));
        };
        let fixed = check_credentials(&config).await?;
        let mut shared = Builder::from(&config);
        if access.endpoint.is_some() || !access.endpoint_from_outside {
            shared.set_endpoint_url(access.endpoint.map(str::to_owned));
        }
        let once = shared.clone().retry_config(RetryConfig::disabled()).build();
        let resource = stream.resource(&region);
        let keys = match access.gives_keys() {
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
    pub fn call(&self, action: &'static str) -> Call<'_> {
        Call { action, resource: &self.resource, region: &self.region, keys: self.keys }
    }

    /// What the stream says of itself.
    pub async fn summary(&self) -> Result<DescribeStreamSummaryOutput, Refusal> {
        let request = self.patient.describe_stream_summary();
        let request = request.set_stream_name(self.stream.requested_name()).set_stream_arn(self.stream.arn.clone());
        request.send().await.map_err(|error| self.call("DescribeStreamSummary").refusal(&error))
    }

    /// The error of a call about the stream as a whole: one that is absent is looked for.
    pub async fn stream_error(&self, action: &'static str, refusal: Refusal) -> ClientError {
        if !matches!(refusal, Refusal::Missing) {
            return self.call(action).error(refusal);
        }
        let (name, region) = (&self.stream.name, &self.region);
        let near = nearest(name, &self.streams().await).map(|near| format!("did you mean {near}? "));
        ClientError::config(format!(
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

/// The name that was perhaps meant: the same but for case, one that holds the other, or one a letter or two away.
fn nearest<'a>(name: &str, names: &'a [String]) -> Option<&'a str> {
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
