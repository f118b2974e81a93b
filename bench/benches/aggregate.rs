//! Aggregates over few and many groups, a row: what a lane does for each of them beside finding the group.

#![allow(missing_docs, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use watershed_engine::aggregate::{AggregateSpec, GroupTable};
use watershed_engine::plan::{Stage, plan_sql};
use watershed_engine::sql::{Catalog, StreamTable};
use watershed_engine::window::Work;

/// Rows of a batch, as a lane has them.
const ROWS: usize = 8192;
const BATCHES: usize = 128;

const CALLS: [(&str, &str); 8] = [
    ("keys alone", "count(*)"),
    ("sum", "sum(x)"),
    ("approx_percentile_cont", "approx_percentile_cont(x, 0.99)"),
    ("approx_distinct", "approx_distinct(n)"),
    ("covar_pop, one group at a time", "covar_pop(x, y)"),
    ("count distinct", "count(DISTINCT n)"),
    ("avg distinct, one group at a time", "avg(DISTINCT y)"),
    ("median", "median(x)"),
];

fn spec(call: &str) -> (Arc<AggregateSpec>, Vec<usize>) {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let schema = Arc::new(Schema::new(vec![
        field("ts", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        field("key", DataType::Int64),
        field("x", DataType::Float64),
        field("y", DataType::Float64),
        field("n", DataType::Int64),
    ]));
    let mut catalog = Catalog::default();
    catalog.add("events", Arc::new(StreamTable { name: "events".into(), schema, event_time: Some("ts".into()) }));
    // A second aggregate keeps DISTINCT from becoming a key.
    let sql = format!("SELECT key, {call}, max(ts) FROM tumble(events, INTERVAL '1 hour') GROUP BY window_start, key");
    let runtime = Runtime::new().expect("a runtime");
    let planned =
        runtime.block_on(plan_sql(&Arc::new(catalog), "bench", &sql, Duration::ZERO)).expect("the SQL is right");
    let Stage::Windows { cuts, .. } = planned.stage else { unreachable!("the SQL has a window") };
    let Work::Aggregate(spec) = &cuts[0].work else { unreachable!("it runs as rows come") };
    (spec.clone(), cuts[0].branches[0].rows.columns.clone())
}

/// Batches of numbers spread as amounts and latencies are: some decades around 50.
fn batches(groups: u64) -> Vec<RecordBatch> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut draw = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 11
    };
    let batch = |_| {
        let keys: Vec<i64> = (0..ROWS).map(|_| (draw() % groups) as i64).collect();
        let even = |n: u64| (n as f64 + 1.0) / (1u64 << 53) as f64;
        let x: Vec<f64> = (0..ROWS).map(|_| 50.0 * (even(draw()) / even(draw())).sqrt()).collect();
        let y: Vec<f64> = x.iter().map(|x| x.floor()).collect();
        let n: Vec<i64> = (0..ROWS).map(|_| (draw() % 1000) as i64).collect();
        let columns: [(&str, ArrayRef); 5] = [
            ("ts", Arc::new(TimestampMicrosecondArray::from(vec![0; ROWS]).with_timezone("UTC"))),
            ("key", Arc::new(Int64Array::from(keys))),
            ("x", Arc::new(Float64Array::from(x))),
            ("y", Arc::new(Float64Array::from(y))),
            ("n", Arc::new(Int64Array::from(n))),
        ];
        RecordBatch::try_from_iter(columns).expect("columns of one length")
    };
    (0..BATCHES).map(batch).collect()
}

fn aggregate(criterion: &mut Criterion) {
    for (groups, name) in [(6, "6 groups"), (12_000, "12 k groups"), (300_000, "300 k groups")] {
        let batches = batches(groups);
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements((ROWS * BATCHES) as u64)).sample_size(10);
        group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
        for (name, call) in CALLS {
            let (spec, columns) = spec(call);
            let batches: Vec<RecordBatch> =
                batches.iter().map(|batch| batch.project(&columns).expect("the columns are there")).collect();
            let table = || GroupTable::new(spec.clone()).expect("the functions are there");
            group.bench_function(name, |bencher| {
                bencher.iter_batched(
                    table,
                    |mut table| {
                        batches.iter().for_each(|batch| table.update(batch).expect("rows are taken"));
                        table
                    },
                    BatchSize::PerIteration,
                );
            });
        }
        group.finish();
    }
}

criterion_group!(benches, aggregate);
criterion_main!(benches);
