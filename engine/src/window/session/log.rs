//! What checkpoints tell of the open sessions: a log of changes, as blocks.
//!
//! A block holds one row per session that changed since the block before: `start`, `end` and the key where it is open,
//! `into` where it became part of another, and neither where its number means nothing any more. Keys are Arrow columns,
//! as the row format's bytes may change with its version.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt64Array, new_null_array};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::cast::{as_int64_array, as_uint64_array};
use datafusion::common::{Result, exec_datafusion_err, exec_err};

use super::open::{Delta, OpenSessions, Session, Told};
use crate::checkpoint::{Block, Budget};

/// A log of more blocks than this begins again, though it be short: each is read at a restart.
const MAX_BLOCKS: usize = 64;
/// Columns in front of the key's.
const FIXED: [(&str, DataType); 4] =
    [("session", DataType::UInt64), ("into", DataType::UInt64), ("start", DataType::Int64), ("end", DataType::Int64)];

/// The key columns of sessions, and the bytes that stand for a key in memory.
#[derive(Debug)]
pub(super) struct Keys {
    types: Vec<DataType>,
    /// None where one session takes all rows.
    converter: Option<RowConverter>,
}

impl Keys {
    pub(super) fn new(types: Vec<DataType>) -> Result<Self> {
        let converter = match types.is_empty() {
            true => None,
            false => Some(RowConverter::new(types.iter().cloned().map(SortField::new).collect())?),
        };
        Ok(Self { types, converter })
    }

    /// The key of each row; none where all have the empty one.
    pub(super) fn encode(&self, columns: &[ArrayRef]) -> Result<Option<Rows>> {
        Ok(self.converter.as_ref().map(|converter| converter.convert_columns(columns)).transpose()?)
    }

    fn decode<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let Some(converter) = &self.converter else { return Ok(Vec::new()) };
        let parser = converter.parser();
        Ok(converter.convert_rows(keys.map(|key| parser.parse(key)))?)
    }
}

/// The log.
#[derive(Debug, Default)]
pub(super) struct SessionLog {
    blocks: Vec<Arc<Block>>,
    rows: usize,
}

impl SessionLog {
    /// The blocks, in the order in which they are to be applied.
    pub(super) fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    /// Adds what has changed, or begins again with all there is where that is the shorter.
    pub(super) fn write(&mut self, sessions: &mut OpenSessions, keys: &Keys, budget: &Arc<Budget>) -> Result<()> {
        let standing = sessions.len() + sessions.joined();
        let short = |delta: &Delta| self.rows + delta.len() <= 2 * standing && self.blocks.len() < MAX_BLOCKS;
        let delta = match sessions.take_delta().filter(short) {
            Some(delta) => delta,
            None => {
                *self = Self::default();
                sessions.snapshot()
            }
        };
        if delta.len() > 0 {
            self.blocks.push(Block::new(encode(&delta, sessions, keys)?, budget));
            self.rows += delta.len();
        }
        Ok(())
    }

    /// Reads blocks back into an empty set.
    pub(super) fn restore(
        &mut self,
        blocks: Vec<Arc<Block>>,
        next: u64,
        sessions: &mut OpenSessions,
        keys: &Keys,
    ) -> Result<()> {
        let mut told = Told::default();
        for block in &blocks {
            apply(&block.batch()?, keys, &mut told)?;
        }
        if let Some((number, into)) = told.dangling() {
            return exec_err!("session {number} became part of {into}, but that one is not open");
        }
        self.rows = blocks.iter().map(|block| block.rows()).sum();
        self.blocks = blocks;
        sessions.restore(next, told);
        Ok(())
    }
}

fn encode(delta: &Delta, sessions: &OpenSessions, keys: &Keys) -> Result<RecordBatch> {
    let open: Vec<&Session> = delta.open.iter().filter_map(|&number| sessions.get(number)).collect();
    let nulls = delta.len() - open.len();
    let numbers = delta.open.iter().copied();
    let numbers = numbers.chain(delta.joined.iter().map(|(number, _)| *number)).chain(delta.gone.iter().copied());
    let into = std::iter::repeat_n(None, open.len()).chain(delta.joined.iter().map(|(_, into)| Some(*into)));
    let into = into.chain(std::iter::repeat_n(None, delta.gone.len()));
    let bounds = |bound: fn(&Session) -> i64| {
        let bounds = open.iter().map(|session| Some(bound(session)));
        bounds.chain(std::iter::repeat_n(None, nulls)).collect::<Int64Array>()
    };
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(UInt64Array::from_iter_values(numbers)),
        Arc::new(into.collect::<UInt64Array>()),
        Arc::new(bounds(|session| session.start)),
        Arc::new(bounds(|session| session.end)),
    ];
    for key in keys.decode(open.iter().map(|session| &*session.key))? {
        columns.push(concat(&[&key, &new_null_array(key.data_type(), nulls)])?);
    }
    let names = FIXED.iter().map(|(name, _)| name.to_string()).chain((0..).map(|index| format!("key_{index}")));
    let fields = names.zip(&columns).map(|(name, column)| Field::new(name, column.data_type().clone(), true));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns)?)
}

fn apply(batch: &RecordBatch, keys: &Keys, told: &mut Told) -> Result<()> {
    let width = FIXED.len() + keys.types.len();
    if batch.num_columns() != width {
        let found = batch.num_columns();
        return Err(exec_datafusion_err!("a block of open sessions has {found} columns where {width} are needed"));
    }
    let (numbers, into) = (as_uint64_array(batch.column(0))?, as_uint64_array(batch.column(1))?);
    let (starts, ends) = (as_int64_array(batch.column(2))?, as_int64_array(batch.column(3))?);
    let columns = batch.columns()[FIXED.len()..].iter().zip(&keys.types);
    // Encoding flattens dictionaries.
    let columns = columns.map(|(column, data_type)| cast(column, data_type)).collect::<Result<Vec<_>, _>>()?;
    let encoded = keys.encode(&columns)?;
    for row in 0..batch.num_rows() {
        let number = numbers.value(row);
        if starts.is_valid(row) && ends.is_valid(row) {
            let key = encoded.as_ref().map_or(&[][..], |rows| rows.row(row).data());
            told.open(number, key, starts.value(row), ends.value(row));
        } else if into.is_valid(row) {
            told.joined(number, into.value(row));
        } else {
            told.gone(number);
        }
    }
    Ok(())
}
