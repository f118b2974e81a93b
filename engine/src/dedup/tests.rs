#![allow(clippy::unwrap_used)]

mod arrival;
mod hashing;
mod lanes;
mod random;
mod state;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};

use super::SeenKeys;

fn ids(ids: &[i64]) -> Vec<ArrayRef> {
    vec![Arc::new(Int64Array::from(ids.to_vec()))]
}

/// Rows of `keys` that are taken, as a lane in `epoch` asks.
fn taken(seen: &SeenKeys, epoch: u64, records: &[(i64, i64)]) -> Vec<bool> {
    let (keys, times): (Vec<i64>, Vec<i64>) = records.iter().copied().unzip();
    let take = seen.admit(epoch, &ids(&keys), &times).unwrap();
    take.values().iter().collect()
}

#[test]
fn the_table_of_the_module_doc() {
    let cases: [(&[i64], &[i64], bool); 6] = [
        (&[100], &[100], false),
        (&[100], &[110, 90], false),
        (&[100], &[111, 89], true),
        (&[100, 120], &[93, 110, 130], false),
        (&[100, 110], &[111], true),
        (&[], &[100], true),
    ];
    for (before, records, expected) in cases {
        for &time in records {
            let seen = SeenKeys::new(10, 4);
            for &time in before {
                taken(&seen, 1, &[(7, time)]);
            }
            assert_eq!(taken(&seen, 1, &[(7, time)]), [expected], "{time} after {before:?}");
            assert_eq!(taken(&seen, 1, &[(7, time)]), [false], "{time} again");
        }
    }
}

#[test]
fn the_first_of_a_batch_is_taken() {
    let seen = SeenKeys::new(10, 4);
    let take = taken(&seen, 1, &[(1, 100), (2, 100), (1, 105), (1, 111), (2, 100), (1, 122), (3, 0)]);
    assert_eq!(take, [true, true, false, true, false, true, true]);
    assert_eq!(seen.len(), 5);
}

#[test]
fn keys_and_times_must_match() {
    let said = SeenKeys::new(10, 4).admit(1, &ids(&[1, 2]), &[0]).unwrap_err().to_string();
    assert!(said.contains("2 keys to deduplicate by, but 1 times"), "{said}");
}
