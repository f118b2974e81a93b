//! From a logical plan of rows to [`RowOp`]s.
//!
//! Below and above a window alike, the compiled schema is the plan's schema less the window columns, which only exist
//! once a window closes; behind it are carried columns (event time, session keys) that the window operator reads even
//! where SQL has projected them away.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::common::{Column, DFSchema, JoinType, NullEquality, TableReference};
use datafusion::execution::SessionState;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, Projection};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};

use super::lookup::LookupKind;
use super::{Lookup, LookupTable, ROW_NUMBER, RowOp, RowPlan, Unnest};
use crate::sql::cut::StaticRows;
use crate::sql::event_time::passes;
use crate::sql::leaf::Slot;
use crate::sql::{SqlError, StreamTable, WINDOW_END, WINDOW_START, WindowNode, WindowSpec};

/// The columns of a batch on its way, by their SQL names.
pub(crate) type NodeSchema = DFSchema;

/// One source's rows, compiled up to the operator that takes them.
pub(crate) struct Branch {
    pub(crate) plan: RowPlan,
    /// Columns after the last step: the visible ones, then the carried ones.
    pub(crate) schema: NodeSchema,
    /// Number of visible columns.
    pub(crate) visible: usize,
    /// The window that the rows go through, if any.
    pub(crate) window: Option<BranchWindow>,
    /// Tables that lookups of this branch read: the subplan, and where its rows go.
    pub(crate) tables: Vec<(StaticRows, Arc<LookupTable>)>,
}

/// How a branch meets its window.
pub(crate) struct BranchWindow {
    pub(crate) spec: WindowSpec,
    /// Event time, by index into the branch's columns.
    pub(crate) time: usize,
    /// Session keys, likewise.
    pub(crate) keys: Vec<usize>,
    /// Event time at the window itself, before the steps above it.
    pub(crate) time_below: usize,
    /// Session keys, likewise.
    pub(crate) keys_below: Vec<usize>,
    /// Number of steps before the window; the rest filter and project rows that a session already holds.
    pub(crate) steps_below: usize,
    /// Conditions on the window columns alone, written over `window_start` and `window_end`.
    pub(crate) filters: Vec<Expr>,
    columns: HashSet<Column>,
    starts: HashSet<Column>,
}

/// Compiles `plan`, which has no operator that needs whole windows, into one branch per stream it reads.
pub(crate) fn compile(plan: &LogicalPlan, state: &SessionState) -> Result<Vec<Branch>, SqlError> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let Some(stream) = StreamTable::of(scan) else {
                return Err(SqlError::new(format!("`{}` is a table; a stream was expected", scan.table_name)));
            };
            let columns = match &scan.projection {
                Some(columns) => columns.clone(),
                None => (0..stream.schema.fields().len()).collect(),
            };
            let schema = scan.projected_schema.as_ref().clone();
            let visible = schema.fields().len();
            let plan = RowPlan { source: stream.name.clone(), columns, ops: Vec::new() };
            Ok(vec![Branch { plan, schema, visible, window: None, tables: Vec::new() }])
        }
        LogicalPlan::Extension(extension) => {
            let Some(node) = extension.node.as_any().downcast_ref::<WindowNode>() else {
                return Err(SqlError::new(format!("`{}` is not supported over rows", extension.node.name())));
            };
            let mut branches = compile(&node.input, state)?;
            for branch in &mut branches {
                branch.enter_window(node, plan)?;
            }
            Ok(branches)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let mut branches = compile(&alias.input, state)?;
            for branch in &mut branches {
                branch.requalify(&alias.alias)?;
            }
            Ok(branches)
        }
        LogicalPlan::Filter(filter) => {
            let mut branches = compile(&filter.input, state)?;
            for branch in &mut branches {
                branch.filter(&filter.predicate, state)?;
            }
            Ok(branches)
        }
        LogicalPlan::Projection(projection) => {
            let mut branches = compile(&projection.input, state)?;
            for branch in &mut branches {
                branch.project(projection, state)?;
            }
            Ok(branches)
        }
        LogicalPlan::Unnest(unnest) => {
            let mut branches = compile(&unnest.input, state)?;
            for branch in &mut branches {
                branch.unnest(unnest)?;
            }
            Ok(branches)
        }
        LogicalPlan::Union(union) => {
            let mut all = Vec::new();
            for input in &union.inputs {
                for mut branch in compile(input, state)? {
                    branch.rename_like(&union.schema, input.schema())?;
                    all.push(branch);
                }
            }
            Ok(all)
        }
        LogicalPlan::Join(join) => join_table(join, state),
        other => {
            let text = other.display().to_string();
            Err(SqlError::new(format!("`{text}` is not supported over rows of a stream")))
        }
    }
}

