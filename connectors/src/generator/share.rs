//! Profiles that take turns in one sequence of events, each with its share of every round.

/// The events `first..first + count` of every `of` events of a sequence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub(super) first: u64,
    pub(super) count: u64,
    pub(super) of: u64,
}

impl Share {
    /// Of a profile that shares its sequence with no other.
    pub(super) const WHOLE: Self = Self { first: 0, count: 1, of: 1 };

    /// Which event of the sequence the `n`-th of this share is.
    #[inline]
    pub(super) fn place(self, n: u64) -> u64 {
        if self.of == 1 {
            return n;
        }
        (n / self.count).saturating_mul(self.of).saturating_add(self.first + n % self.count)
    }

    /// How many of the first `total` events of the sequence are of this share.
    pub(super) fn among(self, total: u64) -> u64 {
        total / self.of * self.count + (total % self.of).saturating_sub(self.first).min(self.count)
    }
}
