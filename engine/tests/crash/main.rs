//! The crash harness: a run that is killed again and again, at every step of a checkpoint and at any other time, must leave
//! the lake that an undisturbed run leaves, row for row, in plain files and in tables.
//!
//! The one idea: a life is a process of its own. For a death at a step the test starts itself again as that process, runs
//! the engine with a watch on its steps and kills it there; for a death at any time it starts the program and sends
//! SIGKILL. Every life has another number of lanes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod faulty;
mod lake;
mod life;
mod scenario;

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use watershed_engine::run::Step;

use lake::Lake;
use life::{Death, Ended, Life};
use scenario::Scenario;

/// Lives after which a run that still has not ended never will.
const MOST_LIVES: usize = 400;

/// One life, when the test has started itself as one.
#[test]
fn life() {
    life::be_one();
}

/// Lives one life after the other, each to the death that `deaths` names, until one comes to the end. A life whose stores
/// fail may end badly, too; that is another death.
fn live(scenario: &Scenario, mut death: impl FnMut(usize) -> Death, random: &mut SmallRng, faulty: bool) -> usize {
    for number in 0..MOST_LIVES {
        let faults = faulty.then(|| random.random());
        let life = Life { lanes: random.random_range(1..=4), death: death(number), faults };
        match life.live(scenario) {
            Ended::Well => return number,
            Ended::Killed => {}
            Ended::Badly(words) if faulty => println!("a life ended badly: {}", words.trim()),
            Ended::Badly(words) => panic!("life {number} {life:?} of {scenario:?} failed:\n{words}"),
        }
    }
    panic!("{scenario:?} did not end in {MOST_LIVES} lives");
}

/// The lake of a run that nobody disturbs.
fn undisturbed(scenario: &Scenario) -> Lake {
    let life = Life { lanes: 2, death: Death::None, faults: None };
    match life.live(scenario) {
        Ended::Well => Lake::read(scenario),
        ended => panic!("the undisturbed run of {scenario:?} ended so: {ended:?}"),
    }
}

#[test]
fn a_death_at_any_step_changes_nothing() {
    let mut random = SmallRng::seed_from_u64(1);
    for build in scenario::ALL {
        let expected = undisturbed(&build(10_000));
        assert!(expected.rows() > 100, "{} rows", expected.rows());
        for (index, step) in Step::ALL.into_iter().enumerate() {
            let scenario = build(10_000);
            // The first death is at the step's first time, the later ones at later times, then the run may end.
            let killed = live(
                &scenario,
                |life| match life {
                    0..=2 => Death::AtStep(step, 1 + life * (index % 3 + 1)),
                    _ => Death::None,
                },
                &mut random,
                false,
            );
            assert!(killed > 0, "no life ever came to {step:?}");
            Lake::read(&scenario).assert_equals(&expected, &format!("{scenario:?} killed at {step:?}"));
        }
    }
}

#[test]
fn kill_9_at_any_time_changes_nothing() {
    let kills = std::env::var("WATERSHED_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(24);
    let mut random = SmallRng::seed_from_u64(2);
    let mut killed = 0;
    while killed < kills {
        let expected = undisturbed(&scenario::generated());
        let scenario = scenario::generated();
        let after = |random: &mut SmallRng| Duration::from_millis(random.random_range(30..700));
        let mut times = SmallRng::seed_from_u64(random.random());
        let deaths = live(&scenario, |_| Death::After(after(&mut times)), &mut random, false);
        Lake::read(&scenario).assert_equals(&expected, &format!("{scenario:?} killed {deaths} times"));
        killed += deaths;
        println!("{killed} kills, and the lake still adds up");
    }
}

#[test]
fn stores_that_fail_change_nothing() {
    let mut random = SmallRng::seed_from_u64(3);
    let expected = undisturbed(&scenario::ALL[0](4_000));
    for _ in 0..4 {
        let scenario = scenario::ALL[0](4_000);
        let mut deaths = SmallRng::seed_from_u64(random.random());
        let death = |life: usize| match deaths.random_bool(0.5) && life < 20 {
            true => Death::AtStep(Step::ALL[deaths.random_range(0..Step::ALL.len())], deaths.random_range(1..6)),
            false => Death::None,
        };
        let lives = live(&scenario, death, &mut random, true);
        Lake::read(&scenario).assert_equals(&expected, &format!("{scenario:?} after {lives} lives over faulty stores"));
    }
}
