//! What happens to rows between the decoder and the window: filter, project, unnest, look up.
//!
//! The one idea: each step is a function from batch to batch, and beside the batch goes `origin`, the row of the decoded
//! batch that each row came from, so that every record can be accounted for whatever the steps did to it.

mod compile;
mod lookup;

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::physical_expr::PhysicalExpr;

pub(crate) use compile::{Branch, compile, conjunction};
pub use lookup::{Lookup, LookupTable};

use crate::aggregate::mask;

/// Rows on their way, and where each came from.
#[derive(Debug, Clone)]
pub struct Rows {
    /// The rows.
    pub batch: RecordBatch,
    /// Row of the decoded batch that each row came from; none means the rows are that batch's rows, one to one.
    pub origin: Option<Vec<u32>>,
}

impl Rows {
    /// Rows straight from the decoder.
    pub fn decoded(batch: RecordBatch) -> Self {
        Self { batch, origin: None }
    }

    /// Keeps the rows where `mask` is true.
    pub fn filter(self, mask: &arrow::array::BooleanArray) -> Result<Self> {
        if mask.true_count() == mask.len() {
            return Ok(self);
        }
        let batch = filter_record_batch(&self.batch, mask)?;
        let kept = mask.values().set_indices();
        let origin = match &self.origin {
            None => kept.map(|row| row as u32).collect(),
            Some(origin) => kept.map(|row| origin[row]).collect(),
        };
        Ok(Self { batch, origin: Some(origin) })
    }

    /// Takes rows by index, repeats allowed.
    pub fn take(&self, indices: &UInt32Array) -> Result<Self> {
        let batch = arrow::compute::take_record_batch(&self.batch, indices)?;
        Ok(Self { batch, origin: Some(indices.values().iter().map(|&row| self.origin_of(row as usize)).collect()) })
    }

    /// The decoded row behind row `row`.
    pub fn origin_of(&self, row: usize) -> u32 {
        self.origin.as_ref().map_or(row as u32, |origin| origin[row])
    }
}

/// One step.
#[derive(Debug, Clone)]
pub enum RowOp {
    /// Keeps the rows for which the condition is true.
    Filter(Arc<dyn PhysicalExpr>),
    /// Computes columns.
    Project {
        /// One expression per output column.
        exprs: Vec<Arc<dyn PhysicalExpr>>,
        /// Output columns.
        schema: SchemaRef,
    },
    /// Meets a reference table.
    Lookup(Arc<Lookup>),
    /// Makes a row of every element of list columns, and columns of struct fields.
    Unnest(Arc<Unnest>),
}

/// The steps from one source's decoded batch to the rows that a window (or a sink) takes.
#[derive(Debug, Clone)]
pub struct RowPlan {
    /// The source read.
    pub source: Arc<str>,
    /// The source's columns that the steps start from, by index into its schema.
    pub columns: Vec<usize>,
    /// The steps.
    pub ops: Vec<RowOp>,
}

impl RowPlan {
    /// Runs the steps over rows that have exactly [`RowPlan::columns`].
    pub fn run(&self, rows: Rows) -> Result<Rows> {
        run(&self.ops, rows)
    }
}

/// Runs steps one after the other.
pub(crate) fn run(ops: &[RowOp], mut rows: Rows) -> Result<Rows> {
    for op in ops {
        rows = match op {
            RowOp::Filter(condition) => {
                let mask = mask(condition.as_ref(), &rows.batch)?;
                rows.filter(&mask)?
            }
            RowOp::Project { exprs, schema } => Rows { batch: project(exprs, schema, &rows.batch)?, ..rows },
            RowOp::Lookup(lookup) => lookup.run(rows)?,
            RowOp::Unnest(unnest) => unnest.run(rows)?,
        };
    }
    Ok(rows)
}

fn project(exprs: &[Arc<dyn PhysicalExpr>], schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch> {
    let columns =
        exprs.iter().map(|expr| expr.evaluate(batch)?.into_array(batch.num_rows())).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// DataFusion's unnest, run over one batch, with the row number carried through it.
#[derive(Debug)]
pub struct Unnest {
    lists: Vec<datafusion::physical_plan::unnest::ListUnnest>,
    structs: Vec<usize>,
    /// Output columns, and behind them the row number.
    schema: SchemaRef,
    options: datafusion::common::UnnestOptions,
}

impl Unnest {
    fn run(&self, rows: Rows) -> Result<Rows> {
        use datafusion::physical_plan::unnest::UnnestExec;

        let (schema, mut columns, count) = rows.batch.clone().into_parts();
        let mut fields = schema.fields().to_vec();
        fields.push(Arc::new(arrow::datatypes::Field::new(ROW_NUMBER, arrow::datatypes::DataType::UInt32, false)));
        columns.push(Arc::new(UInt32Array::from_iter_values(0..count as u32)));
        let schema = Arc::new(arrow::datatypes::Schema::new(fields));
        let batch = RecordBatch::try_new(schema.clone(), columns)?;
        let input = datafusion::datasource::memory::MemorySourceConfig::try_new_exec(&[vec![batch]], schema, None)?;
        let plan = Arc::new(UnnestExec::new(
            input,
            self.lists.clone(),
            self.structs.clone(),
            self.schema.clone(),
            self.options.clone(),
        )?);
        // The plan reads memory and waits for nothing, so it is driven to its end right here.
        let stream = datafusion::physical_plan::ExecutionPlan::execute(plan.as_ref(), 0, Arc::default())?;
        let batches: Vec<RecordBatch> =
            futures::executor::block_on(datafusion::physical_plan::common::collect(stream))?;
        let batch = arrow::compute::concat_batches(&self.schema, &batches)?;
        let last = batch.num_columns() - 1;
        let numbers = datafusion::common::cast::as_uint32_array(batch.column(last))?;
        let origin = numbers.values().iter().map(|&row| rows.origin_of(row as usize)).collect();
        let indices: Vec<usize> = (0..last).collect();
        Ok(Rows { batch: batch.project(&indices)?, origin: Some(origin) })
    }
}

/// Name of the column that carries row numbers through an unnest.
const ROW_NUMBER: &str = "__row_number";
