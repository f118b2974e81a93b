//! The log of a table: read, created, and added to.
//!
//! The one idea: an entry has a number, and a store lets only one writer have each. Who loses looks at what the winner did:
//! if that was the same epoch, it is done; if not, the next number is tried.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path as DiskPath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use deltalake_core::DeltaTableError;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoArrow;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitData, CommitProperties, PROTOCOL, TransactionError};
use deltalake_core::kernel::{Action, Add, MetadataExt, Protocol, StructField, StructType, Transaction, new_metadata};
use deltalake_core::logstore::{LogStoreRef, StorageConfig, default_logstore, get_actions};
use deltalake_core::protocol::{DeltaOperation, OutputMode, SaveMode};
use deltalake_core::table::config::TablePropertiesExt;
use deltalake_core::table::state::DeltaTableState;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, PutMode};
use serde_json::json;
use url::Url;
use watershed_clients::error_chain;

use super::columns::Columns;
use super::upkeep::Logged;
use crate::error::SinkError;
use crate::parquet::{Input, ParquetOptions, PreparedFile, partition_values, sync_on_disk};
use crate::store::{self, Cloud, Deed, Store, refusal};
use crate::trouble::{Repeat, trouble};

/// The folder of the log.
const FOLDER: &str = "_delta_log";

/// How often one epoch is tried before the engine is asked to call again.
const TRIES: usize = 4;

/// Where a table lies.
#[derive(Debug, Clone)]
pub(super) struct Location {
    /// The whole store.
    pub(super) store: Arc<dyn ObjectStore>,
    /// The table's folder in it.
    pub(super) root: Path,
    /// The table's folder on this machine, if it is there.
    pub(super) disk: Option<PathBuf>,
    /// As people find it.
    pub(super) shown: Arc<str>,
    pub(super) cloud: Option<Cloud>,
}

impl Location {
    /// A table in a store.
    pub(super) fn store(store: &Store) -> Self {
        Self {
            store: Arc::clone(&store.objects),
            root: store.root.clone(),
            disk: None,
            shown: Arc::clone(&store.shown),
            cloud: store.cloud,
        }
    }

    /// A table in a folder of this machine that is there.
    pub(super) fn folder(options: &ParquetOptions) -> Result<Self, SinkError> {
        let wrong = |error: &dyn fmt::Display| SinkError::config(format!("url: {:?}: {error}", options.url));
        let disk = options.local_path()?.canonicalize().map_err(|error| wrong(&error))?;
        Ok(Self {
            store: Arc::new(LocalFileSystem::new()),
            root: Path::from_absolute_path(&disk).map_err(|error| wrong(&error))?,
            disk: Some(disk),
            shown: options.url.trim_end_matches('/').into(),
            cloud: None,
        })
    }

    /// The same, through what `wrap` makes of its store.
    pub(super) fn through(self, wrap: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>) -> Self {
        Self { store: wrap(self.store), ..self }
    }

    /// The log there. No request is made yet.
    fn log(&self) -> Result<LogStoreRef, SinkError> {
        let wrong = |error: &dyn fmt::Display| SinkError::config(format!("url: {}: {error}", self.shown));
        // The scheme only tells the log's library whether listings are in order, which those of a disk are not.
        let base = match &self.disk {
            Some(folder) => Url::from_directory_path(folder).map_err(|()| wrong(&"not an absolute path"))?,
            None => {
                let mut url = Url::parse("s3://lake").map_err(|error| wrong(&error))?;
                let mut path = url.path_segments_mut().map_err(|()| wrong(&"no folder"))?;
                path.clear().extend(self.root.parts().map(|part| part.as_ref().to_owned())).push("");
                drop(path);
                url
            }
        };
        let table = Arc::new(PrefixStore::new(Arc::clone(&self.store), self.root.clone()));
        Ok(default_logstore(table, Arc::clone(&self.store), &base, &StorageConfig::default()))
    }

