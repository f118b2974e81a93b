//! What is asked for and bid, in cents.

use super::super::dice::{Dice, scale};

/// Steps of the curve: between two of them a price grows by a third of a percent.
const STEPS: usize = 4096;

/// Prices from a dollar to a million, as many of each order of magnitude: ten to the power of 0 to 6.
#[derive(Debug)]
pub(super) struct Prices {
    steps: Vec<u64>,
}

impl Prices {
    pub(super) fn new() -> Self {
        let step = |i| (100.0 * 10_f64.powf(6.0 * i as f64 / STEPS as f64)).round() as u64;
        Self { steps: (0..=STEPS).map(step).collect() }
    }

    pub(super) fn pick(&self, dice: &mut Dice) -> u64 {
        let roll = dice.roll();
        let step = scale(roll, STEPS as u64) as usize;
        let (low, high) = (self.steps[step], self.steps[step + 1]);
        // The lower half of the bits moves the price between two steps of the curve.
        low + scale(roll << 32, high - low)
    }
}
