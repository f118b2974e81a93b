//! A stream of a stand-in, made for one test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, StreamStatus};
use md5::{Digest, Md5};
use prost::Message;
use serde_json::{Value, json};

use super::super::KinesisOptions;
use super::super::aggregate::{Aggregate, Packed};
use super::super::pace::Limits;
use super::super::source::KinesisSource;

/// Stand-ins have no quota.
pub(super) const UNPACED: Limits = Limits { interval: Duration::from_millis(5), bytes_per_second: f64::INFINITY };
/// Records of one request.
const REQUEST: usize = 200;

pub(super) struct Stream {
    pub(super) client: Client,
    pub(super) endpoint: String,
    pub(super) name: String,
}

/// Address of a stand-in, as `scripts/services` tells it.
pub(super) fn server(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run by scripts/services run"))
}

impl Stream {
    /// Makes a stream with `shards` shards.
    pub(super) async fn create(endpoint: &str, shards: i32) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        ready();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let name = format!("test-{since}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .endpoint_url(endpoint)
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .build();
        let client = Client::from_conf(config);
        client.create_stream().stream_name(&name).shard_count(shards).send().await.unwrap();
        let stream = Self { client, endpoint: endpoint.to_string(), name };
        stream.active().await;
        stream
    }

    /// Waits until the last change is done.
    pub(super) async fn active(&self) {
        loop {
            let answer = self.client.describe_stream_summary().stream_name(&self.name).send().await.unwrap();
            if *answer.stream_description_summary().unwrap().stream_status() == StreamStatus::Active {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Sends records, in order: partition key, explicit hash key, payload.
    pub(super) async fn put(&self, records: &[(String, Option<String>, Vec<u8>)]) {
        for some in records.chunks(REQUEST) {
            let entry = |(key, hash, data): &(String, Option<String>, Vec<u8>)| {
                let entry = PutRecordsRequestEntry::builder().partition_key(key).set_explicit_hash_key(hash.clone());
                entry.data(Blob::new(data.clone())).build().unwrap()
            };
            let mut entries: Vec<_> = some.iter().map(entry).collect();
            while !entries.is_empty() {
                let request = self.client.put_records().stream_name(&self.name).set_records(Some(entries.clone()));
                let answer = request.send().await.unwrap();
                let failed = answer.records().iter().map(|result| result.error_code().is_some());
                let mut failed = failed.collect::<Vec<_>>().into_iter();
                entries.retain(|_| failed.next().unwrap_or(false));
            }
        }
    }

    /// Sends one record to the shard with the lowest hash keys, or to the one with the highest.
    pub(super) async fn put_one(&self, high: bool, data: &[u8]) {
        let hash = if high { u128::MAX.to_string() } else { "0".to_string() };
        self.put(&[("key".to_string(), Some(hash), data.to_vec())]).await;
    }

    /// The open shards with their first hash keys, lowest first.
    pub(super) async fn open_shards(&self) -> Vec<(String, u128, u128)> {
        let answer = self.client.list_shards().stream_name(&self.name).send().await.unwrap();
        let open = answer
            .shards()
            .iter()
            .filter(|shard| shard.sequence_number_range().unwrap().ending_sequence_number().is_none());
        let range = |shard: &aws_sdk_kinesis::types::Shard| {
            let range = shard.hash_key_range().unwrap();
            let number = |text: &str| text.parse().unwrap();
            (shard.shard_id().to_string(), number(range.starting_hash_key()), number(range.ending_hash_key()))
        };
        let mut open: Vec<_> = open.map(range).collect();
        open.sort_by_key(|(_, first, _)| *first);
        open
    }

    /// Splits the open shard at this place in the middle.
    pub(super) async fn split(&self, at: usize) {
        let (shard, first, last) = self.open_shards().await.swap_remove(at);
        let request = self.client.split_shard().stream_name(&self.name).shard_to_split(shard);
        request.new_starting_hash_key((first + (last - first) / 2).to_string()).send().await.unwrap();
        self.active().await;
    }

    /// Merges the open shard at this place with the next one.
    pub(super) async fn merge(&self, at: usize) {
        let open = self.open_shards().await;
        let request = self.client.merge_shards().stream_name(&self.name).shard_to_merge(&open[at].0);
        request.adjacent_shard_to_merge(&open[at + 1].0).send().await.unwrap();
        self.active().await;
    }

    /// A source that reads it; `more` are further keys.
    pub(super) fn source(&self, more: Value) -> Arc<KinesisSource> {
        let mut keys = json!({ "stream": self.name, "endpoint": self.endpoint });
        for (key, value) in more.as_object().unwrap() {
            keys[key] = value.clone();
        }
        source(keys)
    }
}

/// Options with credentials that no stand-in looks at; `more` are further keys.
pub(super) fn options(more: Value) -> KinesisOptions {
    let mut keys = json!({
        "aws_region": "eu-west-1", "access_key_id": "test", "secret_access_key": "test", "refresh": "1s",
    });
    for (key, value) in more.as_object().unwrap() {
        keys[key] = value.clone();
    }
    serde_json::from_value(keys).unwrap()
}

/// A source with these options, as fast as it goes.
pub(super) fn source(keys: Value) -> Arc<KinesisSource> {
    let options = options(keys);
    let stream = options.check().unwrap();
    Arc::new(KinesisSource::new(options, stream, Some("eu-west-1".to_string()), "test".into()).paced(UNPACED))
}

/// Only the first test of a process installs the provider.
pub(super) fn ready() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Packs records as the Kinesis Producer Library does.
pub(in crate::kinesis) fn pack(records: &[(&str, &[u8])]) -> Vec<u8> {
    let packed = |(i, (_, data)): (usize, &(&str, &[u8]))| Packed {
        partition_key: i as u64,
        explicit_hash_key: None,
        data: data.to_vec().into(),
    };
    let message = Aggregate {
        partition_keys: records.iter().map(|(key, _)| (*key).to_string()).collect(),
        explicit_hash_keys: Vec::new(),
        records: records.iter().enumerate().map(packed).collect(),
    };
    let message = message.encode_to_vec();
    [&[0xF3, 0x89, 0x9A, 0xC2], message.as_slice(), Md5::digest(&message).as_slice()].concat()
}
