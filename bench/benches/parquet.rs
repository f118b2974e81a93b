//! Rows to Parquet files on one core: the encoder alone, and the sink around it.
//!
//! With `WATERSHED_LAKE=s3://bucket/path`, `WATERSHED_LAKE_ENDPOINT` and the cloud's own variables for credentials, into that
//! store as well.

#![allow(missing_docs, clippy::expect_used)]

use std::sync::Arc;
use std::time::Instant;

use arrow::record_batch::RecordBatch;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use parquet::arrow::arrow_writer::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use tokio::runtime::{Builder, Runtime};
use watershed_bench::batches;
use watershed_connectors::Profile;
use watershed_sinks::{Flush, ParquetOptions, ParquetSink, Sink, SinkContext, WriterBudget};

const EVENTS: u64 = 4_000_000;
const COLUMNS: [&str; 6] = ["ts", "country", "type", "user_id", "product_id", "amount"];

/// Bytes of a file that holds all rows.
fn encode(batches: &[RecordBatch]) -> usize {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).expect("a level of zstd")))
        .set_statistics_enabled(EnabledStatistics::Page)
        .build();
    let writer = ArrowWriter::try_new(Vec::new(), batches[0].schema(), Some(properties));
    let mut writer = writer.expect("types that Parquet has");
    for batch in batches {
        writer.write(batch).expect("rows are encoded");
    }
    writer.into_inner().expect("a file").len()
}

fn write(runtime: &Runtime, options: ParquetOptions, sort_by: &[&str], batches: &[RecordBatch]) -> u64 {
    let context = SinkContext {
        pipeline: "bench".into(),
        late: false,
        region: "eu".into(),
        sql_hash: "".into(),
        schema: batches[0].schema(),
        time_column: Some("ts".to_string()),
        sort_by: sort_by.iter().map(ToString::to_string).collect(),
        writers: WriterBudget::of_memory(2_000_000_000, None),
    };
    runtime.block_on(async {
        let mut sink = ParquetSink::at(options, context, Arc::new(Instant::now)).expect("a sink");
        let epoch = sink.open().await.expect("a place for files");
        for (number, batch) in (0..).zip(batches) {
            sink.write(number, batch.clone()).await.expect("rows are written");
        }
        let prepared = sink.prepare(epoch, Flush::All).await.expect("files are made");
        sink.commit(&prepared).await.expect("files are shown").files
    })
}

fn parquet(criterion: &mut Criterion) {
    let batches = batches(Profile::Orders, EVENTS, &COLUMNS).expect("the generator makes orders");
    println!("{EVENTS} rows are {} bytes of Parquet", encode(&batches));
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut group = criterion.benchmark_group("rows to parquet, 6 columns, zstd");
    group.throughput(Throughput::Elements(EVENTS)).sample_size(10);
    group.bench_function("encoder alone", |bencher| bencher.iter(|| encode(&batches)));
    for (name, sort_by) in [("local folder", &[][..]), ("local folder, sorted by country", &["country"][..])] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || tempfile::tempdir().expect("a temporary folder"),
                |folder| {
                    let options = ParquetOptions::at(folder.path().display().to_string());
                    write(&runtime, options, sort_by, &batches)
                },
                BatchSize::PerIteration,
            );
        });
    }
    if let Ok(url) = std::env::var("WATERSHED_LAKE") {
        let mut run = 0;
        group.bench_function("object store", |bencher| {
            bencher.iter(|| {
                run += 1;
                let mut options = ParquetOptions::at(format!("{url}/{run}"));
                options.store.endpoint = std::env::var("WATERSHED_LAKE_ENDPOINT").ok();
                write(&runtime, options, &[], &batches)
            });
        });
    }
}

criterion_group!(benches, parquet);
criterion_main!(benches);
