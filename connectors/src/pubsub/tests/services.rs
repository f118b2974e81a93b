//! Against servers: Google's own fake for the protocol, ours for speed. Each test has a subscription of its own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use google_cloud_auth::credentials::{Credentials, anonymous};
use google_cloud_pubsub::client::{Publisher, SubscriptionAdmin, TopicAdmin};
use google_cloud_pubsub::model::{DeadLetterPolicy, Message, Subscription};
use serde_json::json;

use super::options::around;
use crate::conformance::proxy::{Network, Proxy};
use crate::conformance::{Fixture, Item};
use crate::error::SourceError;
use crate::metadata::Wanted;
use crate::pubsub::PubSubOptions;
use crate::pubsub::flow::Flow;
use crate::pubsub::source::PubSubSource;
use crate::records::Records;
use crate::source::{Position, ReadLimits, ReadStatus, Reader, Source, SplitId};
use crate::stream::StreamOptions;

mod broken;
mod delivery;
mod leases;
mod speed;
mod suite;

/// Longest time that any of this may take: a test that waits longer has lost something.
const LONGEST: Duration = Duration::from_secs(120);

/// The shortest time that Pub/Sub leases a message for.
const SHORTEST: Duration = Duration::from_secs(10);

/// A server.
#[derive(Debug, Clone)]
struct Service {
    grpc: String,
    rest: String,
}

/// A topic with one subscription.
struct Orders {
    service: Service,
    name: String,
}

fn anonymously() -> Credentials {
    anonymous::Builder::new().build()
}

impl Service {
    fn named(grpc: &str, rest: &str) -> Self {
        let variable = |name: &str| {
            let missing = format!("{name} is not set: run this by scripts/services run pubsub pubsub-load -- …");
            std::env::var(name).expect(&missing)
        };
        Self { grpc: variable(grpc), rest: variable(rest) }
    }

    /// Google's fake.
    fn true_one() -> Self {
        Self::named("WATERSHED_PUBSUB", "WATERSHED_PUBSUB_REST")
    }

    /// Ours.
    fn fast_one() -> Self {
        Self::named("WATERSHED_PUBSUB_LOAD", "WATERSHED_PUBSUB_LOAD_REST")
    }

    async fn orders(&self) -> Orders {
        self.orders_with(|subscription| subscription).await
    }

    async fn orders_with(&self, shape: impl FnOnce(Subscription) -> Subscription) -> Orders {
        let name = format!("orders-{:016x}", rand::random::<u64>());
        let orders = Orders { service: self.clone(), name };
        let topics = TopicAdmin::builder().with_endpoint(&self.rest).with_credentials(anonymously());
        topics.build().await.unwrap().create_topic().set_name(orders.topic()).send().await.unwrap();
        let admin = SubscriptionAdmin::builder().with_endpoint(&self.rest).with_credentials(anonymously());
        let admin = admin.build().await.unwrap();
        let subscription = Subscription::new().set_name(orders.subscription()).set_topic(orders.topic());
        let shaped = shape(subscription.set_ack_deadline_seconds(10));
        admin.create_subscription().with_request(shaped).send().await.unwrap();
        orders
    }
}

impl Orders {
    fn topic(&self) -> String {
        format!("projects/acme/topics/{}", self.name)
    }

    fn subscription(&self) -> String {
        format!("projects/acme/subscriptions/{}", self.name)
    }

    async fn publisher(&self) -> Publisher {
        let publisher = Publisher::builder(self.topic()).with_endpoint(&self.service.grpc);
        publisher.with_credentials(anonymously()).build().await.unwrap()
    }

    async fn publish(&self, messages: impl IntoIterator<Item = Message>) {
        let publisher = self.publisher().await;
        let sent: Vec<_> = messages.into_iter().map(|message| publisher.publish(message)).collect();
        for sent in sent {
            sent.await.unwrap();
        }
    }

    async fn publish_numbers(&self, numbers: std::ops::Range<usize>) {
        self.publish(numbers.map(|number| Message::new().set_data(number.to_string()))).await;
    }

    fn options(&self, more: serde_json::Value) -> PubSubOptions {
        let mut json =
            json!({ "project": "acme", "subscription": self.name, "endpoint": self.service.grpc, "streams": 1 });
        json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(json).unwrap()
    }

    fn source_with(&self, more: serde_json::Value) -> Arc<dyn Source> {
        self.options(more).source(&around(Duration::from_secs(10))).unwrap()
    }

    /// A source whose leases are as short as Pub/Sub has them, and are extended for so long.
    fn source_on_lease(&self, lease: Duration) -> Arc<dyn Source> {
        let options = self.options(json!({}));
        let flow = options.flow(Duration::from_secs(10)).unwrap();
        Arc::new(PubSubSource::new(options, Flow { extension: SHORTEST, lease, ..flow }))
    }

    fn source(&self) -> Arc<dyn Source> {
        self.source_with(json!({}))
    }
}

async fn open(source: &dyn Source, from: Option<&Position>) -> Box<dyn Reader> {
    source.open(&SplitId::new("stream-0"), from).await.unwrap()
}

/// One read.
async fn read(reader: &mut dyn Reader, records: &mut Records) -> Result<ReadStatus, SourceError> {
    let limits = ReadLimits { bytes: 1 << 20, wait: Duration::from_millis(50) };
    tokio::time::timeout(LONGEST, reader.read(records, limits)).await.expect("a read returns")
}

/// Reads until there are so many records.
async fn read_some(reader: &mut dyn Reader, number: usize) -> Records {
    let mut records = Records::default();
    let reading = async {
        while records.len() < number {
            read(reader, &mut records).await.unwrap();
        }
    };
    tokio::time::timeout(LONGEST, reading).await.expect("everything comes");
    records
}

/// Reads until the source says that this is all.
async fn read_all(reader: &mut dyn Reader) -> Records {
    let mut records = Records::default();
    let reading = async {
        loop {
            let before = records.count();
            if read(reader, &mut records).await.unwrap() == ReadStatus::CaughtUp && records.count() == before {
                return;
            }
        }
    };
    tokio::time::timeout(LONGEST, reading).await.expect("the end is said");
    records
}

fn numbers(records: &Records) -> Vec<usize> {
    (0..records.len()).map(|i| std::str::from_utf8(records.payload(i)).unwrap().parse().unwrap()).collect()
}

fn set(records: &Records) -> BTreeSet<usize> {
    numbers(records).into_iter().collect()
}
