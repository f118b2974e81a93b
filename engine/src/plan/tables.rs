//! Reference tables: finite data that streams are joined with, read whole and read again on request.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::execution::context::SessionContext;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
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

/// The files of a table. Each reading finds out first whether there are any: a wrong `url` would else be a table without rows,
/// and so would one whose files are gone for a moment.
#[derive(Debug)]
struct Reference {
    origin: Origin,
    files: ListingTable,
}

/// Where a table comes from.
#[derive(Debug)]
struct Origin {
    name: String,
    /// Without credentials.
    shown: String,
    place: Whereabouts,
}

/// Where the files of a table are said to be.
#[derive(Debug)]
enum Whereabouts {
    Disk(PathBuf),
    Store {
        objects: Arc<dyn ObjectStore>,
        path: Path,
        /// It ends with a slash, and so is no object itself.
        is_folder: bool,
    },
}

impl Whereabouts {
    /// True if there is a file or a folder, or in a store an object, or objects below.
    async fn is_there(&self) -> object_store::Result<bool> {
        match self {
            Self::Disk(path) => Ok(path.exists()),
            Self::Store { objects, path, is_folder } => {
                if !is_folder && !path.is_root() {
                    match objects.head(path).await {
                        Ok(_) => return Ok(true),
                        Err(object_store::Error::NotFound { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                // An object of the folder's own name, such as consoles make, holds nothing.
                let below = objects.list(Some(path)).try_filter(|object| std::future::ready(object.location != *path));
                Ok(pin!(below).try_next().await?.is_some())
            }
        }
    }
}

impl Origin {
    /// Finds out whether there is anything.
    async fn check(&self) -> Result<(), SqlError> {
        match self.place.is_there().await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let help = match self.place {
                    Whereabouts::Disk(_) => {
                        "`url` is a file or a folder; a relative path starts from the current folder"
                    }
                    Whereabouts::Store { .. } => "`url` is an object, or a prefix of objects that ends at a slash",
                };
                Err(SqlError::new(format!("table `{}`: there is nothing at `{}`", self.name, self.shown)).help(help))
            }
            Err(error) => Err(SqlError::new(format!("table `{}` at `{}`: {error}", self.name, self.shown))
                .help("check `url` and the keys of its store")),
        }
    }
}

#[async_trait]
impl TableProvider for Reference {
    fn schema(&self) -> SchemaRef {
        self.files.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        self.origin.check().await.map_err(SqlError::into_datafusion)?;
        self.files.scan(session, projection, filters, limit).await
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> datafusion::common::Result<Vec<TableProviderFilterPushDown>> {
        self.files.supports_filters_pushdown(filters)
    }
}

/// Finds out whether there is anything where a table is said to be.
///
/// # Errors
/// Says what to mend.
pub(crate) async fn find(config: &TableConfig) -> Result<(), SqlError> {
    locate(config)?.origin.check().await
}

/// Where the files of a table are to be found. Nothing is asked yet.
struct Located {
    url: ListingTableUrl,
    /// The object store that its files are in, and what the table calls it.
    store: Option<(ObjectStoreUrl, Arc<dyn ObjectStore>)>,
    origin: Origin,
}

fn locate(config: &TableConfig) -> Result<Located, SqlError> {
    let shown = without_credentials(&config.url);
    let described = |error| described(config, &shown, error);
    let wrong = |error: SinkError| SqlError::new(format!("table `{}`: {error}", config.name));
    let (url, store, place) = match Location::of(&config.url).map_err(wrong)? {
        Location::Folder(path) => {
            (ListingTableUrl::parse(&config.url).map_err(described)?, None, Whereabouts::Disk(path))
        }
        Location::Store(_) => {
            let opened = store::open(&config.url, &config.store, Patience::Client).map_err(wrong)?;
            // Each table has a store of its own, as two may lie in one bucket with other credentials.
            let base = ObjectStoreUrl::parse(format!("table://{}", config.name)).map_err(described)?;
            let folder = if config.url.ends_with('/') { "/" } else { "" };
            let url = ListingTableUrl::parse(format!("{}{}{folder}", base.as_str(), opened.root)).map_err(described)?;
            let (objects, path) = (opened.objects.clone(), opened.root);
            let place = Whereabouts::Store { objects, path, is_folder: !folder.is_empty() };
            (url, Some((base, opened.objects)), place)
        }
    };
    Ok(Located { url, store, origin: Origin { name: config.name.clone(), shown, place } })
}

fn described(config: &TableConfig, shown: &str, error: datafusion::common::DataFusionError) -> SqlError {
    SqlError::new(format!("table `{}` at `{shown}`: {}", config.name, SqlError::from(error).message))
        .help("check `url` and `format` of the table")
}

/// A table that can be read.
pub(crate) struct OpenedTable {
    pub(crate) provider: Arc<dyn TableProvider>,
    /// The object store that its files are in, and what the table calls it.
    pub(crate) store: Option<(ObjectStoreUrl, Arc<dyn ObjectStore>)>,
}

/// Opens a table's files.
pub(crate) async fn open(config: &TableConfig) -> Result<OpenedTable, SqlError> {
    let Located { url, store, origin } = locate(config)?;
    let session = SessionContext::new();
    if let Some((base, objects)) = &store {
        session.register_object_store(base.as_ref(), objects.clone());
    }
    // A store is asked where the file is only checked, too, if its columns have to be learned there.
    if store.is_none() || config.schema.is_none() {
        origin.check().await?;
    }
    let format: Arc<dyn FileFormat> = match config.format {
        TableFormat::Parquet => Arc::new(ParquetFormat::default()),
        TableFormat::Csv => Arc::new(CsvFormat::default().with_has_header(true)),
        TableFormat::Json => Arc::new(JsonFormat::default()),
    };
    let options = ListingOptions::new(format).with_file_extension("");
    let schema = match &config.schema {
        Some(schema) => schema.arrow_schema(),
        None => {
            let inferred = options.infer_schema(&session.state(), &url).await;
            inferred.map_err(|error| described(config, &origin.shown, error))?
        }
    };
    if schema.fields().is_empty() {
        return Err(SqlError::new(format!("table `{}` at `{}` has no columns", config.name, origin.shown))
            .help("is there anything at `url`?"));
    }
    let config = ListingTableConfig::new(url).with_listing_options(options).with_schema(schema);
    let files = ListingTable::try_new(config).map_err(SqlError::from)?;
    Ok(OpenedTable { provider: Arc::new(Reference { origin, files }), store })
}

#[cfg(test)]
mod tests;
