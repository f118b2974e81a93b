//! The logical node of a window table function: its input's columns, then `window_start` and `window_end`.
//!
//! The node only names the window; whether rows are assigned as they stream ([`crate::window`]) or by a batch plan
//! ([`super::batch`]) is decided later.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result, plan_err};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};

/// First instant of the window, inclusive.
pub const WINDOW_START: &str = "window_start";
/// End of the window, exclusive.
pub const WINDOW_END: &str = "window_end";

/// A window's shape; all spans in microseconds of event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
pub enum WindowSpec {
    /// Windows of `size`, one after the other.
    Tumble {
        /// Length of a window.
        size: i64,
    },
    /// Windows of `size`, one beginning every `slide`.
    Hop {
        /// Distance between two beginnings.
        slide: i64,
        /// Length of a window.
        size: i64,
    },
    /// Windows that end when `gap` passes without an event of their key.
    Session {
        /// The silence that ends a session.
        gap: i64,
    },
}

/// The type of both window columns.
pub fn window_column_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// A window over a stream of rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WindowNode {
    /// The window's shape.
    pub spec: WindowSpec,
    /// The event time, a column of the input.
    pub time: Column,
    /// A session's key columns; empty for the other windows.
    pub keys: Vec<Column>,
    /// The rows.
    pub input: LogicalPlan,
    schema: DFSchemaRef,
}

impl WindowNode {
    /// Puts a window over `input`. Fails if the input has a column named like a window column already.
    pub fn try_new(spec: WindowSpec, time: Column, keys: Vec<Column>, input: LogicalPlan) -> Result<Self> {
        let mut fields: Vec<_> =
            input.schema().iter().map(|(qualifier, field)| (qualifier.cloned(), field.clone())).collect();
        for name in [WINDOW_START, WINDOW_END] {
            if fields.iter().any(|(_, field)| field.name() == name) {
                return plan_err!("the input of the window already has a column `{name}`; rename it");
            }
        }
        let qualifier = time.relation.clone();
        for name in [WINDOW_START, WINDOW_END] {
            fields.push((qualifier.clone(), Arc::new(Field::new(name, window_column_type(), false))));
        }
        let schema = Arc::new(DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?);
        Ok(Self { spec, time, keys, input, schema })
    }

    /// Index of `window_start` in the output; `window_end` follows it.
    pub(crate) fn first_window_column(&self) -> usize {
        self.schema.fields().len() - 2
    }
}

impl PartialOrd for WindowNode {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        (self.spec, &self.time, &self.keys, &self.input).partial_cmp(&(
            other.spec,
            &other.time,
            &other.keys,
            &other.input,
        ))
    }
}

impl UserDefinedLogicalNodeCore for WindowNode {
    fn name(&self) -> &str {
        "Window"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        std::iter::once(&self.time).chain(&self.keys).map(|column| Expr::Column(column.clone())).collect()
    }

    /// What a predicate may not pass: the window columns, and for a session every column that is no key, since a row
    /// filtered away would no longer hold its session together.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        match self.spec {
            WindowSpec::Session { .. } => self
                .schema
                .fields()
                .iter()
                .map(|field| field.name().clone())
                .filter(|name| !self.keys.iter().any(|key| &key.name == name))
                .collect(),
            _ => [WINDOW_START, WINDOW_END].map(String::from).into(),
        }
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let span = |us: i64| humantime::format_duration(std::time::Duration::from_micros(us.unsigned_abs()));
        match self.spec {
            WindowSpec::Tumble { size } => write!(f, "Tumble: size={}", span(size))?,
            WindowSpec::Hop { slide, size } => write!(f, "Hop: slide={}, size={}", span(slide), span(size))?,
            WindowSpec::Session { gap } => write!(f, "Session: gap={}", span(gap))?,
        }
        write!(f, ", time={}", self.time)?;
        for key in &self.keys {
            write!(f, ", key={key}")?;
        }
        Ok(())
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Some(input) = inputs.pop() else {
            return plan_err!("a window takes one input");
        };
        let mut columns = exprs.into_iter().map(|expr| match expr {
            Expr::Column(column) => Ok(column),
            other => plan_err!("a window's time and keys are columns, not `{other}`"),
        });
        let time = columns.next().unwrap_or_else(|| plan_err!("a window needs an event time"))?;
        let keys = columns.collect::<Result<Vec<_>>>()?;
        Self::try_new(self.spec, time, keys, input)
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let inputs = self.first_window_column();
        Some(vec![output_columns.iter().copied().filter(|&index| index < inputs).collect()])
    }
}
