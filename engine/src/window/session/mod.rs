//! Session windows: runs of events of one key without a gap.
//!
//! Every row is given the number of its session; groups and rows are kept under that number. Two sessions that a row
//! brings together become one: the later number from then on stands for the earlier, and their states meet when the
//! session closes. `[time, time + gap)` is a row's own span; sessions whose spans overlap are one.
//!
//! | room | what |
//! |---|---|
//! | `open` | which sessions there are, and which row belongs to which |
//! | `parts` | the rows, in blocks that never change |
//! | `log` | the changes to the open sessions, as a checkpoint stores them |

mod closed;
mod log;
mod open;
mod parts;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::Result;
use datafusion::common::cast::as_uint64_array;

pub use closed::ClosedSessions;

use self::log::{Keys, SessionLog};
use self::open::{Ended, OpenSessions};
use self::parts::Parts;
use super::panes::Work;
use crate::aggregate::GroupTable;
use crate::checkpoint::{Block, Budget};
use crate::rows::{RowOp, Rows, run};

/// Name of the column that numbers sessions; always the last of the rows that groups are computed from.
const SESSION: &str = "__session";
/// Numbers that stand for another session are looked through when there are this many more than last time.
const PRUNE_JOINED: usize = 1024;

/// Open sessions of one pipeline.
pub struct SessionStore {
    work: Work,
    keys: Keys,
    sessions: OpenSessions,
    rows: Parts,
    log: SessionLog,
    budget: Arc<Budget>,
    prune_at: usize,
    emitted_through: Option<i64>,
}

/// What a checkpoint stores of the open sessions. Blocks that the checkpoint before held come again as they were.
#[derive(Debug, Clone, Default)]
pub struct SessionState {
    /// Number of the next session.
    pub next: u64,
    /// Changes to the set of open sessions, in the order in which they are to be applied.
    pub sessions: Vec<Arc<Block>>,
    /// Partial aggregates or rows, by number of their session; those of sessions that are not open are dead.
    pub rows: Vec<Arc<Block>>,
}

impl std::fmt::Debug for SessionStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionStore").field("open", &self.sessions.len()).finish_non_exhaustive()
    }
}

/// The field by which the session number joins a batch.
pub(crate) fn session_field() -> FieldRef {
    Arc::new(Field::new(SESSION, DataType::UInt64, false))
}

impl SessionStore {
    /// An empty store. `key_types` are those of the key columns; none means one session for all rows.
    pub fn new(gap: i64, lateness: i64, work: Work, key_types: Vec<DataType>, budget: Arc<Budget>) -> Result<Self> {
        Ok(Self {
            keys: Keys::new(key_types)?,
            sessions: OpenSessions::new(gap, lateness),
            rows: Parts::new(work.clone(), budget.clone()),
            work,
            log: SessionLog::default(),
            budget,
            prune_at: PRUNE_JOINED,
            emitted_through: None,
        })
    }

    /// Number of open sessions.
    pub fn open_sessions(&self) -> usize {
        self.sessions.len()
    }

    /// The greatest end of a session that has closed in this process.
    pub fn emitted_through(&self) -> Option<i64> {
        self.emitted_through
    }

    /// The state that lies in blocks: all but what came since the last checkpoint or close.
    pub fn blocks(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.rows.blocks().chain(self.log.blocks())
    }

    /// Takes rows with their event times and the watermark before each, and says which were late.
    ///
    /// A row is late if the session it would belong to, alone or together with what is open, has closed. `steps_above`
    /// filter and project rows once their session holds them: a row that they drop has held its session together.
    pub fn push(
        &mut self,
        batch: &RecordBatch,
        times: &[i64],
        watermarks: &[i64],
        keys: &[ArrayRef],
        steps_above: &[RowOp],
    ) -> Result<Pushed> {
        let encoded = self.keys.encode(keys)?;
        let mut ids = Vec::with_capacity(times.len());
        let mut late = Vec::new();
        for (row, (&time, &watermark)) in times.iter().zip(watermarks).enumerate() {
            let key: &[u8] = encoded.as_ref().map_or(&[], |rows| rows.row(row).data());
            match self.sessions.assign(key, time, watermark) {
                Some(id) => ids.push(id),
                None => {
                    late.push(row as u32);
                    ids.push(u64::MAX);
                }
            }
        }
        let rows = Rows::decoded(batch.clone());
        let rows = match late.is_empty() {
            true => rows,
            false => rows.filter(&BooleanArray::from_iter(ids.iter().map(|&id| Some(id != u64::MAX))))?,
        };
        let rows = run(steps_above, rows)?;
        let kept: Vec<u32> = (0..rows.batch.num_rows()).map(|row| rows.origin_of(row)).collect();
        let numbers = UInt64Array::from_iter_values(kept.iter().map(|&row| ids[row as usize]));
        if !kept.is_empty() {
            self.rows.push(with_column(&rows.batch, session_field(), Arc::new(numbers))?)?;
        }
        Ok(Pushed { late, kept })
    }

