//! Daemons that share a stream of kinesalite by a table of dynalite.
//!
//! `scripts/services run kinesalite dynamodb -- cargo test --release -p watershed-connectors leases:: -- --ignored`

use std::collections::BTreeMap;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::Credentials;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, StreamStatus};
use tokio::task::JoinSet;
use watershed_clients::aws::StreamName;

use super::super::checkpoint::Checkpoint;
use super::super::lease::{Lease, Outcome};
use super::super::table::LeaseTable;
use super::daemon::Daemon;
use super::{after, lease};
use crate::kinesis::KinesisOptions;
use crate::kinesis::pace::Limits;
use crate::kinesis::source::KinesisSource;
use crate::source::Source;

/// Long enough for a busy machine, short enough to wait for.
const DURATION: &str = "3s";
/// The whole of a test.
const PATIENCE: Duration = Duration::from_secs(240);

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: scripts/services run kinesalite dynamodb -- …"))
}

fn config(endpoint: &str) -> SdkConfig {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(aws_sdk_kinesis::config::SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint)
        .sleep_impl(aws_sdk_kinesis::config::SharedAsyncSleep::new(Sleep))
        .build()
}

#[derive(Debug)]
struct Sleep;

impl aws_sdk_kinesis::config::AsyncSleep for Sleep {
    fn sleep(&self, duration: Duration) -> aws_sdk_kinesis::config::Sleep {
        aws_sdk_kinesis::config::Sleep::new(tokio::time::sleep(duration))
    }
}

fn table(name: &str) -> LeaseTable {
    let endpoint = variable("WATERSHED_DYNAMODB");
    LeaseTable::new(&config(&endpoint), Some(&endpoint), name, Duration::from_secs(10))
}

fn unique(name: &str) -> String {
    format!("{name}-{:08x}", rand::random::<u32>())
}

/// A stream, and a table to share it by.
struct Shared {
    name: String,
    client: Client,
    written: usize,
}

impl Shared {
    async fn make(name: &str, shards: i32) -> Self {
        let shared =
            Self { name: unique(name), client: Client::new(&config(&variable("WATERSHED_KINESALITE"))), written: 0 };
        shared.client.create_stream().stream_name(&shared.name).shard_count(shards).send().await.unwrap();
        shared.ready().await;
        shared
    }

