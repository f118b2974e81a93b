//! `approx_distinct` by [`HyperLogLog`].
//!
//! The number is DataFusion's, too. Values of which there can only be few, truth values
//! and integers of up to 16 bits, stay DataFusion's own: it counts them exactly.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::hash_utils::{HLL_RANDOM_STATE, create_hashes};
use datafusion::functions_aggregate::approx_distinct::ApproxDistinct;
use datafusion::logical_expr::function::AccumulatorArgs;

use super::functions::Sketched;
use super::hyperloglog::HyperLogLog;
use super::sketches::{Groups, Kind};

impl Sketched for ApproxDistinct {
    type Kind = Distincts;

    const TAKES_DISTINCT: bool = true;

    fn is_sketched(data_type: &DataType) -> bool {
        use DataType::{Boolean, Int8, Int16, Null, UInt8, UInt16};
        !matches!(data_type, Boolean | Int8 | Int16 | Null | UInt8 | UInt16)
    }

    fn kind(_: &AccumulatorArgs) -> Result<Distincts> {
        Ok(Distincts::default())
    }
}

/// The different values of each group.
#[derive(Debug, Clone, Default)]
pub(super) struct Distincts {
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
