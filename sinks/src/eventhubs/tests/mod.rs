//! Events as a hub of another make has them, whatever befalls them on the way.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod pure;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use watershed_eventhubs_double::{Double, Fault, MAX_MESSAGE_BYTES};

use super::EventHubsOptions;
use super::publisher::HubPublisher;
use super::session::Patience;
use crate::SinkError;
use crate::conformance::{Fixture, Nature, batch, context, crashes, run};
use crate::messages::{
    Again, Epoch, IDEMPOTENCY_KEY, Limits, Message, MessageOptions, MessageSink, Publisher, name_of,
};
use crate::sink::{Flush, Sink};

const PARTITIONS: usize = 4;

fn options(text: &str) -> Result<EventHubsOptions, toml::de::Error> {
    toml::from_str(text)
}

/// The options of a sink that writes to `address` by a policy, which the double knows by its name.
fn to(address: impl std::fmt::Display, policy: &str, more: &str) -> EventHubsOptions {
    let access = format!("SharedAccessKeyName={policy};SharedAccessKey=c2VjcmV0");
    let text = format!(
        "hub = \"hub\"\nconnection_string = \"Endpoint=sb://double.servicebus.windows.net/;{access}\"\n\
         endpoint = \"amqp://{address}\"\n{more}"
    );
    options(&text).unwrap()
}

/// Less patience than one with the whole internet before it has.
const SHORT: Patience = Patience {
    connect: Duration::from_secs(2),
    ask: Duration::from_secs(2),
    confirm: Duration::from_millis(500),
    close: Duration::from_secs(1),
    throttled: Duration::from_millis(50),
};

fn publisher(double: &Double, pipeline: &str) -> HubPublisher {
    let hub = to(double.address(), "all", "").hub().unwrap();
    let mut publisher = HubPublisher::new(hub, name_of(&context(pipeline), "hub"));
    publisher.patience = SHORT;
    publisher
}

async fn start() -> Double {
    // The client wants a TLS stack even where it encrypts nothing. Another test may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Double::start("127.0.0.1:0", PARTITIONS).await.unwrap()
}

/// An event that has come, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Came {
    partition: usize,
    key: Option<String>,
    id: String,
    value: String,
}

/// Every event of the hub, partition by partition, in its order.
fn came(double: &Double) -> Vec<Came> {
    let of_partition = |partition| {
        double.hub().events(partition).into_iter().map(move |event| {
            let id = event.id().unwrap().to_owned();
            assert_eq!(event.property(IDEMPOTENCY_KEY), Some(&*id));
            let value = String::from_utf8(event.payload()).unwrap();
            Came { partition, key: event.partition_key().map(str::to_owned), id, value }
        })
    };
    (0..PARTITIONS).flat_map(of_partition).collect()
}

/// The same, without repetitions, which are the same in every respect but for events without a key, which go anywhere.
fn once(double: &Double) -> BTreeMap<String, Came> {
    let mut found: BTreeMap<String, Came> = BTreeMap::new();
    for event in came(double) {
        let known = found.entry(event.id.clone()).or_insert_with(|| event.clone());
        assert_eq!((&known.key, &known.value), (&event.key, &event.value));
        assert!(event.key.is_none() || known.partition == event.partition, "{event:?}");
    }
    found
}

/// A double of its own.
struct Server {
    double: Double,
    key: Option<usize>,
    epoch_bytes: usize,
}

impl Server {
    fn new(key: Option<usize>, epoch_bytes: usize, faults: &[Fault]) -> Self {
        let double = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(start()));
        double.hub().fail_every(7, faults);
        Self { double, key, epoch_bytes }
    }
}

#[async_trait]
impl Fixture for Server {
    fn sink(&self, pipeline: &str) -> Box<dyn Sink> {
        let limits = Limits::whole(self.epoch_bytes);
        Box::new(Again(Box::new(MessageSink::new(publisher(&self.double, pipeline), self.key, limits))))
    }

    async fn visible(&self, pipeline: &str) -> Option<Vec<i64>> {
        let begin = format!("{}/", name_of(&context(pipeline), "hub"));
        let events = once(&self.double).into_values().filter(|event| event.id.starts_with(&begin));
        let id = |event: Came| serde_json::from_str::<serde_json::Value>(&event.value).unwrap()["id"].as_i64().unwrap();
        Some(events.map(id).collect())
    }

