//! Plans one statement: parse, optimise, part, and compile both parts.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DFSchema, Result as DataFusionResult};
use datafusion::execution::SessionState;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Aggregate, Expr, Extension, LogicalPlan};
use datafusion::physical_expr::aggregate::LoweredAggregateBuilder;
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};

use super::tables::{StaticTable, physical_plan};
use super::{PlannedPipeline, Stage};
use crate::aggregate::{AggregateCall, AggregateSpec, mask};
use crate::fingerprint::short_hash;
use crate::rows::{Branch, LookupTable, RowOp, RowPlan, compile, conjunction};
use crate::sql::cut::{Cut, CutError, Parted, StaticRows, WindowColumns, part};
use crate::sql::event_time::trace;
use crate::sql::leaf::Slot;
use crate::sql::{Catalog, SqlError, WINDOW_END, WINDOW_START, WindowSpec, locate, statement, window_column_type};
use crate::window::{PaneGrid, Spans, Work, session_field};

/// What streams up to one operator that needs whole windows.
#[derive(Debug)]
pub struct CutPlan {
    /// The rows that come in, one branch per stream.
    pub branches: Vec<PlannedBranch>,
    /// The window they go through.
    pub window: CutWindow,
    /// What is kept of them.
    pub work: Work,
    /// Columns that the plan above reads, from the window and what was kept.
    columns: Vec<Column>,
    schema: SchemaRef,
    slot: Arc<Slot>,
    filter: Option<Arc<dyn PhysicalExpr>>,
}

/// The shape of a cut's window.
#[derive(Debug, Clone)]
pub enum CutWindow {
    /// Tumbling or hopping.
    Grid(PaneGrid),
    /// Sessions.
    Session {
        /// The silence that ends one, in microseconds.
        gap: i64,
        /// Types of the key columns.
        key_types: Vec<DataType>,
    },
}

/// Where a column of closed rows comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The window's start.
    Start,
    /// The window's end.
    End,
    /// A column of what was kept.
    Kept(usize),
}

/// One stream's rows on the way to a window, or to a sink.
#[derive(Debug, Clone)]
pub struct PlannedBranch {
    /// Steps up to the window.
    pub rows: RowPlan,
    /// Steps above a session window, run once the session holds the row.
    pub steps_above: Vec<RowOp>,
    /// Event time, by index into the rows.
    pub time: usize,
    /// Session keys, likewise.
    pub keys: Vec<usize>,
}

impl CutPlan {
    /// Puts closed rows where the plan above reads them. `starts` and `ends` give each row's window, or one for all.
    pub fn fill(&self, windows: &[(RecordBatch, Spans)]) -> DataFusionResult<()> {
        let mut batches = Vec::with_capacity(windows.len());
        for (kept, spans) in windows {
            let mut batch = self.assemble(kept, spans)?;
            if let Some(filter) = &self.filter {
                let bounds = window_bounds(spans, kept.num_rows())?;
                batch = arrow::compute::filter_record_batch(&batch, &mask(filter.as_ref(), &bounds)?)?;
            }
            batches.push(batch);
        }
        self.slot.fill(Arc::new(batches));
        Ok(())
    }

