//! Records that the origin may deliver again: each is taken once, told by the name that the origin gives it.
//!
//! The story is in [`crate::dedup`]. Lanes ask, before they decode; the coordinator stores what they were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, BooleanArray};
use datafusion::common::{Result as DataFusionResult, exec_err};
use watershed_connectors::{Records, Source, Wanted};

use super::error::RunError;
use super::sources::micros;
use crate::checkpoint::{Block, Budget};
use crate::config::SourceConfig;
use crate::dedup::{ArrivalClock, SeenKeys, SeenState};

/// What one source has delivered.
#[derive(Debug)]
pub(crate) struct Redelivery {
    keys: SeenKeys,
    clock: ArrivalClock,
    /// The names, by place among the columns that the connector gives beside each record.
    column: usize,
    /// The clock at the end of the epoch before: a crash goes back there.
    before: AtomicI64,
}

/// What a checkpoint stores of it.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) blocks: Vec<Arc<Block>>,
    /// The clock.
    pub(crate) arrival: u64,
}

/// Says which columns are wanted beside each record: those that are read, and behind them the one that names a record
/// which may come again.
pub(super) fn describe(
    source: &dyn Source,
    config: &SourceConfig,
    mut columns: Vec<&str>,
    shards: usize,
) -> Result<Option<Redelivery>, RunError> {
    let list = config.connector.metadata();
    let mut redelivery = None;
    if let Some(name) = source.redelivers() {
        if list.iter().all(|field| field.name != name) {
            let message = format!("source `{}` names its records by `{name}`, and gives no such column", config.name);
            return Err(RunError::Config(message));
        }
        let column = columns.iter().position(|column| *column == name).unwrap_or_else(|| {
            columns.push(name);
            columns.len() - 1
        });
        redelivery = Some(Redelivery::new(column, micros(source.remembers()), shards));
    }
    let wanted = Wanted::pick(list, columns);
    if !wanted.is_empty() {
        source.describe(wanted);
    }
    Ok(redelivery)
}

impl Redelivery {
    /// Nothing delivered yet. Names are kept for `within_us` microseconds in which records come.
    pub(super) fn new(column: usize, within_us: i64, shards: usize) -> Self {
        Self {
            keys: SeenKeys::new(within_us, shards),
            clock: ArrivalClock::default(),
            column,
            before: AtomicI64::new(0),
        }
    }

    /// Takes back what a checkpoint stored, before any lane asks.
    pub(super) fn restore(&self, Delivered { blocks, arrival }: Delivered) -> DataFusionResult<()> {
        let arrival = i64::try_from(arrival).unwrap_or(i64::MAX);
        self.clock.resume(arrival);
        self.before.store(arrival, Ordering::Relaxed);
        self.keys.restore(SeenState { blocks })
    }

    /// True for each record that was not taken before, as a lane in `round` asks.
    pub(super) fn admit(&self, round: u64, records: &Records, elapsed: Duration) -> DataFusionResult<BooleanArray> {
        let described: Vec<ArrayRef> = records.described();
        let rows = records.len();
        if rows == 0 {
            return Ok(BooleanArray::from(Vec::<bool>::new()));
        }
        let Some(names) = described.get(self.column) else {
            return exec_err!("the connector names no record");
        };
        let time = self.clock.arrive(elapsed);
        self.keys.admit(round, std::slice::from_ref(names), &vec![time; rows])
    }

    /// What was delivered up to the end of `round`, when all lanes have passed its barrier.
    pub(super) fn cut(&self, round: u64, budget: &Arc<Budget>) -> DataFusionResult<Delivered> {
        let now = self.clock.now();
        let before = self.before.swap(now, Ordering::Relaxed);
        let SeenState { blocks } = self.keys.checkpoint(round, before, budget)?;
        Ok(Delivered { blocks, arrival: now.unsigned_abs() })
    }

    /// True if what is durable at the end of `round` must not be acknowledged before the next epoch is.
    pub(super) fn must_wait(&self, round: u64) -> bool {
        self.keys.leans_ahead(round)
    }
}
