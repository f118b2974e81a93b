//! The numbers of the batches that a sink is given.
//!
//! The one idea: a sink that remembers rows by the number of their batch is wrong, and nobody would see it, if a number
//! is left out or comes twice. So that is an error.

use crate::error::SinkError;

/// Which batch has to come next.
#[derive(Debug, Clone, Default)]
pub(crate) struct Numbers {
    next: Option<u64>,
    /// Batches before this one were written in an earlier process; they come again.
    through: u64,
}

impl Numbers {
    /// The number after that of the last batch taken.
    pub(crate) fn next(&self) -> u64 {
        self.next.unwrap_or(0)
    }

    /// Expects the batches of `first..through` again.
    pub(crate) fn resume(&mut self, first: u64, through: u64) {
        *self = Self { next: Some(first), through };
    }

    /// True if the batch that comes next was written in an earlier process.
    pub(crate) fn is_again(&self) -> bool {
        self.next() < self.through
    }

    /// Refuses a number that is not the next.
    pub(crate) fn check(&self, number: u64) -> Result<(), SinkError> {
        match self.next {
            Some(next) if next != number => {
                Err(SinkError::fatal(format!("batch {number} came where batch {next} was expected"), OUT_OF_STEP))
            }
            _ => Ok(()),
        }
    }

    /// Remembers that a batch was taken.
    pub(crate) fn take(&mut self, number: u64) {
        self.next = Some(number.saturating_add(1));
    }

    /// Refuses to go on before every batch that was to come again has come.
    pub(crate) fn check_whole(&self) -> Result<(), SinkError> {
        if !self.is_again() {
            return Ok(());
        }
        let missing = format!("batches {} to {} were not written again", self.next(), self.through - 1);
        Err(SinkError::fatal(missing, OUT_OF_STEP))
    }
}

const OUT_OF_STEP: &str = "going on would lose or repeat rows; restart to take them from the checkpoint";
