#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

async fn put(chain: &Chain, epoch: u64) -> Piece {
    let name = chain.segment_name(epoch);
    let (bytes, piece) = segment(&name, &rows(epoch as i64, 3));
    chain.put_segment(&name, bytes).await.unwrap();
    piece
}

#[test]
fn segments_go_when_the_newest_manifest_stops_naming_them() {
    let rig = Rig::new(1);
    let chain = rig.chain();
    block_on(async {
        let mut writer = chain.take_over(same).await.unwrap();
        let long = put(&chain, 2).await;
        let short = put(&chain, 2).await;
        writer.append(manifest(1, vec![long.clone(), short.clone()])).await.unwrap();
        chain.sweep(writer.newest()).await;
        assert_eq!(rig.names("segments").len(), 2);
        // On its way: not named yet, and of an epoch to come.
        let next = put(&chain, 3).await;
        chain.sweep(writer.newest()).await;
        assert_eq!(rig.names("segments").len(), 3);

        writer.append(manifest(1, vec![long.clone(), next.clone()])).await.unwrap();
        chain.sweep(writer.newest()).await;
        let mut kept = vec![long.segment, next.segment];
        kept.sort();
        assert_eq!(rig.names("segments"), kept);
    });
}

#[test]
fn what_dead_processes_left_is_found_by_listing_at_first_and_then_hourly() {
    let rig = Rig::new(1);
    block_on(async {
        let dead = rig.chain();
        let orphan = put(&dead, 1).await;
        rig.memory.put(&Path::from("root/segments/notes.txt"), "mine".into()).await.unwrap();
        let chain = rig.chain();
        let mut writer = chain.take_over(same).await.unwrap();
        writer.append(manifest(1, vec![])).await.unwrap();
        chain.sweep(writer.newest()).await;
        assert!(!rig.names("segments").contains(&orphan.segment));
        assert_eq!(rig.names("segments"), ["notes.txt"], "what is not ours stays");

        let late = put(&dead, 1).await;
        chain.sweep(writer.newest()).await;
        assert!(rig.names("segments").contains(&late.segment));
        rig.world.pass(HOUR);
        chain.sweep(writer.newest()).await;
        assert!(!rig.names("segments").contains(&late.segment));
    });
}

#[test]
fn a_sweep_by_one_who_slept_takes_nothing_that_is_needed() {
    let rig = Rig::new(1);
    block_on(async {
        let old = rig.chain();
        let mut zombie = old.take_over(same).await.unwrap();
        let kept = put(&old, 2).await;
        zombie.append(manifest(1, vec![kept.clone()])).await.unwrap();
        let chain = rig.chain();
        let mut owner = chain.take_over(same).await.unwrap();
        let mut pieces = vec![kept];
        for _ in 0..5 {
            pieces.push(put(&chain, owner.next_epoch()).await);
            owner.append(manifest(2, pieces.clone())).await.unwrap();
            rig.world.pass(HOUR);
            old.sweep(zombie.newest()).await;
        }
        assert_eq!(chain.read_blocks(&pieces).await.unwrap().len(), 6);
    });
}

#[test]
fn manifests_stay_for_a_day_and_milestones_for_ever() {
    let rig = Rig::new(1);
    let chain = rig.chain();
    block_on(async {
        let mut writer = grown(&chain, names::STRIDE + 10).await;
        chain.sweep(writer.newest()).await;
        rig.world.pass(23 * HOUR);
        chain.sweep(writer.newest()).await;
        assert_eq!(rig.names("checkpoints").len() as u64, names::STRIDE + 10);
        rig.world.pass(2 * HOUR);
        writer.append(manifest(1, vec![])).await.unwrap();
        sweep_often(&chain, writer.newest()).await;
        let kept: Vec<String> =
            [1].into_iter().chain(names::STRIDE..=names::STRIDE + 11).map(names::manifest).collect();
        assert_eq!(rig.names("checkpoints"), kept);
    });
}

#[test]
fn a_sweep_that_fails_does_no_harm_and_is_made_up_for() {
    let rig = Rig::new(1);
    let chain = rig.chain();
    block_on(async {
        let mut writer = chain.take_over(same).await.unwrap();
        put(&chain, 1).await;
        writer.append(manifest(1, vec![])).await.unwrap();
        rig.store.fail(Operation::Delete, Fault::Hang, 1.0);
        chain.sweep(writer.newest()).await;
        rig.store.heal();
        assert_eq!(rig.names("segments").len(), 1);
        rig.world.pass(HOUR);
        chain.sweep(writer.newest()).await;
        assert!(rig.names("segments").is_empty());
    });
}

/// Names at the borders of the rule.
#[test]
fn what_may_go_lies_below_the_last_milestone_and_is_none() {
    let stride = names::STRIDE;
    for (epoch, newest, goes) in [
        (1, 10 * stride, false),
        (2, stride - 1, false),
        (2, stride, true),
        (stride - 1, stride, true),
        (stride, stride, false),
        (stride, 2 * stride, false),
        (stride + 1, 2 * stride - 1, false),
        (stride + 1, 2 * stride, true),
    ] {
        assert_eq!(names::may_go(epoch, newest), goes, "{epoch} of {newest}");
    }
}
