//! Thousands of small runs, each decided by its seed: who moves next, when an epoch ends, when a process dies or is taken
//! over while it still moves, what the state store answers. However it goes, the lake holds each row once.
//!
//! `SEED=n` runs one seed again, and shows what happened; `SEEDS=n` runs so many.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::runtime::{Builder, Runtime};
use watershed_connectors::MemoryQueue;

use super::life::{Life, Stepped};
use super::world::{Event, Outside, expected, seen};
use crate::environment::Environment;
use crate::run::outlet::in_order;

/// Seeds of a plain test run.
const SEEDS: u64 = 2_000;
/// With a mirror there is twice as much to do.
const MIRRORED: u64 = 300;
/// Steps after which nothing disturbs a simulation any more, so that it comes to an end.
const DISTURBED: usize = 3_000;
/// Far longer than ids of a queue are kept.
const DOWNTIME: Duration = Duration::from_secs(86_400);
/// Steps after which one that still goes on is stuck.
const MOST_STEPS: usize = 200_000;

/// Events over some splits, each out of order by `disorder` seconds at most: so none is late, in whatever order splits are
/// read, and windows close all along.
fn events(random: &mut SmallRng, disorder: i64) -> Vec<Vec<Event>> {
    let splits = random.random_range(1..4);
    let mut events = vec![Vec::new(); splits];
    let number = random.random_range(0..120);
    for id in 0..number {
        let time = id * 60 / number.max(1) + random.random_range(0..=disorder);
        let (user, bad) = (random.random_range(0..4), random.random_bool(0.05));
        events[random.random_range(0..splits)].push(Event { time, id, user, bad });
    }
    events
}

/// The outside of a run whose events come from splits, each once.
fn splits(seed: u64, random: &mut SmallRng) -> Arc<Outside> {
    let disorder = [0, 3, 30][random.random_range(0..3)];
    let events = events(random, disorder);
    let faulty = random.random_bool(0.5);
    Outside::new(seed, events, faulty, random.random_range(1..5), disorder)
}

/// The outside of a run whose events come from a queue, some of them again and again.
fn queue(seed: u64, random: &mut SmallRng) -> Arc<Outside> {
    let events = events(random, 3);
    let faulty = random.random_bool(0.3);
    Outside::queued(seed, events, faulty, random.random_range(1..5))
}

fn simulate(runtime: &Runtime, seed: u64, make: fn(u64, &mut SmallRng) -> Arc<Outside>, talk: bool) {
    let mut random = SmallRng::seed_from_u64(seed);
    let outside = make(seed, &mut random);
    let mut lives: Vec<Life> = Vec::new();
    let mut disk_is_full = false;
    let say = |words: std::fmt::Arguments<'_>| {
        if talk {
            println!("seed {seed}: {words}");
        }
    };
    for step in 0..MOST_STEPS {
        if step == DISTURBED {
            outside.store.heal();
            outside.mirror.iter().for_each(|mirror| mirror.turn(false));
            disk_is_full = false;
        }
        let disturbed = step < DISTURBED;
        if lives.is_empty() || (lives.len() < 2 && disturbed && random.random_bool(0.002)) {
            let lanes = random.random_range(1..4);
            match Life::begin(runtime, &outside, lanes) {
                Ok(life) => {
                    say(format_args!("step {step}: a life with {lanes} lanes, at {:?}", life.standing()));
                    lives.push(life);
                }
                Err(error) => {
                    say(format_args!("step {step}: no life: {error}"));
                    assert!(disturbed, "seed {seed}: a life did not begin: {error}");
                }
            }
            continue;
        }
        if let Some(queue) = &outside.queue {
            unsettle(queue, &outside, disturbed, &mut random);
        }
        if let Some(mirror) = &outside.mirror {
            if disturbed && random.random_bool(0.004) {
                mirror.turn(!mirror.is_dark());
            }
            if disturbed && random.random_bool(0.004) {
                disk_is_full = !disk_is_full;
            }
            lives.iter().for_each(|life| life.fill_disk(disk_is_full));
            // A daemon's clock goes on by itself.
            outside.environment.pass(Duration::from_millis(20));
        }
        let chosen = random.random_range(0..lives.len());
        if disturbed && random.random_bool(0.003) {
            say(format_args!("step {step}: life {chosen} dies"));
            lives.remove(chosen);
            continue;
        }
        match lives[chosen].step(runtime, &mut random) {
            Ok(Stepped::Moved) => {}
            Ok(Stepped::Finished) => {
                say(format_args!("step {step}: done"));
                if lives[chosen].leaves_rows() {
                    say(format_args!("step {step}: the mirror was down at the end"));
                    lives.remove(chosen);
                    outside.mirror.iter().for_each(|mirror| mirror.turn(false));
                    continue;
                }
                return compare(&outside, seed);
            }
            Err(error) => {
                say(format_args!("step {step}: life {chosen} fails: {error}"));
                assert!(
                    !error.to_string().contains("cannot write the spill file"),
                    "seed {seed}: rows can wait in memory, too: {error}"
                );
                lives.remove(chosen);
            }
        }
    }
    panic!("seed {seed} is stuck");
}