    /// True if a session may have ended by `through`, so that [`SessionStore::close`] is worth its while.
    pub fn may_close(&self, through: i64) -> bool {
        self.sessions.may_end(through)
    }

    /// Closes every session whose end plus the allowed lateness is at or before `through`.
    pub fn close(&mut self, through: i64) -> Result<Option<ClosedSessions>> {
        let ended = self.sessions.take_ended(through);
        if ended.sessions.is_empty() {
            return Ok(None);
        }
        let last = ended.sessions.values().map(|session| session.end).max();
        self.emitted_through = self.emitted_through.max(last);
        // Most sessions end in silence: what came since the last freeze is of others and can stay in its table.
        if ended.touched(self.sessions.generation()) {
            self.freeze()?;
        }
        let batches = self.rows.take(&ended)?;
        self.rows.compact(&self.sessions)?;
        match batches.is_empty() {
            true => Ok(None),
            false => Ok(Some(self.closed(&ended, &batches)?)),
        }
    }

    fn closed(&self, ended: &Ended, batches: &[RecordBatch]) -> Result<ClosedSessions> {
        let rows = match &self.work {
            Work::Collect => concat_batches(&batches[0].schema(), batches)?,
            Work::Aggregate(spec) => {
                let mut merged = GroupTable::new(spec.clone())?;
                batches.iter().try_for_each(|rows| merged.merge(rows))?;
                merged.finish()?
            }
        };
        let column = self.rows.number_column(&rows);
        let numbers = as_uint64_array(rows.column(column))?.values();
        let (starts, ends) = numbers.iter().map(|id| (ended.sessions[id].start, ended.sessions[id].end)).unzip();
        let others: Vec<usize> = (0..rows.num_columns()).filter(|&index| index != column).collect();
        Ok(ClosedSessions { starts, ends, rows: rows.project(&others)?, sessions: ended.sessions.len() })
    }

    /// The state as blocks, of which only those are new that hold what came since the last checkpoint.
    pub fn checkpoint(&mut self) -> Result<SessionState> {
        self.freeze()?;
        self.rows.compact(&self.sessions)?;
        self.log.write(&mut self.sessions, &self.keys, &self.budget)?;
        let (sessions, rows) = (self.log.blocks().to_vec(), self.rows.blocks().cloned().collect());
        Ok(SessionState { next: self.sessions.next(), sessions, rows })
    }

    /// Fills an empty store with the state of a checkpoint.
    pub fn restore(&mut self, state: SessionState) -> Result<()> {
        self.log.restore(state.sessions, state.next, &mut self.sessions, &self.keys)?;
        state.rows.into_iter().try_for_each(|block| self.rows.restore(block, &self.sessions))
    }

    fn freeze(&mut self) -> Result<()> {
        self.rows.freeze()?;
        self.sessions.next_generation();
        if self.sessions.joined() > self.prune_at {
            self.sessions.prune_joined(|number| self.rows.name(number));
            self.prune_at = 2 * self.sessions.joined() + PRUNE_JOINED;
        }
        Ok(())
    }
}

/// What became of pushed rows.
#[derive(Debug)]
pub struct Pushed {
    /// Rows that were late.
    pub late: Vec<u32>,
    /// Row behind each row that the steps above the window let through.
    pub kept: Vec<u32>,
}

fn with_column(batch: &RecordBatch, field: FieldRef, column: ArrayRef) -> Result<RecordBatch> {
    let (schema, mut columns, _) = batch.clone().into_parts();
    let mut fields = schema.fields().to_vec();
    fields.push(field);
    columns.push(column);
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
