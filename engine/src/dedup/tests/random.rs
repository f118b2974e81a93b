//! Random records, checkpoints and restarts, against a list of all that was taken.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::SeenKeys;
use super::taken;
use crate::checkpoint::Budget;

#[derive(Debug, Clone)]
enum Step {
    /// Keys, how far event time goes on, and how far the record is behind it.
    Records(Vec<(i64, i64, i64)>),
    Checkpoint,
    Restart,
    Expire,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// As long as no record is behind the watermark, forgetting is never seen.
    #[test]
    fn it_is_as_if_everything_were_remembered(
        within in 0i64..60,
        shards in 1usize..6,
        delay in 0i64..50,
        steps in vec(prop_oneof![
            6 => vec((0i64..6, 0i64..15, 0i64..50), 1..20).prop_map(Step::Records),
            2 => Just(Step::Checkpoint),
            1 => Just(Step::Restart),
            1 => Just(Step::Expire),
        ], 1..40),
    ) {
        let budget = Arc::new(Budget::default());
        let mut seen = SeenKeys::new(within, shards);
        let mut model: Vec<(i64, i64)> = Vec::new();
        let (mut now, mut watermark, mut epoch) = (0i64, i64::MIN, 1);
        for step in steps {
            match step {
                Step::Records(records) => {
                    let mut record = |(key, on, behind): (i64, i64, i64)| {
                        now += on;
                        watermark = watermark.max(now - delay);
                        (key, (now - behind).max(watermark))
                    };
                    let records: Vec<(i64, i64)> = records.into_iter().map(&mut record).collect();
                    let expected: Vec<bool> = records
                        .iter()
                        .map(|&(key, time)| {
                            let take = !model.iter().any(|&(other, at)| other == key && (at - time).abs() <= within);
                            model.extend(take.then_some((key, time)));
                            take
                        })
                        .collect();
                    prop_assert_eq!(taken(&seen, epoch, &records), expected);
                }
                Step::Checkpoint | Step::Restart => {
                    let state = seen.checkpoint(epoch, watermark, &budget).unwrap();
                    epoch += 1;
                    let stored: usize = state.blocks.iter().map(|block| block.rows()).sum();
                    prop_assert!(stored <= 2 * seen.len(), "{} rows for {} keys", stored, seen.len());
                    if matches!(step, Step::Restart) {
                        seen = SeenKeys::new(within, shards + 1);
                        seen.restore(state).unwrap();
                    }
                }
                Step::Expire => seen.expire(watermark),
            }
        }
        drop(seen);
        prop_assert_eq!(budget.resident(), 0);
    }
}
