//! What is stored, and what is forgotten.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch};

use super::super::{SeenKeys, SeenState};
use super::taken;
use crate::checkpoint::{Block, Budget};

fn range(keys: std::ops::Range<i64>, time: i64) -> Vec<(i64, i64)> {
    keys.map(|key| (key, time)).collect()
}

fn rows_in(state: &SeenState) -> Vec<usize> {
    state.blocks.iter().map(|block| block.rows()).collect()
}

#[test]
fn a_cut_gives_its_epoch_and_what_was_left_over() {
    let seen = SeenKeys::new(10, 4);
    taken(&seen, 1, &range(0..3, 0));
    taken(&seen, 3, &range(3..10, 0));
    taken(&seen, 2, &range(10..15, 0));
    assert_eq!(seen.cut(2).unwrap().num_rows(), 8, "epoch 1 had no cut of its own");
    assert_eq!(seen.cut(2).unwrap().num_rows(), 0);
    assert_eq!(seen.cut(3).unwrap().num_rows(), 7);
}

#[test]
fn a_checkpoint_stores_only_what_is_new() {
    let (seen, budget) = (SeenKeys::new(1000, 4), Arc::default());
    taken(&seen, 1, &range(0..100, 0));
    let first = seen.checkpoint(1, 0, &budget).unwrap();
    taken(&seen, 2, &range(90..110, 1));
    let second = seen.checkpoint(2, 1, &budget).unwrap();
    assert_eq!(rows_in(&second), [100, 10]);
    assert!(Arc::ptr_eq(&first.blocks[0], &second.blocks[0]));
    assert_eq!(rows_in(&seen.checkpoint(3, 1, &budget).unwrap()), [100, 10], "nothing came");
    assert_eq!(seen.blocks().len(), 2);
}

#[test]
fn blocks_expire_whole() {
    let (seen, budget) = (SeenKeys::new(100, 4), Arc::default());
    for epoch in 0..1000 {
        let time = epoch as i64 * 10;
        taken(&seen, epoch, &range(time..time + 10, time));
        let state = seen.checkpoint(epoch, time, &budget).unwrap();
        assert!(state.blocks.len() <= 11, "{} blocks", state.blocks.len());
        assert!(state.blocks.iter().all(|block| block.rows() == 10), "none was written again");
        assert!(seen.len() <= 130, "{} keys", seen.len());
    }
    seen.checkpoint(1000, 1_000_000, &budget).unwrap();
    assert!(seen.is_empty());
    assert_eq!(budget.resident(), 0);
}

#[test]
fn the_memory_of_a_burst_goes_with_its_keys() {
    let seen = SeenKeys::new(100, 4);
    taken(&seen, 1, &range(0..100_000, 0));
    let burst = seen.bytes();
    taken(&seen, 1, &range(0..10, 500));
    assert_eq!(seen.cut(1).unwrap().num_rows(), 100_010);
    seen.expire(500);
    assert!(seen.len() == 10 && seen.bytes() < burst / 100, "{} bytes of {burst}", seen.bytes());
}

#[test]
fn many_small_blocks_become_fewer() {
    let (seen, budget) = (SeenKeys::new(1_000_000, 4), Arc::default());
    let mut state = SeenState::default();
    for epoch in 0..1000 {
        taken(&seen, epoch, &range(epoch as i64 * 3..epoch as i64 * 3 + 3, epoch as i64));
        state = seen.checkpoint(epoch, epoch as i64, &budget).unwrap();
        assert!(state.blocks.len() <= 64);
    }
    assert_eq!(rows_in(&state).iter().sum::<usize>(), 3000);
    let restored = SeenKeys::new(1_000_000, 4);
    restored.restore(state).unwrap();
    assert_eq!(restored.len(), 3000);
    assert!(taken(&restored, 1000, &range(0..3000, 500)).iter().all(|take| !take));
}

#[test]
fn a_log_that_is_mostly_dead_begins_again_without_what_is_newer() {
    let (seen, budget) = (SeenKeys::new(10, 4), Arc::default());
    // One late key keeps its block from expiring whole.
    let mut records = range(0..100, 0);
    records.push((1000, 50));
    taken(&seen, 1, &records);
    assert_eq!(rows_in(&seen.checkpoint(1, 0, &budget).unwrap()), [101]);
    taken(&seen, 2, &[(1001, 52)]);
    taken(&seen, 3, &[(1002, 53)]);
    let state = seen.checkpoint(2, 45, &budget).unwrap();
    assert_eq!(rows_in(&state), [2], "1000 and 1001, not 1002");
    let restored = SeenKeys::new(10, 4);
    restored.restore(state).unwrap();
    assert_eq!(taken(&restored, 3, &[(1000, 50), (1001, 52), (1002, 53)]), [false, false, true]);
}

#[test]
fn a_key_is_forgotten_when_the_watermark_is_past_it_by_more_than_within() {
    let forgotten = |watermark| {
        let seen = SeenKeys::new(10, 4);
        taken(&seen, 1, &[(7, 100)]);
        seen.expire(watermark);
        seen.is_empty()
    };
    assert!(!forgotten(110) && forgotten(111));
}

#[test]
fn times_at_the_ends_do_not_overflow() {
    let seen = SeenKeys::new(i64::MAX, 1);
    assert_eq!(taken(&seen, 1, &[(1, i64::MIN), (1, i64::MAX), (1, 0), (1, -1)]), [true, true, false, false]);
    seen.expire(i64::MIN);
    seen.expire(i64::MAX);
    assert!(SeenKeys::new(-5, 0).is_empty());
}

#[test]
fn blocks_that_are_none_of_ours_are_refused() {
    let budget = Arc::new(Budget::default());
    let refused = |columns: Vec<(&str, ArrayRef)>| {
        let block = Block::new(RecordBatch::try_from_iter(columns).unwrap(), &budget);
        SeenKeys::new(10, 4).restore(SeenState { blocks: vec![block] }).unwrap_err().to_string()
    };
    let time = || Arc::new(Int64Array::from(vec![1])) as ArrayRef;
    assert!(refused(vec![("time", time())]).contains("has 1 columns where 2 are needed"));
    let short: ArrayRef = Arc::new(arrow::array::FixedSizeBinaryArray::try_from_iter([b"short"].into_iter()).unwrap());
    assert!(refused(vec![("key", short), ("time", time())]).contains("keys that are not hashes"));
    let variable: ArrayRef = Arc::new(BinaryArray::from(vec![&b"sixteen bytes.. "[..]]));
    assert!(refused(vec![("key", variable), ("time", time())]).contains("FixedSizeBinary"));
}
