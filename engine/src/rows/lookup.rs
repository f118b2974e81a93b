//! Joins rows with a reference table that is held in memory as a hash of its keys.
//!
//! The hash is built once per load of the table, not once per batch; a reload replaces it whole between two batches.

use std::sync::{Arc, RwLock};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{RowConverter, SortField};
use datafusion::common::Result;
use datafusion::physical_expr::PhysicalExpr;
use hashbrown::HashMap;

use super::Rows;
use crate::aggregate::mask;

/// Which rows a lookup puts out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookupKind {
    /// Pairs that match.
    Inner,
    /// Pairs that match, and rows without a match, filled up with nulls.
    Left,
    /// Rows that have a match.
    Semi,
    /// Rows that have none.
    Anti,
}

/// The join of a stream's rows with a table.
#[derive(Debug)]
pub struct Lookup {
    /// Which rows come out.
    pub kind: LookupKind,
    /// The stream's key columns.
    pub keys: Vec<Arc<dyn PhysicalExpr>>,
    /// The table.
    pub table: Arc<LookupTable>,
    /// A condition over the joined rows, besides the keys being equal.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
    /// Columns of a joined row: the stream's, then the table's.
    pub joined_schema: SchemaRef,
    /// Output columns, by index into a joined row.
    pub output: Vec<usize>,
    /// Schema of the output.
    pub schema: SchemaRef,
}

/// A table's rows, findable by key.
#[derive(Debug)]
pub struct LookupTable {
    /// Key columns of the table's rows.
    keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Types of the stream's keys, to which the table's are cast.
    key_types: Vec<DataType>,
    nulls_match: bool,
    schema: SchemaRef,
    index: RwLock<Arc<Index>>,
}

#[derive(Debug)]
struct Index {
    rows: RecordBatch,
    by_key: HashMap<Vec<u8>, Vec<u32>>,
}

impl LookupTable {
    /// A table without rows yet.
    pub(crate) fn new(
        keys: Vec<Arc<dyn PhysicalExpr>>,
        key_types: Vec<DataType>,
        nulls_match: bool,
        schema: SchemaRef,
    ) -> Self {
        let index = Index { rows: RecordBatch::new_empty(schema.clone()), by_key: HashMap::new() };
        Self { keys, key_types, nulls_match, schema, index: RwLock::new(Arc::new(index)) }
    }

    /// Replaces the rows.
    pub(crate) fn load(&self, batches: &[RecordBatch]) -> Result<()> {
        let rows = arrow::compute::concat_batches(&self.schema, batches)?;
        let mut columns = Vec::with_capacity(self.keys.len());
        for (key, data_type) in self.keys.iter().zip(&self.key_types) {
            let column = key.evaluate(&rows)?.into_array(rows.num_rows())?;
            columns.push(arrow::compute::cast(&column, data_type)?);
        }
        let mut by_key: HashMap<Vec<u8>, Vec<u32>> = HashMap::new();
        let encoded = self.converter()?.convert_columns(&columns)?;
        for row in 0..rows.num_rows() {
            if self.nulls_match || !has_null(&columns, row) {
                by_key.entry_ref(encoded.row(row).as_ref()).or_default().push(row as u32);
            }
        }
        // Readers clone the Arc and never panic while they hold the lock, so it can't be poisoned by them.
        *self.index.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(Index { rows, by_key });
        Ok(())
    }

    fn converter(&self) -> Result<RowConverter> {
        Ok(RowConverter::new(self.key_types.iter().cloned().map(SortField::new).collect())?)
    }