    fn trouble(&self, deed: Deed, doing: &str, error: DeltaTableError) -> SinkError {
        let doing = format!("{doing} the log of {}", self.shown);
        match store_error(&error) {
            Some(cause) => match self.cloud.and_then(|cloud| refusal(cause, cloud, deed)) {
                Some(why) => SinkError::config(format!("cannot {doing}: {why}")),
                None => trouble(doing, error, Repeat::Safe),
            },
            None if may_pass(&error) => SinkError::retry(format!("cannot {doing}"), error),
            None => SinkError::fatal(format!("cannot {doing}"), error),
        }
    }
}

/// Whether it may be a store's trouble that has lost its cause on the way, or another writer's luck. To ask again is safe in any
/// case.
fn may_pass(error: &DeltaTableError) -> bool {
    is_conflict(error) || matches!(error, DeltaTableError::KernelError(_) | DeltaTableError::Generic(_))
}

/// Whether another writer was quicker.
fn is_conflict(error: &DeltaTableError) -> bool {
    matches!(
        error,
        DeltaTableError::VersionAlreadyExists(_)
            | DeltaTableError::Transaction {
                source: TransactionError::CommitConflict(_) | TransactionError::MaxCommitAttempts(_)
            }
    )
}

/// What a store said, wherever it stands among the causes.
fn store_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a StoreError> {
    error_chain(error).find_map(|error| error.downcast_ref())
}

/// What a table consists of.
#[derive(Debug, Clone)]
pub struct Contents {
    /// Its files, below its folder.
    pub files: Vec<ObjectMeta>,
    /// Its columns, those of partitions included.
    pub columns: SchemaRef,
}

/// What the table at `options.url` consists of now; none if there is no table.
pub async fn contents(options: &ParquetOptions) -> Result<Option<Contents>, SinkError> {
    let place = match options.check_place()? {
        store::Location::Folder(folder) if !folder.is_dir() => return Ok(None),
        store::Location::Folder(_) => Location::folder(options)?,
        store::Location::Store(_) => {
            Location::store(&store::open(&options.url, &options.store, store::Patience::Client)?)
        }
    };
    let log = place.log()?;
    let read = async {
        if !log.is_delta_table_location().await? {
            return Ok(Ok(None));
        }
        let table = DeltaTableState::try_new(&log, None).await?;
        if table.log_data().iter().any(|file| file.deletion_vector_descriptor().is_some()) {
            return Ok(Err(
                "rows of it were deleted by deletion vectors, which a query does not read; purge them first, as by \
                           REORG TABLE … APPLY (PURGE)",
            ));
        }
        if table.metadata().configuration().get("delta.columnMapping.mode").is_some_and(|mode| mode != "none") {
            return Ok(Err("it has column mapping, which a query does not read; ask by another engine"));
        }
        let files = table.log_data().iter().map(|file| ObjectMeta::try_from(&file)).collect::<Result<_, _>>()?;
        let columns = table.schema().as_ref().try_into_arrow().map_err(DeltaTableError::from)?;
        Ok(Ok(Some(Contents { files, columns: Arc::new(columns) })))
    };
    let read: Result<Result<_, &str>, DeltaTableError> = read.await;
    let read = read.map_err(|error| place.trouble(Deed::Read, "read", error))?;
    read.map_err(|why| SinkError::config(format!("the table {} cannot be read: {why}", place.shown)))
}

/// The log of one pipeline's table.
pub(super) struct Log {
    place: Location,
    store: LogStoreRef,
    columns: Columns,
    /// Whose epochs the log remembers.
    app: String,
    /// The first entry that may not be on the disk yet; none before the first look.
    settled: Option<u64>,
    /// As of the last look; none if there is no table.
    table: Option<DeltaTableState>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.table.as_ref().map(DeltaTableState::version);
        f.debug_struct("Log")
            .field("url", &self.place.shown)
            .field("app", &self.app)
            .field("version", &version)
            .finish()
    }
}

impl Log {
    pub(super) fn new(place: Location, columns: Columns, app: String) -> Result<Self, SinkError> {
        Ok(Self { store: place.log()?, place, columns, app, settled: None, table: None })
    }

    /// The last epoch of this pipeline that the table has; creates the table where there is none.
    pub(super) async fn open(&mut self) -> Result<Option<u64>, SinkError> {
        self.look().await?;
        self.make_fit().await?;
        self.settle().await?;
        self.last_epoch().await
    }

