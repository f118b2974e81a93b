//! `approx_distinct` by [`HyperLogLog`].
//!
//! Everything that a query can see of it is DataFusion's, the number too. Values of which there can only be few, truth values
//! and integers of up to 16 bits, stay DataFusion's own: it counts them exactly.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::hash_utils::{HLL_RANDOM_STATE, create_hashes};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::approx_distinct;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Documentation, GroupsAccumulator, Signature};

use super::functions::state_field;
use super::hyperloglog::HyperLogLog;
use super::sketches::{Groups, Kind, Single, Sketches};

/// `approx_distinct(x)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ApproxDistinct {
    like: approx_distinct::ApproxDistinct,
}

impl Default for ApproxDistinct {
    fn default() -> Self {
        Self { like: approx_distinct::ApproxDistinct::new() }
    }
}

/// True for types of few values.
fn is_small(data_type: &DataType) -> bool {
    use DataType::{Boolean, Int8, Int16, Null, UInt8, UInt16};
    matches!(data_type, Boolean | Int8 | Int16 | Null | UInt8 | UInt16)
}

impl AggregateUDFImpl for ApproxDistinct {
    fn name(&self) -> &str {
        self.like.name()
    }

    fn signature(&self) -> &Signature {
        self.like.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.like.return_type(arguments)
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.like.default_value(data_type)
    }

    fn is_nullable(&self) -> bool {
        self.like.is_nullable()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.like.documentation()
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        match is_small(arguments.input_fields[0].data_type()) {
            true => self.like.state_fields(arguments),
            false => Ok(state_field(&arguments)),
        }
    }

    fn accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let small = is_small(arguments.expr_fields[0].data_type());
        // DataFusion's own refuses types that it does not know.
        let own = self.like.accumulator(arguments)?;
        Ok(if small { own } else { Box::new(Single::new(Distincts::default())) })
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs) -> bool {
        !is_small(arguments.expr_fields[0].data_type())
    }

    fn create_groups_accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        self.like.accumulator(arguments)?;
        Ok(Box::new(Sketches::new(Distincts::default())))
    }
}

/// The different values of each group.
#[derive(Debug, Clone, Default)]
struct Distincts {
    /// The hash of each row of a batch.
    hashes: Vec<u64>,
}

impl Kind for Distincts {
    type Sketch = HyperLogLog;

    fn update(
        &mut self,
        values: &ArrayRef,
        filter: Option<&BooleanArray>,
        group_indices: &[usize],
        groups: &mut Groups<HyperLogLog>,
    ) -> Result<()> {
        self.hashes.clear();
        self.hashes.resize(values.len(), 0);
        create_hashes([values.as_ref()], &HLL_RANDOM_STATE, &mut self.hashes)?;
        groups.each(values, filter, group_indices, |group, row, heap| group.add(self.hashes[row], heap));
        Ok(())
    }

    fn evaluate(&self, groups: &mut [HyperLogLog]) -> Result<ArrayRef> {
        Ok(Arc::new(UInt64Array::from_iter_values(groups.iter_mut().map(HyperLogLog::count))))
    }

    fn size(&self) -> usize {
        self.hashes.capacity() * size_of::<u64>()
    }
}