    fn assemble(&self, kept: &RecordBatch, spans: &Spans) -> DataFusionResult<RecordBatch> {
        let rows = kept.num_rows();
        let (starts, ends) = span_columns(spans, rows);
        let columns = self
            .columns
            .iter()
            .map(|column| match column {
                Column::Start => starts.clone(),
                Column::End => ends.clone(),
                Column::Kept(index) => kept.column(*index).clone(),
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

/// `window_start` and `window_end` of `rows` rows.
fn span_columns(spans: &Spans, rows: usize) -> (ArrayRef, ArrayRef) {
    let (starts, ends) = match spans {
        Spans::One(start, end) => (vec![*start; rows], vec![*end; rows]),
        Spans::Each(starts, ends) => (starts.clone(), ends.clone()),
    };
    let column = |values| Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC")) as ArrayRef;
    (column(starts), column(ends))
}

fn window_bounds(spans: &Spans, rows: usize) -> DataFusionResult<RecordBatch> {
    let (starts, ends) = span_columns(spans, rows);
    Ok(RecordBatch::try_new(bounds_schema(), vec![starts, ends])?)
}

fn bounds_schema() -> SchemaRef {
    let column = |name| Field::new(name, window_column_type(), false);
    Arc::new(Schema::new(vec![column(WINDOW_START), column(WINDOW_END)]))
}

pub(super) async fn plan(
    catalog: &Arc<Catalog>,
    name: &str,
    sql: &str,
    allowed_lateness: Duration,
) -> Result<PlannedPipeline, SqlError> {
    let session = catalog.session()?;
    let state = session.state();
    let parsed = statement::parse(sql)?;
    let written = statement::plan(&session, catalog, &parsed).await?;
    // Refusals are about what the user wrote; the optimised plan may have removed the clause already.
    let in_text = |refusal: CutError| match &refusal.place {
        Some(place) => refusal.error.at(locate::locate(&parsed.query, place)),
        None => refusal.error,
    };
    let optimised = state.optimize(&written).map_err(SqlError::from)?;
    let parted = part(optimised.clone()).map_err(in_text)?;

    let time_column = time_column(&optimised, parted.windows.as_ref())?;
    let sort_by = sort_by(&parted, &optimised);
    let output = output_schema(&written);
    let fingerprint = fingerprint(&parted.cuts, &output);
    let sketches = sketches(&parted.cuts);
    let compiled = Compiler { state: &state, session: &session }.stage(parted).await?;
    Ok(PlannedPipeline {
        name: name.into(),
        output_schema: output,
        time_column,
        sort_by,
        sql_hash: sql_hash(sql).into(),
        fingerprint: fingerprint.into(),
        sketches,
        allowed_lateness: i64::try_from(allowed_lateness.as_micros()).unwrap_or(i64::MAX),
        emit_empty: false,
        stage: compiled.stage,
        tables: compiled.tables,
        session,
        description: optimised.display_indent().to_string(),
    })
}

/// Output columns under their plain names.
fn output_schema(plan: &LogicalPlan) -> SchemaRef {
    Arc::new(Schema::new(plan.schema().fields().clone()))
}

/// A hash that tells one statement from another, the same on every machine; white space at the ends does not count.
fn sql_hash(sql: &str) -> String {
    short_hash(sql.trim())
}

/// A hash of what the state of a pipeline means: each cut with everything below it, and the shape of its rows. What
/// stands above the windows may change, and the state can still be taken over.
fn fingerprint(cuts: &[Cut], output: &SchemaRef) -> String {
    let mut text = String::new();
    for cut in cuts {
        let plan = match cut {
            Cut::Aggregate { node, .. } => LogicalPlan::Aggregate(node.clone()),
            Cut::Collect { node, .. } => LogicalPlan::Extension(Extension { node: Arc::new(node.clone()) }),
        };
        text.push_str(&plan.display_indent_schema().to_string());
        text.push('\n');
    }
    for field in output.fields() {
        text.push_str(&format!("{} {}\n", field.name(), field.data_type()));
    }
    short_hash(&text)
}

/// The format of the sketches among the aggregates that run as rows come; 0 if there are none.
fn sketches(cuts: &[Cut]) -> u32 {
    let kept = cuts.iter().flat_map(|cut| match cut {
        Cut::Aggregate { node, .. } => node.aggr_expr.as_slice(),
        Cut::Collect { .. } => &[],
    });
    kept.filter_map(crate::aggregate::format).max().unwrap_or(0)
}

fn time_column(plan: &LogicalPlan, windows: Option<&WindowColumns>) -> Result<Option<String>, SqlError> {
    let schema = plan.schema();
    let named = |columns: &std::collections::HashSet<datafusion::common::Column>| {
        let mut names: Vec<_> = columns.iter().filter(|c| schema.has_column(c)).map(|c| c.name.clone()).collect();
        names.sort();
        names.into_iter().next()
    };
    match windows {
        Some(windows) => Ok(named(&windows.starts).or_else(|| named(&windows.ends))),
        // A source without event time is fine where there is no window.
        None => Ok(trace(plan).ok().flatten().map(|column| column.name)),
    }
}

/// The first group key of the first aggregate, if it is among the output columns.
fn sort_by(parted: &Parted, plan: &LogicalPlan) -> Vec<String> {
    let Some(Cut::Aggregate { node, windows, .. }) = parted.cuts.first() else { return Vec::new() };
    let first = node.group_expr.iter().enumerate().find(|(_, key)| !windows.passes(key));
    let name = first.map(|(index, _)| node.schema.field(index).name().clone());
    name.into_iter().filter(|name| plan.schema().fields().iter().any(|field| field.name() == name)).collect()
}

struct Compiled {
    stage: Stage,
    tables: Vec<StaticTable>,
}

struct Compiler<'a> {
    state: &'a SessionState,
    session: &'a SessionContext,
}

impl Compiler<'_> {
    async fn stage(&self, parted: Parted) -> Result<Compiled, SqlError> {
        let mut tables: Vec<StaticTable> =
            parted.statics.into_iter().map(|rows| StaticTable::new(rows, None)).collect();
        if parted.cuts.is_empty() {
            let mut branches = Vec::new();
            for branch in compile(&parted.above, self.state)? {
                let (branch, lookups) = self.branch(branch);
                tables.extend(lookups);
                branches.push(branch);
            }
            return Ok(Compiled { stage: Stage::Rows(branches), tables });
        }
        let mut cuts = Vec::with_capacity(parted.cuts.len());
        for cut in parted.cuts {
            let (cut, lookups) = self.cut(cut)?;
            tables.extend(lookups);
            cuts.push(cut);
        }
        let one_at_a_time = sorts_or_limits(&parted.above);
        let above = physical_plan(self.session, &parted.above).await?;
        Ok(Compiled { stage: Stage::Windows { cuts, above, one_at_a_time }, tables })
    }

    fn cut(&self, cut: Cut) -> Result<(CutPlan, Vec<StaticTable>), SqlError> {
        let slot = cut.slot().clone();
        let (branches, schema) = match &cut {
            Cut::Aggregate { node, .. } => (compile(&node.input, self.state)?, node.schema.clone()),
            Cut::Collect { node, .. } => {
                let plan = LogicalPlan::Extension(datafusion::logical_expr::Extension { node: Arc::new(node.clone()) });
                let schema = plan.schema().clone();
                (compile(&plan, self.state)?, schema)
            }
        };
        let Some(first) = branches.first() else { return Err(SqlError::new("the window reads no stream")) };
        let Some(window) = &first.window else { return Err(SqlError::new("the aggregate has no window")) };
        let visible = first.visible;
        let shape = match (window.spec, PaneGrid::of(window.spec)) {
            (WindowSpec::Session { gap }, _) => {
                let key_types = window.keys.iter().map(|&key| first.schema.field(key).data_type().clone()).collect();
                CutWindow::Session { gap, key_types }
            }
            (_, Some(grid)) => CutWindow::Grid(grid),
            (_, None) => return Err(SqlError::new("this window has no panes")),
        };
        let session = matches!(shape, CutWindow::Session { .. });
        let filter = self.window_filter(&branches)?;
        let (work, columns) = match &cut {
            Cut::Aggregate { node, windows, .. } => self.aggregate(node, windows, first, session)?,
            Cut::Collect { .. } => {
                let kept = (0..visible).map(Column::Kept);
                (Work::Collect, kept.chain([Column::Start, Column::End]).collect())
            }
        };
        let mut tables = Vec::new();
        let mut planned = Vec::new();
        for branch in branches {
            let (branch, lookups) = self.branch(branch);
            planned.push(branch);
            tables.extend(lookups);
        }
        let plan =
            CutPlan { branches: planned, window: shape, work, columns, schema: schema.inner().clone(), slot, filter };
        Ok((plan, tables))
    }

    fn aggregate(
        &self,
        node: &Aggregate,
        windows: &WindowColumns,
        branch: &Branch,
        session: bool,
    ) -> Result<(Work, Vec<Column>), SqlError> {
        let mut groups: Vec<(Arc<dyn PhysicalExpr>, _)> = Vec::new();
        let mut columns = Vec::new();
        if session {
            let field = session_field();
            groups.push((Arc::new(PhysicalColumn::new(field.name(), branch.visible)), field));
        }
        let hidden = groups.len();
        for (index, key) in node.group_expr.iter().enumerate() {
            if windows.passes(key) {
                let start = windows.starts.iter().any(|start| crate::sql::event_time::passes(key, start));
                columns.push(if start { Column::Start } else { Column::End });
                continue;
            }
            columns.push(Column::Kept(groups.len() - hidden));
            groups.push((branch.physical(key, self.state)?, node.schema.field(index).clone()));
        }
        let first_result = groups.len() - hidden;
        let context = PhysicalPlanningContext::default();
        let arrow = branch.arrow_schema();
        let mut calls = Vec::new();
        for (index, expr) in node.aggr_expr.iter().enumerate() {
            let lowered =
                LoweredAggregateBuilder::new(expr, &branch.schema, &arrow, self.state.execution_props(), &context)
                    .build()?;
            calls.push(AggregateCall { function: lowered.aggregate, filter: lowered.filter });
            columns.push(Column::Kept(first_result + index));
        }
        let spec = AggregateSpec::try_new(groups, calls)?;
        Ok((Work::Aggregate(Arc::new(spec)), columns))
    }

    /// The condition on the window columns themselves; branches of one cut share it.
    fn window_filter(&self, branches: &[Branch]) -> Result<Option<Arc<dyn PhysicalExpr>>, SqlError> {
        let mut found: Option<Vec<Expr>> = None;
        for branch in branches {
            let filters = branch.window.as_ref().map(|window| window.filters.clone()).unwrap_or_default();
            match &found {
                Some(found) if *found != filters => {
                    return Err(SqlError::new(
                        "the parts of this UNION ALL filter window_start or window_end differently",
                    )
                    .help("put that condition above the aggregate, in HAVING"));
                }
                _ => found = Some(filters),
            }
        }
        let Some(condition) = conjunction(&found.unwrap_or_default()) else { return Ok(None) };
        let schema = DFSchema::try_from(bounds_schema())?;
        let context = PhysicalPlanningContext::default();
        Ok(Some(create_physical_expr(&condition, &schema, self.state.execution_props(), &context)?))
    }

    fn branch(&self, branch: Branch) -> (PlannedBranch, Vec<StaticTable>) {
        let visible = branch.visible;
        let tables = branch.tables;
        let mut rows = branch.plan;
        let (steps_above, time, keys) = match &branch.window {
            None => (Vec::new(), 0, Vec::new()),
            Some(window) if matches!(window.spec, WindowSpec::Session { .. }) => {
                let mut above = rows.ops.split_off(window.steps_below);
                if branch.schema.fields().len() > visible {
                    above.push(keep_first(visible, &branch.schema));
                }
                (above, window.time_below, window.keys_below.clone())
            }
            Some(window) => (Vec::new(), window.time, window.keys.clone()),
        };
        let tables = tables
            .into_iter()
            .map(|(rows, lookup): (StaticRows, Arc<LookupTable>)| StaticTable::new(rows, Some(lookup)));
        (PlannedBranch { rows, steps_above, time, keys }, tables.collect())
    }
}

/// A step that keeps the first columns only.
fn keep_first(count: usize, schema: &DFSchema) -> RowOp {
    let fields: Vec<_> = schema.fields().iter().take(count).cloned().collect();
    let exprs = fields
        .iter()
        .enumerate()
        .map(|(index, field)| Arc::new(PhysicalColumn::new(field.name(), index)) as Arc<dyn PhysicalExpr>)
        .collect();
    RowOp::Project { exprs, schema: Arc::new(Schema::new(fields)) }
}

fn sorts_or_limits(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Sort(_) | LogicalPlan::Limit(_)) || plan.inputs().into_iter().any(sorts_or_limits)
}
