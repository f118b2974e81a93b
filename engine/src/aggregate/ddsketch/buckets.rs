//! Buckets of numbers, each 2 % wide: from a number to its bucket and back.
//!
//! A bucket's number grows with the logarithm of what it holds, here by 35 for each factor of two. Taking logarithms would
//! cost more than everything else about a row, so the one within an octave is a cubic that meets it at both ends
//! (the "cubically interpolated mapping" of the authors' implementations, `sketches-java`). Its slope against the true one
//! is 10/7 at the least where 1/ln 2 is the mean, so the buckets are a hundredth more than they need be, and the widest
//! spans a factor of e^(0.7/35) = e^0.02. The number in the middle of it is off by tanh 0.01 < 1 % from either end.

/// How far off a number is from the middle of its bucket, at most, as a share of it.
#[cfg(test)]
pub(super) const ACCURACY: f64 = 0.01;

/// Buckets for each factor of two.
const PER_OCTAVE: f64 = 35.0;

/// The bucket of zero, and of what lies nearer to it than the smallest normal number, 2.2e-308.
pub(super) const ZERO: i32 = 0;

/// The bucket of what has no logarithm: infinities, and what is not a number.
pub(super) const NONE: i32 = i32::MIN;

/// The exponent of what has no logarithm, and the mask of one.
const OCTAVES: i32 = 0x7ff;
const MANTISSA: u64 = (1 << 52) - 1;
const ONE: u64 = 1023 << 52;

// p(s) = A s³ + B s² + C s, with p(0) = 0 and p(1) = 1.
const A: f64 = 6.0 / 35.0;
const B: f64 = -3.0 / 5.0;
const C: f64 = 10.0 / 7.0;

/// Added to a small number, it leaves the number's nearest integer in the lowest bits, without a conversion.
const ROUND: f64 = (1u64 << 52) as f64;

/// The bucket of a number: positive for positive numbers and in their order, the same below zero.
#[inline]
pub(super) fn bucket(value: f64) -> i32 {
    let bits = value.to_bits();
    let s = f64::from_bits((bits & MANTISSA) | ONE) - 1.0;
    let within = PER_OCTAVE * (((A * s + B) * s + C) * s);
    // Half a word is enough to choose by, and is what any processor can compare several of at a time.
    let high = (bits >> 32) as i32;
    let octave = (high >> 20) & OCTAVES;
    // Those of normal numbers begin at 35.
    let bucket = PER_OCTAVE as i32 * octave + (within + ROUND).to_bits() as i32;
    let sign = high >> 31;
    let bucket = if octave == 0 { ZERO } else { (bucket ^ sign) - sign };
    if octave == OCTAVES { NONE } else { bucket }
}

/// The buckets of many numbers. There is no branch in it, so that it works on several at a time.
pub(in super::super) fn buckets(values: &[f64], into: &mut Vec<i32>) {
    into.resize(values.len(), NONE);
    into.iter_mut().zip(values).for_each(|(into, &value)| *into = bucket(value));
}

/// The number in the middle of a bucket of positive numbers: as far from its lower end as from its upper, as a share.
pub(super) fn middle(bucket: i32) -> f64 {
    let (low, high) = (edge(f64::from(bucket) - 0.5), edge(f64::from(bucket) + 0.5));
    // Not 2·l·h/(l+h), which overflows.
    low * (2.0 / (1.0 + low / high))
}

/// What lies at a place on the scale of buckets.
fn edge(place: f64) -> f64 {
    let octave = (place / PER_OCTAVE).floor();
    let target = place / PER_OCTAVE - octave;
    // Newton's steps from a line; the cubic is nearly one, and rises throughout.
    let mut s = target;
    for _ in 0..8 {
        let off = ((A * s + B) * s + C) * s - target;
        s -= off / ((3.0 * A * s + 2.0 * B) * s + C);
    }
    (1.0 + s) * 2f64.powi(octave as i32 - 1023)
}
