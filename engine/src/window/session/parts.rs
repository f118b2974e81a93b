//! The rows of sessions, by the number of their session.
//!
//! The one idea: rows that were frozen never change. A part is a block with an index from session to rows, so that
//! closing a few sessions reads these sessions' rows only; the rows stay where they are and are dead from then on. A
//! part is written anew when most of it is dead, and dropped when all of it is; so what a checkpoint stored once stays
//! stored, and each row that is written again is paid for by one that died.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::DataType;
use datafusion::common::cast::as_uint64_array;
use datafusion::common::{Result, exec_datafusion_err};

use super::open::{Ended, OpenSessions};
use crate::aggregate::GroupTable;
use crate::checkpoint::{Block, Budget};
use crate::window::Work;

/// More parts than this are brought together: sessions that stay open for long get rows in a part of every checkpoint.
/// High enough that most sessions have closed before their rows are written again, low enough to look through.
const MAX_PARTS: usize = 64;

/// A block, and which rows are of which session.
#[derive(Debug)]
struct Part {
    block: Arc<Block>,
    /// Session and row, ascending; rows of sessions that have closed stay in it.
    index: Vec<(u64, u32)>,
    /// Rows of sessions that are open.
    live: usize,
}

impl Part {
    /// `live` tells by session which rows are not dead already.
    fn new(block: Arc<Block>, numbers: &UInt64Array, live: impl Fn(u64) -> bool) -> Self {
        let rows = numbers.values().iter().zip(0..).map(|(&number, row)| (number, row));
        let mut index: Vec<(u64, u32)> = rows.filter(|(number, _)| live(*number)).collect();
        index.sort_unstable();
        Self { block, live: index.len(), index }
    }

    /// The rows of some sessions, ascending. The numbers are ascending.
    fn rows_of(&self, numbers: &[u64]) -> Vec<u32> {
        let mut rows = Vec::new();
        let (Some((least, _)), Some((greatest, _))) = (self.index.first(), self.index.last()) else { return rows };
        let from = numbers.partition_point(|number| number < least);
        let to = numbers.partition_point(|number| number <= greatest);
        let mut index = self.index.as_slice();
        for number in &numbers[from..to.max(from)] {
            index = skip(index, *number);
            let count = index.iter().take_while(|(other, _)| other == number).count();
            rows.extend(index[..count].iter().map(|(_, row)| row));
            index = &index[count..];
        }
        rows.sort_unstable();
        rows
    }
}

/// What is left of `index` from `number` on: strides that double, then a binary search, so that both few and many
/// numbers are found fast.
fn skip(index: &[(u64, u32)], number: u64) -> &[(u64, u32)] {
    let mut stride = 1;
    while stride < index.len() && index[stride - 1].0 < number {
        stride *= 2;
    }
    let within = &index[..stride.min(index.len())];
    &index[within.partition_point(|(other, _)| *other < number)..]
}

/// All rows of open sessions.
pub(super) struct Parts {
    work: Work,
    budget: Arc<Budget>,
    /// Groups of rows that came since the last freeze.
    table: Option<GroupTable>,
    /// Rows that came since, where rows are kept as they are.
    recent: Vec<RecordBatch>,
    parts: Vec<Part>,
}

impl Parts {
    pub(super) fn new(work: Work, budget: Arc<Budget>) -> Self {
        Self { work, budget, table: None, recent: Vec::new(), parts: Vec::new() }
    }

