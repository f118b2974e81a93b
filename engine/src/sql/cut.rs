//! Parts a plan where rows must wait for their window: streaming below, batch above.
//!
//! A walk from the leaves up gives every node a [`Class`]; the first node that needs a whole window becomes a [`Cut`],
//! and in the plan above it stands a [`Leaf`] that holds the rows of the one window that closed. The walk is a
//! whitelist: a node it does not know, or one that would mix windows, is refused.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::{Column, DFSchemaRef, JoinType};
use datafusion::logical_expr::{Aggregate, Expr, Extension, Join, LogicalPlan, Sort};

use super::error::SqlError;
use super::event_time::passes;
use super::leaf::{Leaf, Slot};
use super::locate::Place;
pub(crate) use super::refusal::CutError;
use super::refusal::{
    DISTINCT_HELP, GROUP_HELP, WINDOW_HELP, check_lookup, is_distinct, name_of, refuse, refuse_order_dependent,
    refuse_subqueries, takes_any_order,
};
use super::stream_table::StreamTable;
use super::window_node::{WindowNode, WindowSpec};

/// The columns of some node's output that carry its window.
#[derive(Debug, Clone)]
pub(crate) struct WindowColumns {
    pub(crate) spec: WindowSpec,
    pub(crate) starts: HashSet<Column>,
    pub(crate) ends: HashSet<Column>,
}

impl WindowColumns {
    /// True if `expr` is one of the window columns itself.
    pub(crate) fn passes(&self, expr: &Expr) -> bool {
        self.starts.iter().chain(&self.ends).any(|column| passes(expr, column))
    }

    /// True if `column` is one of the window columns.
    pub(crate) fn contains(&self, column: &Column) -> bool {
        self.starts.contains(column) || self.ends.contains(column)
    }

    /// True if rows that agree on all of `keys` are of windows that close together. Sessions of one start may have
    /// different ends, so for them only the end will do.
    fn kept_apart_by<'a>(&self, keys: impl IntoIterator<Item = &'a Expr>) -> bool {
        let session = matches!(self.spec, WindowSpec::Session { .. });
        keys.into_iter().any(|key| {
            self.ends.iter().any(|end| passes(key, end))
                || (!session && self.starts.iter().any(|start| passes(key, start)))
        })
    }

    /// The same columns after `f` has given each its new names.
    fn map(&self, f: impl Fn(&Column) -> Vec<Column>) -> Self {
        Self {
            spec: self.spec,
            starts: self.starts.iter().flat_map(&f).collect(),
            ends: self.ends.iter().flat_map(&f).collect(),
        }
    }

    fn kept_in(&self, schema: &DFSchemaRef) -> Self {
        self.map(|column| if schema.has_column(column) { vec![column.clone()] } else { Vec::new() })
    }
}

/// What kind of rows a node puts out.
#[derive(Debug, Clone)]
enum Class {
    /// A finite table.
    Static,
    /// An endless stream, no window.
    Rows,
    /// An endless stream, each row in its window or windows.
    Windowed(WindowColumns),
    /// Rows that exist once their window has closed.
    Closed(WindowColumns),
}

/// A node that needs a whole window.
#[derive(Debug)]
pub(crate) enum Cut {
    /// An aggregate that runs as rows come.
    Aggregate {
        /// The aggregate over the windowed rows.
        node: Aggregate,
        /// The window columns of its input.
        windows: WindowColumns,
        /// Where the closed rows go.
        slot: Arc<Slot>,
    },
    /// The rows themselves, kept until their window closes.
    Collect {
        /// The window.
        node: WindowNode,
        /// Where the closed rows go.
        slot: Arc<Slot>,
    },
}

impl Cut {
    pub(crate) fn slot(&self) -> &Arc<Slot> {
        match self {
            Cut::Aggregate { slot, .. } | Cut::Collect { slot, .. } => slot,
        }
    }
}

/// A finite subplan, run by itself and kept in its slot.
#[derive(Debug)]
pub(crate) struct StaticRows {
    pub(crate) plan: LogicalPlan,
    pub(crate) slot: Arc<Slot>,
}