    async fn ready(&self) {
        let summary = || self.client.describe_stream_summary().stream_name(&self.name).send();
        while summary().await.unwrap().stream_description_summary.unwrap().stream_status != StreamStatus::Active {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Writes `more` records, each with a number of its own.
    async fn write(&mut self, more: usize) {
        for _ in 0..more.div_ceil(100) {
            let entry = |number: usize| {
                let entry = PutRecordsRequestEntry::builder().partition_key(format!("{}", number % 997));
                entry.data(Blob::new(format!("{number:06}"))).build().unwrap()
            };
            let entries = (self.written..self.written + 100).map(entry).collect();
            let answer = self.client.put_records().stream_name(&self.name).set_records(Some(entries)).send().await;
            assert_eq!(answer.unwrap().failed_record_count, Some(0));
            self.written += 100;
        }
    }

    /// Splits the shard called `shard` in the middle.
    async fn split(&self, shard: &str) {
        let listed = self.client.list_shards().stream_name(&self.name).send().await.unwrap();
        let listed = listed.shards().iter().find(|listed| listed.shard_id() == shard).unwrap().clone();
        let range = listed.hash_key_range.unwrap();
        let key = |text: &str| text.parse::<u128>().unwrap();
        let (first, last) = (key(range.starting_hash_key()), key(range.ending_hash_key()));
        let middle = (first + (last - first) / 2).to_string();
        let split = self.client.split_shard().stream_name(&self.name).shard_to_split(shard);
        split.new_starting_hash_key(middle).send().await.unwrap();
        self.ready().await;
    }

    async fn merge(&self, shard: &str, adjacent: &str) {
        let merge = self.client.merge_shards().stream_name(&self.name).shard_to_merge(shard);
        merge.adjacent_shard_to_merge(adjacent).send().await.unwrap();
        self.ready().await;
    }

    fn daemon(&self, owner: &str) -> Daemon {
        Daemon::start(Box::new(self.source(owner)))
    }

    fn source(&self, owner: &str) -> KinesisSource {
        let options: KinesisOptions = serde_json::from_value(serde_json::json!({
            "stream": self.name,
            "aws_region": "us-east-1",
            "endpoint": variable("WATERSHED_KINESALITE"),
            "access_key_id": "AKIDEXAMPLE",
            "secret_access_key": "secret",
            "refresh": "1s",
            "leases": {
                "table": self.name,
                "owner": owner,
                "duration": DURATION,
                "endpoint": variable("WATERSHED_DYNAMODB"),
            },
        }))
        .unwrap();
        let stream = StreamName::parse(&self.name).unwrap();
        let limits = Limits { interval: Duration::from_millis(20), bytes_per_second: 1e9 };
        KinesisSource::new(options, stream, Some("us-east-1".to_string()), "orders".into()).paced(limits)
    }

    async fn rows(&self) -> Vec<Lease> {
        table(&self.name).scan().await.unwrap()
    }
}

/// Waits until all daemons together have counted `enough`.
async fn counted(daemons: &[&Daemon], enough: usize) {
    let all = || daemons.iter().map(|daemon| daemon.count()).sum::<usize>();
    let wait = async {
        while all() < enough {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{} of {enough} records", all()));
}

/// How often each record was counted, where it was not once.
fn not_once(counted: &[&[String]], written: usize) -> BTreeMap<String, usize> {
    let mut times: BTreeMap<String, usize> = (0..written).map(|number| (format!("{number:06}"), 0)).collect();
    counted.iter().flat_map(|some| some.iter()).for_each(|record| *times.entry(record.clone()).or_default() += 1);
    times.retain(|_, times| *times != 1);
    times
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kinesalite dynamodb -- cargo test … --ignored"]
async fn of_sixteen_that_take_a_lease_one_has_it() {
    let name = unique("race");
    let first = table(&name);
    let made = futures::future::join_all((0..4).map(|_| first.ensure())).await;
    made.into_iter().for_each(|made| made.unwrap());
    for round in 0..5 {
        let row = Lease { parents: vec!["p".to_string()], since: Some(7), ..lease(&format!("s{round}")) };
        first.add(&row).await.unwrap();
        first.add(&Lease { counter: 99, ..row.clone() }).await.unwrap();
        let mut takers = JoinSet::new();
        for taker in 0..16 {
            let (table, change) = (first.clone(), row.taken(&format!("w{taker}"), None));
            takers.spawn(async move { (taker, table.change(&change).await.unwrap()) });
        }
        let outcomes = takers.join_all().await;
        let winners: Vec<_> = outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::Done).collect();
        assert_eq!(winners.len(), 1, "{outcomes:?}");
        let owner = format!("w{}", winners[0].0);
        let taken = Lease { owner: Some(owner.clone()), counter: 1, ..row.clone() };
        for (_, outcome) in &outcomes {
            assert!(
                *outcome == Outcome::Done || *outcome == Outcome::Refused(Some(Box::new(taken.clone()))),
                "{outcome:?}"
            );
        }
        // What comes after is written as it is read.
        let renewal = taken.renewed(&after(12, 3));
        assert_eq!(first.change(&renewal).await.unwrap(), Outcome::Done);
        let wish = renewal.to.wished("x");
        assert_eq!(first.change(&wish).await.unwrap(), Outcome::Done);
        let gift = wish.to.given(&Checkpoint::ShardEnd);
        assert_eq!(first.change(&gift).await.unwrap(), Outcome::Done);
        let rows = first.scan().await.unwrap();
        assert_eq!(rows.iter().find(|found| found.shard == row.shard), Some(&gift.to));
        assert_eq!((gift.to.owner.as_deref(), gift.to.leaving.as_deref()), (Some("x"), None));
    }
    assert!(first.probe().await.unwrap().contains("5 leases"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kinesalite dynamodb -- cargo test … --ignored"]
async fn a_shard_that_changes_hands_in_mid_stream_is_counted_exactly_once() {
    let mut shared = Shared::make("steal", 4).await;
    shared.write(2_000).await;
    let a = shared.daemon("a");
    counted(&[&a], 500).await;
    let b = shared.daemon("b");
    // Written all the while, until the newcomer has its part.
    let balance = async {
        while b.count() < 300 {
            shared.write(100).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, balance).await.expect("nothing is handed over");
    shared.write(1_000).await;
    counted(&[&a, &b], shared.written).await;
    // One leaves, and the other goes on with all of it.
    let by_a = a.stop().await;
    shared.write(1_000).await;
    let rest = shared.written - by_a.len();
    counted(&[&b], rest).await;
    let by_b = b.stop().await;
    assert_eq!(not_once(&[&by_a, &by_b], shared.written), BTreeMap::new());
    let rows = shared.rows().await;
    assert!(rows.iter().all(|row| row.owner.is_none() && row.leaving.is_none()), "{rows:?}");
    // A third begins just behind.
    shared.write(100).await;
    let c = shared.daemon("c");
    counted(&[&c], 100).await;
    assert_eq!(not_once(&[&by_a, &by_b, &c.stop().await], shared.written), BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kinesalite dynamodb -- cargo test … --ignored"]
async fn what_a_dead_daemon_held_is_taken_over() {
    let mut shared = Shared::make("kill", 4).await;
    shared.write(1_000).await;
    let (a, b) = (shared.daemon("a"), shared.daemon("b"));
    counted(&[&a, &b], 1_000).await;
    shared.write(1_000).await;
    let by_a = a.kill().await;
    shared.write(1_000).await;
    let wanted = shared.written - by_a.len();
    counted(&[&b], wanted).await;
    let by_b = b.stop().await;
    let wrong = not_once(&[&by_a, &by_b], shared.written);
    assert!(wrong.values().all(|times| *times == 2), "lost: {wrong:?}");
    // Only what was counted since the last sign of life may come twice.
    assert!(wrong.keys().all(|record| by_a.contains(record)), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kinesalite dynamodb -- cargo test … --ignored"]
async fn shards_split_and_merge_between_daemons() {
    let mut shared = Shared::make("reshard", 2).await;
    shared.write(1_000).await;
    let (a, b) = (shared.daemon("a"), shared.daemon("b"));
    counted(&[&a, &b], 300).await;
    shared.split("shardId-000000000000").await;
    shared.write(1_000).await;
    shared.merge("shardId-000000000003", "shardId-000000000001").await;
    shared.write(1_000).await;
    counted(&[&a, &b], shared.written).await;
    let (by_a, by_b) = (a.stop().await, b.stop().await);
    assert_eq!(not_once(&[&by_a, &by_b], shared.written), BTreeMap::new());
    let rows = shared.rows().await;
    let finished: Vec<&str> = rows.iter().filter(|row| row.finished()).map(|row| row.shard.as_str()).collect();
    assert_eq!(rows.len(), 5, "{rows:?}");
    assert!(finished.contains(&"shardId-000000000000"), "{finished:?}");
    let child = rows.iter().find(|row| row.shard == "shardId-000000000004").unwrap();
    assert_eq!(child.parents, ["shardId-000000000001", "shardId-000000000003"]);
    assert!(child.hash_keys.is_some());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kinesalite dynamodb -- cargo test … --ignored"]
async fn a_probe_leaves_nothing_behind() {
    let shared = Shared::make("probe", 1).await;
    let found = shared.source("a").probe().await.unwrap();
    assert!(found.contains("will be made"), "{found}");
    table(&shared.name).ensure().await.unwrap();
    let found = shared.source("a").probe().await.unwrap();
    assert!(found.contains("has 0 leases"), "{found}");
    assert!(shared.rows().await.is_empty());
}