    /// Takes rows with the numbers of their sessions in the last column.
    pub(super) fn push(&mut self, batch: RecordBatch) -> Result<()> {
        match &self.work {
            Work::Collect => self.recent.push(batch),
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

    /// The blocks.
    pub(super) fn blocks(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.parts.iter().map(|part| &part.block)
    }

    /// True if a row of a part names this session.
    pub(super) fn name(&self, number: u64) -> bool {
        self.parts.iter().any(|part| part.index.binary_search_by_key(&number, |(number, _)| *number).is_ok())
    }

    /// Makes a part of what came since the last freeze.
    pub(super) fn freeze(&mut self) -> Result<()> {
        let recent = std::mem::take(&mut self.recent);
        let batch = match (self.table.take(), recent.first()) {
            (Some(table), _) => table.freeze()?,
            (None, Some(first)) => own(&concat_batches(&first.schema(), &recent)?)?,
            (None, None) => return Ok(()),
        };
        self.add(batch)
    }

    fn add(&mut self, batch: RecordBatch) -> Result<()> {
        let numbers = self.numbers(&batch)?.clone();
        self.parts.push(Part::new(Block::new(batch, &self.budget), &numbers, |_| true));
        Ok(())
    }

    /// Takes a block of an earlier run; rows of sessions that are not open are dead.
    pub(super) fn restore(&mut self, block: Arc<Block>, sessions: &OpenSessions) -> Result<()> {
        let batch = block.batch()?;
        let part = Part::new(block, self.numbers(&batch)?, |number| sessions.root(number).is_some());
        if part.live > 0 {
            self.parts.push(part);
        }
        Ok(())
    }

    /// The rows of sessions that have ended, under the numbers that those have now; they are dead afterwards.
    pub(super) fn take(&mut self, ended: &Ended) -> Result<Vec<RecordBatch>> {
        let mut taken = Vec::new();
        let mut parts = std::mem::take(&mut self.parts);
        for part in &mut parts {
            let rows = part.rows_of(&ended.numbers);
            if !rows.is_empty() {
                part.live -= rows.len();
                let into = |number| ended.joined.get(&number).copied();
                taken.push(self.renumber(select(part.block.batch()?, rows)?, into, ended.joined.is_empty())?);
            }
        }
        parts.retain(|part| part.live > 0);
        self.parts = parts;
        Ok(taken)
    }

    /// Writes parts anew that are mostly dead, and small ones where there are many.
    pub(super) fn compact(&mut self, sessions: &OpenSessions) -> Result<()> {
        let parts = std::mem::take(&mut self.parts);
        let (sparse, dense) = parts.into_iter().partition(|part| part.live * 2 < part.block.rows());
        self.parts = dense;
        self.rewrite(sparse, sessions)?;
        if self.parts.len() > MAX_PARTS {
            self.parts.sort_by_key(|part| part.live);
            let large = self.parts.split_off(MAX_PARTS / 2);
            let small = std::mem::replace(&mut self.parts, large);
            self.rewrite(small, sessions)?;
        }
        Ok(())
    }

    /// Makes one part of the live rows of several.
    fn rewrite(&mut self, parts: Vec<Part>, sessions: &OpenSessions) -> Result<()> {
        let mut batches = Vec::with_capacity(parts.len());
        for part in parts {
            let live = part.index.iter().filter(|(number, _)| sessions.root(*number).is_some());
            let mut rows: Vec<u32> = live.map(|(_, row)| *row).collect();
            rows.sort_unstable();
            let batch = select(part.block.batch()?, rows)?;
            batches.push(self.renumber(batch, |number| sessions.root(number), sessions.joined() == 0)?);
        }
        let batch = match (&self.work, batches.len()) {
            (_, 0) => return Ok(()),
            (Work::Collect, _) => own(&concat_batches(&batches[0].schema(), &batches)?)?,
            (Work::Aggregate(_), 1) => batches.remove(0),
            (Work::Aggregate(spec), _) => {
                let mut merged = GroupTable::new(spec.clone())?;
                batches.iter().try_for_each(|batch| merged.merge(batch))?;
                merged.freeze()?
            }
        };
        self.add(batch)
    }

    /// Where the session number stands: first among groups, last among rows.
    pub(super) fn number_column(&self, batch: &RecordBatch) -> usize {
        match &self.work {
            Work::Aggregate(_) => 0,
            Work::Collect => batch.num_columns().saturating_sub(1),
        }
    }

    fn numbers<'a>(&self, batch: &'a RecordBatch) -> Result<&'a UInt64Array> {
        let column = batch.columns().get(self.number_column(batch));
        as_uint64_array(
            column.ok_or_else(|| exec_datafusion_err!("rows of sessions lack the number of their session"))?,
        )
    }

    /// Gives rows the numbers that their sessions have now; `same` says that these are the numbers they have.
    fn renumber(&self, batch: RecordBatch, into: impl Fn(u64) -> Option<u64>, same: bool) -> Result<RecordBatch> {
        if same {
            return Ok(batch);
        }
        let numbers = self.numbers(&batch)?.values().iter().map(|&number| into(number).unwrap_or(number));
        let numbers: ArrayRef = Arc::new(UInt64Array::from_iter_values(numbers));
        let column = self.number_column(&batch);
        let (schema, mut columns, _) = batch.into_parts();
        columns[column] = numbers;
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}

/// Some rows of a batch, ascending.
fn select(batch: RecordBatch, rows: Vec<u32>) -> Result<RecordBatch> {
    Ok(match rows.len() == batch.num_rows() {
        true => batch,
        false => take_record_batch(&batch, &UInt32Array::from(rows))?,
    })
}

/// The rows without the payloads that their strings point into.
fn own(batch: &RecordBatch) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(|column| match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()) as ArrayRef,
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        _ => column.clone(),
    });
    Ok(RecordBatch::try_new(batch.schema(), columns.collect())?)
}