    /// Finds out whether the table that is there, if one is, could take the rows. Writes nothing.
    pub(super) async fn probe(&mut self) -> Result<String, SinkError> {
        self.look().await?;
        let Some(table) = &self.table else { return Ok("there is no table yet".to_owned()) };
        let missing = self.missing(table)?;
        let version = table.version();
        Ok(match missing.len() {
            0 => format!("the table is at version {version}"),
            n => format!("the table is at version {version} and will get {n} columns"),
        })
    }

    /// Whether the table has an epoch of this pipeline by now.
    pub(super) async fn has(&mut self, epoch: u64) -> Result<bool, SinkError> {
        self.look().await?;
        self.has_seen(epoch).await
    }

    /// Whether it had the epoch at the last look.
    async fn has_seen(&self, epoch: u64) -> Result<bool, SinkError> {
        Ok(self.last_epoch().await?.is_some_and(|last| last >= epoch))
    }

    /// What the log says of a file.
    pub(super) fn added(&self, file: PreparedFile) -> Add {
        let value = |(level, value): (String, Option<String>)| {
            let value = value.map(|value| self.columns.partition_value(&level, value));
            (level, value)
        };
        Add {
            partition_values: partition_values(&file.target).into_iter().map(value).collect(),
            path: file.target,
            size: i64::try_from(file.bytes).unwrap_or(i64::MAX),
            modification_time: Utc::now().timestamp_millis(),
            data_change: true,
            stats: file.stats,
            ..Add::default()
        }
    }

    /// Adds the files of an epoch that the table had not at the last look. Goes by that look; when it turns out that others have
    /// written since, by a new one.
    pub(super) async fn add(&mut self, epoch: u64, files: &[Add]) -> Result<(), SinkError> {
        let mut conflict = None;
        for _ in 0..TRIES {
            if self.make_fit().await? && self.has_seen(epoch).await? {
                return self.settle().await;
            }
            let actions = files.iter().cloned().map(Action::Add).collect();
            let operation = DeltaOperation::StreamingUpdate {
                output_mode: OutputMode::Append,
                query_id: self.app.clone(),
                epoch_id: signed(epoch),
            };
            let transaction = Transaction::new(&self.app, signed(epoch));
            let properties = CommitProperties::default()
                .with_application_transaction(transaction)
                .with_cleanup_expired_logs(Some(self.cleans_up()));
            let Err(error) = self.commit(properties, actions, operation).await else { return self.settle().await };
            let is_conflict = is_conflict(&error);
            if self.has(epoch).await? {
                if !is_conflict {
                    // It is of what comes behind the entry: a checkpoint of the log, and what that makes superfluous.
                    tracing::warn!(url = &*self.place.shown, %error, "the rows are in the table; its log was not tidied up");
                }
                return self.settle().await;
            }
            if !is_conflict {
                return Err(self.place.trouble(Deed::Write, "write", error));
            }
            conflict = Some(error);
        }
        Err(match conflict {
            Some(error) => SinkError::retry(format!("others write to {} all the time", self.place.shown), error),
            None => SinkError::retry(format!("cannot write the log of {}", self.place.shown), "no try was made"),
        })
    }

    /// Makes a table that can take the rows. True if that took another look, or an entry.
    async fn make_fit(&mut self) -> Result<bool, SinkError> {
        let is_missing = self.table.is_none();
        if is_missing {
            self.create().await?;
        }
        Ok(self.evolve().await? || is_missing)
    }

    /// Looks at what there is by now; false if there is no table. An error if it asks more of its writers than they know.
    pub(super) async fn look_again(&mut self) -> Result<bool, SinkError> {
        self.look().await?;
        match &self.table {
            Some(table) => self.missing(table).map(|_| true),
            None => Ok(false),
        }
    }

    /// Lets go of the memory that the list of files takes.
    pub(super) fn forget(&mut self) {
        self.table = None;
        // What comes until the next look is of others, who sync it themselves.
        self.settled = None;
    }

