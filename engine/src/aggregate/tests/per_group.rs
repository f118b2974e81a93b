//! What a batch costs where groups are many.

use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Accumulator;

use super::*;
use crate::aggregate::per_group::PerGroup;

/// Counts how often it is asked.
#[derive(Debug)]
struct Watched {
    calls: Arc<Calls>,
    rows: usize,
}

#[derive(Debug, Default)]
struct Calls {
    updates: AtomicUsize,
    sizes: AtomicUsize,
}

impl Accumulator for Watched {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.calls.updates.fetch_add(1, Ordering::Relaxed);
        self.rows += values[0].len();
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::from(self.rows as i64))
    }

    fn size(&self) -> usize {
        self.calls.sizes.fetch_add(1, Ordering::Relaxed);
        100 + self.rows
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        unreachable!("nothing is merged here")
    }
}

fn watched() -> (PerGroup, Arc<Calls>) {
    let calls = Arc::new(Calls::default());
    let shared = calls.clone();
    let new = move || Ok(Box::new(Watched { calls: shared.clone(), rows: 0 }) as Box<dyn Accumulator>);
    (PerGroup::new(Box::new(new)), calls)
}

fn numbers(count: usize) -> Vec<ArrayRef> {
    vec![Arc::new(Int64Array::from_iter_values(0..count as i64))]
}

#[test]
fn rows_cost_what_they_are_and_not_what_groups_there_are() {
    let (mut groups, calls) = watched();
    let all: Vec<usize> = (0..100_000).collect();
    groups.update_batch(&numbers(all.len()), &all, None, all.len()).unwrap();
    assert_eq!(calls.updates.load(Ordering::Relaxed), 100_000);
    let sizes = calls.sizes.load(Ordering::Relaxed);
    for _ in 0..1000 {
        groups.update_batch(&numbers(5), &[9, 70_000, 9, 3, 9], None, all.len()).unwrap();
    }
    let filter = BooleanArray::from(vec![Some(false), None, Some(true)]);
    groups.update_batch(&numbers(3), &[1, 2, 100_000], Some(&filter), 100_001).unwrap();
    let counts = groups.evaluate(EmitTo::All).unwrap();
    assert_eq!(calls.updates.load(Ordering::Relaxed), 100_004, "rows of one group come together");
    assert!(calls.sizes.load(Ordering::Relaxed) <= sizes + 5);
    let count = |group: usize| counts.as_primitive::<arrow::datatypes::Int64Type>().value(group);
    assert_eq!([9, 3, 70_000, 1, 2, 100_000, 5].map(count), [3001, 1001, 1001, 1, 1, 1, 1]);
}

/// Rows that wait count as what they take, and are few.
#[test]
fn waiting_rows_are_bounded() {
    let (mut groups, calls) = watched();
    let all: Vec<usize> = (0..100_000).collect();
    groups.update_batch(&numbers(all.len()), &all, None, all.len()).unwrap();
    let before = groups.size();
    let mut batches = 0;
    while calls.updates.load(Ordering::Relaxed) == 100_000 {
        assert!(groups.size() >= before + batches * 1000 * size_of::<i64>());
        groups.update_batch(&numbers(1000), &all[..1000], None, all.len()).unwrap();
        batches += 1;
    }
    assert_eq!(batches, (1usize << 16).div_ceil(1000));
    assert_eq!(calls.updates.load(Ordering::Relaxed), 101_000);
    assert!(groups.size() < before + batches * 1000 * size_of::<i64>());
}

/// A function may look at every value it keeps to say how large they are.
#[test]
fn sizes_are_asked_for_rarely_and_are_right_to_a_quarter() {
    let (mut groups, calls) = watched();
    for _ in 0..1000 {
        groups.update_batch(&numbers(50), &[0; 50], None, 1).unwrap();
    }
    assert!(calls.sizes.load(Ordering::Relaxed) < 40);
    let own = 100 + 50_000;
    assert!((own * 3 / 4..own + 1000).contains(&groups.size()), "{}", groups.size());
    groups.evaluate(EmitTo::All).unwrap();
    assert!(groups.size() < 1000, "{}", groups.size());
}
