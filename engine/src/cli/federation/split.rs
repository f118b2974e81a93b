//! Parts a query into what each region does and what is done with their answers.
//!
//! The one idea: both sides part the same text in the same way, so a part needs no name but its number. Planning sees the
//! columns of tables and nothing else; what a table holds, or which region it is of, changes nothing.
//!
//! A part is an aggregate straight over a table: filters and projections may lie between. These functions are taken, as
//! their partial states merge in any order, and hold numbers about many rows:
//!
//! | taken | not taken | because |
//! |---|---|---|
//! | `count`, `sum`, `avg` | `array_agg`, `string_agg`, `first_value`, … | their state is the rows |
//! | `min`, `max` of numbers and times | `min`, `max` of text | it is text out of one row |
//! | `var…`, `stddev…`, `bool_and`, `bool_or` | `median`, `approx_…` | the state of a small group is its values |
//!
//! The values of group keys travel: they are what was asked for. So `part` bounds how many groups there may be, and of how
//! many rows each has to be.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatchOptions;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result as DataFusionResult, TableReference};
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::context::SessionContext;
use datafusion::functions_aggregate::count::count_all;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan};
use datafusion::physical_expr::aggregate::LoweredAggregateBuilder;
use datafusion::physical_expr::create_physical_expr;
use datafusion::prelude::SessionConfig;

use super::super::failure::Failure;
use super::super::query::{failed, find_word, only_reads, parse, wrong};
use super::part::Refused;
use crate::aggregate::{AggregateCall, AggregateSpec};
use crate::sql::SqlError;
use crate::sql::leaf::{Leaf, Slot};

/// The functions whose partial states may travel, whatever they are over.
const ABOUT_MANY: [&str; 9] = ["count", "sum", "avg", "var", "var_pop", "stddev", "stddev_pop", "bool_and", "bool_or"];

const HOW: &str = "aggregate straight over the table, as in SELECT region, count(*) FROM t WHERE … GROUP BY region; \
                   what else there is to do comes above that";

/// A query in parts.
#[derive(Debug)]
pub(super) struct Split {
    /// What every region does.
    pub(super) parts: Vec<Part>,
    /// What is done with that.
    pub(super) above: LogicalPlan,
}

/// An aggregate that every region does over its own table.
#[derive(Debug)]
pub(super) struct Part {
    /// What is aggregated; its scans are of tables without rows.
    pub(super) input: LogicalPlan,
    /// How; the last call counts rows.
    pub(super) spec: Arc<AggregateSpec>,
    schema: SchemaRef,
    slot: Arc<Slot>,
}

impl Split {
    /// Parts `sql` over tables with these columns.
    pub(super) async fn of(tables: &BTreeMap<String, SchemaRef>, sql: &str) -> Result<Self, Refused> {
        let session = planning(tables).map_err(|error| wrong(sql, error.into()))?;
        let (statement, _) = parse(&session, sql)?;
        let state = session.state();
        let plan = state.statement_to_plan(statement).await.map_err(|error| wrong(sql, error.into()))?;
        only_reads(&plan, sql)?;
        let plan = state.optimize(&plan).map_err(|error| wrong(sql, error.into()))?;
        let mut parts = Vec::new();
        let parted = plan.transform_down_with_subqueries(|node| match node {
            LogicalPlan::Aggregate(node) if is_straight(&node.input, tables) => {
                check(&node, sql)?;
                let (part, leaf) = Part::of(&node, &session)?;
                parts.push(part);
                Ok(Transformed::new(leaf, true, TreeNodeRecursion::Jump))
            }
            LogicalPlan::TableScan(scan) if tables.contains_key(scan.table_name.table()) => {
                let table = scan.table_name.table();
                let error = SqlError::new(format!("the query takes rows out of `{table}`, not aggregates")).help(HOW);
                Err(SqlError { position: find_word(sql, table), ..error }.into_datafusion())
            }
            node => Ok(Transformed::no(node)),
        });
        match parted {
            Ok(parted) => Ok(Self { parts, above: parted.data }),
            Err(error) => Err(Refused::Rows(error.into())),
        }
    }
}

