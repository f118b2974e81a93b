//! `approx_percentile_cont` and `approx_median` by [`Sketch`].
//!
//! The number of centroids is checked as DataFusion does, and means nothing here.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::record_batch::RecordBatch;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::functions_aggregate::approx_median::ApproxMedian;
use datafusion::functions_aggregate::approx_percentile_cont::ApproxPercentileCont;
use datafusion::logical_expr::ColumnarValue;
use datafusion::logical_expr::function::AccumulatorArgs;

use super::ddsketch::{Sketch, buckets};
use super::functions::Sketched;
use super::sketches::{Groups, Kind};

/// `approx_percentile_cont(share [, centroids]) WITHIN GROUP (ORDER BY x [DESC])`.
impl Sketched for ApproxPercentileCont {
    type Kind = Percentiles;

    const TAKES_DISTINCT: bool = false;

    fn is_sketched(_: &DataType) -> bool {
        true
    }

    fn kind(arguments: &AccumulatorArgs) -> Result<Percentiles> {
        let descending = arguments.order_bys.first().is_some_and(|sort| sort.options.descending);
        let nothing = RecordBatch::new_empty(Arc::new(arguments.schema.clone()));
        let share = match arguments.exprs[1].evaluate(&nothing)? {
            ColumnarValue::Scalar(ScalarValue::Float64(Some(share))) => share,
            ColumnarValue::Scalar(ScalarValue::Float32(Some(share))) => share.into(),
            _ => return exec_err!("the percentile is not a constant"),
        };
        Ok(Percentiles::new(if descending { 1.0 - share } else { share }, arguments))
    }
}

impl Sketched for ApproxMedian {
    type Kind = Percentiles;

    const TAKES_DISTINCT: bool = false;

    fn is_sketched(data_type: &DataType) -> bool {
        !data_type.is_null()
    }

    fn kind(arguments: &AccumulatorArgs) -> Result<Percentiles> {
        Ok(Percentiles::new(0.5, arguments))
    }
}

/// A percentile of each group.
#[derive(Debug, Clone)]
pub(super) struct Percentiles {
    share: f64,
    result: DataType,
    /// The bucket of each row of a batch.
    buckets: Vec<i32>,
}

impl Percentiles {
    fn new(share: f64, arguments: &AccumulatorArgs) -> Self {
        Self { share, result: arguments.expr_fields[0].data_type().clone(), buckets: Vec::new() }
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
