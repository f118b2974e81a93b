//! The distribution of a group's numbers, by which any percentile is known to one percent.
//!
//! This is the DDSketch of Masson, Rim and Lee ("DDSketch: a fast and fully-mergeable quantile sketch with relative-error
//! guarantees", VLDB 2019). The one idea: it is a function of the numbers, not of the order in which they come or of how
//! they were parted before they were merged. So a window has the same percentiles however its rows were spread over lanes,
//! panes and restarts.
//!
//! | the group has | it keeps | a percentile is |
//! |---|---|---|
//! | up to 32 numbers | the numbers | exact |
//! | more | how many are in each bucket ([`buckets`]), the least and the greatest | between two numbers, each of which is off by 1 % at most |
//! | more, over more than 17 decades | those within 17 decades below the greatest, or above the least, by bucket | as above; smaller ones are taken to be so large |
//!
//! A percentile lies between the two numbers whose ranks are next to it, in proportion, as that of `percentile_cont`.
//! Where one of them is infinite or not a number, it is the nearer one.
//!
//! | number | it is |
//! |---|---|
//! | zero, and what is nearer to it than 2.2e-308 | 0 |
//! | infinities | below and above all others; they do not widen the range of the buckets |
//! | not a number | above infinity, as in ORDER BY |

mod buckets;
mod counts;
mod wire;

pub(super) use self::buckets::buckets;
use self::buckets::{NONE, ZERO, bucket, middle};
use self::counts::Counts;

/// Most numbers that are kept as they are. They take as much as the buckets of as many numbers do.
const EXACT: usize = 32;

/// The numbers of one group.
#[derive(Debug, Default)]
pub(super) struct Sketch {
    kept: Kept,
    /// Bounds of the finite ones, where there are buckets.
    bounds: Bounds,
}

#[derive(Debug)]
enum Kept {
    Values(Vec<f64>),
    Buckets(Counts, Option<Box<Rest>>),
}

impl Default for Kept {
    fn default() -> Self {
        Kept::Values(Vec::new())
    }
}

/// What is not a positive number.
#[derive(Debug, Default)]
struct Rest {
    /// By the buckets of their opposites.
    negative: Counts,
    zero: u64,
    /// Infinities below and above.
    below: u64,
    above: u64,
    not_numbers: u64,
}

#[derive(Debug, Clone, Copy)]
struct Bounds {
    least: f64,
    greatest: f64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { least: f64::INFINITY, greatest: f64::NEG_INFINITY }
    }
}

impl Bounds {
    #[inline]
    fn widen(&mut self, value: f64) {
        if value < self.least {
            self.least = value;
        }
        if value > self.greatest {
            self.greatest = value;
        }
    }

    fn join(&mut self, other: Self) {
        self.least = self.least.min(other.least);
        self.greatest = self.greatest.max(other.greatest);
    }
}

impl Sketch {
    /// Takes a number and its bucket. `heap` is kept at the bytes that all sketches take beside themselves.
    #[inline]
    pub(super) fn add(&mut self, value: f64, bucket: i32, heap: &mut usize) {
        let counted = match &mut self.kept {
            Kept::Buckets(counts, rest) => counts.count(bucket) || rest.as_mut().is_some_and(|rest| rest.count(bucket)),
            Kept::Values(values) if values.len() < values.capacity().min(EXACT) => return values.push(plain(value)),
            Kept::Values(_) => false,
        };
        match counted {
            true => self.bounds.widen(value + 0.0),
            false => self.make_room(value, bucket, heap),
        }
    }

    #[cold]
    fn make_room(&mut self, value: f64, bucket: i32, heap: &mut usize) {
        let before = self.heap();
        match &mut self.kept {
            Kept::Values(values) if values.len() < EXACT => values.push(plain(value)),
            Kept::Values(_) => {
                self.go_over();
                self.count(value, bucket);
            }
            Kept::Buckets(..) => self.count(value, bucket),
        }
        *heap = (*heap + self.heap()).saturating_sub(before);
    }

    /// Puts what is kept into buckets.
    fn go_over(&mut self) {
        let Kept::Values(values) = &mut self.kept else { return };
        let mut rest = std::mem::take(values);
        rest.iter().filter(|value| value.is_finite()).for_each(|&value| self.bounds.widen(value));
        let positive = rest.iter().map(|&value| bucket(value)).filter(|bucket| *bucket > ZERO);
        let mut counts = Counts::default();
        if let (Some(low), Some(high)) = (positive.clone().min(), positive.max()) {
            counts.reach(low, high, high);
            rest.retain(|&value| !counts.count(bucket(value)));
        }
        self.kept = Kept::Buckets(counts, None);
        rest.into_iter().for_each(|value| self.count(value, bucket(value)));
    }

