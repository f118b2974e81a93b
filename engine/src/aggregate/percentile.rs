//! `approx_percentile_cont` and `approx_median` by [`Sketch`].
//!
//! Everything that a query can see of them is DataFusion's: names, arguments, types, and what is refused. The number of
//! centroids is checked as DataFusion does, and means nothing here.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Float64Type};
use arrow::record_batch::RecordBatch;
use datafusion::common::{Result, ScalarValue, exec_err, not_impl_err};
use datafusion::functions_aggregate::{approx_median, approx_percentile_cont};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, ColumnarValue, Documentation, GroupsAccumulator, Signature,
};

use super::ddsketch::{Sketch, buckets};
use super::functions::state_field;
use super::sketches::{Groups, Kind, Single, Sketches};

/// `approx_percentile_cont(share [, centroids]) WITHIN GROUP (ORDER BY x [DESC])`.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct ApproxPercentile {
    like: approx_percentile_cont::ApproxPercentileCont,
}

/// `approx_median(x)`.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct ApproxMedian {
    like: approx_median::ApproxMedian,
}

impl ApproxPercentile {
    fn percentiles(&self, arguments: AccumulatorArgs) -> Result<Percentiles> {
        let data_type = arguments.expr_fields[0].data_type().clone();
        let descending = arguments.order_bys.first().is_some_and(|sort| sort.options.descending);
        // DataFusion's own checks what is given.
        self.like.accumulator(arguments.clone())?;
        let nothing = RecordBatch::new_empty(Arc::new(arguments.schema.clone()));
        let share = match arguments.exprs[1].evaluate(&nothing)? {
            ColumnarValue::Scalar(ScalarValue::Float64(Some(share))) => share,
            ColumnarValue::Scalar(ScalarValue::Float32(Some(share))) => share.into(),
            _ => return exec_err!("the percentile is not a constant"),
        };
        Ok(Percentiles::new(if descending { 1.0 - share } else { share }, data_type))
    }
}

impl AggregateUDFImpl for ApproxPercentile {
    fn name(&self) -> &str {
        self.like.name()
    }

    fn signature(&self) -> &Signature {
        self.like.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.like.return_type(arguments)
    }

    fn supports_within_group_clause(&self) -> bool {
        self.like.supports_within_group_clause()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.like.documentation()
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        match arguments.is_distinct {
            // DataFusion takes the word and does not heed it.
            true => not_impl_err!("approx_percentile_cont(DISTINCT …)"),
            false => Ok(state_field(&arguments)),
        }
    }

    fn accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Single::new(self.percentiles(arguments)?)))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Sketches::new(self.percentiles(arguments)?)))
    }
}

impl AggregateUDFImpl for ApproxMedian {
    fn name(&self) -> &str {
        self.like.name()
    }

    fn signature(&self) -> &Signature {
        self.like.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.like.return_type(arguments)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.like.documentation()
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        match arguments.input_fields[0].data_type() {
            DataType::Null => self.like.state_fields(arguments),
            _ if arguments.is_distinct => not_impl_err!("approx_median(DISTINCT …)"),
            _ => Ok(state_field(&arguments)),
        }
    }

    fn accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let data_type = arguments.expr_fields[0].data_type().clone();
        let own = self.like.accumulator(arguments)?;
        Ok(match data_type {
            DataType::Null => own,
            _ => Box::new(Single::new(Percentiles::new(0.5, data_type))),
        })
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs) -> bool {
        !arguments.expr_fields[0].data_type().is_null()
    }

    fn create_groups_accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let data_type = arguments.expr_fields[0].data_type().clone();
        self.like.accumulator(arguments)?;
        Ok(Box::new(Sketches::new(Percentiles::new(0.5, data_type))))
    }
}

/// A percentile of each group.
#[derive(Debug, Clone)]
struct Percentiles {
    share: f64,
    result: DataType,
    /// The bucket of each row of a batch.
    buckets: Vec<i32>,
}

impl Percentiles {
    fn new(share: f64, result: DataType) -> Self {
        Self { share, result, buckets: Vec::new() }
    }
}

impl Kind for Percentiles {
    type Sketch = Sketch;

    fn update(
        &mut self,
        values: &ArrayRef,
        filter: Option<&BooleanArray>,
        group_indices: &[usize],
        groups: &mut Groups<Sketch>,
    ) -> Result<()> {
        let cast = cast(values, &DataType::Float64)?;
        let numbers = cast.as_primitive::<Float64Type>().values();
        buckets(numbers, &mut self.buckets);
        groups
            .each(&cast, filter, group_indices, |sketch, row, heap| sketch.add(numbers[row], self.buckets[row], heap));
        Ok(())
    }

    fn evaluate(&self, groups: &mut [Sketch]) -> Result<ArrayRef> {
        let numbers: Float64Array = groups.iter_mut().map(|group| group.percentile(self.share)).collect();
        Ok(cast(&numbers, &self.result)?)
    }

    fn size(&self) -> usize {
        self.buckets.capacity() * size_of::<i32>()
    }
}
