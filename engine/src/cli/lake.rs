//! What a pipeline wrote to its parquet or delta sink, as a table: its own files only, the levels of their folders as columns.
//!
//! The one idea: the files are listed once, and the table reads exactly those, through a store that shows nothing else.
//! So a query sees one moment of the lake, other pipelines in the same folder do not matter, and nothing can be written.
//!
//! Of all files only two are opened to learn the columns, the oldest and the newest: columns are added at the end of a
//! pipeline's life, or go at some point of it. Which of the others are opened is up to the query.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::datatypes::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::execution::context::SessionContext;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::functions::core::expr_fn::nullif;
use datafusion::prelude::{Expr, ident, lit};
use futures::stream::{self, BoxStream, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use watershed_sinks::delta;
use watershed_sinks::parquet::visible_files;
use watershed_sinks::store::{self, Location, Patience, without_credentials};
use watershed_sinks::{ParquetOptions, SinkError};

use super::failure::{Failure, Outcome};
use super::widen::{self, Widening};
use crate::config::{PipelineConfig, Region, SinkOptions};
use crate::diagnostic::Diagnostic;
use crate::sql::SqlError;

/// The folder that stands for null.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// Rows of one pipeline in one parquet or delta sink.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lake<'r> {
    region: &'r Region,
    pipeline: &'r PipelineConfig,
    options: &'r ParquetOptions,
    /// Who may have taken rows in the sink's place.
    standby: Option<&'r str>,
    /// Whether a log says which files count.
    is_delta: bool,
}

/// What there is to read.
struct Found {
    files: Vec<ObjectMeta>,
    /// From which of them the columns are learned.
    columns: Columns,
}

enum Columns {
    /// From these files.
    Of([ObjectMeta; 2]),
    /// They are known.
    Known(SchemaRef),
}

/// What a query reads of a lake.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    table: String,
    store: Arc<Snapshot>,
}

impl<'r> Lake<'r> {
    /// The rows of `pipeline` in the sink called `sink`, or in its first one with files; where there are several, all hold the
    /// same, but for what a standby took.
    pub(super) fn of(region: &'r Region, pipeline: &'r PipelineConfig, sink: Option<&str>) -> Outcome<Self> {
        let mut sinks = pipeline.sinks.iter();
        if let Some(sink) = sink {
            let found = sinks.any(|name| name == sink).then(|| Self::in_sink(region, pipeline, sink)).flatten();
            return found.ok_or_else(|| Self::not_in(region, pipeline, sink));
        }
        sinks.find_map(|sink| Self::in_sink(region, pipeline, sink)).ok_or_else(|| {
            let name = &pipeline.name;
            let error = format!("pipeline `{name}` writes to no parquet or delta sink, so there is nothing to query");
            Failure::wrong(Diagnostic::at(pipeline.location.clone(), error))
        })
    }

    fn in_sink(region: &'r Region, pipeline: &'r PipelineConfig, sink: &str) -> Option<Self> {
        let sink = region.sinks.get(sink)?;
        let standby = sink.standby.as_ref().map(|standby| standby.sink.as_str());
        let is_delta = matches!(sink.options, SinkOptions::Delta(_));
        Some(Self { region, pipeline, options: sink.options.files()?, standby, is_delta })
    }

    fn not_in(region: &Region, pipeline: &PipelineConfig, sink: &str) -> Failure {
        let has_files = |name: &&String| region.sinks.get(*name).is_some_and(|sink| sink.options.files().is_some());
        let sinks: Vec<_> = pipeline.sinks.iter().filter(has_files).map(|name| format!("`{name}`")).collect();
        let name = &pipeline.name;
        let error = format!("pipeline `{name}` writes no files to a sink `{sink}`");
        let error = Diagnostic::at(pipeline.location.clone(), error);
        Failure::wrong(match sinks.is_empty() {
            true => error.help("it has no parquet or delta sink"),
            false => error.help(format!("those that it writes files to: {}", sinks.join(", "))),
        })
    }

    /// Warns of rows that may lie elsewhere.
    pub(super) fn tell_of_standby(&self) {
        if let Some(standby) = self.standby {
            let (region, pipeline) = (&self.region.name, &self.pipeline.name);
            tracing::warn!(%region, %pipeline, %standby, "rows that the standby took are not in the answer");
        }
    }

    /// The late rows behind a table's name, which is that of the pipeline and `_late`; none if it is no such name.
    pub(super) fn late(region: &'r Region, table: &str) -> Option<Self> {
        let pipeline = region.pipelines.get(table.strip_suffix("_late")?)?;
        Self::in_sink(region, pipeline, pipeline.late.as_ref()?)
    }