/// A plan in two parts.
#[derive(Debug)]
pub(crate) struct Parted {
    /// What runs over closed windows; or, with no cuts, the whole plan of rows.
    pub(crate) above: LogicalPlan,
    /// What streams. Empty for a pipeline without windows.
    pub(crate) cuts: Vec<Cut>,
    /// Finite tables that `above` reads.
    pub(crate) statics: Vec<StaticRows>,
    /// The window columns of the output, if there are windows.
    pub(crate) windows: Option<WindowColumns>,
}

/// Parts an optimised plan.
pub(crate) fn part(plan: LogicalPlan) -> Result<Parted, CutError> {
    let mut cutter = Cutter { cuts: Vec::new(), statics: Vec::new() };
    let (above, class) = cutter.walk(&plan)?;
    let (above, windows) = match class {
        Class::Static => {
            return Err(SqlError::new("this query reads no stream, or its condition is never true")
                .help("read a source in FROM; to look into tables and the lake use `watershed query`")
                .into());
        }
        Class::Rows => (above, None),
        Class::Windowed(_) => {
            let (above, windows) = cutter.collect(&plan)?;
            (above, Some(windows))
        }
        Class::Closed(windows) => (above, Some(windows)),
    };
    Ok(Parted { above, cuts: cutter.cuts, statics: cutter.statics, windows })
}

struct Cutter {
    cuts: Vec<Cut>,
    statics: Vec<StaticRows>,
}

