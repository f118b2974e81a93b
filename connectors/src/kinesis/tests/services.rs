//! Against real servers: `scripts/services run kinesalite kinesis-local -- cargo test … -- --ignored kinesis::`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::driver::Driver;
use super::proxy::{Fate, Proxy};
use super::stream::{Stream, pack, server};
use crate::conformance::{Fixture, Item};
use crate::error::SourceError;
use crate::source::Source;

const KINESALITE: &str = "WATERSHED_KINESALITE";
const KINESIS_LOCAL: &str = "WATERSHED_KINESIS_LOCAL";

/// Fills two shards with plain records and aggregates; gives what must come out.
async fn fill(stream: &Stream, rounds: usize) -> Vec<(String, Vec<Item>)> {
    let open = stream.open_shards().await;
    let mut expected: Vec<(String, Vec<Item>)> = open.into_iter().map(|(shard, ..)| (shard, Vec::new())).collect();
    for (high, (shard, items)) in expected.iter_mut().enumerate() {
        let mut add = |payload: String| {
            items.push(Item::record(&payload, items.len() as u64));
            payload
        };
        for round in 0..rounds {
            let plain = add(format!("{shard} plain {round}"));
            stream.put_one(high == 1, plain.as_bytes()).await;
            let packed: Vec<String> = (0..3).map(|i| add(format!("{shard} packed {round} {i}"))).collect();
            let packed: Vec<(&str, &[u8])> = packed.iter().map(|one| ("key", one.as_bytes())).collect();
            stream.put_one(high == 1, &pack(&packed)).await;
        }
    }
    expected
}