    /// The wanted files of the table, as of the last look.
    pub(super) fn files(&self, wanted: impl Fn(&str) -> bool) -> Vec<Logged> {
        let Some(table) = &self.table else { return Vec::new() };
        let data = table.log_data();
        let files = data.iter().filter(|file| wanted(&file.path())).map(|file| Logged {
            input: Input { key: file.path().into_owned(), bytes: u64::try_from(file.size()).unwrap_or(0) },
            written: file.modification_time(),
            partition: file.partition_values_map().into_iter().collect(),
            holes: file.deletion_vector_descriptor(),
        });
        files.collect()
    }

    /// Names of the columns that are in files, in the table's order.
    pub(super) fn columns(&self) -> Vec<String> {
        let Some(table) = &self.table else { return Vec::new() };
        let names = table.schema().fields().map(|field| field.name().clone()).collect::<Vec<_>>();
        names.into_iter().filter(|name| !self.columns.partitions.contains(name)).collect()
    }

    /// Whether the table refuses that rows go.
    pub(super) fn is_append_only(&self) -> bool {
        self.table.as_ref().is_some_and(|table| table.table_config().append_only())
    }

    /// How long the table keeps files that went, and whether it says so itself.
    pub(super) fn keeps_deleted(&self) -> (Duration, bool) {
        let Some(table) = &self.table else { return (Duration::MAX, true) };
        let is_told = table.metadata().configuration().contains_key("delta.deletedFileRetentionDuration");
        (table.table_config().deleted_file_retention_duration(), is_told)
    }

    /// The version of an application's last transaction, as of the last look.
    pub(super) async fn version_of(&self, app: &str) -> Result<Option<i64>, SinkError> {
        let Some(table) = &self.table else { return Ok(None) };
        let version = table.transaction_version(&self.store, app).await;
        version.map_err(|error| self.place.trouble(Deed::Read, "read", error))
    }

    /// Files that went, and when, in milliseconds since 1970, as far as the log knows it without its old entries.
    pub(super) async fn tombstones(&self) -> Result<BTreeMap<String, i64>, SinkError> {
        let Some(table) = &self.table else { return Ok(BTreeMap::new()) };
        let buried = table.all_tombstones(&self.store).try_fold(BTreeMap::new(), async |mut buried, file| {
            // A file may have gone more than once, if it has come again.
            let last = buried.entry(file.path().into_owned()).or_insert(0);
            *last = file.deletion_timestamp().unwrap_or(0).max(*last);
            Ok(buried)
        });
        buried.await.map_err(|error| self.place.trouble(Deed::Read, "read", error))
    }