/// A session in which each table has columns and no rows.
fn planning(tables: &BTreeMap<String, SchemaRef>) -> DataFusionResult<SessionContext> {
    let mut config = SessionConfig::new()
        .with_target_partitions(1)
        .with_information_schema(false)
        .set_bool("datafusion.sql_parser.collect_spans", true);
    config.options_mut().execution.time_zone = Some("UTC".into());
    let session = SessionContext::new_with_config(config);
    crate::aggregate::register(&session);
    for (name, schema) in tables {
        // Of two regions, one may know that a column is never null: that must not make two plans of one query.
        let fields = schema.fields().iter().map(|field| Field::new(field.name(), field.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        session.register_table(TableReference::bare(name.as_str()), Arc::new(EmptyTable::new(schema)))?;
    }
    Ok(session)
}

/// True if nothing but filters and projections lies between `plan` and a table.
fn is_straight(plan: &LogicalPlan, tables: &BTreeMap<String, SchemaRef>) -> bool {
    let inner = match plan {
        LogicalPlan::TableScan(scan) => return scan.fetch.is_none() && tables.contains_key(scan.table_name.table()),
        LogicalPlan::Projection(projection) => &projection.input,
        LogicalPlan::Filter(filter) => &filter.input,
        LogicalPlan::SubqueryAlias(alias) => &alias.input,
        _ => return false,
    };
    !plan.expressions().iter().any(has_subquery) && is_straight(inner, tables)
}

fn has_subquery(expr: &Expr) -> bool {
    let is_subquery = |expr: &Expr| {
        Ok(matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
        ))
    };
    // Asking fails only if the question does.
    expr.exists(is_subquery).unwrap_or(true)
}

/// Refuses an aggregate whose states may not travel.
fn check(node: &Aggregate, sql: &str) -> DataFusionResult<()> {
    if node.group_expr.iter().any(|key| matches!(key, Expr::GroupingSet(_))) {
        let help =
            "group by all the keys first, and by sets of them above that: SELECT … FROM (SELECT …) GROUP BY ROLLUP (…)";
        let error = SqlError::new("grouping sets are not merged over regions").help(help);
        return Err(error.into_datafusion());
    }
    for expr in &node.aggr_expr {
        let mut inner = expr;
        while let Expr::Alias(alias) = inner {
            inner = &alias.expr;
        }
        let Expr::AggregateFunction(function) = inner else {
            return Err(SqlError::new(format!("`{inner}` is not merged over regions")).help(HOW).into_datafusion());
        };
        if let Some(why) = stays(function, node)? {
            let name = function.func.name();
            let error = SqlError::new(format!("`{name}` is not merged over regions: {why}"));
            let help = "count, sum, avg, min, max of numbers and times, var, stddev, bool_and and bool_or are";
            return Err(SqlError { position: find_word(sql, name), ..error.help(help) }.into_datafusion());
        }
    }
    Ok(())
}

/// Why the state of a function stays in its region; none if it may travel.
fn stays(function: &AggregateFunction, node: &Aggregate) -> DataFusionResult<Option<&'static str>> {
    let params = &function.params;
    if params.distinct {
        return Ok(Some("with DISTINCT, its state is every value"));
    }
    if !params.order_by.is_empty() {
        return Ok(Some("with ORDER BY, its state is rows"));
    }
    match function.func.name() {
        "min" | "max" => {
            let schema = node.input.schema();
            let kinds = params.args.iter().map(|arg| arg.get_type(schema)).collect::<DataFusionResult<Vec<_>>>()?;
            let is_number = |kind: &DataType| kind.is_numeric() || kind.is_temporal() || *kind == DataType::Boolean;
            Ok((!kinds.iter().all(is_number)).then_some("of text, it is text out of one row"))
        }
        name if ABOUT_MANY.contains(&name) => Ok(None),
        _ => Ok(Some("its state may hold the values themselves")),
    }
}

impl Part {
    /// The part that `node` is, and what stands in its place.
    fn of(node: &Aggregate, session: &SessionContext) -> DataFusionResult<(Self, LogicalPlan)> {
        let state = session.state();
        let context = PhysicalPlanningContext::default();
        let input = node.input.schema();
        let group = |(index, key): (usize, &Expr)| {
            let physical = create_physical_expr(key, input, state.execution_props(), &context)?;
            Ok((physical, node.schema.field(index).clone()))
        };
        let groups = node.group_expr.iter().enumerate().map(group).collect::<DataFusionResult<Vec<_>>>()?;
        let call = |expr: &Expr| {
            let builder =
                LoweredAggregateBuilder::new(expr, input, input.as_arrow(), state.execution_props(), &context);
            let lowered = builder.build()?;
            Ok(AggregateCall { function: lowered.aggregate, filter: lowered.filter })
        };
        // Last, how many rows a group has: so that a region can keep those that are a single row.
        let rows = count_all();
        let calls = node.aggr_expr.iter().chain([&rows]).map(call).collect::<DataFusionResult<Vec<_>>>()?;
        let spec = Arc::new(AggregateSpec::try_new(groups, calls)?);
        let slot = Slot::new();
        let leaf = Leaf::plan("aggregates of the regions", node.schema.clone(), slot.clone());
        let schema = node.schema.inner().clone();
        Ok((Self { input: node.input.as_ref().clone(), spec, schema, slot }, leaf))
    }

    /// True if these are states of this part.
    pub(super) fn takes(&self, states: &RecordBatch) -> bool {
        let types = |schema: &SchemaRef| schema.fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>();
        types(self.spec.state_schema()) == types(&states.schema())
    }

    /// Puts the merged groups where the plan above reads them.
    pub(super) fn fill(&self, groups: RecordBatch) -> Result<(), DataFusionError> {
        let options = RecordBatchOptions::new().with_row_count(Some(groups.num_rows()));
        let without_count = groups.columns()[..self.schema.fields().len()].to_vec();
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), without_count, &options)?;
        self.slot.fill(Arc::new(vec![rows]));
        Ok(())
    }
}

impl Refused {
    /// As it is told to whoever asked.
    pub(super) fn shown(self, sql: &str) -> Failure {
        match self {
            Self::Rows(why) => wrong(sql, why),
            Self::Broke(error) => failed(error),
            Self::Failed(failure) => failure,
        }
    }
}
