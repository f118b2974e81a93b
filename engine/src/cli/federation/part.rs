//! A region's part of a query: its own rows, aggregated to states.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use datafusion::common::TableReference;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::{DataFrame, ident, lit};
use futures::TryStreamExt;

use super::super::failure::{Failure, Outcome};
use super::super::query::{Table, failed, is_function, parse, session};
use super::split::{Part, Split};
use super::wire::Answer;
use crate::aggregate::GroupTable;
use crate::config::Region;
use crate::diagnostic::Diagnostic;
use crate::sql::SqlError;

/// The column that tells regions apart, where a table has none of that name.
const REGION: &str = "region";

/// Most groups in an answer: of a dozen keys and numbers each, some tens of megabytes.
const MAX_GROUPS: usize = 100_000;

/// A group of fewer events than this says what is in one of them.
const LEAST_EVENTS: i64 = 2;

/// Why there is no answer.
#[derive(Debug)]
pub(in crate::cli) enum Refused {
    /// The query moves rows.
    Rows(SqlError),
    /// It broke on some row; the error may tell a value of it.
    Broke(DataFusionError),
    /// Anything else.
    Failed(Failure),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What an answer may take, and give away.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Bytes that groups may take of memory.
    pub(super) memory: usize,
    /// How many files are read side by side; none: one for each core.
    pub(super) partitions: Option<usize>,
    /// Tables whose rows are events, each of which is to stay; none where rows may move anyway.
    pub(super) events: BTreeSet<String>,
}

impl Limits {
    /// For a part that is done where it is asked for.
    pub(super) fn here(memory: usize) -> Self {
        Self { memory, partitions: None, events: BTreeSet::new() }
    }
}

/// Does the part of `region`.
pub(super) async fn run(region: &Region, sql: &str, limits: Limits) -> Result<Answer, Refused> {
    let session = session(limits.memory)?;
    if let Some(partitions) = limits.partitions {
        session.state_ref().write().config_mut().options_mut().execution.target_partitions = partitions;
    }
    let Some(tables) = register(&session, region, sql).await? else {
        return Ok(Answer { region: region.name.to_string(), ..Answer::default() });
    };
    let schemas = tables.iter().map(|(name, plan)| (name.clone(), Arc::new(plan.schema().as_arrow().clone())));
    let schemas: BTreeMap<_, _> = schemas.collect();
    let split = Split::of(&schemas, sql).await?;
    let mut answer = Answer {
        region: region.name.to_string(),
        reads_nothing: tables.is_empty(),
        tables: schemas.into_iter().collect(),
        parts: Vec::new(),
        withheld: 0,
    };
    for part in &split.parts {
        let groups = aggregate(&session, region, part, &tables, &limits).await?;
        let states = groups.freeze().map_err(failed)?;
        let of_events = limits.events.iter().any(|name| reads(&part.input, name));
        answer.parts.push(match of_events {
            true => {
                let (kept, withheld) = withhold(region, part, states)?;
                answer.withheld += withheld;
                kept
            }
            false => states,
        });
    }
    Ok(answer)
}

/// The rows of each table that the query names. None if the region has written nothing yet.
async fn register(
    session: &SessionContext,
    region: &Region,
    sql: &str,
) -> Outcome<Option<BTreeMap<String, LogicalPlan>>> {
    let (_, named) = parse(session, sql)?;
    let mut tables = BTreeMap::new();
    let mut missing = None;
    for table in &named {
        let name = table.table();
        let Some(Table::Lake(lake)) = Table::find(region, name, None)? else {
            if is_function(session, table) {
                continue;
            }
            let error = format!("region `{}` has no pipeline `{name}`", region.name);
            return Err(Failure::wrong(Diagnostic::new(error)));
        };
        if lake.register(session, name).await?.is_none() {
            missing = Some(lake);
            continue;
        }
        let frame = session.table(TableReference::bare(name)).await.map_err(failed)?;
        let frame = with_region(frame, &region.name).map_err(failed)?;
        tables.insert(name.to_string(), frame.into_unoptimized_plan());
    }
    match missing {
        None => Ok(Some(tables)),
        Some(_) if tables.is_empty() => Ok(None),
        // What is there cannot be counted without what is not.
        Some(lake) => Err(lake.nothing()),
    }
}