async fn conforms(stream: Stream, rounds: usize, patience: Duration, keys: impl Fn() -> Value + 'static) {
    let expected = fill(&stream, rounds).await;
    let make = move || -> Box<dyn Source> { Box::new(Arc::into_inner(stream.source(keys())).unwrap()) };
    let mut fixture = Fixture::new(make, expected);
    fixture.patience = patience;
    fixture.run().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kinesalite -- cargo test … --ignored"]
async fn polling_conforms() {
    conforms(Stream::create(&server(KINESALITE), 2).await, 12, Duration::from_millis(20), || json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kinesis-local -- cargo test … --ignored"]
async fn fan_out_conforms() {
    let stream = Stream::create(&server(KINESIS_LOCAL), 1).await;
    let made = AtomicUsize::new(0);
    // In turn, as this server takes seconds to see that a subscription was dropped, and has twenty at most.
    let keys = move || {
        let number = made.fetch_add(1, Ordering::SeqCst) % 10;
        json!({ "mode": "fan-out", "consumer": format!("conformance-{number}") })
    };
    // Long enough for the next event.
    conforms(stream, 1, Duration::from_secs(30), keys).await;
}

/// Splits and merges while records are written, and the reader starts again in between: each record comes once, and those
/// of a key in order.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kinesalite -- cargo test … --ignored"]
async fn splits_and_merges_lose_and_repeat_nothing() {
    const KEYS: u32 = 23;
    let records = 20_000;
    let stream = Arc::new(Stream::create(&server(KINESALITE), 2).await);
    let written = Arc::new(AtomicBool::new(false));
    let producer = tokio::spawn({
        let (stream, written) = (stream.clone(), written.clone());
        async move {
            let steps = 8;
            for step in 0..steps {
                let of_step = step * records / steps..(step + 1) * records / steps;
                let entry = |id: u32| (format!("key {}", id % KEYS), None, id.to_string().into_bytes());
                stream.put(&of_step.map(entry).collect::<Vec<_>>()).await;
                match step {
                    0 => stream.split(0).await,
                    1 => stream.split(2).await,
                    2 => stream.merge(1).await,
                    3 => stream.merge(0).await,
                    4 => stream.split(1).await,
                    5 => stream.merge(0).await,
                    _ => {}
                }
            }
            written.store(true, Ordering::SeqCst);
        }
    });
    let mut driver = Driver::default();
    // Three processes, one after the other.
    for part in 1..=2 {
        let some = (part * records / 3) as usize;
        driver.run(&*stream.source(json!({})), |taken, _| taken.len() >= some).await;
    }
    let all = |taken: &[String], end: bool| written.load(Ordering::SeqCst) && end && taken.len() >= records as usize;
    driver.run(&*stream.source(json!({})), all).await;
    producer.await.unwrap();

    check_order(&driver.taken, records, KEYS);
    assert!(driver.known.len() >= 8, "{} shards were read", driver.known.len());
    assert_eq!(driver.known.values().filter(|known| !known.ended).count(), stream.open_shards().await.len());

    // Once more, with all of it there: parents and children could be read at the same time.
    let mut driver = Driver::default();
    driver.run(&*stream.source(json!({})), |taken, end| end && taken.len() >= records as usize).await;
    check_order(&driver.taken, records, KEYS);
}

/// Each of `records` numbers came once, and those of a key in order.
fn check_order(taken: &[String], records: u32, keys: u32) {
    let ids: Vec<u32> = taken.iter().map(|id| id.parse().unwrap()).collect();
    let mut last: HashMap<u32, u32> = HashMap::new();
    for id in &ids {
        let before = last.insert(id % keys, *id);
        assert!(before.is_none_or(|before| before < *id), "key {} went from {before:?} to {id}", id % keys);
    }
    assert_eq!(ids.len(), records as usize);
}

/// A source behind a proxy that judges its requests.
async fn behind(stream: &Stream, judge: impl Fn(&str, &str) -> Fate + Send + Sync + 'static) -> (Proxy, Value) {
    let proxy = Proxy::start(&stream.endpoint, judge).await;
    let keys = json!({ "endpoint": proxy.endpoint });
    (proxy, keys)
}

async fn put_numbers(stream: &Stream, count: u32) -> Vec<String> {
    let numbers: Vec<String> = (0..count).map(|id| format!("{id:06}")).collect();
    let entry = |id: &String| (id.clone(), None, id.clone().into_bytes());
    stream.put(&numbers.iter().map(entry).collect::<Vec<_>>()).await;
    numbers
}

fn sorted(mut taken: Vec<String>) -> Vec<String> {
    taken.sort();
    taken
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kinesalite -- cargo test … --ignored"]
async fn throttling_and_expired_iterators_are_no_errors() {
    let stream = Stream::create(&server(KINESALITE), 2).await;
    let count = Arc::new(AtomicUsize::new(0));
    let (_proxy, keys) = behind(&stream, {
        let count = count.clone();
        move |operation, _| match operation {
            "GetRecords" | "GetShardIterator" => match count.fetch_add(1, Ordering::SeqCst) % 7 {
                1 | 2 => Fate::Refuse("ProvisionedThroughputExceededException"),
                4 if operation == "GetRecords" => Fate::Refuse("ExpiredIteratorException"),
                _ => Fate::Pass,
            },
            _ => Fate::Pass,
        }
    })
    .await;
    let numbers = put_numbers(&stream, 3_000).await;
    let mut driver = Driver::default();
    let source = stream.source(keys);
    // Read on past the end: repeats would come then.
    driver.run(&*source, |taken, end| end && taken.len() >= 3_000 && count.load(Ordering::SeqCst) > 40).await;
    assert_eq!(driver.failures, 0);
    assert_eq!(sorted(driver.taken), numbers);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kinesalite -- cargo test … --ignored"]
async fn broken_connections_lose_and_repeat_nothing() {
    let stream = Stream::create(&server(KINESALITE), 2).await;
    let count = Arc::new(AtomicUsize::new(0));
    let (_proxy, keys) = behind(&stream, {
        let count = count.clone();
        move |operation, _| match (operation, count.fetch_add(1, Ordering::SeqCst)) {
            // Once: the client gives up after a while.
            ("GetRecords", 9) => Fate::Stall,
            ("GetRecords", n) if n % 3 == 1 => Fate::Cut(700),
            (_, n) if n % 5 == 2 => Fate::Cut(0),
            (_, n) if n % 7 == 3 => Fate::Break,
            _ => Fate::Pass,
        }
    })
    .await;
    let numbers = put_numbers(&stream, 3_000).await;
    let mut driver = Driver::default();
    let source = stream.source(keys);
    driver.run(&*source, |taken, end| end && taken.len() >= 3_000 && count.load(Ordering::SeqCst) > 60).await;
    assert!(driver.failures > 3, "{} failures", driver.failures);
    assert_eq!(sorted(driver.taken), numbers);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kinesis-local -- cargo test … --ignored"]
async fn broken_subscriptions_lose_and_repeat_nothing() {
    let stream = Stream::create(&server(KINESIS_LOCAL), 1).await;
    let count = Arc::new(AtomicUsize::new(0));
    let proxy = Proxy::start(&stream.endpoint, {
        let count = count.clone();
        move |operation, _| match (operation, count.load(Ordering::SeqCst)) {
            ("SubscribeToShard", n) if n < 3 => {
                count.fetch_add(1, Ordering::SeqCst);
                // In the midst of the first event with records, or a little later.
                Fate::Cut(3_000 + 5_000 * n)
            }
            _ => Fate::Pass,
        }
    })
    .await;
    let numbers = put_numbers(&stream, 150).await;
    let keys = json!({ "endpoint": proxy.endpoint, "mode": "fan-out", "consumer": "broken" });
    let mut driver = Driver::default();
    driver.run(&*stream.source(keys), |taken, end| end && taken.len() >= 150).await;
    assert!(driver.failures > 0);
    assert_eq!(driver.taken, numbers);
}

/// Not on kinesalite: it never answers where an empty shard is asked for by time.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kinesis-local -- cargo test … --ignored"]
async fn latest_is_the_moment_of_the_first_start() {
    let stream = Stream::create(&server(KINESIS_LOCAL), 1).await;
    stream.put_one(false, b"before").await;
    stream.split(0).await;
    stream.put_one(true, b"before too").await;
    // Time stamps have milliseconds.
    let written = std::time::Instant::now();
    while written.elapsed() < Duration::from_millis(20) {
        tokio::task::yield_now().await;
    }
    let mut driver = Driver::default();
    driver.run(&*stream.source(json!({ "start": "latest" })), |_, end| end).await;
    assert_eq!((driver.taken.len(), driver.known.len()), (0, 2), "what was closed is left out");
    stream.put_one(false, b"after").await;
    stream.split(1).await;
    stream.put_one(true, b"of a child").await;
    // Nothing had been read when the process ended.
    driver.run(&*stream.source(json!({ "start": "earliest" })), |taken, end| end && taken.len() >= 2).await;
    assert_eq!(sorted(driver.taken), ["after", "of a child"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kinesalite -- cargo test … --ignored"]
async fn a_probe_says_what_is_there_and_what_to_mend() {
    let stream = Stream::create(&server(KINESALITE), 2).await;
    stream.split(0).await;
    let found = stream.source(json!({})).probe().await.unwrap();
    let open = format!("stream {} in eu-west-1, active: 3 open shards, 1 closed; read from ", stream.name);
    assert!(found.starts_with(&open), "{found}");
    let near = stream.name.to_uppercase();
    let error = stream.source(json!({ "stream": near })).probe().await.unwrap_err().to_string();
    assert!(error.contains(&format!("did you mean {}? check `stream` and `aws_region`", stream.name)), "{error}");

    let (_proxy, keys) = behind(&stream, |operation, _| match operation {
        "GetRecords" => Fate::Refuse("AccessDeniedException"),
        _ => Fate::Pass,
    })
    .await;
    let error = stream.source(keys).probe().await.unwrap_err();
    let resource = format!("kinesis:GetRecords on arn:aws:kinesis:eu-west-1:ACCOUNT:stream/{}", stream.name);
    assert!(matches!(&error, SourceError::Config { what } if what.ends_with(&resource)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kinesis-local -- cargo test … --ignored"]
async fn a_probe_looks_for_the_consumer_and_registers_none() {
    let stream = Stream::create(&server(KINESIS_LOCAL), 1).await;
    let source = stream.source(json!({ "mode": "fan-out", "consumer": "probed" }));
    let found = source.probe().await.unwrap();
    assert!(found.contains("consumer probed will be registered"), "{found}");
    let splits = source.splits().await.unwrap();
    source.open(&splits[0], None).await.unwrap();
    assert!(source.probe().await.unwrap().contains("consumer probed is active"));
}
