//! Stores that are checkpointed, compacted, spilled and restored at any point close the right windows.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod blocks;
mod many;
mod undisturbed;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arrow::array::{
    ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::util::display::array_value_to_string;

use super::*;
use crate::plan::{CutPlan, CutWindow, Stage, plan_sql};
use crate::rows::Rows;
use crate::sql::{Catalog, StreamTable};

/// A row of the stream: its event time in seconds, user, kind and number.
type Event = (i64, u32, u8, i32);

const SECOND: i64 = 1_000_000;

/// A query over the stream: how it decodes events, and what it keeps of them.
#[derive(Clone)]
struct Query {
    name: &'static str,
    cut: Arc<CutPlan>,
    grid: PaneGrid,
    work: Work,
}

impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Tumbling and hopping windows (sizes that the slide divides, and that it does not), by keys of several types or none, of
/// aggregates that merge in several ways.
static QUERIES: LazyLock<Vec<Query>> = LazyLock::new(|| {
    let all = "count(*), sum(number), avg(price), min(number), max(price),
               approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY price)";
    let few = "count(*), sum(number), avg(price), max(kind)";
    let queries = [
        ("tumble by user", "tumble(events, INTERVAL '10 seconds')", "name", all),
        ("tumble by kind and id", "tumble(events, INTERVAL '7 seconds')", "kind, id", few),
        ("tumble", "tumble(events, INTERVAL '10 seconds')", "", all),
        ("hop by id", "hop(events, INTERVAL '5 seconds', INTERVAL '20 seconds')", "id", few),
        ("uneven hop by user and kind", "hop(events, INTERVAL '4 seconds', INTERVAL '10 seconds')", "name, kind", all),
        ("uneven hop", "hop(events, INTERVAL '4 seconds', INTERVAL '10 seconds')", "", few),
    ];
    let mut queries: Vec<Query> = queries
        .into_iter()
        .map(|(name, window, keys, calls)| {
            let keys = if keys.is_empty() { String::new() } else { format!(", {keys}") };
            query(name, &format!("SELECT window_start{keys}, {calls} FROM {window} GROUP BY window_start{keys}"))
        })
        .collect();
    for (name, like) in [("tumble, rows kept", 0), ("uneven hop, rows kept", 4)] {
        queries.push(Query { name, work: Work::Collect, ..queries[like].clone() });
    }
    queries
});

fn schema() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("ts", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        field("name", DataType::Utf8View),
        field("id", DataType::Int64),
        field("kind", DataType::Utf8View),
        field("number", DataType::Int64),
        field("price", DataType::Float64),
    ]))
}

fn query(name: &'static str, sql: &str) -> Query {
    let mut catalog = Catalog::default();
    let stream = StreamTable { name: "events".into(), schema: schema(), event_time: Some("ts".into()) };
    catalog.add("events", Arc::new(stream));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let planned = runtime.block_on(plan_sql(&Arc::new(catalog), name, sql, Duration::ZERO)).expect("the SQL is right");
    let Stage::Windows { mut cuts, .. } = planned.stage else { unreachable!("the SQL has a window") };
    let cut = cuts.pop().unwrap();
    let CutWindow::Grid(grid) = cut.window.clone() else { unreachable!("no session here") };
    Query { name, work: cut.work.clone(), cut: Arc::new(cut), grid }
}

impl Query {
    /// Rows as a lane has them, with their event times. Prices are whole, so that their sums are exact in any order.
    fn rows(&self, events: &[Event]) -> (RecordBatch, Vec<i64>) {
        let strings = |value: fn(&Event) -> Option<String>| -> ArrayRef {
            Arc::new(StringViewArray::from_iter(events.iter().map(value)))
        };
        let times = events.iter().map(|event| event.0 * SECOND).collect::<Vec<_>>();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
            strings(|&(_, user, ..)| (user % 11 != 0).then(|| format!("a user with a long name {user}"))),
            Arc::new(Int64Array::from_iter(
                events.iter().map(|&(_, user, ..)| (user % 13 != 0).then_some(user.into())),
            )),
            strings(|&(_, _, kind, _)| (kind % 5 != 0).then(|| format!("k{kind}"))),
            Arc::new(Int64Array::from_iter(events.iter().map(|&(.., n)| (n % 7 != 0).then_some(n.into())))),
            Arc::new(Float64Array::from_iter_values(events.iter().map(|&(.., number)| f64::from(number)))),
        ];
        let branch = &self.cut.branches[0];
        let batch = RecordBatch::try_new(schema(), columns).unwrap().project(&branch.rows.columns).unwrap();
        let batch = branch.rows.run(Rows::decoded(batch)).unwrap().batch;
        let times = batch.column(branch.time).as_primitive::<TimestampMicrosecondType>().values().to_vec();
        (batch, times)
    }
}

/// Closed windows as text: their bounds, and their rows in a fixed order.
fn shown(closed: &[ClosedWindow]) -> Vec<String> {
    let rows = |batch: &RecordBatch| -> Vec<String> {
        let cell = |row| move |column: &ArrayRef| array_value_to_string(column, row).unwrap();
        (0..batch.num_rows()).map(|row| batch.columns().iter().map(cell(row)).collect::<Vec<_>>().join("|")).collect()
    };
    let window = |window: &ClosedWindow| {
        let mut lines: Vec<String> = window.rows.iter().flat_map(rows).collect();
        lines.sort();
        format!("[{}, {})\n{}", window.start, window.end, lines.join("\n"))
    };
    closed.iter().map(window).collect()
}
