//! The place where a plan was parted: a leaf whose rows are put in before each run.
//!
//! The rows of a closed window, or those of a reference table, stand in a [`Slot`]; the leaf's physical plan reads
//! whatever the slot holds when the plan is run.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchemaRef, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

static NEXT_SLOT: AtomicU64 = AtomicU64::new(0);

/// Rows that a plan reads, replaced before each run.
#[derive(Debug)]
pub struct Slot {
    id: u64,
    rows: Mutex<Arc<Vec<RecordBatch>>>,
}

impl Slot {
    /// An empty slot.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { id: NEXT_SLOT.fetch_add(1, Ordering::Relaxed), rows: Mutex::default() })
    }

    /// Puts rows in for the next runs.
    pub(crate) fn fill(&self, rows: Arc<Vec<RecordBatch>>) {
        // A poisoned lock only says that another run panicked; the rows are replaced whole.
        *self.rows.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = rows;
    }

    /// What the slot holds.
    pub(crate) fn rows(&self) -> Arc<Vec<RecordBatch>> {
        self.rows.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

/// The logical leaf.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    pub(crate) label: String,
    pub(crate) schema: DFSchemaRef,
    pub(crate) slot: Arc<Slot>,
}

impl Leaf {
    pub(crate) fn plan(label: impl Into<String>, schema: DFSchemaRef, slot: Arc<Slot>) -> LogicalPlan {
        let node = Arc::new(Self { label: label.into(), schema, slot });
        LogicalPlan::Extension(datafusion::logical_expr::Extension { node })
    }
}

impl PartialEq for Leaf {
    fn eq(&self, other: &Self) -> bool {
        self.slot.id == other.slot.id
    }
}
impl Eq for Leaf {}
impl PartialOrd for Leaf {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.slot.id.partial_cmp(&other.slot.id)
    }
}
impl std::hash::Hash for Leaf {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.slot.id.hash(state);
    }
}

impl UserDefinedLogicalNodeCore for Leaf {
    fn name(&self) -> &str {
        "Rows"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        Vec::new()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Rows: {}", self.label)
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, _inputs: Vec<LogicalPlan>) -> Result<Self> {
        Ok(self.clone())
    }
}

/// Plans [`Leaf`] nodes.
pub(crate) struct LeafPlanner;

#[async_trait]
impl ExtensionPlanner for LeafPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        _physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn datafusion::catalog::Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        Ok(node.as_any().downcast_ref::<Leaf>().map(|leaf| {
            let schema = leaf.schema.inner().clone();
            Arc::new(LeafExec::new(schema, leaf.slot.clone())) as _
        }))
    }
}

/// The physical leaf: one partition, the slot's batches.
#[derive(Debug)]
struct LeafExec {
    schema: SchemaRef,
    slot: Arc<Slot>,
    properties: Arc<PlanProperties>,
}

impl LeafExec {
    fn new(schema: SchemaRef, slot: Arc<Slot>) -> Self {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Self { schema, slot, properties }
    }
}

impl DisplayAs for LeafExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "LeafExec")
    }
}

impl ExecutionPlan for LeafExec {
    fn name(&self) -> &str {
        "LeafExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _partition: usize, _context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.slot.rows().as_ref().clone();
        Ok(Box::pin(MemoryStream::try_new(rows, self.schema.clone(), None)?))
    }
}
