//! Time in which records come.

use std::time::Duration;

use super::super::{ArrivalClock, LONGEST_GAP};

#[test]
fn the_table_of_the_arrival_clock() {
    let clock = ArrivalClock::default();
    let gap = LONGEST_GAP.as_micros() as i64;
    assert_eq!(clock.arrive(Duration::from_secs(50)), 0);
    assert_eq!(clock.arrive(Duration::from_millis(50_400)), 400_000);
    assert_eq!(clock.arrive(Duration::from_secs(4000)), 400_000 + gap);
    let next = ArrivalClock::default();
    next.resume(clock.now());
    assert_eq!(next.arrive(Duration::from_secs(3 * 86_400)), 400_000 + gap);
}

#[test]
fn lanes_that_ask_out_of_order_count_no_time_twice() {
    let clock = ArrivalClock::default();
    let times = [100, 300, 200, 400].map(|ms| clock.arrive(Duration::from_millis(ms)));
    assert_eq!(times, [0, 200_000, 200_000, 300_000]);
}

#[test]
fn the_end_of_time_is_no_overflow() {
    let clock = ArrivalClock::default();
    clock.resume(i64::MAX);
    clock.arrive(Duration::ZERO);
    assert_eq!(clock.arrive(Duration::MAX), i64::MAX);
}
