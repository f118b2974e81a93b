//! How a stream looks to the SQL planner: a table with a schema and an event time that is never scanned.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, plan_err};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, TableScan, TableType};
use datafusion::physical_plan::ExecutionPlan;

/// A source as SQL sees it.
#[derive(Debug)]
pub struct StreamTable {
    /// The source's name in the region file.
    pub name: Arc<str>,
    /// The declared columns.
    pub schema: SchemaRef,
    /// The column that carries event time, if the source has one.
    pub event_time: Option<Arc<str>>,
}

impl StreamTable {
    /// The stream that `scan` reads, or none if it reads a reference table.
    pub(crate) fn of(scan: &TableScan) -> Option<Arc<StreamTable>> {
        let provider = source_as_provider(&scan.source).ok()?;
        let stream = provider.downcast_ref::<StreamTable>()?;
        Some(Arc::new(Self {
            name: stream.name.clone(),
            schema: stream.schema.clone(),
            event_time: stream.event_time.clone(),
        }))
    }
}

#[async_trait]
impl TableProvider for StreamTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan_err!("`{}` is a stream; it has no end to scan to", self.name)
    }
}