/// The rows of a region, with its name as a column.
pub(super) fn with_region(frame: DataFrame, region: &str) -> DataFusionResult<DataFrame> {
    match frame.schema().has_column_with_unqualified_name(REGION) {
        true => Ok(frame),
        false => frame.with_column(REGION, lit(region)),
    }
}

async fn aggregate(
    session: &SessionContext,
    region: &Region,
    part: &Part,
    tables: &BTreeMap<String, LogicalPlan>,
    limits: &Limits,
) -> Result<GroupTable, Refused> {
    let input = over_rows(&part.input, tables).map_err(failed)?;
    let state = session.state();
    let plan = state.create_physical_plan(&input).await.map_err(failed)?;
    let mut stream = execute_stream(plan, session.task_ctx()).map_err(Refused::Broke)?;
    let mut groups = GroupTable::new(part.spec.clone()).map_err(failed)?;
    if part.spec.group_count() == 0 {
        // There is one group, even if no row comes.
        groups.merge(&part.spec.nothing().map_err(failed)?).map_err(failed)?;
    }
    while let Some(batch) = stream.try_next().await.map_err(Refused::Broke)? {
        groups.update(&batch).map_err(Refused::Broke)?;
        if groups.len() > MAX_GROUPS || groups.size() > limits.memory {
            return Err(
                too_many(region, &format!("there are more than {} groups", groups.len().min(MAX_GROUPS))).into()
            );
        }
    }
    Ok(groups)
}

/// Takes out the groups that are a single event; says how many they were. If they are most, the query takes rows under
/// another name.
fn withhold(region: &Region, part: &Part, states: RecordBatch) -> Result<(RecordBatch, u64), Refused> {
    let broken = |error: ArrowError| failed(error.into());
    let Some(rows) = states.columns().last().and_then(|count| count.as_primitive_opt::<Int64Type>()) else {
        return Err(Failure::running("the rows of a group were not counted").into());
    };
    if part.spec.group_count() == 0 {
        return match rows.iter().flatten().any(|rows| (1..LEAST_EVENTS).contains(&rows)) {
            true => Err(too_many(region, "it is about a single event").into()),
            false => Ok((states, 0)),
        };
    }
    let kept: BooleanArray = rows.iter().map(|rows| Some(rows.is_some_and(|rows| rows >= LEAST_EVENTS))).collect();
    let (kept_groups, all) = (kept.true_count(), states.num_rows());
    let withheld = all - kept_groups;
    if withheld > kept_groups {
        let why = format!("most groups are an event, {withheld} of {all}");
        return Err(too_many(region, &why).into());
    }
    Ok((filter_record_batch(&states, &kept).map_err(broken)?, withheld as u64))
}

fn too_many(region: &Region, why: &str) -> Failure {
    let error = format!("the answer of region `{}` is too fine: {why}", region.name);
    Failure::wrong(Diagnostic::new(error).help("group by fewer keys or coarser ones, or ask for less by WHERE"))
}

/// The same plan over tables that have rows.
fn over_rows(plan: &LogicalPlan, tables: &BTreeMap<String, LogicalPlan>) -> DataFusionResult<LogicalPlan> {
    let replaced = plan.clone().transform_up(|node| {
        let LogicalPlan::TableScan(scan) = &node else {
            // Its schema follows those of its inputs.
            let inputs = node.inputs().into_iter().cloned().collect();
            return Ok(Transformed::yes(node.with_new_exprs(node.expressions(), inputs)?));
        };
        let Some(rows) = tables.get(scan.table_name.table()) else { return Ok(Transformed::no(node)) };
        let columns = scan.projected_schema.fields().iter().map(|field| ident(field.name()));
        let rows = LogicalPlanBuilder::from(rows.clone()).project(columns.collect::<Vec<_>>())?;
        Ok(Transformed::yes(rows.alias(scan.table_name.clone())?.build()?))
    })?;
    Ok(replaced.data)
}

fn reads(plan: &LogicalPlan, table: &str) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => scan.table_name.table() == table,
        other => other.inputs().into_iter().any(|input| reads(input, table)),
    }
}
