#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use super::*;

#[test]
fn a_new_chain_begins_at_one_and_goes_on() {
    let rig = Rig::new(1);
    let chain = rig.chain();
    block_on(async {
        assert_eq!(chain.newest().await.unwrap(), None);
        let mut writer = chain.take_over(same).await.unwrap();
        assert_eq!((writer.newest().epoch, writer.newest().generation, writer.next_epoch()), (1, 1, 2));
        let second = writer.append(manifest(5, vec![])).await.unwrap();
        assert_eq!((second.epoch, second.generation, &*second.owner), (2, 1, chain.owner()));
        assert_eq!(chain.newest().await.unwrap().as_ref(), Some(&*second));

        let other = rig.chain().take_over(same).await.unwrap();
        assert_eq!((other.newest().epoch, other.newest().generation, other.newest().counters.read), (3, 2, 5));
    });
    assert_eq!(rig.names("checkpoints"), ["0000000001.json", "0000000002.json", "0000000003.json"]);
}

#[test]
fn a_writer_that_was_overtaken_is_fenced_and_stays_so() {
    let rig = Rig::new(1);
    let (first, second) = (rig.chain(), rig.chain());
    block_on(async {
        let mut zombie = first.take_over(same).await.unwrap();
        let mut owner = second.take_over(same).await.unwrap();
        let error = zombie.append(manifest(1, vec![])).await.unwrap_err();
        let rival = format!("process {} (generation 2)", second.owner());
        assert_eq!(
            error.to_string(),
            format!(
                "another watershed owns this pipeline: epoch 2 in memory://state was written by {rival}; let only one \
                 run, or give each a checkpoint url of its own"
            )
        );
        owner.append(manifest(2, vec![])).await.unwrap();
        let again = zombie.append(manifest(1, vec![])).await.unwrap_err();
        assert!(matches!(again, StateError::Fenced { epoch: 2, .. }));
        assert_eq!(second.newest().await.unwrap().unwrap().counters.read, 2);
    });
}

#[test]
fn a_writer_whose_last_put_is_unknown_writes_no_more() {
    let rig = Rig::new(1);
    block_on(async {
        let mut writer = rig.chain().take_over(same).await.unwrap();
        rig.store.fail(Operation::Put, Fault::Error, 1.0);
        assert!(matches!(writer.append(manifest(1, vec![])).await, Err(StateError::Retry { .. })));
        assert!(rig.world.elapsed() >= Duration::from_secs(600));
        rig.store.heal();
        let error = writer.append(manifest(1, vec![])).await.unwrap_err().to_string();
        assert!(error.starts_with("epoch 2 in memory://state may or may not have been written"), "{error}");
    });
}

#[test]
fn dropping_an_append_ends_the_writer() {
    let rig = Rig::new(1);
    block_on(async {
        let mut writer = rig.chain().take_over(same).await.unwrap();
        rig.store.fail_next(Operation::Put, Some(Fault::DoneAndHang));
        {
            let append = writer.append(manifest(1, vec![]));
            futures::pin_mut!(append);
            assert!(futures::poll!(append.as_mut()).is_pending());
        }
        assert!(matches!(writer.append(manifest(2, vec![])).await, Err(StateError::Retry { .. })));
        assert_eq!(rig.chain().newest().await.unwrap().unwrap().counters.read, 1);
    });
}

#[test]
fn the_newest_is_found_however_much_a_listing_leaves_out() {
    let rig = Rig::new(1);
    block_on(async {
        let chain = rig.chain();
        let writer = grown(&chain, 2 * names::STRIDE + 37).await;
        for seed in 0..20 {
            let other = Rig::over(rig.memory.clone(), seed);
            other.store.fail(Operation::List, Fault::PartialList, 1.0);
            assert_eq!(other.chain().newest_epoch().await.unwrap(), Some(2 * names::STRIDE + 37));
        }
        // Even when it is empty, and old manifests have been removed.
        rig.world.pass(Duration::from_secs(2 * 24 * 3600));
        sweep_often(&chain, writer.newest()).await;
        assert_eq!(rig.names("checkpoints").len() as u64, 2 + 37 + 1);
        let empty = Rig::over(rig.memory.clone(), 1);
        empty.store.fail(Operation::List, Fault::PartialList, 1.0);
        for name in 0..100 {
            empty.store.fail_next(Operation::List, Some(Fault::PartialList));
            assert_eq!(empty.chain().newest_epoch().await.unwrap(), Some(2 * names::STRIDE + 37), "{name}");
        }
    });
}

