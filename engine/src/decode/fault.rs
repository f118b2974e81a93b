//! Why a record of a binary format is bad: its bytes are none of the format, or a value does not fit its column.

use std::fmt::Display;

use super::mismatch::Mismatch;

/// Why a record is bad; `B` says what is broken about its bytes, and where.
pub(super) enum Fault<B> {
    Broken(B),
    Mismatch(Mismatch),
}

impl<B> From<Mismatch> for Fault<B> {
    fn from(mismatch: Mismatch) -> Self {
        Self::Mismatch(mismatch)
    }
}

impl<B: Display> Fault<B> {
    /// Adds the field in which a mismatch lies; called from the inside out.
    pub(super) fn in_field(self, name: &str) -> Self {
        self.inside(|mismatch| mismatch.in_field(name))
    }

    /// Adds the list item in which a mismatch lies.
    pub(super) fn in_item(self, index: usize) -> Self {
        self.inside(|mismatch| mismatch.in_item(index))
    }

    fn inside(self, step: impl FnOnce(Mismatch) -> Mismatch) -> Self {
        match self {
            Self::Mismatch(mismatch) => Self::Mismatch(step(mismatch)),
            // It names its byte.
            Self::Broken(_) => self,
        }
    }

    pub(super) fn reason(&self) -> String {
        match self {
            Self::Broken(broken) => broken.to_string(),
            Self::Mismatch(mismatch) => mismatch.reason(),
        }
    }
}