    /// The place of the Delta table that the rows are in, if they are in one.
    pub(super) fn delta_table(&self) -> Option<&'r str> {
        self.is_delta.then(|| self.options.url.trim_end_matches('/'))
    }

    /// Makes the rows the table `name`. None if nothing is written yet.
    pub(super) async fn register(&self, session: &SessionContext, name: &str) -> Outcome<Option<Reading>> {
        let shown = without_credentials(&self.options.url);
        let cannot_read = |error: &dyn fmt::Display| Failure::running(format!("cannot read {shown}: {error}"));
        let Some(inner) = open(self.options).map_err(|error| cannot_read(&error))? else { return Ok(None) };
        let found = match self.is_delta {
            true => self.named_by_log().await,
            false => self.named_by_us(&*inner).await,
        };
        let Some(Found { files, columns }) = found.map_err(|error| cannot_read(&error))? else { return Ok(None) };
        let Some(first) = files.first() else { return Ok(None) };
        let levels = levels(&first.location);
        if let Some(other) = files.iter().find(|file| self::levels(&file.location) != levels) {
            let error = format!("{} and {} have different folder levels", first.location, other.location);
            let help = "partition_by was changed; query the old and the new files from folders of their own";
            return Err(Failure::Running(Diagnostic::new(error).help(help)));
        }
        let store = Arc::new(Snapshot { inner, files, opened: Mutex::default() });
        let reading = Reading { table: name.to_string(), store: Arc::clone(&store) };
        let table = table(session, name, store, columns, levels).await;
        table.map_err(|error| failed(&format!("cannot read {shown}"), &error))?;
        Ok(Some(reading))
    }

    /// All that the log of a table names, whoever wrote it, and nothing else.
    async fn named_by_log(&self) -> std::result::Result<Option<Found>, SinkError> {
        let contents = delta::contents(self.options).await?;
        Ok(contents.map(|contents| Found { files: contents.files, columns: Columns::Known(contents.columns) }))
    }

    /// All files with the pipeline's name.
    async fn named_by_us(&self, place: &dyn ObjectStore) -> std::result::Result<Option<Found>, SinkError> {
        let pipeline = &self.pipeline.name;
        let mut files = visible_files(place, &Path::ROOT).await?;
        files.retain(|file| file.location.filename().is_some_and(|name| is_of(name, pipeline)));
        let by_age = |file: &&ObjectMeta| file.location.filename().and_then(|name| numbers(name, pipeline));
        let ends = files.iter().min_by_key(by_age).cloned().zip(files.iter().max_by_key(by_age).cloned());
        Ok(ends.map(|(oldest, newest)| Found { files, columns: Columns::Of([oldest, newest]) }))
    }

    /// The failure where nothing is written yet.
    pub(super) fn nothing(&self) -> Failure {
        let (pipeline, shown) = (&self.pipeline.name, without_credentials(&self.options.url));
        let error = Diagnostic::new(format!("pipeline `{pipeline}` has written nothing to {shown} yet"));
        Failure::Running(error.help(format!("run it first: watershed run {}", self.region.file.display())))
    }
}

impl Reading {
    /// How many files were opened so far, those included that told the columns.
    pub(super) fn opened(&self) -> usize {
        lock(&self.store.opened).len()
    }

    /// Why one of the files that were opened cannot be read; none if all can, as far as their footers say.
    pub(super) async fn broken(&self, session: &SessionContext) -> Option<DataFusionError> {
        let opened = lock(&self.store.opened).clone();
        let store = Arc::clone(&self.store) as Arc<dyn ObjectStore>;
        for file in self.store.files.iter().filter(|file| opened.contains(&file.location)) {
            if let Err(error) = columns_of(session, &store, file).await {
                return Some(error);
            }
        }
        None
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}: {} of {} files opened", self.table, self.opened(), self.store.files.len())
    }
}

