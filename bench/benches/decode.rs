//! JSON to Arrow on one core: bytes and events a second.

#![allow(missing_docs, clippy::expect_used)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use watershed_bench::{chunks, profile_decoder};
use watershed_connectors::{Profile, Records};

/// Of the texts that nobody asks for.
const LONG: usize = 3_800;

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
    group.finish();

    let long: Vec<Records> = chunks.iter().map(with_note).collect();
    let bytes: usize = long.iter().map(|records| records.byte_len()).sum();
    let mut group = criterion.benchmark_group("decode orders with a long text");
    group.throughput(Throughput::Bytes(bytes as u64));
    let mut decoder =
        profile_decoder(Profile::Orders, &["ts", "country", "type", "amount"]).expect("orders have these");
    group.bench_function("4 of 11 columns", |bencher| {
        bencher.iter(|| long.iter().map(|records| decoder.decode(records).batch.num_rows()).sum::<usize>());
    });
}

/// The first of the records, each with a text more; about as many bytes as all of them had.
fn with_note(records: &Records) -> Records {
    let mut long = Records::default();
    let note = format!(r#","note":"{}"}}"#, "n".repeat(LONG));
    for record in 0..(records.byte_len() / LONG).max(1) {
        let (_, order) = records.payload(record).split_last().expect("a record is an object");
        long.push(&[order, note.as_bytes()].concat(), records.position(record));
    }
    long
}

criterion_group!(benches, decode);
criterion_main!(benches);
