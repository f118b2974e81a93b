//! What breaks: networks, links, brokers, owners. Every event comes once all the same.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::watch;
use watershed_eventhubs_double::{Double, Ending};

use super::{connection_string, double, items, limits, read_along, read_through, read_to_end, source, write};
use crate::conformance::proxy::{Network, Proxy};
use crate::error::SourceError;
use crate::records::Records;
use crate::source::{ReadStatus, Reader, Source, SplitId};

/// Reads until an error comes.
async fn fail(reader: &mut dyn Reader) -> SourceError {
    let mut records = Records::default();
    loop {
        records.clear();
        if let Err(error) = reader.read(&mut records, limits()).await {
            return error;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_comes_once_though_the_network_is_cut_and_stalls_while_it_is_read() {
    let (double, _) = double(1, 100).await;
    let proxy = Proxy::before(&double.address().to_string()).await;
    let source = source(&format!("amqp://{}", proxy.address()), json!({ "prefetch": 50 }));
    source.splits().await.unwrap();
    let faults = [
        (Network::Cuts, 20),
        // Longer than an answer is waited for.
        (Network::Stalls, 2500),
        (Network::Cuts, 500),
        (Network::Stalls, 200),
    ];
    let total = 100 + 20 * faults.len();
    let (progress, mut read) = watch::channel(0);
    let reading = tokio::spawn(async move { read_along(&*source, "0", None, total, &progress).await.0 });
    for (round, (network, millis)) in faults.into_iter().enumerate() {
        // The reader is open, and waits for more.
        let written = 100 + 20 * round;
        read.wait_for(|read| *read >= written).await.unwrap();
        proxy.set(network);
        write(&double, 0, written..written + 10);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        proxy.set(Network::Passes);
        write(&double, 0, written + 10..written + 20);
    }
    assert_eq!(reading.await.unwrap(), items(0, 0..total));
}

/// A reader that has read everything, over a network that is about to fail.
async fn read_behind_a_proxy() -> (Proxy, Box<dyn Reader>, impl Sized) {
    let (double, _) = double(1, 3).await;
    let proxy = Proxy::before(&double.address().to_string()).await;
    let source = source(&format!("amqp://{}", proxy.address()), json!({}));
    source.splits().await.unwrap();
    let mut reader = source.open(&SplitId::new("0"), None).await.unwrap();
    read_to_end(&mut *reader).await;
    // Both end with whoever holds them.
    (proxy, reader, (double, source))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_ends_the_reader() {
    let (proxy, mut reader, _held) = read_behind_a_proxy().await;
    proxy.set(Network::Cuts);
    assert!(matches!(fail(&mut *reader).await, SourceError::Retry { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_stalls_ends_the_reader() {
    let (proxy, mut reader, _held) = read_behind_a_proxy().await;
    proxy.set(Network::Stalls);
    let error = fail(&mut *reader).await;
    assert!(matches!(error, SourceError::Retry { .. }), "{error}");
    assert!(error.to_string().contains("no answer"), "{error}");
}

/// A network that stalls looks like a quiet partition for no longer than an answer is fresh.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_is_not_caught_up_on_the_word_of_long_ago() {
    let (proxy, mut reader, _held) = read_behind_a_proxy().await;
    proxy.set(Network::Stalls);
    let stalled = Instant::now();
    let mut last_word = Duration::ZERO;
    loop {
        match reader.read(&mut Records::default(), limits()).await {
            Ok(ReadStatus::CaughtUp) => last_word = stalled.elapsed(),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    // Looks are 50 ms apart here, and an answer is waited for for two seconds.
    assert!(last_word < Duration::from_secs(1), "still caught up after {last_word:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_sits_on_events_is_given_up() {
    let (double, endpoint) = double(1, 3).await;
    let source = source(&endpoint, json!({}));
    source.splits().await.unwrap();
    let mut reader = source.open(&SplitId::new("0"), None).await.unwrap();
    read_to_end(&mut *reader).await;
    double.hub().silence(0, true);
    write(&double, 0, 3..4);
    let error = fail(&mut *reader).await;
    assert!(error.to_string().contains("events are there and do not come"), "{error}");
    double.hub().silence(0, false);
    let (read, _) = read_through(&*source, "0", Some(reader.position()), 1).await;
    assert_eq!(read, items(0, 3..4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_never_answers_is_not_waited_for() {
    let (double, _) = double(1, 3).await;
    let proxy = Proxy::before(&double.address().to_string()).await;
    proxy.set(Network::Stalls);
    let source = source(&format!("amqp://{}", proxy.address()), json!({}));
    assert!(matches!(source.splits().await, Err(SourceError::Retry { .. })));
    assert!(matches!(source.open(&SplitId::new("0"), None).await, Err(SourceError::Retry { .. })));
    source.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_detached_is_attached_where_the_last_one_stood() {
    let (double, endpoint) = double(1, 20).await;
    let source = source(&endpoint, json!({}));
    source.splits().await.unwrap();
    let mut reader = source.open(&SplitId::new("0"), None).await.unwrap();
    let mut read = read_to_end(&mut *reader).await;
    double.hub().end_links(0, Ending::Forced);
    assert!(matches!(fail(&mut *reader).await, SourceError::Retry { .. }));
    write(&double, 0, 20..30);
    let (more, _) = read_through(&*source, "0", Some(reader.position()), 10).await;
    read.extend(more);
    assert_eq!(read, items(0, 0..30));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_back_is_read_on() {
    let (double, endpoint) = double(1, 20).await;
    let source = source(&endpoint, json!({}));
    source.splits().await.unwrap();
    let (mut read, position) = read_through(&*source, "0", None, 20).await;
    let (address, hub) = (double.address(), double.hub().clone());
    drop(double);
    assert!(matches!(source.open(&SplitId::new("0"), Some(&position)).await, Err(SourceError::Retry { .. })));
    let double = loop {
        // The address is free once the old one's task is gone.
        match Double::serve(address, hub.clone()).await {
            Ok(double) => break double,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    write(&double, 0, 20..25);
    let (more, _) = read_through(&*source, "0", Some(position), 5).await;
    read.extend(more);
    assert_eq!(read, items(0, 0..25));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_higher_owner_level_takes_over_and_a_lower_one_is_refused() {
    let (_double, endpoint) = double(1, 3).await;
    let low = source(&endpoint, json!({ "owner_level": 1 }));
    let high = source(&endpoint, json!({ "owner_level": 2 }));
    low.splits().await.unwrap();
    high.splits().await.unwrap();
    let split = SplitId::new("0");
    let mut first = low.open(&split, None).await.unwrap();
    read_to_end(&mut *first).await;
    let mut second = high.open(&split, None).await.unwrap();
    assert_eq!(read_to_end(&mut *second).await, items(0, 0..3));
    for error in [fail(&mut *first).await, fail(&mut *low.open(&split, None).await.unwrap()).await] {
        assert!(matches!(error, SourceError::Fatal { .. }), "{error}");
        assert!(error.to_string().contains("raise `owner_level`"), "{error}");
    }
    // A check says so, and takes nothing away.
    let found = low.probe().await.unwrap();
    assert!(found.contains("others read it"), "{found}");
    let mut records = Records::default();
    assert!(second.read(&mut records, limits()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_passes() {
    let (double, endpoint) = double(1, 3).await;
    let source = source(&endpoint, json!({}));
    source.splits().await.unwrap();
    double.hub().throttle(1);
    let mut reader = source.open(&SplitId::new("0"), None).await.unwrap();
    let error = fail(&mut *reader).await;
    assert!(matches!(error, SourceError::Retry { .. }), "{error}");
    assert!(error.to_string().contains("throttled"), "{error}");
    let until = source.pace.until().unwrap();
    let (read, _) = read_through(&*source, "0", None, 3).await;
    assert_eq!(read, items(0, 0..3));
    assert!(Instant::now() >= until, "the pause that the service asks for was not kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_are_dropped_leave_no_receiver_behind() {
    let (double, endpoint) = double(1, 3).await;
    let source = source(&endpoint, json!({}));
    source.splits().await.unwrap();
    for _ in 0..8 {
        let mut reader = source.open(&SplitId::new("0"), None).await.unwrap();
        // More than five at once would be refused.
        assert_eq!(read_to_end(&mut *reader).await, items(0, 0..3));
        drop(reader);
        while double.hub().receivers(0) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    source.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_says_what_to_mend() {
    let (_double, endpoint) = double(2, 3).await;
    let found = source(&endpoint, json!({ "consumer_group": "watershed" })).probe().await.unwrap();
    assert!(found.contains("2 partitions"), "{found}");
    let table = [
        (json!({ "hub": "absent" }), "correct `hub`"),
        (json!({ "consumer_group": "absent" }), "correct `consumer_group`"),
        (json!({ "connection_string": connection_string("refused") }), "Azure Event Hubs Data Receiver"),
        (json!({ "connection_string": connection_string("sender") }), "claim Listen"),
    ];
    for (more, way_out) in table {
        let error = source(&endpoint, more.clone()).probe().await.unwrap_err();
        assert!(matches!(error, SourceError::Config { .. }), "{more}: {error}");
        assert!(error.to_string().contains(way_out), "{more}: {error}");
    }
    let nowhere = source("amqp://no-such-host.invalid:5672", json!({})).probe().await.unwrap_err().to_string();
    assert!(nowhere.contains("`namespace`"), "{nowhere}");
}
