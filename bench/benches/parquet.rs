//! Rows to Parquet files on one core.

#![allow(missing_docs, clippy::expect_used)]

use std::sync::Arc;
use std::time::Instant;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Builder;
use watershed_bench::batches;
use watershed_connectors::Profile;
use watershed_sinks::{Flush, ParquetOptions, ParquetSink, Sink, SinkContext};

const EVENTS: u64 = 100_000;

fn parquet(criterion: &mut Criterion) {
    let columns = ["ts", "country", "type", "user_id", "product_id", "amount"];
    let batches = batches(Profile::Orders, EVENTS, &columns).expect("the generator makes orders");
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut group = criterion.benchmark_group("rows to parquet");
    group.throughput(Throughput::Elements(EVENTS)).sample_size(10);
    group.bench_function("6 columns, zstd", |bencher| {
        bencher.iter_batched(
            || tempfile::tempdir().expect("a temporary folder"),
            |folder| {
                let context = SinkContext {
                    pipeline: "bench".into(),
                    late: false,
                    region: "eu".into(),
                    sql_hash: "".into(),
                    schema: batches[0].schema(),
                    time_column: Some("ts".to_string()),
                    sort_by: Vec::new(),
                };
                let options = ParquetOptions::at(folder.path().display().to_string());
                let mut sink = ParquetSink::local(options, context, Arc::new(Instant::now)).expect("a sink");
                runtime.block_on(async {
                    let epoch = sink.open().await.expect("an empty folder");
                    for (number, batch) in (0..).zip(&batches) {
                        sink.write(number, batch.clone()).await.expect("rows are written");
                    }
                    let prepared = sink.prepare(epoch, Flush::All).await.expect("files are made");
                    sink.commit(&prepared).await.expect("files are shown").files
                })
            },
            BatchSize::PerIteration,
        );
    });
}

criterion_group!(benches, parquet);
criterion_main!(benches);
