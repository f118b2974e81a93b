//! Vectorised aggregation outside of a plan: one hash table of groups with one accumulator per aggregate.
//!
//! | room | what |
//! |---|---|
//! | `per_group` | functions that know one group at a time |
//! | `functions` | our functions in the place of DataFusion's |
//! | `sketches` | what those do alike |
//! | `percentile`, over `ddsketch` | `approx_percentile_cont`, `approx_median` |
//! | `distinct`, over `hyperloglog` | `approx_distinct` |
//!
//! A [`GroupTable`] takes rows batch by batch, or the frozen state of other tables. `freeze` turns it into an Arrow batch of
//! keys and partial states, `finish` into keys and results. Both consume the table; `take_frozen` and `take_finished` leave
//! an empty one. The state that DataFusion's `GroupValues` and accumulators leave behind after emitting is never used.

mod ddsketch;
mod distinct;
mod functions;
mod hyperloglog;
mod per_group;
mod percentile;
mod sketches;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::common::cast::as_boolean_array;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

pub(crate) use self::functions::{format, register};
use self::per_group::PerGroup;

/// One aggregate function over its arguments.
#[derive(Debug)]
pub struct AggregateCall {
    /// The function with its types.
    pub function: Arc<AggregateFunctionExpr>,
    /// `FILTER (WHERE …)`.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
}

/// What to group by and what to compute: shared by all tables of one aggregate.
#[derive(Debug)]
pub struct AggregateSpec {
    groups: Vec<Arc<dyn PhysicalExpr>>,
    calls: Vec<Call>,
    group_schema: SchemaRef,
    state_schema: SchemaRef,
    result_schema: SchemaRef,
}

#[derive(Debug)]
struct Call {
    function: Arc<AggregateFunctionExpr>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    /// Columns of this call in a frozen batch.
    states: std::ops::Range<usize>,
}

impl AggregateSpec {
    /// Group expressions (with the fields they become) and aggregate calls, all over one input schema.
    pub fn try_new(groups: Vec<(Arc<dyn PhysicalExpr>, FieldRef)>, calls: Vec<AggregateCall>) -> Result<Self> {
        let (groups, group_fields): (Vec<_>, Vec<_>) = groups.into_iter().unzip();
        let mut state_fields: Vec<FieldRef> = group_fields.clone();
        let mut result_fields: Vec<FieldRef> = group_fields.clone();
        let mut compiled = Vec::with_capacity(calls.len());
        for AggregateCall { function, filter } in calls {
            // Functions that keep an order of their own (first_value …) read the sort keys behind their arguments.
            let mut arguments = function.expressions();
            arguments.extend(function.order_bys().iter().map(|sort| sort.expr.clone()));
            let first = state_fields.len();
            state_fields.extend(function.state_fields()?);
            result_fields.push(function.field());
            compiled.push(Call { function, filter, arguments, states: first..state_fields.len() });
        }
        Ok(Self {
            groups,
            calls: compiled,
            group_schema: Arc::new(Schema::new(group_fields)),
            state_schema: Arc::new(Schema::new(state_fields)),
            result_schema: Arc::new(Schema::new(result_fields)),
        })
    }

    /// Number of group columns.
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// Schema of [`GroupTable::freeze`]: group columns, then partial states.
    pub fn state_schema(&self) -> &SchemaRef {
        &self.state_schema
    }

    /// Schema of [`GroupTable::finish`]: group columns, then results.
    pub fn result_schema(&self) -> &SchemaRef {
        &self.result_schema
    }

    /// The frozen state of the one group that there is without keys, before any row. Merged, it makes that group where no
    /// row comes; an empty batch would make accumulators take it that the group has a value.
    pub fn nothing(&self) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.state_schema.fields().len());
        for call in &self.calls {
            for value in call.function.create_accumulator()?.state()? {
                columns.push(value.to_array()?);
            }
        }
        batch(&self.state_schema, columns, 1)
    }

    fn accumulators(&self) -> Result<Vec<Box<dyn GroupsAccumulator>>> {
        self.calls.iter().map(|call| accumulator(&call.function)).collect()
    }

    /// The group columns of `batch`.
    pub fn group_columns(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        self.groups.iter().map(|expr| expr.evaluate(batch)?.into_array(batch.num_rows())).collect()
    }
}

/// The groups of one pane and what is known of each so far.
pub struct GroupTable {
    spec: Arc<AggregateSpec>,
    keys: Keys,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    indices: Vec<usize>,
}

enum Keys {
    /// No group columns: one group for all rows.
    One,
    Hashed(Box<dyn GroupValues>),
}

impl Keys {
    fn len(&self) -> usize {
        match self {
            Keys::One => 1,
            Keys::Hashed(values) => values.len(),
        }
    }
}

impl std::fmt::Debug for GroupTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupTable").field("groups", &self.len()).finish_non_exhaustive()
    }
}