impl Cutter {
    /// Classifies `plan`; where it is `Closed` or `Static` the returned plan reads from slots.
    fn walk(&mut self, plan: &LogicalPlan) -> Result<(LogicalPlan, Class), CutError> {
        refuse_subqueries(plan)?;
        match plan {
            LogicalPlan::TableScan(scan) => {
                let class = if StreamTable::of(scan).is_some() { Class::Rows } else { Class::Static };
                Ok((plan.clone(), class))
            }
            LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => Ok((plan.clone(), Class::Static)),
            LogicalPlan::Extension(extension) => self.window(plan, extension),
            LogicalPlan::SubqueryAlias(alias) => {
                let (input, class) = self.walk(&alias.input)?;
                let rename = |column: &Column| match alias.input.schema().index_of_column(column) {
                    Ok(index) => vec![Column::from(alias.schema.qualified_field(index))],
                    Err(_) => Vec::new(),
                };
                Ok((replace_input(plan, input)?, class.map_columns(rename)))
            }
            LogicalPlan::Projection(projection) => {
                let (input, class) = self.walk(&projection.input)?;
                let rename = |column: &Column| {
                    let names = projection.expr.iter().enumerate().filter(|(_, expr)| passes(expr, column));
                    names.map(|(index, _)| Column::from(projection.schema.qualified_field(index))).collect()
                };
                Ok((replace_input(plan, input)?, class.map_columns(rename)))
            }
            LogicalPlan::Filter(filter) => {
                let (input, class) = self.walk(&filter.input)?;
                Ok((replace_input(plan, input)?, class))
            }
            LogicalPlan::Unnest(unnest) => {
                let (input, class) = self.walk(&unnest.input)?;
                let class = class.map_columns(|column| match unnest.schema.has_column(column) {
                    true => vec![column.clone()],
                    false => Vec::new(),
                });
                Ok((replace_input(plan, input)?, class))
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(plan, aggregate),
            LogicalPlan::Window(window) => {
                let (input, class) = self.walk(&window.input)?;
                let windows = match &class {
                    Class::Static => return Ok((replace_input(plan, input)?, Class::Static)),
                    Class::Rows => {
                        return refuse(Place::Over, "a window function (OVER …) over an endless stream", WINDOW_HELP);
                    }
                    Class::Windowed(windows) | Class::Closed(windows) => windows,
                };
                for expr in &window.window_expr {
                    if !windows.kept_apart_by(partition_keys(expr)) {
                        return refuse(
                            Place::Over,
                            format!("`{}` would run over rows of different windows", expr.schema_name()),
                            "add window_start, window_end to its PARTITION BY",
                        );
                    }
                }
                self.over_closed(plan, &window.input, (input, class))
            }
            LogicalPlan::Sort(sort) => self.sort(plan, sort),
            LogicalPlan::Limit(limit) => {
                let (input, class) = self.walk(&limit.input)?;
                match class {
                    Class::Static => Ok((replace_input(plan, input)?, Class::Static)),
                    Class::Closed(_) if is_sorted(&limit.input) => Ok((replace_input(plan, input)?, class)),
                    Class::Closed(_) => refuse(
                        Place::Limit,
                        "LIMIT without ORDER BY keeps whatever rows come first",
                        "add ORDER BY window_start, …; the limit then holds for each window",
                    ),
                    Class::Rows | Class::Windowed(_) => {
                        refuse(Place::Limit, "LIMIT over an endless stream", WINDOW_HELP)
                    }
                }
            }
            LogicalPlan::Join(join) => self.join(plan, join),
            LogicalPlan::Union(union) => self.union(plan, &union.inputs, &union.schema),
            other => Err(SqlError::new(format!("`{}` is not supported in a pipeline", name_of(other))).into()),
        }
    }

    fn window(&mut self, plan: &LogicalPlan, extension: &Extension) -> Result<(LogicalPlan, Class), CutError> {
        let Some(node) = extension.node.as_any().downcast_ref::<WindowNode>() else {
            return Err(SqlError::new(format!("`{}` is not supported in a pipeline", extension.node.name())).into());
        };
        let (_, class) = self.walk(&node.input)?;
        if !matches!(class, Class::Rows) {
            return Err(SqlError::new("a window takes rows of a stream")
                .help("FROM tumble(source, INTERVAL '10 seconds')")
                .into());
        }
        let schema = plan.schema();
        let start = node.first_window_column();
        let windows = WindowColumns {
            spec: node.spec,
            starts: HashSet::from([Column::from(schema.qualified_field(start))]),
            ends: HashSet::from([Column::from(schema.qualified_field(start + 1))]),
        };
        Ok((plan.clone(), Class::Windowed(windows)))
    }

    fn aggregate(&mut self, plan: &LogicalPlan, aggregate: &Aggregate) -> Result<(LogicalPlan, Class), CutError> {
        let (input, class) = self.walk(&aggregate.input)?;
        let keys = group_keys(aggregate);
        match class {
            Class::Static => Ok((replace_input(plan, input)?, Class::Static)),
            Class::Rows => match is_distinct(aggregate) {
                true => refuse(Place::Distinct, "DISTINCT over an endless stream", DISTINCT_HELP),
                false => refuse(Place::Aggregate, "an aggregate over a stream without a window", WINDOW_HELP),
            },
            Class::Windowed(windows) | Class::Closed(windows)
                if !keys.iter().all(|keys| windows.kept_apart_by(keys.iter().copied())) =>
            {
                let help = match windows.spec {
                    WindowSpec::Session { .. } => "add window_start, window_end to GROUP BY; a session needs its end",
                    _ => GROUP_HELP,
                };
                let place = if aggregate.aggr_expr.is_empty() { Place::Distinct } else { Place::Aggregate };
                refuse(place, "this aggregate would mix rows of different windows", help)
            }
            Class::Windowed(windows) => {
                refuse_order_dependent(&aggregate.aggr_expr)?;
                if !runs_incrementally(aggregate, &windows) {
                    return self.over_closed(plan, &aggregate.input, (input, Class::Windowed(windows)));
                }
                let slot = Slot::new();
                let leaf = Leaf::plan("closed window", aggregate.schema.clone(), slot.clone());
                let out = grouped_columns(aggregate, &windows);
                self.cuts.push(Cut::Aggregate { node: aggregate.clone(), windows, slot });
                Ok((leaf, Class::Closed(out)))
            }
            Class::Closed(windows) => {
                refuse_order_dependent(&aggregate.aggr_expr)?;
                let out = grouped_columns(aggregate, &windows);
                Ok((replace_input(plan, input)?, Class::Closed(out)))
            }
        }
    }

    fn sort(&mut self, plan: &LogicalPlan, sort: &Sort) -> Result<(LogicalPlan, Class), CutError> {
        let (input, class) = self.walk(&sort.input)?;
        match &class {
            Class::Static => Ok((replace_input(plan, input)?, Class::Static)),
            Class::Rows => refuse(
                Place::OrderBy,
                "ORDER BY over an endless stream",
                "leave it out; a sink's files are sorted by their first group key",
            ),
            Class::Windowed(windows) | Class::Closed(windows) => {
                if !windows.kept_apart_by(sort.expr.first().map(|key| &key.expr)) {
                    return refuse(
                        Place::OrderBy,
                        "ORDER BY across windows would have to wait for the end of the stream",
                        "sort within each window: ORDER BY window_start, …",
                    );
                }
                self.over_closed(plan, &sort.input, (input, class))
            }
        }
    }

    /// Puts `plan`, a node that needs whole windows, over the closed rows of its one input, which was walked already.
    fn over_closed(
        &mut self,
        plan: &LogicalPlan,
        input: &LogicalPlan,
        walked: (LogicalPlan, Class),
    ) -> Result<(LogicalPlan, Class), CutError> {
        let (input, windows) = match walked {
            (closed, Class::Closed(windows)) => (closed, windows),
            _ => self.collect(input)?,
        };
        let windows = match plan {
            LogicalPlan::Aggregate(aggregate) => grouped_columns(aggregate, &windows),
            _ => windows.kept_in(plan.schema()),
        };
        Ok((replace_input(plan, input)?, Class::Closed(windows)))
    }

    /// Rewrites a `Windowed` plan so that its windows are collected and everything above them is batch.
    fn collect(&mut self, plan: &LogicalPlan) -> Result<(LogicalPlan, WindowColumns), CutError> {
        let Class::Windowed(windows) = self.walk(plan)?.1 else {
            return Err(SqlError::new("only windowed rows can be collected").into());
        };
        let rewritten = self.replace_windows(plan)?;
        Ok((rewritten, windows))
    }

    fn replace_windows(&mut self, plan: &LogicalPlan) -> Result<LogicalPlan, CutError> {
        if let LogicalPlan::Extension(extension) = plan
            && let Some(node) = extension.node.as_any().downcast_ref::<WindowNode>()
        {
            let slot = Slot::new();
            let leaf = Leaf::plan("rows of a closed window", plan.schema().clone(), slot.clone());
            self.cuts.push(Cut::Collect { node: node.clone(), slot });
            return Ok(leaf);
        }
        if matches!(self.walk(plan)?.1, Class::Static) {
            return Ok(self.keep_static(plan));
        }
        let inputs = plan.inputs().into_iter().map(|input| self.replace_windows(input)).collect::<Result<_, _>>()?;
        Ok(plan.with_new_exprs(plan.expressions(), inputs)?)
    }

    fn keep_static(&mut self, plan: &LogicalPlan) -> LogicalPlan {
        let slot = Slot::new();
        let leaf = Leaf::plan("reference table", plan.schema().clone(), slot.clone());
        self.statics.push(StaticRows { plan: plan.clone(), slot });
        leaf
    }

    fn join(&mut self, plan: &LogicalPlan, join: &Join) -> Result<(LogicalPlan, Class), CutError> {
        let left = self.walk(&join.left)?;
        let right = self.walk(&join.right)?;
        match (&left.1, &right.1) {
            (Class::Static, Class::Static) => Ok((plan.clone(), Class::Static)),
            (Class::Rows | Class::Windowed(_), Class::Static) => {
                check_lookup(join, true)?;
                Ok((plan.clone(), left.1.map_columns(|column| keep(column, &join.schema))))
            }
            (Class::Static, Class::Rows | Class::Windowed(_)) => {
                check_lookup(join, false)?;
                Ok((plan.clone(), right.1.map_columns(|column| keep(column, &join.schema))))
            }
            (Class::Closed(windows), Class::Static) => {
                check_lookup(join, true)?;
                let table = self.keep_static(&join.right);
                let plan = plan.with_new_exprs(plan.expressions(), vec![left.0, table])?;
                Ok((plan, Class::Closed(windows.kept_in(&join.schema))))
            }
            (Class::Static, Class::Closed(windows)) => {
                check_lookup(join, false)?;
                let table = self.keep_static(&join.left);
                let plan = plan.with_new_exprs(plan.expressions(), vec![table, right.0])?;
                Ok((plan, Class::Closed(windows.kept_in(&join.schema))))
            }
            (Class::Windowed(a) | Class::Closed(a), Class::Windowed(b) | Class::Closed(b)) => {
                self.join_windows(plan, join, (a, b), (&left, &right))
            }
            (Class::Rows, _) | (_, Class::Rows) => refuse(
                Place::Join,
                "a join of two streams without a window would have to keep both for ever",
                "window both sides alike and join on window_start as well: FROM tumble(a, …) AS a JOIN tumble(b, …) AS b ON a.window_start = b.window_start AND …",
            ),
        }
    }

    fn join_windows(
        &mut self,
        plan: &LogicalPlan,
        join: &Join,
        (a, b): (&WindowColumns, &WindowColumns),
        (left, right): (&(LogicalPlan, Class), &(LogicalPlan, Class)),
    ) -> Result<(LogicalPlan, Class), CutError> {
        if a.spec != b.spec {
            return refuse(
                Place::Join,
                "the two sides of this join have different windows",
                "give both the same window; or aggregate the finer one again to the coarser one first",
            );
        }
        let session = matches!(a.spec, WindowSpec::Session { .. });
        let meets = |l: &HashSet<Column>, r: &HashSet<Column>| {
            join.on.iter().any(|(x, y)| l.iter().any(|c| passes(x, c)) && r.iter().any(|c| passes(y, c)))
        };
        if !meets(&a.ends, &b.ends) && (session || !meets(&a.starts, &b.starts)) {
            return refuse(
                Place::Join,
                "this join would match rows of different windows",
                "add a.window_start = b.window_start AND a.window_end = b.window_end to its ON",
            );
        }
        if join.null_aware {
            return refuse(Place::Join, "NOT IN over a stream is not supported", "write NOT EXISTS");
        }
        let closed_left = match &left.1 {
            Class::Closed(_) => left.0.clone(),
            _ => self.collect(&join.left)?.0,
        };
        let closed_right = match &right.1 {
            Class::Closed(_) => right.0.clone(),
            _ => self.collect(&join.right)?.0,
        };
        // A side that is filled up with nulls no longer tells the window of every row.
        let keeps = |preserved: bool, side: &WindowColumns| match preserved {
            true => side.kept_in(&join.schema),
            false => side.map(|_| Vec::new()),
        };
        use JoinType::*;
        let mut windows = keeps(!matches!(join.join_type, Right | Full), a);
        let other = keeps(!matches!(join.join_type, Left | Full), b);
        windows.starts.extend(other.starts);
        windows.ends.extend(other.ends);
        let plan = plan.with_new_exprs(plan.expressions(), vec![closed_left, closed_right])?;
        Ok((plan, Class::Closed(windows)))
    }

    fn union(
        &mut self,
        plan: &LogicalPlan,
        inputs: &[Arc<LogicalPlan>],
        schema: &DFSchemaRef,
    ) -> Result<(LogicalPlan, Class), CutError> {
        let walked = inputs.iter().map(|input| self.walk(input)).collect::<Result<Vec<_>, _>>()?;
        let mixed = || {
            refuse(
                Place::Union,
                "UNION ALL of streams that are not windowed alike",
                "give each part the same window and put window_start, window_end at the same place",
            )
        };
        let mut found: Option<Class> = None;
        for (input, (_, class)) in inputs.iter().zip(&walked) {
            let renamed = class.clone().map_columns(|column| match input.schema().index_of_column(column) {
                Ok(index) => vec![Column::from(schema.qualified_field(index))],
                Err(_) => Vec::new(),
            });
            found = Some(match (found, renamed) {
                (None, first) => first,
                (Some(Class::Static), Class::Static) => Class::Static,
                (Some(Class::Rows), Class::Rows) => Class::Rows,
                (Some(Class::Windowed(a)), Class::Windowed(b)) if a.spec == b.spec => Class::Windowed(common(a, &b)),
                (Some(Class::Closed(a)), Class::Closed(b)) if a.spec == b.spec => Class::Closed(common(a, &b)),
                _ => return mixed(),
            });
        }
        let Some(class) = found else { return mixed() };
        let inputs = walked.into_iter().map(|(plan, _)| plan).collect();
        Ok((plan.with_new_exprs(plan.expressions(), inputs)?, class))
    }
}

impl Class {
    fn map_columns(self, f: impl Fn(&Column) -> Vec<Column>) -> Self {
        match self {
            Class::Windowed(windows) => Class::Windowed(windows.map(f)),
            Class::Closed(windows) => Class::Closed(windows.map(f)),
            other => other,
        }
    }
}

fn keep(column: &Column, schema: &DFSchemaRef) -> Vec<Column> {
    if schema.has_column(column) { vec![column.clone()] } else { Vec::new() }
}

/// The window columns that two inputs of a union agree on.
fn common(mut a: WindowColumns, b: &WindowColumns) -> WindowColumns {
    a.starts.retain(|column| b.starts.contains(column));
    a.ends.retain(|column| b.ends.contains(column));
    a
}

fn replace_input(plan: &LogicalPlan, input: LogicalPlan) -> Result<LogicalPlan, CutError> {
    Ok(plan.with_new_exprs(plan.expressions(), vec![input])?)
}

/// The key sets of an aggregate: one, or one for each grouping set.
fn group_keys(aggregate: &Aggregate) -> Vec<Vec<&Expr>> {
    use datafusion::logical_expr::GroupingSet;
    match aggregate.group_expr.as_slice() {
        [Expr::GroupingSet(GroupingSet::GroupingSets(sets))] => sets.iter().map(|set| set.iter().collect()).collect(),
        [Expr::GroupingSet(GroupingSet::Rollup(_) | GroupingSet::Cube(_))] => vec![Vec::new()],
        keys => vec![keys.iter().collect()],
    }
}

/// The window columns among an aggregate's keys, under their output names.
fn grouped_columns(aggregate: &Aggregate, windows: &WindowColumns) -> WindowColumns {
    windows.map(|column| {
        let keys = aggregate.group_expr.iter().enumerate().filter(|(_, key)| passes(key, column));
        keys.map(|(index, _)| Column::from(aggregate.schema.qualified_field(index))).collect()
    })
}

fn partition_keys(expr: &Expr) -> &[Expr] {
    match expr {
        Expr::WindowFunction(function) => &function.params.partition_by,
        Expr::Alias(alias) => partition_keys(&alias.expr),
        _ => &[],
    }
}

fn is_sorted(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(projection) => is_sorted(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => is_sorted(&alias.input),
        _ => false,
    }
}

/// True if the aggregate can take rows one batch at a time: its window columns only pass through, and no function
/// needs its rows sorted.
fn runs_incrementally(aggregate: &Aggregate, windows: &WindowColumns) -> bool {
    let plain_keys = aggregate.group_expr.iter().all(|key| windows.passes(key) || !mentions(key, windows))
        && !matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]);
    plain_keys
        && aggregate.aggr_expr.iter().all(|expr| !mentions(expr, windows) && takes_any_order(expr))
        && window_columns_pass(&aggregate.input)
}

