//! The barrier of an epoch: where it is asked for, and how what comes from several lanes is lined up behind it.
//!
//! Lanes pass a barrier one after the other, each between two chunks. Whoever takes messages from several of them keeps
//! back what comes from lanes that have passed until the last one has; so everything before the barrier is in the epoch
//! and nothing behind it, and no lane ever waits for another.

use std::collections::VecDeque;

use watershed_sinks::Flush;

/// The end of an epoch, as lanes are asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Barrier {
    /// Counts the barriers of this run. An epoch in which nothing happened is not stored, and its number is taken again.
    pub(crate) round: u64,
    pub(crate) epoch: u64,
    /// What sinks hand over.
    pub(crate) flush: Flush,
}

/// Lines up the messages of several lanes.
#[derive(Debug)]
pub(crate) struct Aligner<T> {
    passed: Vec<bool>,
    held: VecDeque<(usize, T)>,
}

impl<T> Aligner<T> {
    /// Nobody has passed.
    pub(crate) fn new(lanes: usize) -> Self {
        Self { passed: vec![false; lanes], held: VecDeque::new() }
    }

    /// Gives the message back if it is of the present epoch, and keeps it otherwise.
    pub(crate) fn offer(&mut self, lane: usize, message: T) -> Option<T> {
        if self.passed[lane] {
            self.held.push_back((lane, message));
            return None;
        }
        Some(message)
    }

    /// Lane `lane` has passed the barrier; true if it was the last.
    pub(crate) fn pass(&mut self, lane: usize) -> bool {
        self.passed[lane] = true;
        self.passed.iter().all(|passed| *passed)
    }

    /// Begins the next epoch: what was kept back, in the order in which it came.
    pub(crate) fn release(&mut self) -> VecDeque<(usize, T)> {
        self.passed.fill(false);
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_behind_a_barrier_waits_for_the_last_lane() {
        let mut aligner = Aligner::new(2);
        assert_eq!(aligner.offer(0, 'a'), Some('a'));
        assert!(!aligner.pass(0));
        assert_eq!(aligner.offer(0, 'b'), None);
        assert_eq!(aligner.offer(1, 'c'), Some('c'));
        assert_eq!(aligner.offer(0, 'd'), None);
        assert!(aligner.pass(1));
        assert_eq!(Vec::from(aligner.release()), [(0, 'b'), (0, 'd')]);
        assert_eq!(aligner.offer(0, 'e'), Some('e'));
    }
}
