//! `tumble`, `hop` and `session` as relations: reads the call, finds the event time, plans a [`WindowNode`].
//!
//! Two spellings mean the same: `tumble(orders, INTERVAL '10 seconds')` and Flink's
//! `TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '10' SECOND))` (the inner word TABLE is blanked out by
//! [`super::statement`] before parsing).

use std::sync::Arc;

use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan};
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, ObjectNamePart, Spanned, TableAlias,
    TableFactor,
};

use super::catalog::Catalog;
use super::error::SqlError;
use super::event_time::event_time;
use super::window_node::{WindowNode, WindowSpec};

/// A hop may put an event into at most this many windows: each one is a row of output per group.
const MAX_WINDOWS_PER_EVENT: i64 = 10_000;
/// Windows shorter than this are beyond what clocks of event producers agree on.
const MIN_SPAN_US: i64 = 1_000;
/// Windows longer than this overflow dates that lake engines can read.
const MAX_SPAN_US: i64 = 366 * 100 * 86_400 * 1_000_000;

/// Plans the window table functions.
#[derive(Debug)]
pub(crate) struct WindowPlanner {
    pub(crate) catalog: Arc<Catalog>,
}

/// A window function call as written.
struct Call {
    function: Function,
    name: ObjectName,
    args: Vec<SqlExpr>,
    alias: Option<TableAlias>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Function {
    Tumble,
    Hop,
    Session,
}

impl Function {
    fn named(name: &ObjectName) -> Option<Self> {
        let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else { return None };
        match ident.value.to_ascii_lowercase().as_str() {
            "tumble" => Some(Self::Tumble),
            "hop" => Some(Self::Hop),
            "session" => Some(Self::Session),
            _ => None,
        }
    }

    fn usage(self) -> &'static str {
        match self {
            Self::Tumble => "write tumble(source, INTERVAL '10 seconds')",
            Self::Hop => "write hop(source, INTERVAL '10 seconds', INTERVAL '1 minute'): the slide, then the size",
            Self::Session => "write session(source, INTERVAL '30 seconds', key, …): the gap, then the key columns",
        }
    }
}

impl RelationPlanner for WindowPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        match read_call(relation)? {
            Ok(call) => {
                let plan = self.plan_call(&call, context).map_err(SqlError::into_datafusion)?;
                Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, call.alias))))
            }
            Err(relation) => Ok(RelationPlanning::Original(relation)),
        }
    }
}

/// Takes a window call out of a table factor, or gives the factor back.
fn read_call(relation: TableFactor) -> Result<Result<Call, Box<TableFactor>>> {
    let (name, args, alias) = match &relation {
        TableFactor::Table { name, args: Some(args), alias, .. } => (name, args.args.clone(), alias.clone()),
        TableFactor::Function { name, args, alias, .. } => (name, args.clone(), alias.clone()),
        TableFactor::TableFunction { expr: SqlExpr::Function(call), alias } => match &call.args {
            FunctionArguments::List(list) => (&call.name, list.args.clone(), alias.clone()),
            _ => return Ok(Err(Box::new(relation))),
        },
        _ => return Ok(Err(Box::new(relation))),
    };
    let Some(function) = Function::named(name) else {
        return Ok(Err(Box::new(relation)));
    };
    let name = name.clone();
    let span = name.span();
    let args = args
        .into_iter()
        .map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
            | FunctionArg::Named { arg: FunctionArgExpr::Expr(expr), .. }
            | FunctionArg::ExprNamed { arg: FunctionArgExpr::Expr(expr), .. } => Ok(expr),
            other => Err(SqlError::new(format!("`{other}` is no argument of a window"))
                .help(function.usage())
                .at(Some(span))
                .into_datafusion()),
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Ok(Call { function, name, args, alias }))
}