/// Joins conditions by AND.
pub(crate) fn conjunction(filters: &[Expr]) -> Option<Expr> {
    filters.iter().cloned().reduce(|a, b| a.and(b))
}

fn physical(expr: &Expr, schema: &NodeSchema, state: &SessionState) -> Result<Arc<dyn PhysicalExpr>, SqlError> {
    let context = PhysicalPlanningContext::default();
    Ok(create_physical_expr(expr, schema, state.execution_props(), &context)?)
}

impl Branch {
    /// Physical expression over this branch's columns.
    pub(crate) fn physical(&self, expr: &Expr, state: &SessionState) -> Result<Arc<dyn PhysicalExpr>, SqlError> {
        physical(expr, &self.schema, state)
    }

    /// The arrow schema of the rows, carried columns included.
    pub(crate) fn arrow_schema(&self) -> SchemaRef {
        self.schema.inner().clone()
    }

    fn enter_window(&mut self, node: &WindowNode, plan: &LogicalPlan) -> Result<(), SqlError> {
        if self.window.is_some() {
            return Err(SqlError::new("a window over a window"));
        }
        let schema = plan.schema();
        let first = node.first_window_column();
        let start = Column::from(schema.qualified_field(first));
        let end = Column::from(schema.qualified_field(first + 1));
        let keys: Vec<usize> =
            node.keys.iter().map(|key| self.schema.index_of_column(key)).collect::<Result<_, _>>()?;
        let time = self.schema.index_of_column(&node.time)?;
        self.window = Some(BranchWindow {
            spec: node.spec,
            time,
            keys: keys.clone(),
            time_below: time,
            keys_below: keys,
            steps_below: self.plan.ops.len(),
            filters: Vec::new(),
            columns: HashSet::from([start.clone(), end]),
            starts: HashSet::from([start]),
        });
        Ok(())
    }

    fn requalify(&mut self, alias: &TableReference) -> Result<(), SqlError> {
        let fields = self.schema.iter().enumerate().map(|(index, (qualifier, field))| {
            let qualifier = if index < self.visible { Some(alias.clone()) } else { qualifier.cloned() };
            (qualifier, field.clone())
        });
        self.schema = DFSchema::new_with_metadata(fields.collect(), Default::default())?;
        if let Some(window) = &mut self.window {
            window.rename(|column| vec![Column::new(Some(alias.clone()), column.name.clone())]);
        }
        Ok(())
    }

    fn filter(&mut self, predicate: &Expr, state: &SessionState) -> Result<(), SqlError> {
        let mut on_rows = Vec::new();
        for part in split_conjunction(predicate) {
            match &mut self.window {
                Some(window) if window.reads_only_window(part) => {
                    let canonical = window.canonical(part)?;
                    window.filters.push(canonical);
                }
                _ => on_rows.push(part.clone()),
            }
        }
        if let Some(condition) = conjunction(&on_rows) {
            let condition = self.physical(&condition, state)?;
            self.plan.ops.push(RowOp::Filter(condition));
        }
        Ok(())
    }

    fn project(&mut self, projection: &Projection, state: &SessionState) -> Result<(), SqlError> {
        let mut exprs = Vec::new();
        let mut fields = Vec::new();
        let mut windows_out: Vec<(Column, Column)> = Vec::new();
        for (index, expr) in projection.expr.iter().enumerate() {
            let (qualifier, field) = projection.schema.qualified_field(index);
            let window_column = self
                .window
                .as_ref()
                .and_then(|window| window.columns.iter().find(|column| passes(expr, column)).cloned());
            match window_column {
                Some(column) => windows_out.push((column, Column::from((qualifier, field)))),
                None => {
                    exprs.push(self.physical(expr, state)?);
                    fields.push((qualifier.cloned(), field.clone()));
                }
            }
        }
        let visible = exprs.len();
        if let Some(window) = &mut self.window {
            let carried = std::iter::once(&mut window.time).chain(&mut window.keys);
            for index in carried {
                let column = Expr::Column(Column::from(self.schema.qualified_field(*index)));
                let field = self.schema.field(*index).as_ref().clone();
                let name = format!("{CARRIED}{}", exprs.len());
                *index = exprs.len();
                exprs.push(physical(&column, &self.schema, state)?);
                fields.push((Some(TableReference::bare(CARRIED)), Arc::new(field.with_name(name))));
            }
            window.rename(|column| {
                windows_out.iter().filter(|(from, _)| from == column).map(|(_, to)| to.clone()).collect()
            });
        }
        self.schema = DFSchema::new_with_metadata(fields, Default::default())?;
        self.visible = visible;
        self.plan.ops.push(RowOp::Project { exprs, schema: self.arrow_schema() });
        Ok(())
    }

