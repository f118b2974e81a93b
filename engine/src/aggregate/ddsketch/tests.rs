//! Sketches against the numbers they are of.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::buckets::ACCURACY;
use super::counts::MOST;
use super::*;
use crate::aggregate::sketches::Sketch as _;

fn sketch(values: &[f64]) -> Sketch {
    let (mut sketch, mut heap) = (Sketch::default(), 0);
    values.iter().for_each(|&value| sketch.add(value, bucket(value), &mut heap));
    assert_eq!(heap, sketch.heap());
    sketch
}

fn bytes(mut sketch: Sketch) -> Vec<u8> {
    let mut bytes = Vec::new();
    sketch.write(&mut bytes);
    bytes
}

fn merged<'a>(parts: impl IntoIterator<Item = &'a Vec<u8>>) -> Sketch {
    let (mut sketch, mut heap) = (Sketch::default(), 0);
    parts.into_iter().for_each(|part| sketch.merge(part, &mut heap).unwrap());
    assert_eq!(heap, sketch.heap());
    sketch
}

/// The two numbers that a percentile lies between, and how far it is from the first to the second.
fn exact(values: &[f64], share: f64) -> (f64, f64, f64) {
    let mut sorted: Vec<f64> = values.iter().map(|&value| plain(value)).collect();
    sorted.sort_by(f64::total_cmp);
    let place = share * (sorted.len() - 1) as f64;
    (sorted[place.floor() as usize], sorted[place.ceil() as usize], place.fract())
}

const SHARES: [f64; 11] = [0.0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0];

fn assert_close(values: &[f64]) {
    let mut sketch = sketch(values);
    for share in SHARES {
        let (low, high, past) = exact(values, share);
        let found = sketch.percentile(share).unwrap();
        let right = low + (high - low) * past;
        let allowed =
            if values.len() <= EXACT { 1e-12 } else { ACCURACY } * (low.abs().max(high.abs())) + f64::MIN_POSITIVE;
        assert!((found - right).abs() <= allowed, "p{share} of {} is {right}, not {found}", values.len());
    }
}

