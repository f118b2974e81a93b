//! From bytes to closed windows on one core, as a lane does it: decode, filter, pane, close.

#![allow(missing_docs, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use watershed_bench::{chunks, profile_decoder, schema};
use watershed_connectors::Profile;
use watershed_engine::plan::{CutPlan, CutWindow, Stage, plan_sql};
use watershed_engine::rows::Rows;
use watershed_engine::sql::{Catalog, StreamTable};
use watershed_engine::window::{PaneStore, WindowStore};

const EVENTS: u64 = 200_000;

fn plan(sql: &str) -> CutPlan {
    let schema = schema(Profile::Orders).expect("a known profile").arrow_schema();
    let mut catalog = Catalog::default();
    let stream = StreamTable { name: "orders".into(), schema, event_time: Some("ts".into()) };
    catalog.add("orders", Arc::new(stream));
    let catalog = Arc::new(catalog);
    let runtime = Runtime::new().expect("a runtime");
    let planned = runtime.block_on(plan_sql(&catalog, "bench", sql, Duration::ZERO)).expect("the SQL is right");
    match planned.stage {
        Stage::Windows { mut cuts, .. } => cuts.pop().expect("one window"),
        Stage::Rows(_) => unreachable!("the SQL has a window"),
    }
}

fn window(criterion: &mut Criterion) {
    let queries = [
        (
            "tumble 10 s by country, type",
            "SELECT window_start, country, type, count(*), sum(amount), avg(amount), max(amount)
             FROM tumble(orders, INTERVAL '10 seconds') GROUP BY window_start, country, type",
        ),
        (
            "hop 1 min by 10 s by user",
            "SELECT window_start, user_id, count(*), sum(amount)
             FROM hop(orders, INTERVAL '10 seconds', INTERVAL '1 minute') GROUP BY window_start, user_id",
        ),
    ];
    let chunks = chunks(Profile::Orders, EVENTS).expect("the generator makes orders");
    let mut group = criterion.benchmark_group("bytes to closed windows");
    group.throughput(Throughput::Elements(EVENTS)).sample_size(10);
    for (name, sql) in queries {
        let cut = plan(sql);
        let CutWindow::Grid(grid) = cut.window.clone() else { unreachable!("no session here") };
        let branch = &cut.branches[0];
        let schema = schema(Profile::Orders).expect("a known profile");
        let columns: Vec<&str> =
            branch.rows.columns.iter().map(|&column| schema.fields[column].name.as_str()).collect();
        let mut decoder = profile_decoder(Profile::Orders, &columns).expect("orders have these columns");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut panes = PaneStore::new(grid, cut.work.clone());
                let mut windows = WindowStore::new(grid, cut.work.clone());
                for records in &chunks {
                    let rows = Rows::decoded(decoder.decode(records).batch);
                    let rows = branch.rows.run(rows).expect("the steps run");
                    let times = rows.batch.column(branch.time).as_primitive::<TimestampMicrosecondType>().values();
                    panes.push(&rows.batch, times).expect("rows go into panes");
                }
                for (part, rows) in panes.seal(i64::MAX) {
                    windows.add(part, rows).expect("panes meet");
                }
                windows.close(i64::MAX).expect("windows close").len()
            });
        });
    }
}

criterion_group!(benches, window);
criterion_main!(benches);