/// The failure of `what`; where we found out ourselves what is wrong, with what to do about it.
pub(super) fn failed(what: &str, error: &DataFusionError) -> Failure {
    let ours = match error.find_root() {
        DataFusionError::External(cause) => cause.downcast_ref::<SqlError>(),
        _ => None,
    };
    match ours {
        Some(SqlError { message, help, .. }) => {
            Failure::Running(Diagnostic { help: help.clone(), ..Diagnostic::new(format!("{what}: {message}")) })
        }
        None => Failure::running(format!("{what}: {}", error.strip_backtrace())),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nobody panics while holding the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place that `options` name, as a store that holds nothing else; none if there is no such folder.
fn open(options: &ParquetOptions) -> std::result::Result<Option<Arc<dyn ObjectStore>>, SinkError> {
    match options.check_place()? {
        Location::Folder(folder) if !folder.is_dir() => Ok(None),
        Location::Folder(folder) => {
            let store = LocalFileSystem::new_with_prefix(&folder);
            Ok(Some(Arc::new(store.map_err(SinkError::config)?)))
        }
        Location::Store(_) => {
            let store = store::open(&options.url, &options.store, Patience::Client)?;
            Ok(Some(Arc::new(PrefixStore::new(store.objects, store.root))))
        }
    }
}

/// True for the files of `pipeline`: its name, the epoch and a number. `orders` does not claim those of `orders-1m`.
pub(super) fn is_of(file: &str, pipeline: &str) -> bool {
    numbers(file, pipeline).is_some()
}

/// The epoch and the number in the name of a file of `pipeline`.
pub(super) fn numbers(file: &str, pipeline: &str) -> Option<(u64, u64)> {
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten();
    let (of, numbers) = file.strip_suffix(".parquet")?.rsplit_once('-').and_then(|(stem, number)| {
        let (of, epoch) = stem.rsplit_once('-')?;
        Some((of, (digits(epoch)?, digits(number)?)))
    })?;
    (of == pipeline).then_some(numbers)
}

/// The columns that a file's folders name, outermost first.
fn levels(file: &Path) -> Vec<String> {
    let parts: Vec<_> = file.parts().collect();
    let names = parts.iter().filter_map(|part| part.as_ref().split_once('=').map(|(name, _)| name.to_string()));
    names.collect()
}

async fn table(
    session: &SessionContext,
    name: &str,
    store: Arc<Snapshot>,
    columns: Columns,
    levels: Vec<String>,
) -> std::result::Result<(), DataFusionError> {
    let has_nulls = store.files.iter().any(|file| file.location.as_ref().contains(NO_VALUE));
    let root = format!("lake://{name}/");
    let store: Arc<dyn ObjectStore> = store;
    session.register_object_store(ObjectStoreUrl::parse(&root)?.as_ref(), Arc::clone(&store));
    let url = ListingTableUrl::parse(&root)?;
    let partitions = levels.iter().map(|level| (level.clone(), DataType::Utf8)).collect();
    let format = Arc::new(ParquetFormat::default());
    let in_files = match columns {
        Columns::Of(ends) => {
            let mut schemas = Vec::with_capacity(ends.len());
            for file in &ends {
                schemas.push(columns_of(session, &store, file).await?);
            }
            let [oldest, newest] = [0, 1].map(|end| (ends[end].location.as_ref(), &*schemas[end]));
            Arc::new(widen::merged(oldest, newest).map_err(SqlError::into_datafusion)?)
        }
        Columns::Known(columns) => columns,
    };
    let options = ListingOptions::new(format).with_file_extension(".parquet").with_table_partition_cols(partitions);
    // A column that names a folder is not repeated inside; should a file have it all the same, the folder decides.
    let fields = in_files.fields().iter().filter(|field| !levels.contains(field.name()));
    let schema = Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()));
    let config = ListingTableConfig::new(url).with_listing_options(options).with_schema(schema);
    let listing = ListingTable::try_new(config.with_expr_adapter_factory(Arc::new(Widening)))?;
    if !has_nulls {
        session.register_table(quoted(name), Arc::new(listing))?;
        return Ok(());
    }
    let rows = session.read_table(Arc::new(listing))?;
    let columns: Vec<Expr> = rows.schema().fields().iter().map(|field| column(field.name(), &levels)).collect();
    session.register_table(quoted(name), rows.select(columns)?.into_view())?;
    Ok(())
}

/// The columns inside a file, by its footer.
async fn columns_of(
    session: &SessionContext,
    store: &Arc<dyn ObjectStore>,
    file: &ObjectMeta,
) -> std::result::Result<SchemaRef, DataFusionError> {
    let columns = ParquetFormat::default().infer_schema(&session.state(), store, std::slice::from_ref(file)).await;
    columns.map_err(|error| match error.find_root() {
        DataFusionError::ParquetError(why) => {
            let error = SqlError::new(format!("{} is not a Parquet file that can be read: {why}", file.location));
            error.help("put back what was written, or take the file away").into_datafusion()
        }
        _ => error,
    })
}

/// A column of the table, with null for the folder that stands for it.
fn column(name: &str, levels: &[String]) -> Expr {
    if levels.iter().any(|level| level == name) {
        nullif(ident(name), lit(ScalarValue::from(NO_VALUE))).alias(name)
    } else {
        ident(name)
    }
}

/// A name that is taken as it stands.
fn quoted(name: &str) -> datafusion::common::TableReference {
    datafusion::common::TableReference::bare(name)
}

/// A folder of which only some files are there, and which cannot be written to.
#[derive(Debug)]
struct Snapshot {
    inner: Arc<dyn ObjectStore>,
    files: Vec<ObjectMeta>,
    /// Those of which anything was read.
    opened: Mutex<BTreeSet<Path>>,
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files of {}", self.files.len(), self.inner)
    }
}

fn read_only<T>() -> Result<T> {
    Err(object_store::Error::NotSupported { source: "a query only reads".into() })
}

#[async_trait]
impl ObjectStore for Snapshot {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        read_only()
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        read_only()
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        lock(&self.opened).insert(location.clone());
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        lock(&self.opened).insert(location.clone());
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        stream::once(async { read_only() }).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let inside = |file: &&ObjectMeta| prefix.is_none_or(|prefix| file.location.prefix_matches(prefix));
        stream::iter(self.files.iter().filter(inside).cloned().map(Ok).collect::<Vec<_>>()).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(object_store::Error::NotSupported { source: "files are listed whole".into() })
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        read_only()
    }
}
