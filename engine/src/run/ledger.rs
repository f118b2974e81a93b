//! The account of one chunk of records: what became of each, whoever read it.
//!
//! A record that several pipelines read, or one pipeline reads twice, is counted once: aggregated if anyone took it,
//! else late if anyone found it late, else filtered. The account is closed when the last reader lets go of it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use crate::report::Counters;

const FILTERED: u8 = 0;
const LATE: u8 = 1;
const AGGREGATED: u8 = 2;

/// The account of a chunk, shared by everyone who reads it.
#[derive(Debug)]
pub(crate) struct Ledger {
    total: Account,
    pipelines: Vec<Option<Account>>,
}

#[derive(Debug)]
struct Account {
    counters: Arc<Counters>,
    rows: usize,
    /// What became of every record at least.
    all: AtomicU8,
    /// What became of single records; mostly there is nothing to say of one that is not true of all.
    single: OnceLock<Box<[AtomicU8]>>,
}

impl Account {
    fn new(counters: Arc<Counters>, rows: usize) -> Self {
        Self { counters, rows, all: AtomicU8::new(FILTERED), single: OnceLock::new() }
    }

    fn mark(&self, row: u32, what: u8) {
        let single = self.single.get_or_init(|| (0..self.rows).map(|_| AtomicU8::new(FILTERED)).collect());
        single[row as usize].fetch_max(what, Ordering::Relaxed);
    }

    fn mark_all(&self, what: u8) {
        self.all.fetch_max(what, Ordering::Relaxed);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let all = *self.all.get_mut();
        let mut counts = [0u64; 3];
        match self.single.get_mut() {
            None => counts[usize::from(all)] = self.rows as u64,
            Some(single) => {
                for record in single {
                    counts[usize::from(all.max(*record.get_mut()))] += 1;
                }
            }
        }
        Counters::add(&self.counters.filtered, counts[usize::from(FILTERED)]);
        Counters::add(&self.counters.late, counts[usize::from(LATE)]);
        Counters::add(&self.counters.aggregated, counts[usize::from(AGGREGATED)]);
    }
}

impl Ledger {
    /// Opens the account of `rows` decoded records. `pipelines` has the counters of those pipelines that read them.
    pub(crate) fn open(
        total: &Arc<Counters>,
        pipelines: impl Iterator<Item = Option<Arc<Counters>>>,
        rows: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            total: Account::new(total.clone(), rows),
            pipelines: pipelines.map(|counters| counters.map(|counters| Account::new(counters, rows))).collect(),
        })
    }

    fn accounts(&self, pipeline: usize) -> impl Iterator<Item = &Account> {
        std::iter::once(&self.total).chain(self.pipelines[pipeline].as_ref())
    }

    /// Pipeline `pipeline` took these records.
    pub(crate) fn aggregated(&self, pipeline: usize, rows: impl Iterator<Item = u32> + Clone) {
        self.accounts(pipeline).for_each(|account| rows.clone().for_each(|row| account.mark(row, AGGREGATED)));
    }

    /// Pipeline `pipeline` took every record.
    pub(crate) fn all_aggregated(&self, pipeline: usize) {
        self.accounts(pipeline).for_each(|account| account.mark_all(AGGREGATED));
    }

    /// Pipeline `pipeline` found these records late.
    pub(crate) fn late(&self, pipeline: usize, rows: impl Iterator<Item = u32> + Clone) {
        self.accounts(pipeline).for_each(|account| rows.clone().for_each(|row| account.mark(row, LATE)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_counted_once_by_the_best_that_became_of_it() {
        let total = Arc::new(Counters::default());
        let (a, b) = (Arc::new(Counters::default()), Arc::new(Counters::default()));
        let ledger = Ledger::open(&total, [Some(a.clone()), Some(b.clone())].into_iter(), 4);
        ledger.aggregated(0, [0].into_iter());
        ledger.late(0, [0, 1].into_iter());
        ledger.late(1, [1, 2].into_iter());
        ledger.aggregated(1, [1].into_iter());
        drop(ledger);
        let split = |counters: &Counters| {
            let counts = counters.counts();
            (counts.aggregated, counts.late, counts.filtered)
        };
        assert_eq!(split(&total), (2, 1, 1));
        assert_eq!(split(&a), (1, 1, 2));
        assert_eq!(split(&b), (1, 1, 2));

        let ledger = Ledger::open(&total, [Some(a.clone()), Some(b.clone())].into_iter(), 3);
        ledger.late(0, [2].into_iter());
        ledger.all_aggregated(0);
        ledger.late(1, [1].into_iter());
        drop(ledger);
        assert_eq!(split(&total), (5, 1, 1));
        assert_eq!(split(&a), (4, 1, 2));
        assert_eq!(split(&b), (1, 2, 4));
    }
}
