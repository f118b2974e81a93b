//! Brokers to test against, and what is sent to them.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::OwnedHeaders;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const TIMEOUT: Duration = Duration::from_secs(30);

/// One of librdkafka's mock brokers.
pub(super) fn mock() -> MockCluster<'static, DefaultProducerContext> {
    MockCluster::new(1).unwrap()
}

/// Sends messages, in order.
pub(super) struct Sender {
    producer: BaseProducer,
}

impl Sender {
    pub(super) fn new(brokers: &str) -> Self {
        Self::with(brokers, &[])
    }

    pub(super) fn with(brokers: &str, properties: &[(&str, &str)]) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("linger.ms", "5");
        for (name, value) in properties {
            config.set(*name, *value);
        }
        Self { producer: config.create().unwrap() }
    }

    /// Sends one message without waiting; waits where the producer is full.
    pub(super) fn queue(&self, topic: &str, partition: i32, payload: Option<&[u8]>) {
        loop {
            let mut record: BaseRecord<'_, str, [u8]> = BaseRecord::to(topic).partition(partition);
            record.payload = payload;
            match self.producer.send(record) {
                Ok(()) => return,
                Err(_) => {
                    self.producer.poll(Duration::from_millis(10));
                }
            }
        }
    }

    /// Sends one message with all that can stand beside it.
    pub(super) fn describe(&self, topic: &str, key: &str, headers: OwnedHeaders, millis: i64, payload: &str) {
        let record = BaseRecord::to(topic).partition(0).key(key).payload(payload).headers(headers).timestamp(millis);
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
        self.flush();
    }

    /// Waits until everything has arrived.
    pub(super) fn flush(&self) {
        self.producer.flush(TIMEOUT).unwrap();
    }

    pub(super) fn send(&self, topic: &str, partition: i32, payloads: &[&str]) {
        for payload in payloads {
            self.queue(topic, partition, Some(payload.as_bytes()));
        }
        self.flush();
    }

    pub(super) fn begin(&self) {
        self.producer.begin_transaction().unwrap();
    }

    pub(super) fn init_transactions(&self) {
        self.producer.init_transactions(TIMEOUT).unwrap();
    }

    pub(super) fn commit(&self) {
        self.producer.commit_transaction(TIMEOUT).unwrap();
    }

    pub(super) fn abort(&self) {
        self.producer.abort_transaction(TIMEOUT).unwrap();
    }
}

/// Makes and changes topics.
pub(super) struct Admin {
    client: AdminClient<DefaultClientContext>,
}

impl Admin {
    pub(super) fn new(brokers: &str) -> Self {
        Self { client: ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap() }
    }

    /// Makes a topic of a new name.
    pub(super) async fn topic(&self, what: &str, partitions: i32, config: &[(&str, &str)]) -> String {
        let name = format!("{what}-{:08x}", rand::random::<u32>());
        self.make(&name, partitions, config).await;
        name
    }

    pub(super) async fn make(&self, name: &str, partitions: i32, config: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in config {
            topic = topic.set(key, value);
        }
        let made = self.client.create_topics([&topic], &waiting()).await.unwrap();
        made.into_iter().for_each(|one| assert!(one.is_ok(), "{one:?}"));
    }

    pub(super) async fn grow(&self, name: &str, partitions: usize) {
        let grown = self.client.create_partitions([&NewPartitions::new(name, partitions)], &waiting()).await.unwrap();
        grown.into_iter().for_each(|one| assert!(one.is_ok(), "{one:?}"));
    }

    pub(super) async fn delete(&self, name: &str) {
        let deleted = self.client.delete_topics(&[name], &waiting()).await.unwrap();
        deleted.into_iter().for_each(|one| assert!(one.is_ok(), "{one:?}"));
    }

    /// Deletes the records before `offset`.
    pub(super) async fn cut(&self, name: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(name, partition, Offset::Offset(offset)).unwrap();
        self.client.delete_records(&list, &waiting()).await.unwrap();
    }
}

fn waiting() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT))
}

/// What `group` has committed.
pub(super) fn committed(brokers: &str, group: &str, topic: &str, partition: i32) -> Option<i64> {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", brokers).set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    let found = consumer.committed_offsets(list, TIMEOUT).unwrap();
    found.elements()[0].offset().to_raw().filter(|offset| *offset >= 0)
}