impl GroupTable {
    /// An empty table.
    pub fn new(spec: Arc<AggregateSpec>) -> Result<Self> {
        let keys = match spec.group_count() {
            0 => Keys::One,
            _ => Keys::Hashed(new_group_values(spec.group_schema.clone(), &GroupOrdering::None)?),
        };
        let accumulators = spec.accumulators()?;
        Ok(Self { spec, keys, accumulators, indices: Vec::new() })
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// True if no row was taken yet.
    pub fn is_empty(&self) -> bool {
        matches!(&self.keys, Keys::Hashed(values) if values.is_empty())
    }

    /// Bytes it takes in memory.
    pub fn size(&self) -> usize {
        let keys = match &self.keys {
            Keys::One => 0,
            Keys::Hashed(values) => values.size(),
        };
        let accumulators: usize = self.accumulators.iter().map(|accumulator| accumulator.size()).sum();
        keys + accumulators + self.indices.capacity() * size_of::<usize>()
    }

    /// Takes rows.
    pub fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let spec = self.spec.clone();
        self.intern(&spec.group_columns(batch)?, batch.num_rows())?;
        let groups = self.keys.len();
        for (call, accumulator) in spec.calls.iter().zip(&mut self.accumulators) {
            let values: Vec<ArrayRef> = call
                .arguments
                .iter()
                .map(|argument| argument.evaluate(batch)?.into_array(batch.num_rows()))
                .collect::<Result<_>>()?;
            let filter = match &call.filter {
                Some(filter) => Some(mask(filter.as_ref(), batch)?),
                None => None,
            };
            accumulator.update_batch(&values, &self.indices, filter.as_ref(), groups)?;
        }
        Ok(())
    }

    /// Takes the frozen state of another table of the same spec.
    pub fn merge(&mut self, frozen: &RecordBatch) -> Result<()> {
        let spec = self.spec.clone();
        self.intern(&frozen.columns()[..spec.group_count()], frozen.num_rows())?;
        let groups = self.keys.len();
        for (call, accumulator) in spec.calls.iter().zip(&mut self.accumulators) {
            accumulator.merge_batch(&frozen.columns()[call.states.clone()], &self.indices, groups)?;
        }
        Ok(())
    }

    /// Turns the table into keys and partial states, mergeable by any table of the same spec.
    pub fn freeze(mut self) -> Result<RecordBatch> {
        self.emit_states()
    }

    /// Turns the table into keys and results.
    pub fn finish(mut self) -> Result<RecordBatch> {
        self.emit_results()
    }

    /// As [`Self::freeze`], but the table is empty behind it, with room for as many groups.
    pub fn take_frozen(&mut self) -> Result<RecordBatch> {
        let states = self.emit_states()?;
        self.begin_again(states.num_rows())?;
        Ok(states)
    }

    /// As [`Self::finish`], but the table is empty behind it, with room for as many groups.
    pub fn take_finished(&mut self) -> Result<RecordBatch> {
        let results = self.emit_results()?;
        self.begin_again(results.num_rows())?;
        Ok(results)
    }

    fn emit_states(&mut self) -> Result<RecordBatch> {
        let rows = self.keys.len();
        let mut columns = self.emit_keys()?;
        for accumulator in &mut self.accumulators {
            columns.extend(accumulator.state(EmitTo::All)?);
        }
        batch(&self.spec.state_schema, columns, rows)
    }

    fn emit_results(&mut self) -> Result<RecordBatch> {
        let rows = self.keys.len();
        let mut columns = self.emit_keys()?;
        for accumulator in &mut self.accumulators {
            columns.push(accumulator.evaluate(EmitTo::All)?);
        }
        batch(&self.spec.result_schema, columns, rows)
    }

    /// Makes an empty table of one that has emitted everything, with room for `groups`.
    fn begin_again(&mut self, groups: usize) -> Result<()> {
        if let Keys::Hashed(values) = &mut self.keys {
            values.clear_shrink(groups);
        }
        self.accumulators = self.spec.accumulators()?;
        Ok(())
    }

    fn emit_keys(&mut self) -> Result<Vec<ArrayRef>> {
        match &mut self.keys {
            Keys::One => Ok(Vec::new()),
            Keys::Hashed(values) => values.emit(EmitTo::All),
        }
    }

    fn intern(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        match &mut self.keys {
            Keys::One => {
                self.indices.clear();
                self.indices.resize(rows, 0);
                Ok(())
            }
            Keys::Hashed(values) => values.intern(columns, &mut self.indices),
        }
    }
}

/// Evaluates a condition; null counts as false.
pub(crate) fn mask(condition: &dyn PhysicalExpr, batch: &RecordBatch) -> Result<BooleanArray> {
    let array = condition.evaluate(batch)?.into_array(batch.num_rows())?;
    let mask = as_boolean_array(&array)?;
    Ok(match mask.null_count() {
        0 => mask.clone(),
        _ => arrow::compute::prep_null_mask_filter(mask),
    })
}

fn accumulator(function: &Arc<AggregateFunctionExpr>) -> Result<Box<dyn GroupsAccumulator>> {
    if function.groups_accumulator_supported() {
        return function.create_groups_accumulator();
    }
    let function = function.clone();
    Ok(Box::new(PerGroup::new(Box::new(move || function.create_accumulator()))))
}

/// A batch that may have no columns. Types follow the arrays where a function's declared nullability is stricter.
fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

#[cfg(test)]
mod tests;