impl WindowPlanner {
    fn plan_call(&self, call: &Call, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan, SqlError> {
        let usage = || {
            SqlError::new(format!("`{}` is called with the wrong arguments", call.name))
                .help(call.function.usage())
                .at(Some(call.name.span()))
        };
        let (source, rest) = call.args.split_first().ok_or_else(usage)?;
        let input = self.plan_source(source, call, context)?;
        let time = event_time(&input).map_err(|error| error.at(Some(source.span())))?;
        let rest = match rest.first() {
            Some(first) if !is_interval(first) => {
                check_time_argument(first, &time, &input, context)?;
                &rest[1..]
            }
            _ => rest,
        };

        let interval = |expr: &SqlExpr, context: &mut dyn RelationPlannerContext| {
            span_of(expr, context).map_err(|error| error.at(Some(expr.span())).at(Some(call.name.span())))
        };
        let (spec, keys) = match (call.function, rest) {
            (Function::Tumble, [size]) => (WindowSpec::Tumble { size: interval(size, context)? }, Vec::new()),
            (Function::Hop, [slide, size]) => {
                let spec = hop(interval(slide, context)?, interval(size, context)?)
                    .map_err(|error| error.at(Some(slide.span())).at(Some(call.name.span())))?;
                (spec, Vec::new())
            }
            (Function::Session, [gap, keys @ ..]) => {
                let keys = keys.iter().map(|key| column(key, &input, context)).collect::<Result<Vec<_>, _>>()?;
                (WindowSpec::Session { gap: interval(gap, context)? }, keys)
            }
            _ => return Err(usage()),
        };
        let node = WindowNode::try_new(spec, time, keys, input)
            .map_err(|error| SqlError::from(error).at(Some(call.name.span())))?;
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    /// The windowed relation: a source, a common table expression, or a parenthesised subquery.
    fn plan_source(
        &self,
        source: &SqlExpr,
        call: &Call,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<LogicalPlan, SqlError> {
        let name = match source {
            SqlExpr::Identifier(ident) => ObjectName::from(vec![ident.clone()]),
            SqlExpr::CompoundIdentifier(idents) => ObjectName::from(idents.clone()),
            SqlExpr::Subquery(query) => {
                let derived =
                    TableFactor::Derived { lateral: false, subquery: query.clone(), alias: None, sample: None };
                return context.plan(derived).map_err(SqlError::from);
            }
            other => {
                return Err(SqlError::new(format!("`{other}` is no source"))
                    .help(call.function.usage())
                    .at(Some(other.span())));
            }
        };
        let table = TableFactor::Table {
            name: name.clone(),
            alias: None,
            args: None,
            with_hints: Vec::new(),
            version: None,
            with_ordinality: false,
            partitions: Vec::new(),
            json_path: None,
            sample: None,
            index_hints: Vec::new(),
        };
        // Common table expressions shadow sources. The planner knows those, and only the tables that stand in a FROM
        // by themselves; a source that is named inside a window call alone comes from our own catalog.
        if let Ok(plan) = context.plan(table) {
            return Ok(plan);
        }
        let reference = context.object_name_to_table_reference(name)?;
        self.catalog.scan(reference.table()).map_err(|error| error.at(Some(source.span())))
    }
}

fn is_interval(expr: &SqlExpr) -> bool {
    matches!(expr, SqlExpr::Interval(_) | SqlExpr::Value(_) | SqlExpr::UnaryOp { .. })
}

/// An interval literal in microseconds.
fn span_of(expr: &SqlExpr, context: &mut dyn RelationPlannerContext) -> Result<i64, SqlError> {
    if !matches!(expr, SqlExpr::Interval(_)) {
        return Err(
            SqlError::new(format!("`{expr}` is no interval")).help("write a literal such as INTERVAL '10 seconds'")
        );
    }
    let planned = context.sql_to_expr(expr.clone(), &DFSchema::empty())?;
    let Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(value)), _) = planned else {
        return Err(SqlError::new(format!("`{expr}` is no fixed interval")));
    };
    if value.months != 0 {
        return Err(SqlError::new("months and years differ in length and can't be windows")
            .help("write the span in days, or aggregate days and group them by date_trunc above"));
    }
    if value.nanoseconds % 1_000 != 0 {
        return Err(SqlError::new("event time counts in microseconds; the interval is finer"));
    }
    let us = i64::from(value.days)
        .checked_mul(86_400_000_000)
        .and_then(|days| days.checked_add(value.nanoseconds / 1_000))
        .unwrap_or(i64::MAX);
    if !(MIN_SPAN_US..=MAX_SPAN_US).contains(&us) {
        return Err(SqlError::new(format!("`{expr}` is outside what a window can span"))
            .help("from 1 millisecond to 100 years"));
    }
    Ok(us)
}

fn hop(slide: i64, size: i64) -> Result<WindowSpec, SqlError> {
    if slide > size {
        return Err(SqlError::new("the slide is longer than the window: events between windows would be in none")
            .help("hop takes the slide first, then the size"));
    }
    if size / slide > MAX_WINDOWS_PER_EVENT {
        return Err(SqlError::new(format!(
            "every event would be in {} windows; at most {MAX_WINDOWS_PER_EVENT} are allowed",
            size / slide
        ))
        .help("choose a longer slide"));
    }
    Ok(if slide == size { WindowSpec::Tumble { size } } else { WindowSpec::Hop { slide, size } })
}

fn column(expr: &SqlExpr, input: &LogicalPlan, context: &mut dyn RelationPlannerContext) -> Result<Column, SqlError> {
    let planned = context
        .sql_to_expr(expr.clone(), input.schema())
        .map_err(|error| SqlError::from(error).at(Some(expr.span())))?;
    match planned {
        Expr::Column(column) => Ok(column),
        other => Err(SqlError::new(format!("`{other}` is no column"))
            .help("compute it in a subquery first: session((SELECT …, f(x) AS k FROM source), INTERVAL '…', k)")
            .at(Some(expr.span()))),
    }
}

/// The optional second argument must name the event time that the source declares.
fn check_time_argument(
    argument: &SqlExpr,
    time: &Column,
    input: &LogicalPlan,
    context: &mut dyn RelationPlannerContext,
) -> Result<(), SqlError> {
    let span = argument.span();
    let inner = match argument {
        SqlExpr::Function(call) if call.name.to_string().eq_ignore_ascii_case("descriptor") => match &call.args {
            FunctionArguments::List(list) => match list.args.as_slice() {
                [FunctionArg::Unnamed(FunctionArgExpr::Expr(inner))] => inner,
                _ => return Err(SqlError::new("DESCRIPTOR takes one column").at(Some(span))),
            },
            _ => return Err(SqlError::new("DESCRIPTOR takes one column").at(Some(span))),
        },
        other => other,
    };
    let named = column(inner, input, context).map_err(|error| error.at(Some(span)))?;
    if named.name != time.name {
        return Err(SqlError::new(format!("`{}` is not the event time of this source", named.name))
            .help(format!("the source declares event_time = \"{}\"", time.name))
            .at(Some(span)));
    }
    Ok(())
}