    fn unnest(&mut self, node: &datafusion::logical_expr::Unnest) -> Result<(), SqlError> {
        if self.window.is_some() {
            return Err(SqlError::new("unnest between a window and its aggregate")
                .help("unnest below the window: tumble((SELECT ts, unnest(xs) AS x FROM source), …)"));
        }
        let lists = node
            .list_type_columns
            .iter()
            .map(|(index, column)| datafusion::physical_plan::unnest::ListUnnest {
                index_in_input_schema: *index,
                depth: column.depth,
            })
            .collect();
        let mut fields: Vec<FieldRef> = node.schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(ROW_NUMBER, DataType::UInt32, false)));
        let unnest = Unnest {
            lists,
            structs: node.struct_type_columns.clone(),
            schema: Arc::new(arrow::datatypes::Schema::new(fields)),
            options: node.options.clone(),
        };
        self.plan.ops.push(RowOp::Unnest(Arc::new(unnest)));
        self.schema = node.schema.as_ref().clone();
        self.visible = self.schema.fields().len();
        Ok(())
    }

    /// Gives the visible columns the names that a union puts out.
    fn rename_like(&mut self, union: &DFSchema, input: &DFSchema) -> Result<(), SqlError> {
        let names: Vec<(Column, Column)> = (0..input.fields().len())
            .map(|index| (Column::from(input.qualified_field(index)), Column::from(union.qualified_field(index))))
            .collect();
        let is_window = |column: &Column| self.window.as_ref().is_some_and(|w| w.columns.contains(column));
        let mut visible = (0..input.fields().len()).filter(|&index| !is_window(&names[index].0));
        let mut fields = Vec::new();
        for (index, (qualifier, field)) in self.schema.iter().enumerate() {
            match if index < self.visible { visible.next() } else { None } {
                Some(out) => {
                    let (qualifier, renamed) = union.qualified_field(out);
                    fields.push((qualifier.cloned(), renamed.clone()));
                }
                None => fields.push((qualifier.cloned(), field.clone())),
            }
        }
        self.schema = DFSchema::new_with_metadata(fields, Default::default())?;
        if let Some(window) = &mut self.window {
            window.rename(|column| names.iter().filter(|(from, _)| from == column).map(|(_, to)| to.clone()).collect());
        }
        // The batches must carry the union's field names too.
        let exprs = (0..self.schema.fields().len())
            .map(|index| {
                let name = self.schema.field(index).name();
                Arc::new(datafusion::physical_expr::expressions::Column::new(name, index)) as Arc<dyn PhysicalExpr>
            })
            .collect();
        self.plan.ops.push(RowOp::Project { exprs, schema: self.arrow_schema() });
        Ok(())
    }
}

impl BranchWindow {
    fn rename(&mut self, f: impl Fn(&Column) -> Vec<Column>) {
        self.columns = self.columns.iter().flat_map(&f).collect();
        self.starts = self.starts.iter().flat_map(&f).collect();
    }

    fn reads_only_window(&self, expr: &Expr) -> bool {
        let columns = expr.column_refs();
        !columns.is_empty() && columns.iter().all(|column| self.columns.contains(column))
    }

