//! The Mann-Whitney test: whether numbers of one sample tend to be greater than those of another, by their ranks alone.
//!
//! Timings are not normal: one run in ten meets another process. Ranks do not mind. (Mann and Whitney: On a test of whether
//! one of two random variables is stochastically larger than the other, 1947.)

/// Up to as many ways of dealing the ranks out are counted one by one: those of ten runs against ten. Beyond, the normal
/// curve is as good.
const COUNTED: f64 = 200_000.0;

/// How likely it is that `greater` has ranks as high as it has, or higher, if both samples came from one source.
pub(super) fn chance(lesser: &[f64], greater: &[f64]) -> f64 {
    let (n, m) = (lesser.len(), greater.len());
    if n == 0 || m == 0 {
        return 1.0;
    }
    let ranks = ranks(lesser, greater);
    let seen: f64 = ranks[n..].iter().sum();
    if ways(n + m, m) <= COUNTED { counted(&ranks, m, seen) } else { normal(&ranks, n, m, seen) }
}

/// Ranks from 1 on of all numbers, those of `lesser` first; equal numbers share the mean of theirs.
fn ranks(lesser: &[f64], greater: &[f64]) -> Vec<f64> {
    let all: Vec<f64> = lesser.iter().chain(greater).copied().collect();
    let rank = |number: &f64| {
        let below = all.iter().filter(|other| *other < number).count();
        let equal = all.iter().filter(|other| *other == number).count();
        below as f64 + (equal as f64 + 1.0) / 2.0
    };
    all.iter().map(rank).collect()
}

/// In how many ways `m` of `n` can be chosen.
fn ways(n: usize, m: usize) -> f64 {
    (0..m).map(|i| (n - i) as f64 / (i + 1) as f64).product()
}

/// The share of all choices of `m` ranks whose sum is `seen` or more.
fn counted(ranks: &[f64], m: usize, seen: f64) -> f64 {
    let (mut as_high, mut all) = (0_u64, 0_u64);
    choose(ranks, m, 0.0, &mut |sum| {
        all += 1;
        // Ranks are halves, which are exact.
        as_high += u64::from(sum >= seen);
    });
    as_high as f64 / all as f64
}

fn choose(ranks: &[f64], m: usize, sum: f64, see: &mut impl FnMut(f64)) {
    if m == 0 {
        return see(sum);
    }
    for first in 0..=ranks.len() - m {
        choose(&ranks[first + 1..], m - 1, sum + ranks[first], see);
    }
}

fn normal(ranks: &[f64], n: usize, m: usize, seen: f64) -> f64 {
    let (n, m) = (n as f64, m as f64);
    let all = n + m;
    let mean = m * (all + 1.0) / 2.0;
    // The variance of ranks as they are, ties and all.
    let variance = ranks.iter().map(|rank| (rank - (all + 1.0) / 2.0).powi(2)).sum::<f64>() / (all - 1.0);
    let deviation = (n * m / all * variance).sqrt();
    if deviation == 0.0 {
        return 1.0;
    }
    upper_tail((seen - mean - 0.5) / deviation)
}

/// How much of the normal curve lies above `z`, to five digits (Abramowitz and Stegun 26.2.17).
fn upper_tail(z: f64) -> f64 {
    if z < 0.0 {
        return 1.0 - upper_tail(-z);
    }
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let polynomial = [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let sum = polynomial.iter().rev().fold(0.0, |sum, factor| (sum + factor) * t);
    (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt() * sum
}

#[cfg(test)]
mod tests {
    use super::chance;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-3
    }

    #[test]
    fn samples_apart_are_as_unlikely_as_their_numbers_allow() {
        assert!(close(chance(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]), 1.0 / 20.0));
        assert!(close(chance(&[1.0, 2.0], &[4.0, 5.0]), 1.0 / 6.0));
        assert!(close(chance(&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, 9.0, 10.0]), 1.0 / 252.0));
        assert!(close(chance(&[4.0, 5.0, 6.0], &[1.0, 2.0, 3.0]), 1.0));
    }

    #[test]
    fn equal_numbers_tell_nothing() {
        assert_eq!(chance(&[1.0; 5], &[1.0; 5]), 1.0);
        assert_eq!(chance(&[], &[1.0]), 1.0);
    }

    /// Mann and Whitney count pairs, not ranks: in 61 of the 924 ways to deal these numbers out, as many pairs or more have
    /// the greater number in the second sample.
    #[test]
    fn mixed_samples_agree_with_the_count_of_pairs() {
        let a = [1.1, 2.3, 3.2, 4.8, 5.5, 6.1];
        let b = [2.9, 4.1, 5.9, 6.6, 7.2, 8.0];
        assert!(close(chance(&a, &b), 61.0 / 924.0), "{}", chance(&a, &b));
    }

    #[test]
    fn many_runs_go_by_the_normal_curve() {
        let a: Vec<f64> = (0..40).map(|i| f64::from(i * 7 % 40)).collect();
        let same: Vec<f64> = a.iter().map(|x| x + 0.1).collect();
        let more: Vec<f64> = a.iter().map(|x| x + 12.0).collect();
        assert!((0.3..0.6).contains(&chance(&a, &same)), "{}", chance(&a, &same));
        assert!(chance(&a, &more) < 0.001, "{}", chance(&a, &more));
    }
}
