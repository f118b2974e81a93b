use super::*;

const MEGABYTE: usize = 1_000_000;

#[test]
fn a_shard_is_read_five_times_a_second_and_two_megabytes_a_second() {
    let start = Instant::now();
    let cases = [(0, 200), (100, 200), (400_000, 200), (2 * MEGABYTE, 1_000), (10 * MEGABYTE, 5_000)];
    for (bytes, millis) in cases {
        let mut pace = Pace::new(Limits::SHARD, start);
        assert_eq!(pace.due(), start, "the first read is at once");
        pace.answered(start, bytes);
        assert_eq!(pace.due() - start, Duration::from_millis(millis), "after {bytes} bytes");
    }
}

#[test]
fn pauses_grow_with_refusals_and_shrink_with_answers() {
    let start = Instant::now();
    let mut pace = Pace::new(Limits::SHARD, start);
    let pauses: Vec<u128> = (0..8)
        .map(|_| {
            pace.refused(start, 1.0);
            (pace.due() - start).as_millis()
        })
        .collect();
    assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    pace.refused(start, 0.5);
    assert_eq!((pace.due() - start).as_millis(), 5_000, "jitter only shortens");
    let waits: Vec<u128> = (0..8)
        .map(|_| {
            pace.answered(start, 0);
            (pace.due() - start).as_millis()
        })
        .collect();
    assert_eq!(waits, [5_200, 2_700, 1_450, 825, 512, 356, 200, 200]);
}

#[test]
fn what_is_only_begun_eases_nothing() {
    let start = Instant::now();
    let mut pace = Pace::new(Limits::SUBSCRIPTION, start);
    for millis in [250, 500, 1_000] {
        pace.begun(start);
        assert_eq!(pace.due() - start, Duration::from_secs(5));
        pace.refused(start, 1.0);
        assert_eq!(pace.due() - start, Duration::from_millis(millis));
    }
}