    /// The condition, written over plain `window_start` and `window_end`.
    fn canonical(&self, expr: &Expr) -> Result<Expr, SqlError> {
        use datafusion::common::tree_node::{Transformed, TreeNode};
        let renamed = expr.clone().transform(|inner| match inner {
            Expr::Column(column) => {
                let name = if self.starts.contains(&column) { WINDOW_START } else { WINDOW_END };
                Ok(Transformed::yes(Expr::Column(Column::from_name(name))))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(renamed.data)
    }
}

/// Qualifier and name prefix of carried columns.
const CARRIED: &str = "__carried";

fn join_table(join: &Join, state: &SessionState) -> Result<Vec<Branch>, SqlError> {
    let stream_left = reads_stream(&join.left);
    let (stream, table) = if stream_left { (&join.left, &join.right) } else { (&join.right, &join.left) };
    use JoinType::*;
    let kind = match join.join_type {
        Inner => LookupKind::Inner,
        Left | Right => LookupKind::Left,
        LeftSemi | RightSemi => LookupKind::Semi,
        LeftAnti | RightAnti => LookupKind::Anti,
        other => return Err(SqlError::new(format!("a {other} join of a stream and a table is not supported"))),
    };
    let mut branches = compile(stream, state)?;
    for branch in &mut branches {
        branch.look_up(join, kind, stream_left, table, state)?;
    }
    Ok(branches)
}

impl Branch {
    fn look_up(
        &mut self,
        join: &Join,
        kind: LookupKind,
        stream_left: bool,
        table: &Arc<LogicalPlan>,
        state: &SessionState,
    ) -> Result<(), SqlError> {
        let (mut keys, mut table_keys, mut key_types) = (Vec::new(), Vec::new(), Vec::new());
        for (left, right) in &join.on {
            let (stream_key, table_key) = if stream_left { (left, right) } else { (right, left) };
            let key = self.physical(stream_key, state)?;
            key_types.push(key.data_type(self.schema.as_arrow())?);
            keys.push(key);
            table_keys.push(physical(table_key, table.schema(), state)?);
        }
        let nulls_match = join.null_equality == NullEquality::NullEqualsNull;
        let lookup_table =
            Arc::new(LookupTable::new(table_keys, key_types, nulls_match, table.schema().inner().clone()));

        // A joined row: all the stream's columns (carried ones too), then the table's.
        let stream_fields: Vec<_> = self.schema.iter().map(|(q, f)| (q.cloned(), f.clone())).collect();
        let table_fields: Vec<_> = table
            .schema()
            .iter()
            .map(|(q, f)| (q.cloned(), Arc::new(f.as_ref().clone().with_nullable(true))))
            .collect();
        let joined: Vec<_> = stream_fields.iter().chain(&table_fields).cloned().collect();
        let joined = DFSchema::new_with_metadata(joined, Default::default())?;
        let filter = match &join.filter {
            Some(filter) => Some(physical(filter, &joined, state)?),
            None => None,
        };

        let stream_columns = 0..self.visible;
        let carried = self.visible..stream_fields.len();
        let table_columns = stream_fields.len()..joined.fields().len();
        let output: Vec<usize> = match (kind, stream_left) {
            (LookupKind::Semi | LookupKind::Anti, _) => stream_columns.chain(carried).collect(),
            (_, true) => stream_columns.chain(table_columns).chain(carried).collect(),
            (_, false) => table_columns.chain(stream_columns).chain(carried).collect(),
        };
        let fields = output.iter().map(|&index| {
            let (qualifier, field) = joined.qualified_field(index);
            (qualifier.cloned(), field.clone())
        });
        let schema = DFSchema::new_with_metadata(fields.collect(), Default::default())?;
        if let Some(window) = &mut self.window {
            for index in std::iter::once(&mut window.time).chain(&mut window.keys) {
                // Every stream column is put out once, so its new place is found.
                if let Some(moved) = output.iter().position(|column| column == index) {
                    *index = moved;
                }
            }
        }
        self.visible = output.len() - (stream_fields.len() - self.visible);
        self.plan.ops.push(RowOp::Lookup(Arc::new(Lookup {
            kind,
            keys,
            table: lookup_table.clone(),
            filter,
            joined_schema: joined.inner().clone(),
            output,
            schema: schema.inner().clone(),
        })));
        self.schema = schema;
        let rows = StaticRows { plan: table.as_ref().clone(), slot: Slot::new() };
        self.tables.push((rows, lookup_table));
        Ok(())
    }
}

fn reads_stream(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => StreamTable::of(scan).is_some(),
        other => other.inputs().into_iter().any(reads_stream),
    }
}
