//! Session windows: runs of events of one key without a gap.
//!
//! Every row is given the number of its session; groups and rows are kept under that number. Two sessions that a row
//! brings together become one: the later number from then on stands for the earlier, and their states meet when the
//! session closes. `[time, time + gap)` is a row's own span; sessions whose spans overlap are one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::row::{RowConverter, SortField};
use datafusion::common::Result;
use datafusion::common::cast::as_uint64_array;
use hashbrown::{HashMap, HashSet};

use super::panes::Work;
use super::store::Spans;
use crate::aggregate::GroupTable;
use crate::rows::{RowOp, Rows, run};

/// Name of the column that numbers sessions; always the last of the rows that groups are computed from.
const SESSION: &str = "__session";

/// Open sessions of one pipeline.
pub struct SessionStore {
    gap: i64,
    lateness: i64,
    work: Work,
    keys: Option<RowConverter>,
    by_key: HashMap<Vec<u8>, Vec<u64>>,
    open: HashMap<u64, Session>,
    /// Sessions that became part of another since the last close.
    joined: HashMap<u64, u64>,
    /// When to look at a session again: an end it had once. It may have grown since.
    due: BinaryHeap<Reverse<(i64, u64)>>,
    table: Option<GroupTable>,
    frozen: Vec<RecordBatch>,
    next: u64,
}

#[derive(Debug, Clone)]
struct Session {
    key: Vec<u8>,
    start: i64,
    end: i64,
}

/// Sessions that closed together.
#[derive(Debug)]
pub struct ClosedSessions {
    /// First event of each row's session.
    pub starts: Vec<i64>,
    /// Its last event plus the gap.
    pub ends: Vec<i64>,
    /// Groups and results, or the rows themselves.
    pub rows: RecordBatch,
    /// Number of sessions.
    pub sessions: usize,
}

impl ClosedSessions {
    /// The rows with the bounds of each row's session, under the greatest end among them; `apart` parts them by their ends.
    pub fn by_end(self, apart: bool) -> Result<Vec<(i64, (RecordBatch, Spans))>> {
        let Self { starts, ends, rows, .. } = self;
        if !apart {
            let last = ends.iter().max().copied().unwrap_or_default();
            return Ok(vec![(last, (rows, Spans::Each(starts, ends)))]);
        }
        let mut by_end: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        ends.iter().enumerate().for_each(|(row, &end)| by_end.entry(end).or_default().push(row as u32));
        let part = |(end, members): (i64, Vec<u32>)| {
            let starts = members.iter().map(|&row| starts[row as usize]).collect();
            let ends = vec![end; members.len()];
            let rows = arrow::compute::take_record_batch(&rows, &UInt32Array::from(members))?;
            Ok((end, (rows, Spans::Each(starts, ends))))
        };
        by_end.into_iter().map(part).collect()
    }
}

impl std::fmt::Debug for SessionStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionStore").field("open", &self.open.len()).finish_non_exhaustive()
    }
}

/// The field by which the session number joins a batch.
pub(crate) fn session_field() -> FieldRef {
    Arc::new(Field::new(SESSION, DataType::UInt64, false))
}

impl SessionStore {
    /// An empty store. `key_types` are those of the key columns; none means one session for all rows.
    pub fn new(gap: i64, lateness: i64, work: Work, key_types: Vec<DataType>) -> Result<Self> {
        let keys = match key_types.is_empty() {
            true => None,
            false => Some(RowConverter::new(key_types.into_iter().map(SortField::new).collect())?),
        };
        Ok(Self {
            gap,
            lateness,
            work,
            keys,
            by_key: HashMap::new(),
            open: HashMap::new(),
            joined: HashMap::new(),
            due: BinaryHeap::new(),
            table: None,
            frozen: Vec::new(),
            next: 0,
        })
    }