    fn index(&self) -> Arc<Index> {
        self.index.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

fn has_null(columns: &[ArrayRef], row: usize) -> bool {
    columns.iter().any(|column| column.is_null(row))
}

impl Lookup {
    /// Joins `rows` with what the table holds now.
    pub(crate) fn run(&self, rows: Rows) -> Result<Rows> {
        let index = self.table.index();
        let (left, right) = self.matches(&rows, &index)?;
        let (left, right) = match &self.filter {
            Some(filter) => self.matching(filter.as_ref(), &rows, &index, left, right)?,
            None => (left, right),
        };
        let count = rows.batch.num_rows();
        let (left, right) = match self.kind {
            LookupKind::Inner => (left, right.into_iter().map(Some).collect()),
            LookupKind::Left => with_unmatched(count, left, right),
            LookupKind::Semi | LookupKind::Anti => {
                let mut met = vec![false; count];
                left.iter().for_each(|&row| met[row as usize] = true);
                let keep = self.kind == LookupKind::Semi;
                let left: Vec<u32> = (0..count as u32).filter(|&row| met[row as usize] == keep).collect();
                let right = vec![None; left.len()];
                (left, right)
            }
        };
        let joined = self.join(&rows, &index, &UInt32Array::from(left.clone()), &UInt32Array::from(right))?;
        let options = RecordBatchOptions::new().with_row_count(Some(left.len()));
        let columns = self.output.iter().map(|&column| joined[column].clone()).collect();
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        let origin = left.iter().map(|&row| rows.origin_of(row as usize)).collect();
        Ok(Rows { batch, origin: Some(origin) })
    }

    /// Pairs of stream row and table row with equal keys, in stream order.
    fn matches(&self, rows: &Rows, index: &Index) -> Result<(Vec<u32>, Vec<u32>)> {
        let count = rows.batch.num_rows();
        let columns =
            self.keys.iter().map(|key| key.evaluate(&rows.batch)?.into_array(count)).collect::<Result<Vec<_>>>()?;
        let encoded = self.table.converter()?.convert_columns(&columns)?;
        let (mut left, mut right) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for row in 0..count {
            if !self.table.nulls_match && has_null(&columns, row) {
                continue;
            }
            if let Some(found) = index.by_key.get(encoded.row(row).as_ref()) {
                left.extend(std::iter::repeat_n(row as u32, found.len()));
                right.extend_from_slice(found);
            }
        }
        Ok((left, right))
    }

    /// The pairs that the extra condition lets through.
    fn matching(
        &self,
        filter: &dyn PhysicalExpr,
        rows: &Rows,
        index: &Index,
        left: Vec<u32>,
        right: Vec<u32>,
    ) -> Result<(Vec<u32>, Vec<u32>)> {
        let (left, right) = (UInt32Array::from(left), UInt32Array::from(right));
        let joined = self.join(rows, index, &left, &right)?;
        let options = RecordBatchOptions::new().with_row_count(Some(left.len()));
        let joined = RecordBatch::try_new_with_options(self.joined_schema.clone(), joined, &options)?;
        let mask = mask(filter, &joined)?;
        let kept = |side: &UInt32Array| mask.values().set_indices().map(|pair| side.value(pair)).collect();
        Ok((kept(&left), kept(&right)))
    }

    fn join(&self, rows: &Rows, index: &Index, left: &UInt32Array, right: &UInt32Array) -> Result<Vec<ArrayRef>> {
        let stream = rows.batch.columns().iter().map(|column| take(column, left, None));
        let table = index.rows.columns().iter().map(|column| take(column, right, None));
        Ok(stream.chain(table).collect::<Result<_, _>>()?)
    }
}

/// Adds the rows that met nothing, in their place.
fn with_unmatched(count: usize, left: Vec<u32>, right: Vec<u32>) -> (Vec<u32>, Vec<Option<u32>>) {
    let mut pairs = left.into_iter().zip(right).peekable();
    let (mut all_left, mut all_right) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for row in 0..count as u32 {
        let mut met = false;
        while let Some((_, found)) = pairs.next_if(|(left, _)| *left == row) {
            all_left.push(row);
            all_right.push(Some(found));
            met = true;
        }
        if !met {
            all_left.push(row);
            all_right.push(None);
        }
    }
    (all_left, all_right)
}