    /// The entries from `first` on that are still there, and when they were written.
    pub(super) async fn entries_from(&self, first: u64) -> Result<Vec<(u64, DateTime<Utc>)>, SinkError> {
        let store = self.store.object_store(None);
        let listed: Result<Vec<ObjectMeta>, StoreError> = store.list(Some(&Path::from(FOLDER))).try_collect().await;
        let listed = listed.map_err(|error| self.place.trouble(Deed::List, "list", error.into()))?;
        let number = |file: &ObjectMeta| {
            let digits = file.location.filename()?.strip_suffix(".json")?;
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u64>().ok()).flatten()
        };
        let entries = listed.iter().filter_map(|file| Some((number(file)?, file.last_modified)));
        let mut entries: Vec<_> = entries.filter(|(entry, _)| *entry >= first).collect();
        entries.sort_unstable();
        Ok(entries)
    }

    /// What an entry says; nothing, if it is gone.
    pub(super) async fn entry(&self, version: u64) -> Result<Vec<Action>, SinkError> {
        let read = async {
            match self.store.read_commit_entry(version).await? {
                Some(bytes) => get_actions(version, &bytes),
                None => Ok(Vec::new()),
            }
        };
        read.await.map_err(|error| self.place.trouble(Deed::Read, "read", error))
    }

    /// Writes the entry behind the last look; false if another was there first. Nothing is tried again, for what is true of a
    /// state need not be true of the next.
    pub(super) async fn append(
        &mut self,
        actions: Vec<Action>,
        operation: DeltaOperation,
        transaction: Option<Transaction>,
    ) -> Result<bool, SinkError> {
        let properties = CommitProperties::default()
            .with_max_retries(0)
            .with_application_transactions(transaction.into_iter().collect())
            .with_cleanup_expired_logs(Some(self.cleans_up()));
        match self.commit(properties, actions, operation).await {
            Ok(()) => self.settle().await.map(|()| true),
            Err(error) if is_conflict(&error) => Ok(false),
            Err(error) => Err(self.place.trouble(Deed::Write, "write", error)),
        }
    }

    /// The error for one who came too late all the time.
    pub(super) fn is_busy(&self) -> SinkError {
        let why = "each entry that was tried was another's first";
        SinkError::retry(format!("others write to {} all the time", self.place.shown), why)
    }

    /// Whether the next entry gets a checkpoint of the log, behind which old entries may go.
    fn cleans_up(&self) -> bool {
        let Some(table) = &self.table else { return false };
        let (interval, next) = (table.table_config().checkpoint_interval().get(), table.version() + 1);
        (next + 1).is_multiple_of(interval) && table.table_config().enable_expired_log_cleanup()
    }

    async fn commit(
        &mut self,
        properties: CommitProperties,
        actions: Vec<Action>,
        operation: DeltaOperation,
    ) -> Result<(), DeltaTableError> {
        let Some(table) = &self.table else { return Err(DeltaTableError::NotInitialized) };
        let committing = CommitBuilder::from(properties).with_actions(actions).with_app_metadata(made_by()).build(
            Some(table.snapshot()),
            Arc::clone(&self.store),
            operation,
        );
        self.table = Some(committing.await?.snapshot());
        Ok(())
    }

    /// Looks at what the log has by now.
    async fn look(&mut self) -> Result<(), SinkError> {
        let looked = match &mut self.table {
            Some(table) => table.update(&self.store, None).await,
            None => self.load().await,
        };
        looked.map_err(|error| self.place.trouble(Deed::Read, "read", error))
    }

    async fn load(&mut self) -> Result<(), DeltaTableError> {
        if self.store.is_delta_table_location().await? {
            self.table = Some(DeltaTableState::try_new(&self.store, None).await?);
        }
        Ok(())
    }

    async fn last_epoch(&self) -> Result<Option<u64>, SinkError> {
        let Some(table) = &self.table else { return Ok(None) };
        let version = table.transaction_version(&self.store, &self.app).await;
        let version = version.map_err(|error| self.place.trouble(Deed::Read, "read", error))?;
        Ok(version.and_then(|version| u64::try_from(version).ok()))
    }

    /// Writes the first entry. If another does so at the same time, that one's table is used.
    async fn create(&mut self) -> Result<(), SinkError> {
        let failed = |error: DeltaTableError| self.place.trouble(Deed::Write, "begin", error);
        let invalid = |error| SinkError::fatal(format!("cannot begin the log of {}", self.place.shown), error);
        let metadata = new_metadata(&self.columns.schema, &self.columns.partitions, [("", ""); 0])
            .map_err(|error| SinkError::fatal("delta sink", error))?;
        // The protocol that every reader and writer knows.
        let protocol: Protocol =
            serde_json::from_value(json!({ "minReaderVersion": 1, "minWriterVersion": 2 })).map_err(invalid)?;
        let operation = DeltaOperation::Create {
            mode: SaveMode::ErrorIfExists,
            location: self.store.root_url().clone(),
            protocol: protocol.clone(),
            metadata: metadata.clone(),
        };
        let actions = vec![Action::Protocol(protocol), Action::Metadata(metadata)];
        let entry = CommitData::new(actions, operation, made_by(), Vec::new()).get_bytes();
        let entry = entry.map_err(|error| failed(error.into()))?;
        let (store, key) = (self.store.object_store(None), Path::from(entry_key(0)));
        match store.put_opts(&key, entry.into(), PutMode::Create.into()).await {
            Ok(_) | Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => self.look().await,
            Err(error) => Err(failed(error.into())),
        }
    }

    fn missing(&self, table: &DeltaTableState) -> Result<Vec<StructField>, SinkError> {
        // What an entry would be refused for when it is written: then an epoch could go neither forth nor back.
        PROTOCOL.can_write_to(table).map_err(|error| unwritable(&self.place.shown, &error))?;
        let missing = self.columns.missing_in(table.metadata(), table.protocol(), &table.schema());
        missing.map_err(|error| SinkError::config(format!("{}: {error}", self.place.shown)))
    }

    /// Gives the table the columns that it lacks. True if that took another look, or an entry.
    async fn evolve(&mut self) -> Result<bool, SinkError> {
        for tried in 0..TRIES {
            let Some(table) = &self.table else { return Ok(tried > 0) };
            let missing = self.missing(table)?;
            if missing.is_empty() {
                return Ok(tried > 0);
            }
            let names: Vec<String> = missing.iter().map(|field| field.name().clone()).collect();
            let fields: Vec<StructField> = table.schema().fields().cloned().chain(missing.clone()).collect();
            let schema = StructType::try_new(fields).map_err(|error| SinkError::fatal("delta sink", error))?;
            let metadata = table.metadata().clone().with_schema(&schema);
            let metadata = metadata.map_err(|error| SinkError::fatal("delta sink", error))?;
            let operation = DeltaOperation::AddColumn { fields: missing };
            let properties = CommitProperties::default().with_cleanup_expired_logs(Some(false));
            match self.commit(properties, vec![Action::Metadata(metadata)], operation).await {
                Ok(()) => {
                    tracing::info!(url = &*self.place.shown, ?names, "the table has new columns");
                    return Ok(true);
                }
                // Another may have added them, or others.
                Err(error) if is_conflict(&error) => self.look().await?,
                Err(error) => return Err(self.place.trouble(Deed::Write, "add columns to", error)),
            }
        }
        let why = "others change its columns all the time";
        Err(SinkError::retry(format!("cannot add columns to {}", self.place.shown), why))
    }

    /// Makes the entries of a log on this machine's disk survive a power cut.
    pub(super) async fn settle(&mut self) -> Result<(), SinkError> {
        let (Some(disk), Some(table)) = (&self.place.disk, &self.table) else { return Ok(()) };
        let (disk, entries) = (disk.clone(), self.settled.unwrap_or(table.version())..table.version() + 1);
        let next = entries.end;
        let synced = tokio::task::spawn_blocking(move || sync(&disk, entries)).await;
        let synced = synced.unwrap_or_else(|error| Err(io::Error::other(error)));
        synced.map_err(|error| trouble(format!("write the log of {}", self.place.shown), error, Repeat::Safe))?;
        self.settled = Some(next);
        Ok(())
    }
}

