//! The functions that are ours under DataFusion's names, and what all of them do alike.
//!
//! A session that has them plans them in DataFusion's place: for windows, for what stands above windows, and for queries
//! of the lake. So an answer does not depend on where it is worked out.

use arrow::array::{Array, ArrayRef, BooleanArray, LargeBinaryArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::function::StateFieldsArgs;
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{AggregateUDF, Expr};

use super::distinct::ApproxDistinct;
use super::percentile::{ApproxMedian, ApproxPercentile};

/// Version of the bytes that sketches are kept as. State of another is refused.
pub(crate) const FORMAT: u32 = 1;

/// Puts our functions in the place of DataFusion's.
pub(crate) fn register(session: &SessionContext) {
    session.register_udaf(AggregateUDF::from(ApproxPercentile::default()));
    session.register_udaf(AggregateUDF::from(ApproxMedian::default()));
    session.register_udaf(AggregateUDF::from(ApproxDistinct::default()));
}

/// The format of the sketches that an aggregate expression keeps; none if it keeps none.
pub(crate) fn format(expr: &Expr) -> Option<u32> {
    match expr {
        Expr::Alias(alias) => format(&alias.expr),
        Expr::AggregateFunction(function) => {
            let function = function.func.inner();
            let ours =
                function.is::<ApproxPercentile>() || function.is::<ApproxMedian>() || function.is::<ApproxDistinct>();
            ours.then_some(FORMAT)
        }
        _ => None,
    }
}

/// The one column that the sketches of groups are kept in. A large one: 2 GiB are soon full of them.
pub(super) fn state_field(arguments: &StateFieldsArgs) -> Vec<FieldRef> {
    vec![Field::new(format_state_name(arguments.name, "sketch"), DataType::LargeBinary, false).into()]
}

/// The rows that are taken, where not all are: those whose value is not null, and whose filter is true.
pub(super) fn taken(values: &dyn Array, filter: Option<&BooleanArray>) -> Option<NullBuffer> {
    let filter = filter.map(|filter| match filter.nulls() {
        Some(known) => NullBuffer::new(filter.values() & known.inner()),
        None => NullBuffer::new(filter.values().clone()),
    });
    NullBuffer::union(values.logical_nulls().as_ref(), filter.as_ref())
}

/// The column of sketches that is to be merged.
pub(super) fn states(columns: &[ArrayRef]) -> Result<&LargeBinaryArray> {
    let states = columns.first().and_then(|column| column.as_any().downcast_ref());
    states.ok_or_else(malformed)
}

/// The error for state that is none of ours.
pub(super) fn malformed() -> DataFusionError {
    DataFusionError::Execution("the state of an approximate aggregate is damaged, or of another version".into())
}
