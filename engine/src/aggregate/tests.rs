//! Tables that were fed, frozen and merged in any way hold what DataFusion says of all rows at once.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod per_group;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringViewArray,
    TimestampMicrosecondArray,
};
use arrow::compute::{SortColumn, cast, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef, TimeUnit};
use arrow::util::display::array_value_to_string;
use datafusion::prelude::SessionContext;
use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::*;
use crate::plan::{CutPlan, Stage, plan_sql};
use crate::rows::Rows;
use crate::sql::{Catalog, StreamTable};
use crate::window::Work;

fn schema() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("ts", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        field("key", DataType::Int64),
        field("n", DataType::Int64),
        field("x", DataType::Float64),
        field("name", DataType::Utf8View),
        field("flag", DataType::Boolean),
    ]))
}

/// A row: key, number, and the seed of the rest.
type Row = (u8, i16, u32);

fn rows(rows: &[Row]) -> RecordBatch {
    let x = |seed: u32| (!seed.is_multiple_of(9)).then(|| f64::from(seed % 10_007 + 1).powf(1.5) / 7.0);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(vec![0; rows.len()]).with_timezone("UTC")),
        Arc::new(Int64Array::from_iter(rows.iter().map(|row| (row.0 % 7 != 0).then_some(row.0.into())))),
        Arc::new(Int64Array::from_iter(rows.iter().map(|row| (row.1 % 11 != 0).then_some(row.1.into())))),
        Arc::new(Float64Array::from_iter(rows.iter().map(|row| x(row.2)))),
        Arc::new(StringViewArray::from_iter(
            rows.iter().map(|row| (row.2 % 8 != 0).then(|| format!("some rather long name {}", row.2 % 400))),
        )),
        Arc::new(BooleanArray::from_iter(rows.iter().map(|row| (row.2 % 6 != 0).then_some(row.2 % 5 == 0)))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// An aggregate as the engine plans it.
struct Planned {
    runtime: Runtime,
    cut: CutPlan,
    spec: Arc<AggregateSpec>,
    /// Names of its output columns.
    names: Vec<String>,
}

impl Planned {
    fn new(calls: &str, keys: &str) -> Self {
        let mut catalog = Catalog::default();
        let stream = StreamTable { name: "events".into(), schema: schema(), event_time: Some("ts".into()) };
        catalog.add("events", Arc::new(stream));
        let runtime = Runtime::new().unwrap();
        let sql = format!("SELECT {keys}{calls} FROM tumble(events, INTERVAL '1 hour') GROUP BY {keys}window_start");
        let planned = runtime.block_on(plan_sql(&Arc::new(catalog), "t", &sql, Duration::ZERO)).expect(&sql);
        let names = planned.output_schema.fields().iter().map(|field| field.name().clone()).collect();
        let Stage::Windows { mut cuts, .. } = planned.stage else { unreachable!("the SQL has a window") };
        let cut = cuts.pop().unwrap();
        let Work::Aggregate(spec) = &cut.work else { panic!("{sql}: rows are kept") };
        Self { runtime, spec: spec.clone(), cut, names }
    }

    /// A table that has taken batches.
    fn table(&self, batches: &[RecordBatch]) -> GroupTable {
        let mut table = GroupTable::new(self.spec.clone()).unwrap();
        for batch in batches {
            let branch = &self.cut.branches[0];
            let read = Rows::decoded(batch.project(&branch.rows.columns).unwrap());
            table.update(&branch.rows.run(read).unwrap().batch).unwrap();
        }
        table
    }

    fn merged<'a>(&self, frozen: impl IntoIterator<Item = &'a RecordBatch>) -> GroupTable {
        let mut table = GroupTable::new(self.spec.clone()).unwrap();
        frozen.into_iter().for_each(|frozen| table.merge(frozen).unwrap());
        table
    }

    /// What DataFusion says, where no function is ours.
    fn datafusion(&self, batch: &RecordBatch, calls: &str, keys: &str) -> RecordBatch {
        let session = SessionContext::new();
        session.register_batch("events", batch.clone()).unwrap();
        let group = keys.trim_end_matches(", ");
        let by = if group.is_empty() { String::new() } else { format!("GROUP BY {group}") };
        self.runtime.block_on(async {
            let batches =
                session.sql(&format!("SELECT {keys}{calls} FROM events {by}")).await.unwrap().collect().await.unwrap();
            concat_batches(&batches[0].schema(), &batches).unwrap()
        })
    }
}

/// The rows in the order of their first columns.
fn sorted(batch: &RecordBatch, keys: usize) -> RecordBatch {
    if keys == 0 {
        return batch.clone();
    }
    let columns: Vec<SortColumn> =
        batch.columns()[..keys].iter().map(|values| SortColumn { values: values.clone(), options: None }).collect();
    take_record_batch(batch, &lexsort_to_indices(&columns, None).unwrap()).unwrap()
}