/// Numbers of many shapes: the seed draws each from (0, 1).
fn shapes(draws: &[f64]) -> Vec<Vec<f64>> {
    let of = |f: fn(f64) -> f64| draws.iter().map(|&draw| f(draw)).collect();
    vec![
        of(|x| x),
        of(|x| 1000.0 * x - 300.0),
        of(|x| -x.ln()),
        of(|x| (4.0 * (x - 0.5)).exp()),
        of(|x| (30.0 * (x - 0.5)).exp()),
        of(|x| -(20.0 * (x - 0.5)).exp()),
        of(|x| x.powf(-2.0).min(1e9)),
        of(|x| (100.0 * x).floor()),
        of(|x| (3.0 * x).floor() - 1.0),
        of(|_| 42.0),
        of(|_| 0.0),
        of(|x| if x < 0.4 { 0.0 } else { 1e6 * x }),
        of(|x| 1e-300 * x + f64::MIN_POSITIVE),
        of(|x| f64::MAX * (0.5 + x / 2.0)),
        of(|x| if x < 0.5 { -1e-9 / x } else { 1e-9 / x }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_percentile_is_off_by_one_percent_at_most(draws in proptest::collection::vec(1e-6..1.0, 1..3000)) {
        shapes(&draws).iter().for_each(|values| assert_close(values));
    }

    #[test]
    fn a_number_is_near_the_middle_of_its_bucket(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        match bucket(value) {
            NONE => prop_assert!(!value.is_finite()),
            ZERO => prop_assert!(value.abs() < f64::MIN_POSITIVE),
            bucket => {
                prop_assert_eq!(bucket > 0, value > 0.0);
                let middle = middle(bucket.abs()).min(f64::MAX);
                prop_assert!((middle - value.abs()).abs() <= ACCURACY * value.abs(), "{} is not near {}", middle, value);
            }
        }
    }

    /// Whatever the order, and however numbers were parted and merged.
    #[test]
    fn the_same_numbers_are_the_same_bytes(
        bits in proptest::collection::vec(any::<u64>(), 0..200),
        near in proptest::collection::vec(-1000.0..1000.0, 0..200),
        cuts in proptest::collection::vec(0usize..400, 0..12),
        keep in 0usize..400,
    ) {
        let mut values: Vec<f64> = near.into_iter().chain(bits.into_iter().map(f64::from_bits)).collect();
        values.truncate(keep);
        let whole = bytes(sketch(&values));
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(values.len())).chain([0, values.len()]).collect();
        cuts.sort_unstable();
        let parts: Vec<Vec<u8>> = cuts.windows(2).map(|cut| bytes(sketch(&values[cut[0]..cut[1]]))).collect();
        prop_assert_eq!(&bytes(merged(&parts)), &whole);
        prop_assert_eq!(&bytes(merged(parts.iter().rev())), &whole);
        let (left, right) = parts.split_at(parts.len() / 2);
        prop_assert_eq!(&bytes(merged(&[bytes(merged(right)), bytes(merged(left))])), &whole);
        prop_assert_eq!(&bytes(merged([&whole])), &whole);
        values.reverse();
        prop_assert_eq!(&bytes(sketch(&values)), &whole);
    }

    #[test]
    fn bytes_that_are_none_of_ours_do_no_harm(
        mut wrong in proptest::collection::vec(any::<u8>(), 0..80), first in 0u8..4, near in proptest::collection::vec(-9.0..9.0, 40),
    ) {
        wrong.insert(0, first);
        let (mut sketch, mut heap) = (sketch(&near), 0);
        let _ = sketch.merge(&wrong, &mut heap);
        let mut broken = bytes(self::sketch(&near));
        let at = wrong.len() % broken.len();
        broken[at] ^= wrong[0] | 1;
        let _ = sketch.merge(&broken, &mut heap);
    }
}

#[test]
fn what_is_no_finite_number_has_its_place() {
    let infinity = f64::INFINITY;
    let few = [3.0, f64::NAN, -infinity, 1.0, infinity, -f64::NAN, 2.0];
    let many: Vec<f64> = few.iter().copied().cycle().take(7 * 100).collect();
    for values in [few.to_vec(), many] {
        let mut sketch = sketch(&values);
        let sixths = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0].map(|sixths| sketch.percentile(sixths / 6.0).unwrap());
        assert_eq!(sixths[0], -infinity);
        assert!(
            sixths[1..4].iter().zip([1.0, 2.0, 3.0]).all(|(found, right)| (found / right - 1.0).abs() < 0.01),
            "{sixths:?}"
        );
        assert_eq!(sixths[4], infinity);
        assert!(sixths[5].is_nan());
    }
}

#[test]
fn no_numbers_have_no_percentile_and_no_bytes() {
    assert_eq!(sketch(&[]).percentile(0.5), None);
    assert!(bytes(sketch(&[])).is_empty());
    assert_eq!(sketch(&[]).heap(), 0);
}

#[test]
fn few_numbers_take_little() {
    let of = |count: u32| sketch(&(1..=count).map(f64::from).collect::<Vec<_>>());
    assert!(of(1).heap() <= 32);
    assert!(of(32).heap() <= 256);
    assert!(of(1000).heap() <= 512, "{}", of(1000).heap());
    assert!(bytes(of(1000)).len() <= 320, "{}", bytes(of(1000)).len());
}

#[test]
fn counts_go_beyond_any_number_of_bytes() {
    let few = bytes(sketch(&[5.0; 200]));
    let mut many = few.clone();
    for _ in 0..40 {
        many = bytes(merged([&many, &many]));
    }
    let mut sketch = merged([&many, &bytes(self::sketch(&[1.0; 40]))]);
    assert_eq!(sketch.total(), (200 << 40) + 40);
    assert!((sketch.percentile(0.5).unwrap() - 5.0).abs() < 0.05);
    assert_eq!(sketch.percentile(0.0), Some(1.0));
}

/// The greatest keep their buckets; what is nearer to zero than 10^-17 of them is counted in the lowest that is left.
#[test]
fn buckets_are_bounded_and_the_greatest_stay_right() {
    let values: Vec<f64> = (-300..300).map(|power| 10f64.powi(power)).collect();
    let mut sketch = sketch(&values);
    assert!(sketch.heap() <= 2 * MOST as usize, "{}", sketch.heap());
    let (low, high, past) = exact(&values, 0.99);
    let right = low + (high - low) * past;
    assert!((sketch.percentile(0.99).unwrap() / right - 1.0).abs() <= 2.0 * ACCURACY);
    let lowest = sketch.percentile(0.5).unwrap();
    assert!((1e281..1e283).contains(&lowest), "{lowest}");
}