/// True if nothing between `plan` and its window computes with the window columns. A filter on them alone is fine: it
/// is asked once per window.
fn window_columns_pass(plan: &LogicalPlan) -> bool {
    fn below(plan: &LogicalPlan) -> Option<WindowColumns> {
        match plan {
            LogicalPlan::Extension(extension) => {
                let node = extension.node.as_any().downcast_ref::<WindowNode>()?;
                let schema = plan.schema();
                let start = node.first_window_column();
                Some(WindowColumns {
                    spec: node.spec,
                    starts: HashSet::from([Column::from(schema.qualified_field(start))]),
                    ends: HashSet::from([Column::from(schema.qualified_field(start + 1))]),
                })
            }
            LogicalPlan::Filter(filter) => {
                let windows = below(&filter.input)?;
                let splits = datafusion::logical_expr::utils::split_conjunction(&filter.predicate);
                let fine = splits.iter().all(|part| {
                    let columns = part.column_refs();
                    columns.iter().all(|column| windows.contains(column))
                        || !columns.iter().any(|column| windows.contains(column))
                });
                fine.then_some(windows)
            }
            LogicalPlan::Projection(projection) => {
                let windows = below(&projection.input)?;
                let fine = projection.expr.iter().all(|expr| windows.passes(expr) || !mentions(expr, &windows));
                fine.then(|| {
                    windows.map(|column| {
                        let names = projection.expr.iter().enumerate().filter(|(_, expr)| passes(expr, column));
                        names.map(|(index, _)| Column::from(projection.schema.qualified_field(index))).collect()
                    })
                })
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let windows = below(&alias.input)?;
                Some(windows.map(|column| match alias.input.schema().index_of_column(column) {
                    Ok(index) => vec![Column::from(alias.schema.qualified_field(index))],
                    Err(_) => Vec::new(),
                }))
            }
            _ => None,
        }
    }
    below(plan).is_some()
}

fn mentions(expr: &Expr, windows: &WindowColumns) -> bool {
    expr.column_refs().iter().any(|column| windows.contains(column))
}
