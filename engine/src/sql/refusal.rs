//! What a plan over a stream must not hold, and what to write instead.

use datafusion::common::JoinType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Aggregate, Expr, Join, LogicalPlan};

use super::error::SqlError;
use super::locate::Place;

/// A refusal and the kind of clause it is about, by which its place in the text is found.
#[derive(Debug)]
pub(crate) struct CutError {
    pub(crate) error: SqlError,
    pub(crate) place: Option<Place>,
}

impl From<SqlError> for CutError {
    fn from(error: SqlError) -> Self {
        Self { error, place: None }
    }
}

impl From<datafusion::common::DataFusionError> for CutError {
    fn from(error: datafusion::common::DataFusionError) -> Self {
        Self { error: error.into(), place: None }
    }
}

pub(super) fn refuse<T>(place: Place, message: impl Into<String>, help: impl Into<String>) -> Result<T, CutError> {
    Err(CutError { error: SqlError::new(message).help(help), place: Some(place) })
}

pub(super) const GROUP_HELP: &str = "add window_start, window_end to GROUP BY";
pub(super) const DISTINCT_HELP: &str = "to drop records that come twice, let the source do it: deduplicate = { key = \"event_id\", \
                             within = \"10m\" }; or put a window under it: FROM tumble(source, INTERVAL '10 seconds')";
pub(super) const WINDOW_HELP: &str =
    "put a window under it: FROM tumble(source, INTERVAL '10 seconds') … GROUP BY window_start, window_end";

pub(super) fn takes_any_order(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => takes_any_order(&alias.expr),
        Expr::AggregateFunction(function) => {
            function.params.order_by.is_empty()
                || function.func.supports_within_group_clause()
                || matches!(function.func.name(), "first_value" | "last_value")
        }
        _ => false,
    }
}

/// Functions whose answer is the order of arrival are refused: two runs would differ.
pub(super) fn refuse_order_dependent(exprs: &[Expr]) -> Result<(), CutError> {
    for expr in exprs {
        let mut inner = expr;
        while let Expr::Alias(alias) = inner {
            inner = &alias.expr;
        }
        if let Expr::AggregateFunction(function) = inner
            && matches!(function.func.name(), "first_value" | "last_value" | "nth_value")
            && function.params.order_by.is_empty()
        {
            let name = function.func.name();
            return refuse(
                Place::Function(name.to_string()),
                format!("`{name}` without ORDER BY depends on the order in which rows happen to arrive"),
                format!("write {name}(x ORDER BY ts)"),
            );
        }
    }
    Ok(())
}

pub(super) fn refuse_subqueries(plan: &LogicalPlan) -> Result<(), CutError> {
    for expr in plan.expressions() {
        let mut found = false;
        expr.apply(|inner| {
            if matches!(inner, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_))
            {
                found = true;
                return Ok(TreeNodeRecursion::Stop);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        if found {
            return refuse(
                Place::Subquery,
                "a subquery inside an expression is not supported in a pipeline",
                "join the table instead",
            );
        }
    }
    Ok(())
}

/// A stream may meet a table where every stream row is answered at once from the table: inner, left, semi and anti
/// joins with the stream on the preserved side.
pub(super) fn check_lookup(join: &Join, stream_left: bool) -> Result<(), CutError> {
    use JoinType::*;
    let fine = matches!(
        (join.join_type, stream_left),
        (Inner, _) | (Left | LeftSemi | LeftAnti, true) | (Right | RightSemi | RightAnti, false)
    );
    if !fine {
        return refuse(
            Place::Join,
            format!("a {} join would put out rows of the table that no event has met", join.join_type),
            "put the stream on the preserved side: FROM stream LEFT JOIN table, or use an inner join",
        );
    }
    if join.null_aware {
        return refuse(Place::Join, "NOT IN over a stream is not supported", "write NOT EXISTS");
    }
    Ok(())
}

pub(super) fn name_of(plan: &LogicalPlan) -> String {
    let text = plan.display().to_string();
    text.split([':', ' ', '(']).next().unwrap_or("this").to_string()
}

/// True for what DISTINCT and DISTINCT ON have become by the optimiser.
pub(super) fn is_distinct(aggregate: &Aggregate) -> bool {
    let is_first =
        |expr: &Expr| matches!(expr.clone().unalias(), Expr::AggregateFunction(f) if f.func.name() == "first_value");
    aggregate.aggr_expr.iter().all(is_first)
}