fn shown(column: &dyn Array) -> Vec<String> {
    (0..column.len()).map(|row| array_value_to_string(column, row).unwrap()).collect()
}

/// The same, but for the last digits of floating-point numbers, and for the order within lists and joined texts.
fn assert_same(ours: &RecordBatch, theirs: &RecordBatch, names: &[String]) {
    assert_eq!(ours.num_columns(), theirs.num_columns());
    for ((ours, theirs), name) in ours.columns().iter().zip(theirs.columns()).zip(names) {
        match ours.data_type() {
            DataType::Float64 => {
                let (ours, theirs) = (ours.as_primitive::<Float64Type>(), theirs.as_primitive::<Float64Type>());
                assert_eq!(ours.len(), theirs.len());
                for (a, b) in ours.iter().zip(theirs) {
                    let close = match (a, b) {
                        (Some(a), Some(b)) => {
                            (a - b).abs() <= 1e-6 * a.abs().max(b.abs()).max(1.0) || a.is_nan() && b.is_nan()
                        }
                        (a, b) => a == b,
                    };
                    assert!(close, "{name}: {a:?} is not {b:?}");
                }
            }
            _ => {
                let letters = |text: String| {
                    let mut letters: Vec<char> = text.chars().collect();
                    letters.sort_unstable();
                    letters
                };
                let any_order = |column: &ArrayRef| shown(column).into_iter().map(letters).collect::<Vec<_>>();
                assert_eq!(any_order(ours), any_order(theirs), "{name}");
            }
        }
    }
}

/// Functions that go through `PerGroup`, and those that are DataFusion's own over groups; sketches of different values are
/// the same as DataFusion's to the last digit.
const SAME: &str = "count(*) AS rows, covar_samp(x, n) AS covar_samp, covar_pop(x, n) AS covar_pop, corr(x, n) AS corr, \
    regr_slope(x, n) AS slope, regr_intercept(x, n) AS intercept, regr_count(x, n) AS pairs, regr_r2(x, n) AS r2, \
    regr_avgx(x, n) AS avgx, regr_sxy(x, n) AS sxy, median(x) AS median, stddev(x) AS stddev, var_pop(n) AS var, \
    count(DISTINCT name) AS names, sum(DISTINCT n) AS sums, avg(DISTINCT x) AS avgs, median(DISTINCT n) AS medians, \
    array_agg(n) AS list, array_agg(DISTINCT n) AS lists, string_agg(name, '') AS text, bit_xor(n) AS xor, \
    min(name) AS first, max(flag) AS most, approx_distinct(n) AS about, approx_distinct(name) AS about_names, \
    approx_distinct(flag) AS flags, approx_distinct(arrow_cast(n, 'Int16')) AS small, \
    approx_distinct(CAST(x AS DECIMAL(20, 3))) AS decimals, \
    count(DISTINCT x) FILTER (WHERE flag) AS filtered, covar_pop(x, n) FILTER (WHERE n > 100 AND flag) AS covar_filtered, \
    approx_distinct(name) FILTER (WHERE n > 100) AS about_filtered, \
    median(DISTINCT x) FILTER (WHERE false) AS of_none";

