//! Several lanes at once, and their barriers.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{SeenKeys, SeenState};
use super::{ids, taken};

#[test]
fn lanes_take_each_key_once() {
    const LANES: u64 = 4;
    const KEYS: i64 = 20_000;
    let seen = SeenKeys::new(1_000_000, 16);
    let counts: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    let start = Barrier::new(LANES as usize);
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let (seen, counts, start) = (&seen, &counts, &start);
            scope.spawn(move || {
                start.wait();
                // All lanes meet every key, each in an order of its own.
                let stride = [1, 3, 7, 9][lane as usize];
                let order: Vec<i64> = (0..KEYS).map(|at| (at * stride + lane as i64) % KEYS).collect();
                for (batch, keys) in order.chunks(97).enumerate() {
                    let times: Vec<i64> = keys.iter().map(|key| key % 1000 + lane as i64).collect();
                    let take = seen.admit(1 + batch as u64 % 2, &ids(keys), &times).unwrap();
                    for row in take.values().set_indices() {
                        counts[keys[row] as usize].fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        // Meanwhile, expiry and cuts of epochs that are past.
        for watermark in 0..100 {
            seen.expire(watermark);
            assert_eq!(seen.cut(0).unwrap().num_rows(), 0);
        }
    });
    assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
    assert_eq!(seen.len() as i64, KEYS);
    assert_eq!(seen.cut(1).unwrap().num_rows() + seen.cut(2).unwrap().num_rows(), KEYS as usize);
}

#[test]
fn a_key_taken_behind_the_barrier_is_taken_again_after_a_crash() {
    let seen = SeenKeys::new(10, 4);
    assert_eq!(taken(&seen, 2, &[(7, 100)]), [true], "lane A is in epoch 2 already");
    assert_eq!(taken(&seen, 1, &[(7, 100)]), [false], "lane B still in 1");
    let state = seen.checkpoint(1, 0, &Default::default()).unwrap();
    let seen = SeenKeys::new(10, 4);
    seen.restore(state).unwrap();
    assert_eq!(taken(&seen, 2, &[(7, 100)]), [true], "A's record is read again, B's is not");
}

#[test]
fn a_key_taken_before_the_barrier_is_dropped_again_after_a_crash() {
    let seen = SeenKeys::new(10, 4);
    assert_eq!(taken(&seen, 1, &[(7, 100)]), [true], "lane B is in epoch 1");
    assert_eq!(taken(&seen, 2, &[(7, 100)]), [false], "lane A in 2 already");
    let state = seen.checkpoint(1, 0, &Default::default()).unwrap();
    let seen = SeenKeys::new(10, 4);
    seen.restore(state).unwrap();
    assert_eq!(taken(&seen, 2, &[(7, 100)]), [false], "A's record is read again, B's is not");
}

/// A lane: the records of its splits, where it stands, and the epoch that it works for.
#[derive(Debug, Clone)]
struct Lane {
    records: Vec<(i64, i64)>,
    position: usize,
    epoch: u64,
    /// Position at the barrier of each epoch passed since the last cut.
    barriers: Vec<usize>,
    /// Keys taken since the last commit, with the epoch that they count in.
    taken: Vec<(i64, u64)>,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Read(usize, usize),
    Barrier(usize),
    Crash,
}

/// Lanes that read, pass barriers when they like, and crash. Returns how often each key counts at the end.
fn run(lanes: Vec<Vec<(i64, i64)>>, steps: Vec<Step>) -> std::collections::BTreeMap<i64, u64> {
    let fresh = || SeenKeys::new(1000, 2);
    let mut seen = fresh();
    let mut saved = SeenState::default();
    let mut committed: Vec<i64> = Vec::new();
    let lane = |records| Lane { records, position: 0, epoch: 1, barriers: Vec::new(), taken: Vec::new() };
    let mut lanes: Vec<Lane> = lanes.into_iter().map(lane).collect();
    let mut positions = vec![0; lanes.len()];
    let mut cut = 0;
    let last = (0..lanes.len()).flat_map(|lane| [Step::Read(lane, usize::MAX), Step::Barrier(lane)]);
    for step in steps.into_iter().chain([Step::Crash]).chain(last) {
        match step {
            Step::Read(lane, count) => {
                let lane = &mut lanes[lane];
                let to = lane.position.saturating_add(count).min(lane.records.len());
                let records = &lane.records[lane.position..to];
                let take = taken(&seen, lane.epoch, records);
                let kept = records.iter().zip(take).filter(|(_, take)| *take);
                lane.taken.extend(kept.map(|((key, _), _)| (*key, lane.epoch)));
                lane.position = to;
            }
            // A lane is one barrier ahead at most: the next is put when all have passed this one.
            Step::Barrier(lane) if lanes[lane].barriers.is_empty() => {
                let lane = &mut lanes[lane];
                lane.barriers.push(lane.position);
                lane.epoch += 1;
            }
            Step::Barrier(_) => {}
            Step::Crash => {
                seen = fresh();
                seen.restore(saved.clone()).unwrap();
                for (lane, &position) in lanes.iter_mut().zip(&positions) {
                    *lane = Lane { position, epoch: cut + 1, barriers: Vec::new(), taken: Vec::new(), ..lane.clone() };
                }
            }
        }
        if lanes.iter().all(|lane| !lane.barriers.is_empty()) {
            cut += 1;
            saved = seen.checkpoint(cut, i64::MIN, &Default::default()).unwrap();
            for (lane, position) in lanes.iter_mut().zip(&mut positions) {
                *position = lane.barriers.remove(0);
                let (done, open) = lane.taken.iter().partition(|(_, epoch)| *epoch <= cut);
                let done: Vec<(i64, u64)> = done;
                committed.extend(done.into_iter().map(|(key, _)| key));
                lane.taken = open;
            }
        }
    }
    let mut counts = std::collections::BTreeMap::new();
    committed.into_iter().for_each(|key| *counts.entry(key).or_default() += 1);
    counts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever lanes, barriers and crashes do, what is committed has every key just once.
    #[test]
    fn every_key_counts_once(
        lanes in vec(vec((0i64..30, 0i64..1000), 0..60), 3),
        steps in vec(prop_oneof![
            6 => (0usize..3, 1usize..15).prop_map(|(lane, count)| Step::Read(lane, count)),
            4 => (0usize..3).prop_map(Step::Barrier),
            1 => Just(Step::Crash),
        ], 0..60),
    ) {
        let keys: std::collections::BTreeSet<i64> = lanes.iter().flatten().map(|(key, _)| *key).collect();
        let counts = run(lanes, steps);
        prop_assert_eq!(counts, keys.into_iter().map(|key| (key, 1)).collect());
    }
}

#[test]
fn a_word_of_the_next_epoch_is_told() {
    let seen = SeenKeys::new(10, 4);
    taken(&seen, 5, &[(1, 0)]);
    taken(&seen, 5, &[(1, 0), (2, 0)]);
    taken(&seen, 6, &[(1, 0)]);
    assert!(!seen.leans_ahead(5) && !seen.leans_ahead(6), "what was taken before or beside is no word of the next");
    taken(&seen, 6, &[(3, 0)]);
    taken(&seen, 5, &[(3, 0)]);
    assert!(seen.leans_ahead(5) && !seen.leans_ahead(6), "epoch 5 leans on 6, and 6 on nothing");
}
