//! The account of one chunk of records: what became of each, whoever read it.
//!
//! A record that several pipelines read, or one pipeline reads twice, is counted once: aggregated if anyone took it,
//! else late if anyone found it late, else filtered. The account is closed when the last reader lets go of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

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
    records: Vec<AtomicU8>,
}

impl Account {
    fn new(counters: Arc<Counters>, rows: usize) -> Self {
        Self { counters, records: (0..rows).map(|_| AtomicU8::new(FILTERED)).collect() }
    }

    fn mark(&self, row: u32, what: u8) {
        self.records[row as usize].fetch_max(what, Ordering::Relaxed);
    }

    fn mark_all(&self, what: u8) {
        for record in &self.records {
            record.fetch_max(what, Ordering::Relaxed);
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let mut counts = [0u64; 3];
        for record in &mut self.records {
            counts[usize::from(*record.get_mut())] += 1;
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
    }
}
