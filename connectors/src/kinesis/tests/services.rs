//! Against real servers: `scripts/services run kinesalite kinesis-local -- cargo test … -- --ignored kinesis::`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::driver::Driver;
use super::stream::{Stream, pack, server};
use crate::conformance::{Fixture, Item};
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

async fn conforms(variable: &str, rounds: usize, keys: serde_json::Value) {
    let stream = Stream::create(&server(variable), 2).await;
    let expected = fill(&stream, rounds).await;
    let make = move || -> Box<dyn Source> { Box::new(Arc::into_inner(stream.source(keys.clone())).unwrap()) };
    let mut fixture = Fixture::new(make, expected);
    fixture.patience = Duration::from_millis(20);
    fixture.run().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kinesalite -- cargo test … --ignored"]
async fn polling_conforms() {
    conforms(KINESALITE, 12, json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kinesis-local -- cargo test … --ignored"]
async fn fan_out_conforms() {
    conforms(KINESIS_LOCAL, 2, json!({ "mode": "fan-out", "consumer": "conformance" })).await;
}

/// Splits and merges while records are written, and the reader starts again in between: each record comes once, and those
/// of a key in order.
async fn reshards_under_load(variable: &str, records: u32, keys: serde_json::Value) {
    const KEYS: u32 = 23;
    let stream = Arc::new(Stream::create(&server(variable), 2).await);
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
        driver.run(&*stream.source(keys.clone()), |taken, _| taken.len() >= some).await;
    }
    let all = |taken: &[String], end: bool| written.load(Ordering::SeqCst) && end && taken.len() >= records as usize;
    driver.run(&*stream.source(keys), all).await;
    producer.await.unwrap();

    let ids: Vec<u32> = driver.taken.iter().map(|id| id.parse().unwrap()).collect();
    let mut last: HashMap<u32, u32> = HashMap::new();
    for id in &ids {
        let before = last.insert(id % KEYS, *id);
        assert!(before.is_none_or(|before| before < *id), "key {} went from {before:?} to {id}", id % KEYS);
    }
    assert_eq!(ids.len(), records as usize);
    assert!(driver.known.len() >= 8, "{} shards were read", driver.known.len());
    assert_eq!(driver.known.values().filter(|known| !known.ended).count(), stream.open_shards().await.len());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kinesalite -- cargo test … --ignored"]
async fn splits_and_merges_lose_and_repeat_nothing() {
    reshards_under_load(KINESALITE, 20_000, json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kinesis-local -- cargo test … --ignored"]
async fn splits_and_merges_under_fan_out_lose_and_repeat_nothing() {
    reshards_under_load(KINESIS_LOCAL, 1_000, json!({ "mode": "fan-out", "consumer": "resharding" })).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "x"]
async fn timing() {
    let t = std::time::Instant::now();
    let stream = Stream::create(&server(KINESALITE), 2).await;
    eprintln!("created {:?}", t.elapsed());
    fill(&stream, 12).await;
    eprintln!("filled {:?}", t.elapsed());
    for _ in 0..3 {
        let source = stream.source(json!({}));
        let splits = source.splits().await.unwrap();
        eprintln!("listed {:?}", t.elapsed());
        let mut reader = source.open(&splits[0], None).await.unwrap();
        for _ in 0..8 {
            let mut records = crate::records::Records::default();
            let limits = crate::source::ReadLimits { bytes: 1000, wait: Duration::from_millis(20) };
            let status = reader.read(&mut records, limits).await;
            eprintln!("read {status:?} {} {:?} {:?}", records.len(), reader.position(), t.elapsed());
        }
    }
}
