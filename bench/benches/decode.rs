//! JSON to Arrow on one core: bytes and events a second.

#![allow(missing_docs, clippy::expect_used)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use watershed_bench::{chunks, profile_decoder};
use watershed_connectors::Profile;

fn decode(criterion: &mut Criterion) {
    let chunks = chunks(Profile::Orders, 100_000).expect("the generator makes orders");
    let bytes: usize = chunks.iter().map(|records| records.byte_len()).sum();
    let mut group = criterion.benchmark_group("decode orders");
    group.throughput(Throughput::Bytes(bytes as u64));
    let all = ["event_id", "ts", "region", "country", "type", "user_id", "product_id", "amount", "currency", "device"];
    for (name, columns) in [("4 of 10 columns", &["ts", "country", "type", "amount"][..]), ("all columns", &all)] {
        let mut decoder = profile_decoder(Profile::Orders, columns).expect("orders have these columns");
        group.bench_function(name, |bencher| {
            bencher.iter(|| chunks.iter().map(|records| decoder.decode(records).batch.num_rows()).sum::<usize>());
        });
    }
}

criterion_group!(benches, decode);
criterion_main!(benches);
