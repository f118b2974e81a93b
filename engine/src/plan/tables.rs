//! Reference tables: finite data that streams are joined with, read whole and read again on request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::execution::context::SessionContext;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use object_store::ObjectStore;
use watershed_sinks::SinkError;
use watershed_sinks::store::{self, Location, Patience, without_credentials};

use crate::config::{TableConfig, TableFormat};
use crate::rows::LookupTable;
use crate::sql::SqlError;
use crate::sql::cut::StaticRows;
use crate::sql::leaf::{LeafPlanner, Slot};

/// A finite subplan of a pipeline and where its rows go.
#[derive(Debug)]
pub struct StaticTable {
    plan: LogicalPlan,
    target: TableTarget,
    /// How often to read it again; none: once.
    pub refresh: Option<Duration>,
}

/// Who reads a table's rows.
#[derive(Debug)]
pub enum TableTarget {
    /// A lookup, per batch of rows.
    Lookup(Arc<LookupTable>),
    /// The plan over closed windows.
    Slot(Arc<Slot>),
}

impl StaticTable {
    pub(crate) fn new(rows: StaticRows, lookup: Option<Arc<LookupTable>>) -> Self {
        let target = match lookup {
            Some(table) => TableTarget::Lookup(table),
            None => TableTarget::Slot(rows.slot),
        };
        Self { plan: rows.plan, target, refresh: None }
    }

    /// Takes over the shortest interval of the tables it reads.
    pub(crate) fn refresh_like(&mut self, tables: &BTreeMap<String, TableConfig>) {
        self.refresh = names(&self.plan).iter().filter_map(|name| tables.get(name)?.refresh).min();
    }

    /// Reads the table and hands its rows over. On failure the rows of the last load stay.
    pub async fn load(&self, session: &SessionContext) -> Result<(), SqlError> {
        let plan = physical_plan(session, &self.plan).await?;
        let rows: Vec<RecordBatch> = collect(plan, session.task_ctx()).await?;
        match &self.target {
            TableTarget::Lookup(table) => table.load(&rows)?,
            TableTarget::Slot(slot) => slot.fill(Arc::new(rows)),
        }
        Ok(())
    }
}

fn names(plan: &LogicalPlan) -> Vec<String> {
    match plan {
        LogicalPlan::TableScan(scan) => vec![scan.table_name.table().to_string()],
        other => other.inputs().into_iter().flat_map(names).collect(),
    }
}

/// Plans an optimised logical plan that may read slots.
pub(crate) async fn physical_plan(
    session: &SessionContext,
    plan: &LogicalPlan,
) -> Result<Arc<dyn ExecutionPlan>, SqlError> {
    let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(LeafPlanner)]);
    Ok(planner.create_physical_plan(plan, &session.state()).await?)
}

/// A table that can be read.
pub(crate) struct OpenedTable {
    pub(crate) provider: Arc<dyn TableProvider>,
    /// The object store that its files are in, and what the table calls it.
    pub(crate) store: Option<(ObjectStoreUrl, Arc<dyn ObjectStore>)>,
}

/// Opens a table's files.
pub(crate) async fn open(config: &TableConfig) -> Result<OpenedTable, SqlError> {
    let place = without_credentials(&config.url);
    let described = |error: datafusion::common::DataFusionError| {
        SqlError::new(format!("table `{}` at `{place}`: {}", config.name, SqlError::from(error).message))
            .help("check `url` and `format` of the table")
    };
    let wrong = |error: SinkError| SqlError::new(format!("table `{}`: {error}", config.name));
    let session = SessionContext::new();
    let (url, store) = match Location::of(&config.url).map_err(wrong)? {
        Location::Folder(_) => (ListingTableUrl::parse(&config.url).map_err(described)?, None),
        Location::Store(_) => {
            let opened = store::open(&config.url, &config.store, Patience::Client).map_err(wrong)?;
            // Each table has a store of its own, as two may lie in one bucket with other credentials.
            let base = ObjectStoreUrl::parse(format!("table://{}", config.name)).map_err(described)?;
            let folder = if config.url.ends_with('/') { "/" } else { "" };
            let url = ListingTableUrl::parse(format!("{}{}{folder}", base.as_str(), opened.root)).map_err(described)?;
            session.register_object_store(base.as_ref(), opened.objects.clone());
            (url, Some((base, opened.objects)))
        }
    };
    if url.scheme() == "file" && !std::path::Path::new(&config.url).exists() {
        return Err(SqlError::new(format!("table `{}`: there is nothing at `{}`", config.name, config.url))
            .help("`url` is a file or a folder; a relative path starts from the current folder"));
    }
    let format: Arc<dyn FileFormat> = match config.format {
        TableFormat::Parquet => Arc::new(ParquetFormat::default()),
        TableFormat::Csv => Arc::new(CsvFormat::default().with_has_header(true)),
        TableFormat::Json => Arc::new(JsonFormat::default()),
    };
    let options = ListingOptions::new(format).with_file_extension("");
    let schema = match &config.schema {
        Some(schema) => schema.arrow_schema(),
        None => options.infer_schema(&session.state(), &url).await.map_err(described)?,
    };
    if schema.fields().is_empty() {
        return Err(SqlError::new(format!("table `{}` at `{place}` has no columns", config.name))
            .help("is there anything at `url`?"));
    }
    let config = ListingTableConfig::new(url).with_listing_options(options).with_schema(schema);
    let provider = Arc::new(ListingTable::try_new(config).map_err(SqlError::from)?);
    Ok(OpenedTable { provider, store })
}
