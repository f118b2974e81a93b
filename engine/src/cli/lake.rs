//! What a pipeline wrote to its parquet or delta sink, as a table: its own files only, the levels of their folders as columns.
//!
//! The one idea: the files are listed once, and the table reads exactly those, through a store that shows nothing else.
//! So a query sees one moment of the lake, other pipelines in the same folder do not matter, and nothing can be written.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::common::{DataFusionError, ScalarValue};
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
use crate::config::{PipelineConfig, Region, SinkOptions};
use crate::diagnostic::Diagnostic;

/// The folder that stands for null.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// Makes what `pipeline` wrote the table of its name.
pub(super) async fn register(session: &SessionContext, region: &Region, pipeline: &PipelineConfig) -> Outcome {
    let (options, is_delta) = options(region, pipeline)?;
    let shown = without_credentials(&options.url);
    let nothing = || {
        let error = Diagnostic::new(format!("pipeline `{}` has written nothing to {shown} yet", pipeline.name));
        Failure::Running(error.help(format!("run it first: watershed run {}", region.file.display())))
    };
    let cannot_read = |error: &dyn fmt::Display| Failure::running(format!("cannot read {shown}: {error}"));
    let Some(inner) = open(options).map_err(|error| cannot_read(&error))? else { return Err(nothing()) };
    let files = match is_delta {
        // All that its log names, whoever wrote it, and nothing else.
        true => delta::files(options).await.map(Option::unwrap_or_default),
        false => visible_files(&*inner, &Path::ROOT).await.map(|mut files| {
            files.retain(|file| file.location.filename().is_some_and(|name| is_of(name, &pipeline.name)));
            files
        }),
    };
    let files = files.map_err(|error| cannot_read(&error))?;
    let Some(first) = files.first() else { return Err(nothing()) };
    let levels = levels(&first.location);
    if let Some(other) = files.iter().find(|file| self::levels(&file.location) != levels) {
        let error = format!("{} and {} have different folder levels", first.location, other.location);
        let help = "partition_by was changed; query the old and the new files from folders of their own";
        return Err(Failure::Running(Diagnostic::new(error).help(help)));
    }
    let store = Arc::new(Snapshot { inner, files });
    table(session, &pipeline.name, store, levels).await.map_err(|error| cannot_read(&error.strip_backtrace()))
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

/// The pipeline's first sink with files, and whether that is a Delta table; where there are several, all hold the same rows.
fn options<'r>(region: &'r Region, pipeline: &PipelineConfig) -> Outcome<(&'r ParquetOptions, bool)> {
    let mut sinks = pipeline.sinks.iter().filter_map(|name| region.sinks.get(name));
    let options = sinks.find_map(|sink| Some((sink.options.files()?, matches!(sink.options, SinkOptions::Delta(_)))));
    options.ok_or_else(|| {
        let error =
            format!("pipeline `{}` writes to no parquet or delta sink, so there is nothing to query", pipeline.name);
        Failure::wrong(Diagnostic::at(pipeline.location.clone(), error))
    })
}

/// True for the files of `pipeline`: its name, the epoch and a number. `orders` does not claim those of `orders-1m`.
pub(super) fn is_of(file: &str, pipeline: &str) -> bool {
    let digits =
        |part: Option<&str>| part.is_some_and(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    let Some(stem) = file.strip_suffix(".parquet") else { return false };
    let mut parts = stem.rsplitn(3, '-');
    digits(parts.next()) && digits(parts.next()) && parts.next() == Some(pipeline)
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
    levels: Vec<String>,
) -> std::result::Result<(), DataFusionError> {
    let has_nulls = store.files.iter().any(|file| file.location.as_ref().contains(NO_VALUE));
    let root = format!("lake://{name}/");
    session.register_object_store(ObjectStoreUrl::parse(&root)?.as_ref(), store);
    let url = ListingTableUrl::parse(&root)?;
    let partitions = levels.iter().map(|level| (level.clone(), DataType::Utf8)).collect();
    let options = ListingOptions::new(Arc::new(ParquetFormat::default()))
        .with_file_extension(".parquet")
        .with_table_partition_cols(partitions);
    let in_files = options.infer_schema(&session.state(), &url).await?;
    // A column that names a folder is not repeated inside; should a file have it all the same, the folder decides.
    let fields = in_files.fields().iter().filter(|field| !levels.contains(field.name()));
    let schema = Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()));
    let listing =
        ListingTable::try_new(ListingTableConfig::new(url).with_listing_options(options).with_schema(schema))?;
    if !has_nulls {
        session.register_table(quoted(name), Arc::new(listing))?;
        return Ok(());
    }
    let rows = session.read_table(Arc::new(listing))?;
    let columns: Vec<Expr> = rows.schema().fields().iter().map(|field| column(field.name(), &levels)).collect();
    session.register_table(quoted(name), rows.select(columns)?.into_view())?;
    Ok(())
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
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
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
