#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::{Schedule, Step};

fn seconds(schedule: &Schedule, n: u64) -> f64 {
    schedule.time(n).unwrap().as_secs_f64()
}

fn all() -> Vec<Schedule> {
    vec![
        Schedule::parse_rate("100k").unwrap(),
        Schedule::parse_rate("7/m").unwrap(),
        Schedule::parse_steps("10s:50k,500ms:0,10s:100k").unwrap(),
        Schedule::parse_bursts("9s:1k,1s:200k").unwrap(),
        Schedule::parse_bursts("1s:0,100ms:1k,1s:0").unwrap(),
        Schedule::parse_sine("60s:0..100k").unwrap(),
    ]
}

#[test]
fn a_constant_rate_has_even_gaps() {
    let schedule = Schedule::parse_rate("1000/s").unwrap();
    assert_eq!(schedule.time(0), Some(Duration::ZERO));
    assert_eq!(schedule.time(1500), Some(Duration::from_millis(1500)));
    assert_eq!(schedule.total(), None);
    assert_eq!(schedule.time(3_600_000_000), Some(Duration::from_secs(3_600_000)));
}

#[test]
fn steps_follow_each_other_and_end() {
    let schedule = Schedule::parse_steps("10s:50k,10s:100k/s,1m:6/m").unwrap();
    assert_eq!(schedule.total(), Some(1_500_006));
    assert_eq!(seconds(&schedule, 499_999), 10.0 - 1.0 / 50_000.0);
    assert_eq!(seconds(&schedule, 500_000), 10.0);
    assert_eq!(seconds(&schedule, 500_001), 10.0 + 1.0 / 100_000.0);
    assert_eq!(seconds(&schedule, 1_500_001), 30.0);
    assert_eq!(schedule.time(1_500_006), None);
}

#[test]
fn a_stretch_without_events_is_waited_for() {
    let schedule = Schedule::parse_steps("1s:10,5s:0,1s:10").unwrap();
    assert_eq!(seconds(&schedule, 9), 0.9);
    assert_eq!(seconds(&schedule, 10), 6.0);
    let repeated = Schedule::parse_bursts("1s:10,5s:0").unwrap();
    assert_eq!(seconds(&repeated, 10), 6.0);
    assert_eq!(seconds(&repeated, 25), 12.5);
}

#[test]
fn a_sine_swings_around_its_middle() {
    let schedule = Schedule::parse_sine("60s:20k..100k").unwrap();
    let rate = |second| schedule.due(Duration::from_secs(second + 1)) - schedule.due(Duration::from_secs(second));
    assert!((rate(14) - 100_000.0).abs() < 200.0, "{}", rate(14));
    assert!((rate(44) - 20_000.0).abs() < 200.0, "{}", rate(44));
    assert!((rate(60 + 14) - rate(14)).abs() < 1.0);
    assert!((schedule.due(Duration::from_secs(600)) - 600.0 * 60_000.0).abs() < 1.0);
}

#[test]
fn times_never_go_back_and_agree_with_what_is_due() {
    for schedule in all() {
        let mut last = Duration::ZERO;
        for n in (0..2_000_000).step_by(997) {
            let Some(time) = schedule.time(n) else { break };
            assert!(time >= last, "{schedule:?}: event {n} at {time:?}, after {last:?}");
            let due = schedule.due(time);
            assert!((due - n as f64).abs() < 0.01, "{schedule:?}: event {n} at {time:?}, when {due} are due");
            last = time;
        }
    }
}

#[test]
fn nothing_is_due_of_no_rate() {
    let schedule = Schedule::steps([Step { length: Duration::from_secs(1), rate: 0.0 }]);
    assert_eq!(schedule.total(), Some(0));
    assert_eq!(schedule.time(0), None);
}

#[test]
fn what_is_no_schedule_is_refused_with_an_example() {
    let refused = [
        (Schedule::parse_rate("fast"), "\"fast\" is not a rate; write for example 100000/s"),
        (Schedule::parse_steps("10s"), "a colon is missing"),
        (Schedule::parse_steps("10:5k"), "\"10\" is not a length of time"),
        (Schedule::parse_steps("0s:5k"), "a length of zero"),
        (Schedule::parse_steps("10s:0"), "no event is ever sent"),
        (Schedule::parse_bursts("10s:5k,"), "a colon is missing"),
        (Schedule::parse_sine("60s:5k"), "\"..\" is missing"),
        (Schedule::parse_sine("60s:5k..5k"), "the first rate must be below the second"),
    ];
    for (schedule, expected) in refused {
        let error = schedule.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
