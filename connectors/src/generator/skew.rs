//! Picks among weighted choices in constant time: the alias method (Walker 1977, in Vose's form of 1991).

/// Weighted choices.
#[derive(Debug)]
pub(super) struct Skew {
    /// Of each slot: below which 32 bits it stands for itself, and what it stands for otherwise.
    slots: Vec<(u32, u32)>,
}

impl Skew {
    /// One choice a weight.
    pub(super) fn new(weights: &[f64]) -> Self {
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        let mut shares: Vec<f64> = weights.iter().map(|weight| weight / mean).collect();
        let mut slots: Vec<(u32, u32)> = (0..weights.len() as u32).map(|slot| (u32::MAX, slot)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..shares.len()).partition(|&i| shares[i] < 1.0);
        while let (Some(little), Some(&big)) = (small.pop(), large.last()) {
            slots[little] = ((shares[little] * f64::from(u32::MAX)) as u32, big as u32);
            shares[big] -= 1.0 - shares[little];
            if shares[big] < 1.0 {
                large.pop();
                small.push(big);
            }
        }
        Self { slots }
    }

    /// `n` choices of which the i-th has the weight `1 / (i + 1)^exponent`.
    pub(super) fn zipf(n: usize, exponent: f64) -> Self {
        let weights: Vec<f64> = (1..=n).map(|rank| (rank as f64).powf(-exponent)).collect();
        Self::new(&weights)
    }

    /// Turns 64 even bits into a choice.
    #[inline]
    pub(super) fn pick(&self, bits: u64) -> usize {
        let slot = ((bits >> 32) * self.slots.len() as u64) >> 32;
        let (below, other) = self.slots[slot as usize];
        if bits as u32 <= below { slot as usize } else { other as usize }
    }
}