    /// Number of open sessions.
    pub fn open_sessions(&self) -> usize {
        self.open.len()
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
        let encoded = match &self.keys {
            Some(converter) => Some(converter.convert_columns(keys)?),
            None => None,
        };
        let mut ids = Vec::with_capacity(times.len());
        let mut late = Vec::new();
        for (row, (&time, &watermark)) in times.iter().zip(watermarks).enumerate() {
            let key: &[u8] = encoded.as_ref().map_or(&[], |rows| rows.row(row).data());
            match self.assign(key, time, watermark) {
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
            self.keep(with_column(&rows.batch, session_field(), Arc::new(numbers))?)?;
        }
        Ok(Pushed { late, kept })
    }

    /// The session of a row, or none if that session has closed.
    fn assign(&mut self, key: &[u8], time: i64, watermark: i64) -> Option<u64> {
        let mut start = time;
        let mut end = time.saturating_add(self.gap);
        let mut met: Vec<u64> = Vec::new();
        if let Some(ids) = self.by_key.get(key) {
            for id in ids {
                let session = &self.open[id];
                let closed = session.end.saturating_add(self.lateness) <= watermark;
                if !closed && session.start < time.saturating_add(self.gap) && time < session.end {
                    met.push(*id);
                }
            }
        }
        for id in &met {
            start = start.min(self.open[id].start);
            end = end.max(self.open[id].end);
        }
        if end.saturating_add(self.lateness) <= watermark {
            return None;
        }
        let id = match met.split_first() {
            None => {
                let id = self.next;
                self.next += 1;
                self.open.insert(id, Session { key: key.to_vec(), start, end });
                self.by_key.entry_ref(key).or_default().push(id);
                self.due.push(Reverse((end, id)));
                id
            }
            Some((&id, others)) => {
                for other in others {
                    self.open.remove(other);
                    self.joined.insert(*other, id);
                }
                if !others.is_empty()
                    && let Some(ids) = self.by_key.get_mut(key)
                {
                    ids.retain(|id| !others.contains(id));
                }
                if let Some(session) = self.open.get_mut(&id) {
                    session.start = start;
                    session.end = end;
                }
                id
            }
        };
        Some(id)
    }

    fn keep(&mut self, batch: RecordBatch) -> Result<()> {
        match &self.work {
            Work::Collect => self.frozen.push(batch),
            Work::Aggregate(spec) => {
                let table = match self.table.take() {
                    Some(table) => table,
                    None => GroupTable::new(spec.clone())?,
                };
                self.table.insert(table).update(&batch)?;
            }
        }
        Ok(())
    }

    /// True if a session may have ended by `through`, so that [`SessionStore::close`] is worth its pass over the state.
    pub fn may_close(&self, through: i64) -> bool {
        self.due.peek().is_some_and(|Reverse((end, _))| end.saturating_add(self.lateness) <= through)
    }

    /// Closes every session whose end plus the allowed lateness is at or before `through`.
    pub fn close(&mut self, through: i64) -> Result<Option<ClosedSessions>> {
        let closing = self.take_due(through);
        if closing.is_empty() {
            return Ok(None);
        }
        if let Some(table) = self.table.take() {
            self.frozen.push(table.freeze()?);
        }
        let mut closed_rows = Vec::new();
        for batch in std::mem::take(&mut self.frozen) {
            let batch = self.renumber(&batch)?;
            let numbers = as_uint64_array(batch.column(self.number_column(&batch)))?;
            let mask = BooleanArray::from_iter(numbers.values().iter().map(|id| Some(closing.contains_key(id))));
            let staying = arrow::compute::not(&mask)?;
            if staying.true_count() > 0 {
                self.frozen.push(filter_record_batch(&batch, &staying)?);
            }
            if mask.true_count() > 0 {
                closed_rows.push(filter_record_batch(&batch, &mask)?);
            }
        }
        self.joined.clear();
        let Some(first) = closed_rows.first() else { return Ok(None) };
        let rows = match &self.work {
            Work::Collect => arrow::compute::concat_batches(&first.schema(), &closed_rows)?,
            Work::Aggregate(spec) => {
                let mut merged = GroupTable::new(spec.clone())?;
                closed_rows.iter().try_for_each(|rows| merged.merge(rows))?;
                merged.finish()?
            }
        };
        let column = self.number_column(&rows);
        let of_row: Vec<&Session> =
            as_uint64_array(rows.column(column))?.values().iter().map(|id| &closing[id]).collect();
        let starts = of_row.iter().map(|session| session.start).collect();
        let ends = of_row.iter().map(|session| session.end).collect();
        let sessions = closing.len();
        let others: Vec<usize> = (0..rows.num_columns()).filter(|&index| index != column).collect();
        Ok(Some(ClosedSessions { starts, ends, rows: rows.project(&others)?, sessions }))
    }

    /// Takes the sessions that have ended out of the open ones.
    fn take_due(&mut self, through: i64) -> HashMap<u64, Session> {
        let mut closing = HashMap::new();
        let mut grown: HashSet<u64> = HashSet::new();
        while let Some(&Reverse((end, id))) = self.due.peek() {
            if end.saturating_add(self.lateness) > through {
                break;
            }
            self.due.pop();
            let Some(session) = self.open.get(&id) else { continue };
            if session.end.saturating_add(self.lateness) > through {
                if grown.insert(id) {
                    self.due.push(Reverse((session.end, id)));
                }
                continue;
            }
            if let Some(session) = self.open.remove(&id) {
                if let Some(ids) = self.by_key.get_mut(session.key.as_slice()) {
                    ids.retain(|open| *open != id);
                    if ids.is_empty() {
                        self.by_key.remove(session.key.as_slice());
                    }
                }
                closing.insert(id, session);
            }
        }
        closing
    }

    /// Where the session number stands: first among frozen groups, last among rows.
    fn number_column(&self, batch: &RecordBatch) -> usize {
        match &self.work {
            Work::Aggregate(_) => 0,
            Work::Collect => batch.num_columns() - 1,
        }
    }

    /// Replaces the numbers of sessions that became part of another.
    fn renumber(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        if self.joined.is_empty() {
            return Ok(batch.clone());
        }
        let column = self.number_column(batch);
        let numbers = as_uint64_array(batch.column(column))?;
        let renumbered = UInt64Array::from_iter_values(numbers.values().iter().map(|&id| self.root(id)));
        let (schema, mut columns, _) = batch.clone().into_parts();
        columns[column] = Arc::new(renumbered);
        Ok(RecordBatch::try_new(schema, columns)?)
    }

    fn root(&self, mut id: u64) -> u64 {
        while let Some(&into) = self.joined.get(&id) {
            id = into;
        }
        id
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
    Ok(RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns)?)
}
