//! How fast a source reads: printed, not judged.

use std::time::Instant;

use super::*;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures: scripts/services run pubsub-load -- cargo test … --ignored --nocapture speed"]
async fn messages_a_second() {
    const MESSAGES: usize = 400_000;
    let orders = Service::fast_one().orders().await;
    let publisher = orders.publisher().await;
    let payload = "x".repeat(219);
    let begun = Instant::now();
    for _ in 0..MESSAGES / 10_000 {
        let sent: Vec<_> = (0..10_000).map(|_| publisher.publish(Message::new().set_data(payload.clone()))).collect();
        for sent in sent {
            sent.await.unwrap();
        }
    }
    println!("published {:.0}/s", MESSAGES as f64 / begun.elapsed().as_secs_f64());
    for streams in [1, 4] {
        let source = orders.source_with(json!({ "streams": streams }));
        let mut readers = tokio::task::JoinSet::new();
        let begun = Instant::now();
        let read = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        for split in source.splits().await.unwrap() {
            let mut reader = source.open(&split, None).await.unwrap();
            let all = read.clone();
            readers.spawn(async move {
                use std::sync::atomic::Ordering::Relaxed;
                let mut records = Records::default();
                while all.load(Relaxed) < MESSAGES {
                    records.clear();
                    super::read(&mut *reader, &mut records).await.unwrap();
                    all.fetch_add(records.len(), Relaxed);
                }
                reader
            });
        }
        let mut held = Vec::new();
        while let Some(reader) = readers.join_next().await {
            held.push(reader.unwrap());
        }
        println!("{streams} streams: read {:.0}/s", MESSAGES as f64 / begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        for reader in &mut held {
            if streams == 4 {
                reader.acknowledge(&reader.position()).await.unwrap();
            }
        }
        drop(held);
        source.close().await;
        println!("{streams} streams: let go in {:.0?}", begun.elapsed());
    }
}
