//! A record dropped on the word of an epoch that is not durable yet.
//!
//! Lanes pass a barrier while others are in the middle of a chunk, which a simulation that moves one part at a time never
//! meets: so here the test asks in the lanes' place.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::runtime::{Builder, Runtime};
use watershed_connectors::{MemoryQueue, MetadataValue, Records, Wanted};
use watershed_sinks::Flush;

use super::life::Life;
use super::world::{Event, Outside};
use crate::run::coordinator::Phase;

/// The record called `name`.
fn record(name: &str) -> Records {
    let mut records = Records::default();
    records.push(b"{}", 0);
    let wanted = Wanted::pick(MemoryQueue::METADATA, MemoryQueue::METADATA.iter().map(|field| field.name));
    records.describe(&wanted, |_| MetadataValue::Text(name));
    records
}

/// Moves all parts until so many epochs are stored and what is durable has been told.
fn live_until(life: &mut Life, runtime: &Runtime, random: &mut SmallRng, epoch: u64) {
    for _ in 0..100_000 {
        let waiting = matches!(life.coordinator.phase, Phase::Waiting);
        if waiting && life.coordinator.manifest.epoch >= epoch {
            return;
        }
        life.step(runtime, random).map(drop).expect("nothing fails here");
    }
    panic!("epoch {epoch} was never stored");
}

#[test]
fn it_is_not_acknowledged_until_that_is_durable() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut random = SmallRng::seed_from_u64(1);
    let event = |id| Event { time: id, id, user: 0, bad: false };
    let outside = Outside::queued(1, vec![(0..9).map(event).collect()], false, 1);
    let queue = outside.queue.as_ref().expect("there is a queue");
    let mut life = Life::begin(&runtime, &outside, 2).expect("it begins");

    // A lane that has passed the next barrier takes "k"; then one that has not drops another copy.
    queue.publish(4);
    life.take_in(&runtime).expect("nothing fails here");
    let redelivery = life.coordinator.redeliveries[&0].clone();
    let round = life.coordinator.round + 1;
    let taken = |round| redelivery.admit(round, &record("k"), Duration::ZERO).expect("it has a name").value(0);
    assert!(taken(round + 1) && !taken(round));
    life.coordinator.begin(Flush::Due).expect("the lanes are there");
    let epoch = life.coordinator.manifest.epoch;
    live_until(&mut life, &runtime, &mut random, epoch + 1);
    assert_eq!(life.coordinator.round, round);
    life.take_in(&runtime).expect("nothing fails here");
    assert_eq!(queue.acknowledged(), 0, "\"k\" is in no manifest yet");

    queue.publish(1);
    life.take_in(&runtime).expect("nothing fails here");
    life.coordinator.begin(Flush::Due).expect("the lanes are there");
    live_until(&mut life, &runtime, &mut random, epoch + 2);
    life.take_in(&runtime).expect("nothing fails here");
    assert_eq!(queue.acknowledged(), 5, "now it is, and with it everything before");
}
