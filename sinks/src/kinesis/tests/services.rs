//! The contract of sinks, at a stand-in of Kinesis.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::types::{ShardIteratorType, StreamStatus};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::options;
use crate::SinkError;
use crate::conformance::{Fixture, Nature, batch, context, crashes, run};
use crate::messages::{MessageOptions, name_of};
use crate::sink::{Flush, Sink};

const SHARDS: i32 = 2;
/// What the field is called in which the ids are.
const ID: &str = "watershed_id";

fn server() -> String {
    std::env::var("WATERSHED_KINESALITE")
        .expect("WATERSHED_KINESALITE is not set: run under scripts/services run kinesalite")
}

/// A stream, of which all pipelines make use: the ids tell them apart.
struct Stream {
    client: Client,
    name: String,
    max_epoch_bytes: usize,
}

impl Stream {
    fn new(max_epoch_bytes: usize) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Whoever is first has it.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let name = format!("sink-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .endpoint_url(server())
            .credentials_provider(Credentials::new("test", "test", None, None, "test"));
        let stream = Self { client: Client::from_conf(config.build()), name, max_epoch_bytes };
        block_in_place(|| Handle::current().block_on(stream.make()));
        stream
    }

    async fn make(&self) {
        self.client.create_stream().stream_name(&self.name).shard_count(SHARDS).send().await.unwrap();
        loop {
            let answer = self.client.describe_stream_summary().stream_name(&self.name).send().await.unwrap();
            if *answer.stream_description_summary().unwrap().stream_status() == StreamStatus::Active {
                return;
            }
        }
    }

    fn sink_with(&self, pipeline: &str, more: &str) -> Box<dyn Sink> {
        let text = format!(
            "stream = \"{}\"\nendpoint = \"{}\"\naws_region = \"eu-west-1\"\naccess_key_id = \"test\"\n\
             secret_access_key = \"test\"\nid_field = \"{ID}\"\nmax_epoch_bytes = {}\n{more}",
            self.name,
            server(),
            self.max_epoch_bytes
        );
        options(&text).unwrap().sink(&context(pipeline), "out").unwrap()
    }

    /// Every record's partition key and row, by its id. Those that have one id are the same.
    async fn records(&self) -> BTreeMap<String, (String, Value)> {
        let mut found = BTreeMap::new();
        let shards = self.client.list_shards().stream_name(&self.name).send().await.unwrap();
        for shard in shards.shards() {
            let first = self.client.get_shard_iterator().stream_name(&self.name).shard_id(shard.shard_id());
            let first = first.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap();
            let mut iterator = first.shard_iterator;
            while let Some(here) = iterator {
                let answer = self.client.get_records().shard_iterator(here).send().await.unwrap();
                for record in answer.records() {
                    let row: Value = serde_json::from_slice(record.data().as_ref()).unwrap();
                    let here = (record.partition_key().to_owned(), row);
                    let id = here.1[ID].as_str().unwrap().to_owned();
                    let known = found.entry(id).or_insert_with(|| here.clone());
                    assert_eq!(*known, here, "two records of one id");
                }
                iterator = answer.next_shard_iterator.filter(|_| !answer.records.is_empty());
            }
        }
        found
    }
}

#[async_trait]
impl Fixture for Stream {
    fn sink(&self, pipeline: &str) -> Box<dyn Sink> {
        self.sink_with(pipeline, "key = \"name\"")
    }

    async fn visible(&self, pipeline: &str) -> Option<Vec<i64>> {
        let ours = format!("{}/", name_of(&context(pipeline), "out"));
        let records = self.records().await.into_iter().filter(|(id, _)| id.starts_with(&ours));
        let ids = records.map(|(id, (key, row))| {
            assert_eq!(key, row["name"].as_str().unwrap_or(&id), "the key, or the id where there is none");
            row["id"].as_i64().unwrap()
        });
        Some(ids.collect())
    }

    fn nature(&self) -> Nature {
        Nature { shows_at_write: false, holds_back: false, remembers_epochs: false }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kinesalite -- cargo test … --ignored"]
async fn kinesis_conforms() {
    run(|| Stream::new(16_000_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kinesalite -- cargo test … --ignored"]
async fn kinesis_with_small_epochs_survives_crashes() {
    crashes(|| Stream::new(2_000), 4..8).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kinesalite -- cargo test … --ignored"]
async fn a_request_has_as_many_records_as_it_may() {
    let stream = Stream::new(16_000_000);
    let mut sink = stream.sink("orders");
    sink.write(0, batch(&(0..1_201).collect::<Vec<i64>>())).await.unwrap();
    let prepared = sink.prepare(1, Flush::All).await.unwrap();
    let parts: Vec<usize> =
        prepared.0["parts"].as_array().unwrap().iter().map(|part| part.as_array().unwrap().len()).collect();
    assert_eq!(parts, [500, 500, 201]);
    sink.commit(&prepared).await.unwrap();
    assert_eq!(stream.visible("orders").await.unwrap().len(), 1_201);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kinesalite -- cargo test … --ignored"]
async fn a_stream_that_is_not_there_is_named() {
    let stream = Stream::new(16_000_000);
    let mut absent = Stream { name: format!("{}-x", stream.name), ..stream }.sink("orders");
    let error = absent.open().await.unwrap_err();
    assert!(matches!(error, SinkError::Config { .. }), "{error}");
    assert!(error.to_string().contains("-x in eu-west-1: did you mean sink-"), "{error}");
}