/// Publishes now and then, delivers again often, and lets time pass.
fn unsettle(queue: &MemoryQueue, outside: &Outside, disturbed: bool, random: &mut SmallRng) {
    if !disturbed {
        return queue.publish(usize::MAX);
    }
    match random.random_range(0..1000) {
        0..50 => queue.publish(1),
        50..250 => queue.deliver_again(random.random_range(0..1000)),
        250 => outside.environment.pass(DOWNTIME),
        _ => outside.environment.pass(Duration::from_millis(1)),
    }
}

fn compare(outside: &Outside, seed: u64) {
    let all: Vec<Event> = outside.events.iter().flatten().copied().collect();
    for (pipeline, expected) in expected(&all).into_iter().filter(|(pipeline, _)| outside.has(pipeline)) {
        if let Some(mirror) = outside.mirror.as_ref().filter(|_| !pipeline.ends_with(" dead")) {
            let mut both = seen(&mirror.rows, pipeline);
            for (row, times) in seen(&mirror.backup, pipeline) {
                *both.entry(row).or_default() += times;
            }
            assert_eq!(both, expected, "seed {seed}: {pipeline} in the mirror; run it again with SEED={seed}");
        }
        assert_eq!(seen(&outside.rows, pipeline), expected, "seed {seed}: {pipeline}; run it again with SEED={seed}");
    }
}

fn simulate_all(seeds: u64, make: fn(u64, &mut SmallRng) -> Arc<Outside>) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("SEED") {
        Some(seed) => simulate(&runtime, seed, make, true),
        None => (0..number("SEEDS").unwrap_or(seeds)).for_each(|seed| simulate(&runtime, seed, make, false)),
    }
}

#[test]
fn every_order_of_things_gives_the_same_lake() {
    simulate_all(SEEDS, splits);
}

/// A split's chunks are worked on by several lanes, in any order: with the same epochs, watermarks and rows.
#[test]
fn a_split_that_is_spread_over_lanes_gives_the_same_lake() {
    simulate_all(SEEDS, |seed, random| splits(seed, random).grouped());
}

/// One of two sinks is down again and again, at any time, and the disk that its rows are spilled to is full at others: it has the
/// same rows in the end, and each once.
#[test]
fn a_mirror_that_was_down_has_every_row_once() {
    simulate_all(MIRRORED, |seed, random| {
        let outside = if seed % 4 == 0 { queue(seed, random) } else { splits(seed, random) };
        outside.mirrored([u64::MAX, 20_000, 1_000][random.random_range(0..3)], None)
    });
}

/// The same, with a standby that takes over and hands back: the two have every row between them.
#[test]
fn a_mirror_and_its_standby_have_every_row_once() {
    simulate_all(MIRRORED, |seed, random| {
        let after = Duration::from_millis(random.random_range(1..5_000));
        splits(seed, random).mirrored([u64::MAX, 20_000, 1_000][random.random_range(0..3)], Some(after))
    });
}

/// Places that are silent are waited for together, however many pipelines write there.
#[test]
fn a_start_waits_once_for_all_that_are_silent() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let outside = Outside::new(1, vec![Vec::new()], false, 1, 0).mirrored(u64::MAX, None);
    outside.mirror.iter().for_each(|mirror| mirror.silence());
    let Err(refused) = Life::begin(&runtime, &outside, 1) else { panic!("a fresh state needs every sink") };
    assert!(refused.to_string().contains("sink `mirror` does not answer"), "{refused}");
    assert_eq!(outside.environment.elapsed(), Duration::from_secs(5), "one timeout, for four pipelines");
}

#[test]
fn the_first_error_is_that_of_the_first_in_order() {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let waiting = [3, 0, 1].map(async |turns: usize| {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        Err::<(), usize>(turns)
    });
    assert_eq!(runtime.block_on(in_order(waiting)), Err(3));
}

/// Deliveries of a record come before and after it is durable, in one epoch and in two, on one lane and on two, before and
/// after a crash, and after a day without any.
#[test]
fn what_a_queue_delivers_again_is_taken_once() {
    simulate_all(SEEDS, queue);
}
