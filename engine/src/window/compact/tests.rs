#![allow(clippy::expect_used)]

use super::*;

const LIVING: Policy = Policy { shrinks: true, collects: false, room: None, small: SMALL };

/// What it shows, sizes in kilobytes (0: on disk), the policy, and what is merged.
type Case = (&'static str, &'static [usize], Policy, Option<Range<usize>>);

fn sizes(kilobytes: &[usize]) -> Vec<Option<usize>> {
    kilobytes.iter().map(|&size| (size > 0).then_some(size << 10)).collect()
}

#[test]
fn the_rules_as_a_table() {
    let cases: [Case; 10] = [
        ("nothing", &[], LIVING, None),
        ("three of a tier", &[300, 300, 300], LIVING, None),
        ("four of a tier", &[300, 400, 500, 600], LIVING, Some(0..4)),
        ("the young ones only", &[9000, 300, 300, 300, 300], LIVING, Some(1..5)),
        ("what is younger comes along", &[2000, 2000, 2000, 2000, 300], LIVING, Some(0..5)),
        ("not across one on disk", &[300, 300, 0, 300, 300, 300], LIVING, None),
        ("no room", &[300, 300, 300, 300], Policy { room: Some(1 << 20), ..LIVING }, None),
        ("no gain", &[300, 300, 300, 300], Policy { shrinks: false, ..LIVING }, None),
        (
            "no gain, but long",
            &[9000, 900, 500, 500, 500, 500, 300, 300, 300, 300, 400, 500, 500],
            Policy { shrinks: false, ..LIVING },
            Some(6..10),
        ),
        ("large rows as they came", &[5000, 5000, 5000, 5000], Policy { collects: true, ..LIVING }, None),
    ];
    for (what, blocks, policy, expected) in cases {
        assert_eq!(due(&sizes(blocks), policy), expected, "{what}");
    }
}

#[test]
fn only_what_is_small_together_is_merged_at_once() {
    assert_eq!(small(&sizes(&[300, 100, 100]), SMALL), Some(1..3));
    assert_eq!(small(&sizes(&[100, 200]), SMALL), None);
    assert_eq!(small(&sizes(&[100, 0]), SMALL), None);
    assert_eq!(small(&sizes(&[10]), SMALL), None);
}

#[test]
fn lists_stay_short_and_merges_few_however_keys_repeat() {
    // Share of a block's groups that the blocks before it lack.
    for new in [0.0, 0.1, 0.5, 1.0] {
        let (mut blocks, mut policy): (Vec<f64>, _) = (Vec::new(), LIVING);
        let (mut written, mut merged, mut most) = (0.0, 0.0, 0);
        const BLOCK: f64 = 1e6;
        for _ in 0..360 {
            blocks.push(BLOCK);
            written += BLOCK;
            loop {
                let bytes: Vec<Option<usize>> = blocks.iter().map(|&bytes| Some(bytes as usize)).collect();
                let Some(run) = due(&bytes, policy) else { break };
                let before: f64 = blocks[run.clone()].iter().sum();
                let largest = blocks[run.clone()].iter().copied().fold(0.0, f64::max);
                let after = largest + new * (before - largest);
                policy.shrinks = after <= before * 0.75;
                merged += after;
                blocks.splice(run, [after]);
            }
            most = most.max(blocks.len());
        }
        assert!(most <= MOST, "{most} blocks where {new} of the groups are new");
        assert!(merged < 4.5 * written, "{merged} merged for {written} where {new} of the groups are new");
    }
}
