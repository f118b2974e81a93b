//! The state of a window with many keys: frozen for a checkpoint, merged, spilled and read back; one core.

#![allow(missing_docs, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use watershed_bench::{chunks, profile_decoder, schema};
use watershed_connectors::Profile;
use watershed_engine::checkpoint::{Block, Budget};
use watershed_engine::plan::{CutPlan, CutWindow, Stage, plan_sql};
use watershed_engine::rows::Rows;
use watershed_engine::sql::{Catalog, StreamTable};
use watershed_engine::window::{PaneGrid, PanePart, PaneRows, PaneStore, WindowStore};

/// Events in the window: two of three bring a user that it has not seen.
const EVENTS: u64 = 1_000_000;
const SQL: &str = "SELECT window_start, user_id, count(*), sum(amount), avg(amount)
                   FROM tumble(orders, INTERVAL '1 day') GROUP BY window_start, user_id";

fn plan() -> (CutPlan, PaneGrid) {
    let schema = schema(Profile::Orders).expect("a known profile").arrow_schema();
    let mut catalog = Catalog::default();
    let stream = StreamTable { name: "orders".into(), schema, event_time: Some("ts".into()) };
    catalog.add("orders", Arc::new(stream));
    let runtime = Runtime::new().expect("a runtime");
    let planned = runtime.block_on(plan_sql(&Arc::new(catalog), "bench", SQL, Duration::ZERO));
    let Stage::Windows { mut cuts, .. } = planned.expect("the SQL is right").stage else {
        unreachable!("the SQL has a window")
    };
    let cut = cuts.pop().expect("one window");
    let CutWindow::Grid(grid) = cut.window.clone() else { unreachable!("no session here") };
    (cut, grid)
}

fn state(criterion: &mut Criterion) {
    let (cut, grid) = plan();
    let branch = &cut.branches[0];
    let declared = schema(Profile::Orders).expect("a known profile");
    let columns: Vec<&str> = branch.rows.columns.iter().map(|&column| declared.fields[column].name.as_str()).collect();
    let mut decoder = profile_decoder(Profile::Orders, &columns).expect("orders have these columns");
    let chunks = chunks(Profile::Orders, EVENTS).expect("the generator makes orders");
    let rows: Vec<RecordBatch> = chunks.iter().map(|records| decoder.decode(records).batch).collect();
    let panes = || -> Vec<(PanePart, PaneRows)> {
        let mut store = PaneStore::new(grid, cut.work.clone());
        for batch in &rows {
            let rows = branch.rows.run(Rows::decoded(batch.clone())).expect("the steps run");
            let times = rows.batch.column(branch.time).as_primitive::<TimestampMicrosecondType>().values();
            store.push(&rows.batch, times).expect("rows go into panes");
        }
        store.take_all()
    };
    let folder = tempfile::tempdir().expect("a folder");
    let budget = Arc::new(Budget::new(0, Some(folder.path().to_owned())));
    let filled = || {
        let mut store = WindowStore::with_budget(grid, cut.work.clone(), budget.clone());
        panes().into_iter().for_each(|(part, rows)| store.add(part, rows).expect("panes meet"));
        store
    };
    let mut frozen = filled();
    let held = frozen.checkpoint().expect("tables freeze");
    let block = held.iter().flat_map(|(_, blocks)| blocks).max_by_key(|block| block.rows()).expect("a block").clone();
    let copies = |count: usize| {
        let batch = block.batch().expect("it is in memory");
        (0..count).map(|_| Block::new(batch.clone(), &budget)).collect::<Vec<_>>()
    };

    let mut group = criterion.benchmark_group(format!("state of {} keys", block.rows()));
    group.sample_size(10);
    group.bench_function("freeze", |bencher| {
        bencher.iter_batched(
            filled,
            |mut store| store.checkpoint().expect("tables freeze").len(),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("merge four blocks into one", |bencher| {
        let apart = || {
            let mut store = WindowStore::with_budget(grid, cut.work.clone(), budget.clone());
            let part = held[held.len() - 1].0;
            store.restore(vec![(part, copies(4))], i64::MIN).expect("blocks of the same query");
            store
        };
        bencher.iter_batched(apart, |mut store| store.compact().expect("blocks merge"), BatchSize::PerIteration);
    });
    group.bench_function("spill", |bencher| {
        let one = || copies(1).remove(0);
        bencher.iter_batched(one, |block| block.spill().expect("the disk has room"), BatchSize::PerIteration);
    });
    group.bench_function("read back", |bencher| {
        let spilled = copies(1).remove(0);
        spilled.spill().expect("the disk has room");
        bencher.iter(|| spilled.batch().expect("the file is there").num_rows());
    });
    group.finish();
}

criterion_group!(benches, state);
criterion_main!(benches);