#[test]
fn a_zombie_whose_epoch_was_swept_is_fenced_by_the_milestone() {
    let rig = Rig::new(1);
    block_on(async {
        let chain = rig.chain();
        grown(&chain, 99).await;
        let sleeper = rig.chain();
        let mut zombie = sleeper.take_over(same).await.unwrap();
        let owner = grown(&chain, names::STRIDE + 5).await;
        rig.world.pass(Duration::from_secs(2 * 24 * 3600));
        sweep_often(&chain, owner.newest()).await;
        assert!(!rig.names("checkpoints").contains(&names::manifest(101)));

        assert_eq!(zombie.next_epoch(), 101);
        let error = zombie.append(manifest(1, vec![])).await.unwrap_err();
        assert!(matches!(error, StateError::Fenced { epoch: 101, rival: Some(_), .. }), "{error}");
        // What it left in the hole misleads nobody.
        assert!(rig.names("checkpoints").contains(&names::manifest(101)));
        assert_eq!(chain.newest().await.unwrap().unwrap(), **owner.newest());
    });
}

#[test]
fn a_damaged_manifest_stops_everything_and_is_named() {
    let rig = Rig::new(1);
    block_on(async {
        let chain = rig.chain();
        grown(&chain, 3).await;
        let path = Path::from("root/checkpoints/0000000003.json");
        let good = rig.memory.get(&path).await.unwrap().bytes().await.unwrap();
        let text = String::from_utf8(good.to_vec()).unwrap();
        for bad in [text.replace("\"read\": 3", "\"read\": 4"), text[..100].to_string(), String::new()] {
            rig.memory.put(&path, bad.into()).await.unwrap();
            let error = chain.newest().await.unwrap_err();
            assert!(matches!(error, StateError::Damaged { .. }));
            let said = error.to_string();
            assert!(said.starts_with("root/checkpoints/0000000003.json in memory://state is damaged: "), "{said}");
            assert!(said.ends_with("restore it from a backup, or start over without the state (--reset-state)"));
            assert!(matches!(chain.take_over(same).await, Err(StateError::Damaged { .. })));
        }
        // A manifest in the place of another is damage, too.
        let second = rig.memory.get(&Path::from("root/checkpoints/0000000002.json")).await.unwrap();
        rig.memory.put(&path, second.bytes().await.unwrap().into()).await.unwrap();
        assert!(chain.newest().await.unwrap_err().to_string().contains("it is of epoch 2"));

        // Starting over goes on with the numbers, so that whoever still writes is stopped.
        let fresh = chain.start_over(|_| Ok::<_, StateError>(manifest(0, vec![]))).await.unwrap();
        assert_eq!((fresh.newest().epoch, fresh.newest().generation, fresh.newest().counters.read), (4, 4, 0));
    });
}

#[test]
fn a_manifest_of_another_version_is_refused() {
    let rig = Rig::new(1);
    block_on(async {
        let mut newer = manifest(1, vec![]);
        (newer.version, newer.epoch) = (MANIFEST_VERSION + 1, 1);
        let file = super::super::document::encode(&newer).unwrap();
        rig.memory.put(&Path::from("root/checkpoints/0000000001.json"), file.into()).await.unwrap();
        let error = rig.chain().newest().await.unwrap_err();
        assert!(matches!(error, StateError::Incompatible { found: 5, .. }));
        assert!(error.to_string().ends_with("run the newer watershed that wrote it"), "{error}");
    });
}

#[test]
fn a_manifest_is_of_the_version_that_its_contents_need() {
    type Change = fn(&mut Manifest);
    fn behind() -> BTreeMap<String, Behind> {
        [("mirror".into(), Behind { from: 1, attempts: 1 })].into()
    }
    fn encoded() -> BTreeMap<String, BTreeMap<u64, Piece>> {
        [("lake".into(), BTreeMap::new())].into()
    }
    let changes: [(Change, u64); 8] = [
        (|_| {}, 1),
        (|manifest| pipeline(manifest).out.behind = behind(), 2),
        (|manifest| pipeline(manifest).out.turns = [("mirror".into(), vec![1])].into(), 2),
        (|manifest| pipeline(manifest).late.behind = behind(), 2),
        (|manifest| pipeline(manifest).sketches = 1, 3),
        (|manifest| pipeline(manifest).out.encoded = encoded(), 4),
        (|manifest| (pipeline(manifest).late.encoded, pipeline(manifest).sketches) = (encoded(), 1), 4),
        (|_| {}, 1),
    ];
    let rig = Rig::new(1);
    block_on(async {
        let mut writer = rig.chain().take_over(same).await.unwrap();
        for (change, version) in changes {
            let mut manifest = manifest(0, vec![]);
            change(&mut manifest);
            let written = writer.append(manifest).await.unwrap();
            assert_eq!(&rig.chain().newest().await.unwrap().unwrap(), &*written, "this build reads all");
            let path = Path::from(format!("root/checkpoints/{:010}.json", written.epoch));
            let file = rig.memory.get(&path).await.unwrap().bytes().await.unwrap();
            // All that a build of version 1 asks.
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&file).unwrap()["version"], version);
        }
    });
}

