//! The contract of sinks, at a real broker.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::super::writer::Writer;
use super::options;
use crate::SinkError;
use crate::conformance::{Fixture, Nature, context, crashes, run};
use crate::messages::{Epoch, MessageOptions};
use crate::sink::Sink;

/// The pipelines of the suite: each writes to a topic of its own. Not all are names that a topic may have.
const PIPELINES: [&str; 4] = ["orders", "orders_by_country", "orders-00000009", "orders/odd name"];
const PARTITIONS: i32 = 3;
const PATIENCE: Duration = Duration::from_secs(30);

fn brokers() -> String {
    std::env::var("WATERSHED_KAFKA").expect("WATERSHED_KAFKA is not set: run under scripts/services run kafka")
}

/// Topics that begin with this number.
struct Topics {
    number: u32,
    max_epoch_bytes: usize,
}

impl Topics {
    fn new(max_epoch_bytes: usize) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let place = Self { number: NEXT.fetch_add(1, Ordering::Relaxed), max_epoch_bytes };
        let names: Vec<String> = PIPELINES.iter().map(|pipeline| place.topic(pipeline)).collect();
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", brokers()).create().unwrap();
        let topics: Vec<NewTopic<'_>> =
            names.iter().map(|name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1))).collect();
        // Its own thread answers, so that this may wait inside of a runtime.
        let made = futures::executor::block_on(admin.create_topics(&topics, &AdminOptions::new())).unwrap();
        made.into_iter().for_each(|one| {
            one.unwrap();
        });
        place
    }

    fn topic(&self, pipeline: &str) -> String {
        let pipeline = PIPELINES.iter().position(|known| *known == pipeline).expect("a pipeline of the suite");
        format!("sink-{}-{}-{pipeline}", std::process::id(), self.number)
    }
}

#[async_trait]
impl Fixture for Topics {
    fn sink(&self, pipeline: &str) -> Box<dyn Sink> {
        let (brokers, topic, bytes) = (brokers(), self.topic(pipeline), self.max_epoch_bytes);
        let text = format!("brokers = \"{brokers}\"\ntopic = \"{topic}\"\nkey = \"id\"\nmax_epoch_bytes = {bytes}");
        // The same name at each place would fence other tests.
        options(&text).unwrap().sink(&context(pipeline), &topic).unwrap()
    }

    async fn visible(&self, pipeline: &str) -> Option<Vec<i64>> {
        let topic = self.topic(pipeline);
        Some(tokio::task::spawn_blocking(move || read_committed(&topic)).await.unwrap())
    }

    fn nature(&self) -> Nature {
        Nature { shows_at_write: false, holds_back: false, remembers_epochs: true }
    }
}

/// The ids of all messages up to the end.
fn read_committed(topic: &str) -> Vec<i64> {
    let reader: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers())
        .set("group.id", "looking")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    reader.assign(&list).unwrap();
    let (mut ids, mut ended) = (Vec::new(), 0);
    while ended < PARTITIONS {
        match reader.poll(PATIENCE).expect("a message, or the end of a partition") {
            Ok(message) => {
                let row: serde_json::Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
                assert_eq!(message.key(), Some(row["id"].to_string().as_bytes()));
                ids.push(row["id"].as_i64().unwrap());
            }
            Err(KafkaError::PartitionEOF(_)) => ended += 1,
            Err(error) => panic!("{error}"),
        }
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kafka -- cargo test … --ignored"]
async fn kafka_conforms() {
    run(|| Topics::new(16_000_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kafka -- cargo test … --ignored"]
async fn kafka_with_small_epochs_survives_crashes() {
    crashes(|| Topics::new(2_000), 4..8).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kafka -- cargo test … --ignored"]
async fn a_topic_that_is_not_there_is_named() {
    let text = format!("brokers = \"{}\"\ntopic = \"nowhere\"", brokers());
    let error = options(&text).unwrap().sink(&context("orders"), "s").unwrap().open().await.unwrap_err();
    assert!(matches!(error, SinkError::Config { .. }), "{error}");
    assert!(error.to_string().contains("topic \"nowhere\" does not exist"), "{error}");
}

/// What a broker does by itself after a week is done by hand here: the record goes back.
#[test]
#[ignore = "needs a server: scripts/services run kafka -- cargo test … --ignored"]
fn a_record_that_fades_is_put_there_again() {
    let topics = Topics::new(16_000_000);
    let topic = topics.topic("orders");
    let options = options(&format!("brokers = \"{}\"\ntopic = \"{topic}\"", brokers())).unwrap();
    let name = format!("watershed/keeps/{topic}");
    let mut writer = Writer::new(options.clone(), name.clone());
    assert_eq!(writer.open().unwrap(), 0);
    writer.keep().unwrap();
    assert_eq!(on_record(&name, &topic), Offset::Invalid, "there is nothing to keep");
    let row = crate::messages::Message(Some("1".to_owned()), r#"{"id":1}"#.to_owned());
    writer.publish(&Epoch { epoch: 3, after: 0, parts: vec![vec![row]] }).unwrap();
    let mut faded = TopicPartitionList::new();
    faded.add_partition_offset(&topic, 0, Offset::Offset(0)).unwrap();
    group(&name).commit(&faded, CommitMode::Sync).unwrap();
    assert_eq!(on_record(&name, &topic), Offset::Offset(0));
    writer.keep().unwrap();
    assert_eq!(on_record(&name, &topic), Offset::Offset(3));
    // Whoever takes the name over finds it, and who kept it before takes it back.
    let mut heir = Writer::new(options, name.clone());
    assert_eq!(heir.open().unwrap(), 3);
    assert!(writer.keep().is_err(), "its producer is fenced");
    writer.keep().unwrap();
    assert_eq!((on_record(&name, &topic), read_committed(&topic)), (Offset::Offset(3), vec![1]));
}

fn group(name: &str) -> BaseConsumer {
    ClientConfig::new().set("bootstrap.servers", brokers()).set("group.id", name).create().unwrap()
}

fn on_record(name: &str, topic: &str) -> Offset {
    let mut asked = TopicPartitionList::new();
    asked.add_partition(topic, 0);
    let found = group(name).committed_offsets(asked, PATIENCE).unwrap();
    found.find_partition(topic, 0).unwrap().offset()
}