    fn nature(&self) -> Nature {
        Nature { shows_at_write: false, holds_back: false, remembers_epochs: false }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_whose_readers_drop_repetitions_has_each_row_once() {
    run(|| Server::new(None, 16_000_000, &[])).await;
    run(|| Server::new(Some(1), 16_000_000, &[])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_fail_are_sent_again_under_the_same_id() {
    let faults = [Fault::DetachedAfter, Fault::Busy, Fault::Released, Fault::DetachedBefore];
    crashes(|| Server::new(Some(1), 2_000, &faults), 4..7).await;
    crashes(|| Server::new(None, 2_000, &faults), 4..5).await;
}

fn message(key: Option<&str>, value: impl Into<String>) -> Message {
    Message(key.map(str::to_owned), value.into())
}

/// An epoch of so many rows, three to a key.
fn epoch(number: u64, rows: usize) -> Epoch {
    let row = |row: usize| message(Some(&format!("key {}", row % rows.div_ceil(3))), format!("{{\"row\":{row}}}"));
    Epoch { epoch: number, after: 0, parts: vec![(0..rows).map(row).collect()] }
}

/// Epochs and numbers of the rows of each key, in the order in which they came for the first time.
fn orders(double: &Double) -> BTreeMap<String, Vec<(u64, usize)>> {
    let mut orders: BTreeMap<String, Vec<(u64, usize)>> = BTreeMap::new();
    for event in came(double) {
        let rows = orders.entry(event.key.unwrap()).or_default();
        let place = place_of(&event.id);
        if !rows.contains(&place) {
            rows.push(place);
        }
    }
    orders
}

/// Epoch and number of a row, by the id of its event.
fn place_of(id: &str) -> (u64, usize) {
    let parts: Vec<&str> = id.split('/').collect();
    (parts[3].parse().unwrap(), parts[4].parse().unwrap())
}

async fn publish(publisher: &mut HubPublisher, epoch: &Epoch) -> Result<u64, SinkError> {
    loop {
        match publisher.publish(epoch.clone()).await {
            Err(SinkError::Retry { .. }) => {}
            ended => return ended,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_leaves_every_row_there_and_in_its_order() {
    let faults = [Fault::Busy, Fault::Released, Fault::DetachedBefore, Fault::DetachedAfter, Fault::Silent];
    for fault in faults {
        let double = start().await;
        let mut publisher = publisher(&double, "orders");
        publish(&mut publisher, &epoch(1, 30)).await.unwrap();
        assert_eq!(once(&double).len(), 30, "{fault:?}");
        for _ in 0..3 {
            double.hub().fail(fault);
        }
        publish(&mut publisher, &epoch(2, 60)).await.unwrap();
        assert_eq!(once(&double).len(), 90, "{fault:?}");
        let repeated = matches!(fault, Fault::DetachedAfter | Fault::Silent);
        assert!(came(&double).len() > 90 || !repeated, "{fault:?}");
        for (key, rows) in orders(&double) {
            assert_eq!(rows.len(), if key[4..].parse::<usize>().unwrap() < 10 { 6 } else { 3 }, "{fault:?}: {key}");
            assert!(rows.is_sorted(), "{fault:?}: {key}: {rows:?}");
        }
        for Came { key, id, value, .. } in once(&double).into_values() {
            let (epoch, row) = place_of(&id);
            let key_number = row % if epoch == 1 { 10 } else { 20 };
            assert_eq!((key, value), (Some(format!("key {key_number}")), format!("{{\"row\":{row}}}")));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_key_stand_in_their_order_though_sends_fail() {
    let double = start().await;
    double.hub().fail_every(5, &[Fault::Released, Fault::DetachedAfter, Fault::Busy, Fault::DetachedBefore]);
    // So large that each event is a batch of its own.
    let large = |row: usize| message(Some(&format!("key {}", row % 4)), format!("{row} {}", "x".repeat(600_000)));
    let epoch = Epoch { epoch: 1, after: 0, parts: vec![(0..24).map(large).collect()] };
    publish(&mut publisher(&double, "orders"), &epoch).await.unwrap();
    for (key, rows) in orders(&double) {
        assert_eq!(rows.len(), 6, "{key}");
        assert!(rows.is_sorted(), "{key}: {rows:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_confirmed_is_not_sent_again() {
    let double = start().await;
    double.hub().fail_every(10, &[Fault::Released]);
    publish(&mut publisher(&double, "orders"), &epoch(1, 300)).await.unwrap();
    let sent = came(&double).len();
    // On a machine that is busy the client may lose a confirmation. With no memory, each failure would send everything again.
    assert!((300..600).contains(&sent), "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_no_hub_takes_is_refused_with_the_way_out() {
    let double = start().await;
    let size = usize::try_from(MAX_MESSAGE_BYTES).unwrap();
    let mut publisher = publisher(&double, "orders");
    for (value, fits) in [(size / 2, true), (size - 1_000, true), (size, false)] {
        let parts = vec![vec![message(None, "x".repeat(value))]];
        let published = publisher.publish(Epoch { epoch: value as u64, after: 0, parts }).await;
        match published {
            Ok(_) => assert!(fits, "{value}"),
            Err(error) => {
                assert!(matches!(error, SinkError::Config { .. }) && !fits, "{value}: {error}");
                let text = error.to_string();
                assert!(text.contains("a row is larger than is taken") && text.contains("windows.net/hub"), "{text}");
            }
        }
    }
    assert_eq!(once(&double).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_send_is_told_what_to_give() {
    let double = start().await;
    let epoch = || Epoch { epoch: 1, after: 0, parts: vec![vec![message(None, "{}")]] };
    for policy in ["receiver", "refused"] {
        let hub = to(double.address(), policy, "").hub().unwrap();
        let mut publisher = HubPublisher::new(hub, "eu-west-1/orders/hub".to_owned());
        for error in [publisher.probe().await.unwrap_err(), publisher.publish(epoch()).await.unwrap_err()] {
            assert!(matches!(error, SinkError::Config { .. }), "{policy}: {error}");
            let text = error.to_string();
            assert!(text.contains("Azure Event Hubs Data Sender") && text.contains("claim Send"), "{policy}: {text}");
            assert!(!text.contains("c2VjcmV0"), "{text}");
        }
    }
    let mut elsewhere = to(double.address(), "all", "").hub().unwrap();
    elsewhere.name = "elsewhere".to_owned();
    let mut publisher = HubPublisher::new(elsewhere, "eu-west-1/orders/hub".to_owned());
    for error in [publisher.probe().await.unwrap_err(), publisher.publish(epoch()).await.unwrap_err()] {
        assert!(matches!(error, SinkError::Config { .. }) && error.to_string().contains("is not there"), "{error}");
    }
    assert!(came(&double).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_sends_nothing() {
    let double = start().await;
    for policy in ["all", "sender"] {
        let found = to(double.address(), policy, "").probe(&context("orders"), "hub").await.unwrap();
        assert!(found.contains("up to 1048576 bytes; none was sent"), "{found}");
    }
    assert!(came(&double).is_empty());
    let nobody = to("127.0.0.1:1", "all", "").probe(&context("orders"), "hub").await.unwrap_err();
    let text = nobody.to_string();
    assert!(matches!(nobody, SinkError::Retry { .. }) && text.contains("is `namespace` right"), "{text}");
    assert!(!text.contains("c2VjcmV0"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_died_while_nothing_was_sent_is_not_noticed() {
    let double = start().await;
    let mut publisher = publisher(&double, "orders");
    publisher.publish(epoch(1, 30)).await.unwrap();
    double.hub().end_senders();
    publisher.publish(epoch(2, 30)).await.unwrap();
    assert_eq!(once(&double).len(), 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_of_the_options_sends_keys_and_values() {
    let double = start().await;
    let mut sink = to(double.address(), "sender", "key = \"name\"").sink(&context("orders"), "hub").unwrap();
    assert_eq!(sink.open().await.unwrap(), 1);
    sink.write(0, batch(&[1, 3])).await.unwrap();
    let prepared = sink.prepare(1, Flush::Due).await.unwrap();
    sink.commit(&prepared).await.unwrap();
    let mut found = came(&double);
    found.sort_by(|a, b| a.id.cmp(&b.id));
    let [first, third] = &*found else { panic!("{found:?}") };
    assert_eq!(first.value, r#"{"ts":"2026-03-01T00:00:10Z","id":1,"name":"name 1"}"#);
    assert_eq!((first.key.as_deref(), third.key.as_deref()), (Some("name 1"), None));
    assert!(first.id.starts_with("eu-west-1/orders/hub/1/0/") && third.id.starts_with("eu-west-1/orders/hub/1/1/"));
}