/// The error for a table that no entry can be written for.
fn unwritable(shown: &str, error: &TransactionError) -> SinkError {
    let asked = match error {
        TransactionError::UnsupportedTableFeatures(features) => {
            let mut names: Vec<String> = features.iter().map(ToString::to_string).collect();
            names.sort_unstable();
            names.join(", ")
        }
        other => other.to_string(),
    };
    SinkError::config(format!(
        "{shown}: the table's protocol asks its writers for {asked}, which this sink does not keep up: take that out of the \
         table, as by ALTER TABLE … DROP FEATURE, or write to another url"
    ))
}

fn sync(table: &DiskPath, entries: Range<u64>) -> io::Result<()> {
    let keys = entries.flat_map(|entry| [entry_key(entry), format!("{FOLDER}/{entry:020}.checkpoint.parquet")]);
    // Not every entry has a checkpoint, and old ones go.
    let mut keys: Vec<String> = keys.filter(|key| table.join(key).exists()).collect();
    let hint = format!("{FOLDER}/_last_checkpoint");
    if table.join(&hint).exists() {
        keys.push(hint);
    }
    sync_on_disk(table, &keys, true)
}

/// Where an entry lies, below the table.
fn entry_key(version: u64) -> String {
    format!("{FOLDER}/{version:020}.json")
}

/// Who says so, in each entry.
fn made_by() -> HashMap<String, serde_json::Value> {
    HashMap::from([("clientVersion".to_owned(), json!(concat!("watershed.", env!("CARGO_PKG_VERSION"))))])
}

/// Epochs count up from one; a table's are signed.
fn signed(epoch: u64) -> i64 {
    i64::try_from(epoch).unwrap_or(i64::MAX)
}
