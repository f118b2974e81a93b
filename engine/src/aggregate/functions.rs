//! The functions that are ours under DataFusion's names.
//!
//! A session that has them plans them in DataFusion's place: for windows, for what stands above windows, and for queries
//! of the lake. So an answer does not depend on where it is worked out.

use std::hash::Hash;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, not_impl_err};
use datafusion::execution::context::SessionContext;
use datafusion::functions_aggregate::approx_distinct::ApproxDistinct;
use datafusion::functions_aggregate::approx_median::ApproxMedian;
use datafusion::functions_aggregate::approx_percentile_cont::ApproxPercentileCont;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Expr, GroupsAccumulator, Signature,
};

use super::sketches::{Kind, Single, Sketches};

/// Version of the bytes that sketches are kept as. State of another is refused.
pub(crate) const FORMAT: u32 = 1;

/// Puts our functions in the place of DataFusion's.
pub(crate) fn register(session: &SessionContext) {
    session.register_udaf(AggregateUDF::from(Ours(ApproxPercentileCont::default())));
    session.register_udaf(AggregateUDF::from(Ours(ApproxMedian::default())));
    session.register_udaf(AggregateUDF::from(Ours(ApproxDistinct::new())));
}

/// The format of the sketches that an aggregate expression keeps; none if it keeps none.
pub(crate) fn format(expr: &Expr) -> Option<u32> {
    match expr {
        Expr::Alias(alias) => format(&alias.expr),
        Expr::AggregateFunction(function) => {
            let function = function.func.inner();
            let ours = function.is::<Ours<ApproxPercentileCont>>()
                || function.is::<Ours<ApproxMedian>>()
                || function.is::<Ours<ApproxDistinct>>();
            ours.then_some(FORMAT)
        }
        _ => None,
    }
}

/// A function of DataFusion's for which we keep sketches of our own.
pub(super) trait Sketched: AggregateUDFImpl + Eq + Hash {
    type Kind: Kind;

    /// Whether DISTINCT is taken.
    const TAKES_DISTINCT: bool;

    /// Whether values of a type go into sketches. Others are DataFusion's.
    fn is_sketched(data_type: &DataType) -> bool;

    /// What is kept, for arguments that DataFusion's own has taken.
    fn kind(arguments: &AccumulatorArgs) -> Result<Self::Kind>;
}

/// The function that takes the place of DataFusion's. Everything that a query can see of it is that one's: name, arguments, types,
/// and what is refused.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Ours<F>(F);

impl<F: Sketched> AggregateUDFImpl for Ours<F> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.0.return_type(arguments)
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.0.default_value(data_type)
    }

    fn is_nullable(&self) -> bool {
        self.0.is_nullable()
    }

    fn supports_within_group_clause(&self) -> bool {
        self.0.supports_within_group_clause()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.0.documentation()
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if !F::is_sketched(arguments.input_fields[0].data_type()) {
            return self.0.state_fields(arguments);
        }
        if arguments.is_distinct && !F::TAKES_DISTINCT {
            // DataFusion takes the word and does not heed it.
            return not_impl_err!("{}(DISTINCT …)", self.name());
        }
        // A large one: 2 GiB are soon full of sketches.
        Ok(vec![Field::new(format_state_name(arguments.name, "sketch"), DataType::LargeBinary, false).into()])
    }

    fn accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let own = self.0.accumulator(arguments.clone())?;
        Ok(match F::is_sketched(arguments.expr_fields[0].data_type()) {
            true => Box::new(Single::new(F::kind(&arguments)?)),
            false => own,
        })
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs) -> bool {
        F::is_sketched(arguments.expr_fields[0].data_type())
    }

    fn create_groups_accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        // It refuses what it does not take.
        self.0.accumulator(arguments.clone())?;
        Ok(Box::new(Sketches::new(F::kind(&arguments)?)))
    }
}