fn batches() -> impl Strategy<Value = Vec<Vec<Row>>> {
    proptest::collection::vec(proptest::collection::vec(any::<Row>(), 1..200), 2..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_function_is_datafusions_however_rows_are_parted(batches in batches(), keyed in any::<bool>()) {
        let (keys, count) = if keyed { ("key, ", 1) } else { ("", 0) };
        let planned = Planned::new(SAME, keys);
        let batches: Vec<RecordBatch> = batches.iter().map(|batch| rows(batch)).collect();
        let all = concat_batches(&schema(), &batches).unwrap();
        let theirs = sorted(&planned.datafusion(&all, SAME, keys), count);
        let same = |table: GroupTable| assert_same(&sorted(&table.finish().unwrap(), count), &theirs, &planned.names);

        same(planned.table(&batches));
        let frozen: Vec<RecordBatch> =
            batches.iter().map(|batch| planned.table(std::slice::from_ref(batch)).freeze().unwrap()).collect();
        same(planned.merged(&frozen));
        same(planned.merged(frozen.iter().rev()));
        let (left, right) = frozen.split_at(frozen.len() / 2);
        same(planned.merged(&[planned.merged(right).freeze().unwrap(), planned.merged(left).freeze().unwrap()]));
    }

    #[test]
    fn percentiles_are_right_to_one_percent_however_rows_are_parted(batches in batches(), keyed in any::<bool>()) {
        let (keys, count) = if keyed { ("key, ", 1) } else { ("", 0) };
        let ours = "approx_percentile_cont(0.9) WITHIN GROUP (ORDER BY x) AS p90, \
            approx_percentile_cont(0.9, 200) WITHIN GROUP (ORDER BY x DESC) AS p10, \
            approx_percentile_cont(x, 0.25) AS quarter, approx_median(x) AS middle, \
            approx_median(CAST(n AS INT)) FILTER (WHERE n > 0) AS whole, \
            approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY CAST(n AS DECIMAL(9, 2))) FILTER (WHERE n > 0) AS decimal, \
            approx_percentile_cont(0.75) WITHIN GROUP (ORDER BY arrow_cast(x, 'Float32')) AS short, \
            approx_percentile_cont(0.75) WITHIN GROUP (ORDER BY x) FILTER (WHERE flag) AS filtered, \
            approx_median(x) FILTER (WHERE false) AS of_none";
        let exact = "percentile_cont(0.9) WITHIN GROUP (ORDER BY x) AS p90, \
            percentile_cont(0.1) WITHIN GROUP (ORDER BY x) AS p10, \
            percentile_cont(0.25) WITHIN GROUP (ORDER BY x) AS quarter, median(x) AS middle, \
            median(CAST(n AS DOUBLE)) FILTER (WHERE n > 0) AS whole, \
            percentile_cont(0.5) WITHIN GROUP (ORDER BY CAST(n AS DOUBLE)) FILTER (WHERE n > 0) AS decimal, \
            percentile_cont(0.75) WITHIN GROUP (ORDER BY x) AS short, \
            percentile_cont(0.75) WITHIN GROUP (ORDER BY x) FILTER (WHERE flag) AS filtered, \
            median(x) FILTER (WHERE false) AS of_none";
        let planned = Planned::new(ours, keys);
        let batches: Vec<RecordBatch> = batches.iter().map(|batch| rows(batch)).collect();
        let all = concat_batches(&schema(), &batches).unwrap();
        let finished = planned.table(&batches).finish().unwrap();
        let right = sorted(&planned.datafusion(&all, exact, keys), count);
        let theirs = sorted(&planned.datafusion(&all, ours, keys), count);
        assert_eq!(types(&finished), types(&theirs), "the types are DataFusion's");

        let whole = sorted(&finished, count);
        for (column, name) in planned.names.iter().enumerate().skip(count) {
            let [found, right, digest] = [&whole, &right, &theirs].map(|batch| floats(batch.column(column)));
            for ((found, right), digest) in found.iter().zip(&right).zip(&digest) {
                assert_eq!(found.is_null(0), right.is_null(0), "{name}");
                let (found, right, digest) = (found.value(0), right.value(0), digest.value(0));
                if !right.is_nan() {
                    let allowed = 0.01 * right + 1e-9;
                    assert!((found - right).abs() <= allowed, "{name}: {found} is not {right}");
                    assert!((found - digest).abs() <= allowed + (digest - right).abs(), "{name}: {found} is not {digest}");
                }
            }
        }
        // Not to one percent: the same.
        let frozen: Vec<RecordBatch> =
            batches.iter().map(|batch| planned.table(std::slice::from_ref(batch)).freeze().unwrap()).collect();
        let (left, right) = frozen.split_at(frozen.len() / 2);
        let halves = [planned.merged(right).freeze().unwrap(), planned.merged(left).freeze().unwrap()];
        for merged in [planned.merged(&frozen), planned.merged(frozen.iter().rev()), planned.merged(&halves)] {
            assert_eq!(sorted(&merged.finish().unwrap(), count), whole);
        }
    }
}

fn types(batch: &RecordBatch) -> Vec<DataType> {
    batch.columns().iter().map(|column| column.data_type().clone()).collect()
}

/// Each row by itself; null is not a number.
fn floats(column: &ArrayRef) -> Vec<Float64Array> {
    let column = cast(column, &DataType::Float64).unwrap();
    (0..column.len()).map(|row| column.slice(row, 1).as_primitive::<Float64Type>().clone()).collect()
}

/// Enough values that registers stand in a row; of some groups only.
#[test]
fn many_different_values_are_counted_as_datafusion_counts_them() {
    let calls = "approx_distinct(n) AS many, approx_distinct(name) AS names, approx_distinct(x) AS numbers";
    let calls = calls.replace("approx_distinct(x)", "approx_distinct(CAST(x AS DECIMAL(20, 4)))");
    let planned = Planned::new(&calls, "key, ");
    let batch = |seed: u32| {
        let draw = |row: u32| (seed * 8192 + row).wrapping_mul(0x9e37_79b9).rotate_left(9);
        let key = |row: u32| if row.is_multiple_of(3) { 1 } else { (draw(row) >> 20) as u8 };
        rows(&(0..8192).map(|row| (key(row), (draw(row) >> 3) as i16, draw(row))).collect::<Vec<_>>())
    };
    let batches: Vec<RecordBatch> = (0..12).map(batch).collect();
    let all = concat_batches(&schema(), &batches).unwrap();
    let theirs = sorted(&planned.datafusion(&all, &calls, "key, "), 1);
    assert_same(&sorted(&planned.table(&batches).finish().unwrap(), 1), &theirs, &planned.names);
    let frozen: Vec<RecordBatch> = batches.chunks(3).map(|part| planned.table(part).freeze().unwrap()).collect();
    let again = planned.merged([&planned.merged(&frozen).freeze().unwrap(), &frozen[1]]);
    assert_same(&sorted(&again.finish().unwrap(), 1), &theirs, &planned.names);
}

#[test]
fn a_table_without_groups_freezes_and_finishes() {
    let planned = Planned::new(SAME, "key, ");
    let frozen = planned.table(&[]).freeze().unwrap();
    assert_eq!(planned.merged([&frozen]).finish().unwrap().num_rows(), 0);
}

/// The one group that there is without keys, before any row.
#[test]
fn nothing_is_no_number_and_no_values() {
    let planned = Planned::new("approx_median(x) AS m, approx_distinct(n) AS d, covar_pop(x, n) AS c", "");
    let nothing = planned.spec.nothing().unwrap();
    let result = planned.merged([&nothing, &nothing]).finish().unwrap();
    assert_eq!(result.columns().iter().flat_map(|column| shown(column)).collect::<Vec<_>>(), ["", "0", ""]);
}

#[test]
fn what_datafusion_refuses_is_refused() {
    let refused = |call: &str| {
        let mut catalog = Catalog::default();
        let stream = StreamTable { name: "events".into(), schema: schema(), event_time: Some("ts".into()) };
        catalog.add("events", Arc::new(stream));
        let sql = format!("SELECT {call}, count(*) FROM tumble(events, INTERVAL '1 hour') GROUP BY window_start");
        let runtime = Runtime::new().unwrap();
        let Ok(planned) = runtime.block_on(plan_sql(&Arc::new(catalog), "t", &sql, Duration::ZERO)) else {
            return true;
        };
        let Stage::Windows { cuts, .. } = planned.stage else { unreachable!("the SQL has a window") };
        let Work::Aggregate(spec) = &cuts[0].work else { unreachable!("it runs as rows come") };
        GroupTable::new(spec.clone()).is_err()
    };
    assert!(refused("approx_percentile_cont(1.5) WITHIN GROUP (ORDER BY x)"));
    assert!(refused("approx_percentile_cont(x, n)"));
    assert!(refused("approx_percentile_cont(0.5, -1) WITHIN GROUP (ORDER BY x)"));
    assert!(refused("approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY name)"));
    assert!(refused("approx_median(DISTINCT x)"));
    assert!(refused("approx_percentile_cont(DISTINCT x, 0.5)"));
    assert!(refused("approx_distinct(x)"));
    assert!(!refused("approx_percentile_cont(0.5, 100) WITHIN GROUP (ORDER BY x)"));
}

#[test]
fn state_of_another_version_is_an_error() {
    let planned = Planned::new("approx_median(x) AS m, approx_distinct(n) AS d", "key, ");
    let frozen = planned.table(&[rows(&[(1, 1, 1), (2, 2, 2)])]).freeze().unwrap();
    for column in 1..3 {
        let mut columns = frozen.columns().to_vec();
        columns[column] = Arc::new(arrow::array::LargeBinaryArray::from(vec![&b"\x07?"[..], b"\x07"]));
        let wrong = RecordBatch::try_new(frozen.schema(), columns).unwrap();
        let error = GroupTable::new(planned.spec.clone()).unwrap().merge(&wrong).unwrap_err();
        assert!(error.to_string().contains("of another version"), "{error}");
    }
}

/// What a table says of its size follows what it holds, and small groups are small.
#[test]
fn small_groups_are_small() {
    let planned = Planned::new("approx_percentile_cont(x, 0.9) AS p, approx_distinct(n) AS d", "name, n, ");
    let draw = |seed: u32, row: u32| (seed * 1000 + row).wrapping_mul(0x9e37_79b9) >> 7;
    let batch = |seed| rows(&(0..1000).map(|row| (1, row as i16, draw(seed, row))).collect::<Vec<_>>());
    let batches: Vec<RecordBatch> = (0..40).map(batch).collect();
    let table = planned.table(&batches);
    let (groups, size) = (table.len(), table.size());
    assert!(groups > 20_000);
    assert!(size / groups < 600, "{} bytes a group", size / groups);
    let frozen = table.freeze().unwrap();
    let bytes: usize = frozen.columns()[2..].iter().map(|column| column.get_array_memory_size()).sum();
    assert!(bytes / groups < 100, "{} bytes a group", bytes / groups);
}