fn pipeline(manifest: &mut Manifest) -> &mut PipelineState {
    manifest.pipelines.get_mut("p").unwrap()
}

#[test]
fn a_refusal_to_build_ends_the_takeover() {
    let rig = Rig::new(1);
    let chain = rig.chain();
    let refused = chain.take_over(|_, _| Err(StateError::config("another plan")));
    assert_eq!(block_on(refused).unwrap_err().to_string(), "another plan");
    assert!(rig.names("checkpoints").is_empty());
}

#[test]
fn blocks_come_back_in_the_order_asked_and_each_segment_once() {
    let rig = Rig::new(1);
    let chain = rig.chain();
    block_on(async {
        let mut pieces = Vec::new();
        let mut batches = Vec::new();
        for number in 0..20 {
            let mut writer = SegmentWriter::new(chain.segment_name(1));
            for part in 0..3 {
                let batch = rows(number * 100 + part, 10 + part);
                pieces.push(writer.push(&batch).unwrap());
                batches.push(batch);
            }
            let name = writer.name().to_string();
            chain.put_segment(&name, writer.finish()).await.unwrap();
        }
        let order: Vec<usize> = (0..60).map(|n| n * 37 % 60).filter(|n| n % 3 != 1).collect();
        let asked: Vec<Piece> = order.iter().map(|n| pieces[*n].clone()).collect();
        rig.store.fail(Operation::Get, Fault::Slow, 0.5);
        let read = chain.read_blocks(&asked).await.unwrap();
        assert!(read.iter().zip(order).all(|(batch, n)| *batch == batches[n]));
        assert_eq!(chain.read_blocks(&[]).await.unwrap(), vec![]);

        // A flip on the way is cured by reading again.
        rig.store.heal();
        rig.store.fail_next(Operation::Get, None);
        rig.store.fail_next(Operation::Get, Some(Fault::BitFlip));
        assert_eq!(chain.read_blocks(&pieces[..1]).await.unwrap(), batches[..1]);
        assert_eq!(rig.store.injected()[&(Operation::Get, Fault::BitFlip)], 1);

        // One at rest is not, nor is a segment that is gone or cut short.
        let path = Path::from(format!("root/segments/{}", pieces[0].segment));
        let good = rig.memory.get(&path).await.unwrap().bytes().await.unwrap();
        let mut bad = good.to_vec();
        bad[10] ^= 1;
        rig.memory.put(&path, bad.into()).await.unwrap();
        let error = chain.read_blocks(&asked).await.unwrap_err().to_string();
        assert!(error.contains("in memory://state is damaged: the checksum does not match"), "{error}");
        rig.memory.put(&path, good.slice(..20).into()).await.unwrap();
        let error = chain.read_blocks(&pieces).await.unwrap_err().to_string();
        assert!(error.contains("it has 20 bytes, and"), "{error}");
        rig.memory.delete(&path).await.unwrap();
        let error = chain.read_blocks(&pieces).await.unwrap_err().to_string();
        assert!(error.contains("it is missing, and the newest manifest names it"), "{error}");
    });
}

#[test]
fn an_epoch_may_name_only_what_the_sweep_leaves() {
    let rig = Rig::new(1);
    let chain = rig.chain();
    block_on(async {
        let mut writer = chain.take_over(same).await.unwrap();
        let kept = nowhere(chain.segment_name(2));
        writer.append(manifest(1, vec![kept.clone()])).await.unwrap();
        writer.append(manifest(1, vec![kept.clone(), nowhere(chain.segment_name(3))])).await.unwrap();
        writer.append(manifest(1, vec![])).await.unwrap();
        let error = writer.append(manifest(1, vec![kept])).await.unwrap_err().to_string();
        assert!(error.contains("which the epoch before did not keep"), "{error}");
    });
}
