//! Follows a source's event time up through a plan of rows.

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::error::SqlError;
use super::stream_table::StreamTable;

/// The column of `plan`'s output that is the event time of the one stream below, unchanged.
pub(crate) fn event_time(plan: &LogicalPlan) -> Result<Column, SqlError> {
    trace(plan)?.ok_or_else(|| {
        SqlError::new("the event time does not come through this subquery")
            .help("keep the source's event_time column in its SELECT list, unchanged")
    })
}

/// The same, or none where the column was dropped or there is no stream below.
pub(crate) fn trace(plan: &LogicalPlan) -> Result<Option<Column>, SqlError> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let Some(stream) = StreamTable::of(scan) else { return Ok(None) };
            let Some(time) = &stream.event_time else {
                return Err(SqlError::new(format!(
                    "source `{}` has no event time, so it can't be windowed",
                    stream.name
                ))
                .help(format!("set `event_time` in [sources.{}] to a timestamp column", stream.name)));
            };
            let index = scan.projected_schema.fields().iter().position(|field| field.name() == time.as_ref());
            Ok(index.map(|index| Column::from(scan.projected_schema.qualified_field(index))))
        }
        LogicalPlan::Projection(projection) => {
            let Some(time) = trace(&projection.input)? else { return Ok(None) };
            let index = projection.expr.iter().position(|expr| passes(expr, &time));
            Ok(index.map(|index| Column::from(projection.schema.qualified_field(index))))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let Some(time) = trace(&alias.input)? else { return Ok(None) };
            let index = alias.input.schema().index_of_column(&time)?;
            Ok(Some(Column::from(alias.schema.qualified_field(index))))
        }
        LogicalPlan::Filter(filter) => trace(&filter.input),
        LogicalPlan::Unnest(unnest) => Ok(trace(&unnest.input)?.filter(|time| unnest.schema.has_column(time))),
        LogicalPlan::Join(join) => {
            let left = trace(&join.left)?.filter(|time| join.schema.has_column(time));
            let right = trace(&join.right)?.filter(|time| join.schema.has_column(time));
            Ok(left.or(right))
        }
        LogicalPlan::Union(union) => {
            let mut found: Option<usize> = None;
            for input in &union.inputs {
                let Some(time) = trace(input)? else { return Ok(None) };
                let index = input.schema().index_of_column(&time)?;
                if found.is_some_and(|found| found != index) {
                    return Err(SqlError::new(
                        "the streams of this UNION ALL have their event times in different columns",
                    )
                    .help("select the event time at the same place in each of them"));
                }
                found = Some(index);
            }
            Ok(found.map(|index| Column::from(union.schema.qualified_field(index))))
        }
        LogicalPlan::Distinct(_) | LogicalPlan::Aggregate(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => {
            Err(SqlError::new(
                "a window takes rows of a stream, not the result of an aggregate, DISTINCT, ORDER BY or LIMIT",
            )
            .help("put the window lowest: FROM tumble(source, …), and aggregate above it"))
        }
        LogicalPlan::Extension(_) => Err(SqlError::new("a window over a window")
            .help("aggregate the inner window by window_start, window_end and aggregate that result again")),
        _ => Ok(None),
    }
}

/// True if `expr` is `column` itself, under whatever name.
pub(crate) fn passes(expr: &Expr, column: &Column) -> bool {
    match expr {
        Expr::Column(inner) => inner == column,
        Expr::Alias(alias) => passes(&alias.expr, column),
        _ => false,
    }
}