    /// Counts a number in its bucket.
    fn count(&mut self, value: f64, bucket: i32) {
        if bucket != NONE {
            self.bounds.widen(plain(value));
        }
        let (top, lowest) = (self.top(), self.lowest());
        let Kept::Buckets(counts, rest) = &mut self.kept else { return };
        if bucket > ZERO {
            return counts.add(bucket, 1, top);
        }
        let rest = rest.get_or_insert_default();
        match bucket {
            ZERO => rest.zero += 1,
            NONE if value == f64::NEG_INFINITY => rest.below += 1,
            NONE if value == f64::INFINITY => rest.above += 1,
            NONE => rest.not_numbers += 1,
            _ => rest.negative.add(-bucket, 1, lowest),
        }
    }

    /// The bucket of the greatest number, if that is positive.
    fn top(&self) -> i32 {
        bucket(self.bounds.greatest)
    }

    /// The bucket of the least one's opposite, if that is positive.
    fn lowest(&self) -> i32 {
        bucket(-self.bounds.least)
    }

    /// Bytes that it takes beside itself.
    fn heap(&self) -> usize {
        match &self.kept {
            Kept::Values(values) => values.capacity() * size_of::<f64>(),
            Kept::Buckets(counts, rest) => {
                let rest = rest.as_ref().map_or(0, |rest| size_of::<Rest>() + rest.negative.heap());
                counts.heap() + rest
            }
        }
    }

    /// The number that a share of the others is below; none if there are no numbers.
    pub(super) fn percentile(&mut self, share: f64) -> Option<f64> {
        if let Kept::Values(values) = &mut self.kept {
            values.sort_unstable_by(f64::total_cmp);
        }
        let last = self.total().checked_sub(1)?;
        let place = share * last as f64;
        let rank = (place.floor() as u64).min(last);
        let past = place - rank as f64;
        let low = self.at(rank);
        let high = if past > 0.0 && rank < last { self.at(rank + 1) } else { low };
        Some(match (low.is_finite() && high.is_finite(), high - low) {
            (true, gap) if gap.is_finite() => low + gap * past,
            (true, _) => low * (1.0 - past) + high * past,
            (false, _) => {
                if past < 0.5 {
                    low
                } else {
                    high
                }
            }
        })
    }

    fn total(&self) -> u64 {
        match &self.kept {
            Kept::Values(values) => values.len() as u64,
            Kept::Buckets(counts, rest) => counts.total() + rest.as_ref().map_or(0, |rest| rest.total()),
        }
    }

    /// The number that so many are below, of sorted ones.
    fn at(&self, mut rank: u64) -> f64 {
        let (counts, rest) = match &self.kept {
            Kept::Values(values) => return values.get(rank as usize).copied().unwrap_or(f64::NAN),
            Kept::Buckets(counts, rest) => (counts, rest),
        };
        let nothing = Rest::default();
        let rest = rest.as_deref().unwrap_or(&nothing);
        if rank < rest.below {
            return f64::NEG_INFINITY;
        }
        rank -= rest.below;
        let (negative, positive) = (rest.negative.total(), counts.total());
        let finite = negative + rest.zero + positive;
        let Bounds { least, greatest } = self.bounds;
        if rank >= finite {
            return if rank - finite < rest.above { f64::INFINITY } else { f64::NAN };
        }
        // The bounds are known exactly.
        match rank {
            0 => return least,
            _ if rank + 1 == finite => return greatest,
            _ => {}
        }
        let found = if rank < negative {
            rest.negative.at(negative - 1 - rank).map(|bucket| -middle(bucket))
        } else if rank < negative + rest.zero {
            Some(0.0)
        } else {
            counts.at(rank - negative - rest.zero).map(middle)
        };
        found.unwrap_or(greatest).clamp(least, greatest)
    }
}

impl Rest {
    /// Counts a finite number in its bucket. False if that needs room first.
    #[inline(never)]
    fn count(&mut self, bucket: i32) -> bool {
        match bucket {
            ZERO => {
                self.zero += 1;
                true
            }
            NONE => false,
            _ => bucket < ZERO && self.negative.count(-bucket),
        }
    }

    fn total(&self) -> u64 {
        self.negative.total() + self.zero + self.below + self.above + self.not_numbers
    }
}

/// One zero, and one that is not a number: so that sorting puts each in one place.
fn plain(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value + 0.0 }
}

#[cfg(test)]
mod tests;
