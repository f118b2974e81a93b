//! The place of a parquet sink, as an object store: probing, listing, and the two ways of showing files.
//!
//! The one idea: everything is named by its key below the root, so that what was prepared in one process is found by the
//! next, whatever the current folder is then.
//!
//! | place | a file that is being written | a file that is prepared | shown by |
//! |---|---|---|---|
//! | a local folder | `_watershed/staged/…` | the same, synced | a rename that replaces nothing |
//! | an object store | the parts of an upload | the same, all of them | completing the upload |

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::Schema;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;
use serde::{Deserialize, Serialize};

use super::file::Finished;
use super::names;
use super::rename::{Renaming, StagedFile};
use super::upload::{UploadFile, Uploading};
use crate::error::SinkError;
use crate::store::{Cloud, Deed, refusal};
use crate::trouble::{Repeat, trouble};

/// What is read of a file's end at first: a footer of a few hundred columns and row groups fits.
const FOOTER: u64 = 64 << 10;

/// One file on its way from prepared to visible, as it travels in the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PreparedFile {
    /// Where it is until then.
    #[serde(flatten)]
    pub(super) hidden: Hidden,
    /// Key under which readers will see it.
    #[serde(rename = "final")]
    pub(crate) target: String,
    /// Rows in it.
    pub(super) rows: u64,
    /// Its size.
    pub(crate) bytes: u64,
    /// What a log says of its columns; none where there is no log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stats: Option<String>,
}

/// Where a finished file is until it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Hidden {
    /// A file under another name.
    Staged {
        /// Its key.
        staged: String,
    },
    /// An upload that lacks only its completion.
    Upload {
        /// Its id.
        upload: String,
        /// What the store said to each part.
        parts: Vec<String>,
        /// What the file ends with.
        tail: Tail,
    },
}

/// The end of a file: its footer, which names where everything before it lies, and what that is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tail {
    pub(super) bytes: u64,
    pub(super) crc32: u32,
}

impl PreparedFile {
    /// What it is called while it is hidden.
    pub(super) fn handle(&self) -> &str {
        match &self.hidden {
            Hidden::Staged { staged } => staged,
            Hidden::Upload { .. } => &self.target,
        }
    }
}

/// What a new file is called, once its place knows how.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) pipeline: Arc<str>,
    /// Where the pipeline keeps what is not to be seen.
    pub(super) staging: Arc<str>,
    /// The folder in which readers will see it.
    pub(super) folder: String,
    /// The epoch that is open.
    pub(super) epoch: u64,
    /// Counts up over the files of this process.
    pub(super) number: u64,
    /// The process.
    pub(super) process: u64,
}

/// Something in the staging folder that another process put there.
#[derive(Debug, Clone)]
pub(super) struct Leftover {
    pub(super) key: String,
    /// When it was put there, by the store's clock.
    pub(super) put: Option<DateTime<Utc>>,
}

impl Leftover {
    pub(super) fn name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or(&self.key)
    }

    /// Whether it is of this process.
    pub(super) fn is_of(&self, process: u64) -> bool {
        let stem = self.name().rsplit_once('.').map_or(self.name(), |(stem, _)| stem);
        stem.rsplit('-').next() == Some(&format!("{process:012}"))
    }
}

/// A file that takes bytes.
#[derive(Debug)]
pub(super) enum FileWriter {
    Staged(StagedFile),
    Upload(UploadFile),
}

/// A file that has all its bytes.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) hidden: Hidden,
    /// The key under which readers will see it, if that is fixed by now.
    pub(super) target: Option<String>,
}

impl FileWriter {
    /// Takes bytes.
    pub(super) async fn put(&mut self, bytes: Bytes) -> Result<(), SinkError> {
        match self {
            Self::Staged(file) => file.put(bytes).await,
            Self::Upload(file) => file.put(bytes).await,
        }
    }

    /// Ends the file in this epoch.
    pub(super) async fn finish(self, epoch: u64) -> Result<Written, SinkError> {
        match self {
            Self::Staged(file) => file.finish().await,
            Self::Upload(file) => file.finish(epoch).await,
        }
    }
}

/// A root in a store, and how it is called.
#[derive(Debug, Clone)]
pub(super) struct Root {
    pub(super) store: Arc<dyn ObjectStore>,
    path: Path,
    /// As the user wrote it, for messages.
    url: Arc<str>,
    cloud: Option<Cloud>,
}

impl Root {
    pub(super) fn new(store: Arc<dyn ObjectStore>, path: Path, url: &str, cloud: Option<Cloud>) -> Self {
        Self { store, path, url: url.trim_end_matches('/').into(), cloud }
    }

    /// A key as people find it.
    pub(super) fn shown(&self, key: &str) -> String {
        format!("{}/{key}", self.url)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn path(&self, key: &str) -> Result<Path, SinkError> {
        if key.is_empty() {
            return Ok(self.path.clone());
        }
        let path = if self.path.is_root() { Path::parse(key) } else { Path::parse(format!("{}/{key}", self.path)) };
        path.map_err(|error| SinkError::config(format!("{:?} is no path of an object: {error}", self.shown(key))))
    }

    /// The key of a path below the root.
    pub(super) fn key(&self, path: &Path) -> Option<String> {
        Some(path.prefix_match(&self.path)?.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/"))
    }

    /// Sorts what stopped `doing`, such as "write s3://lake/orders/x.parquet".
    pub(super) fn trouble(&self, deed: Deed, doing: String, cause: StoreError, repeat: Repeat) -> SinkError {
        match self.cloud.and_then(|cloud| refusal(&cause, cloud, deed)) {
            Some(why) => SinkError::config(format!("cannot {doing}: {why}")),
            None => trouble(doing, cause, repeat),
        }
    }

    pub(super) async fn size(&self, key: &str) -> Result<Option<u64>, SinkError> {
        match self.store.head(&self.path(key)?).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.trouble(Deed::Read, format!("look at {}", self.shown(key)), error, Repeat::Safe)),
        }
    }

    pub(super) async fn remove(&self, key: &str) -> Result<(), SinkError> {
        match self.store.delete(&self.path(key)?).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.trouble(Deed::Delete, format!("remove {}", self.shown(key)), error, Repeat::Safe)),
        }
    }

    pub(super) fn cannot_list(&self, error: StoreError) -> SinkError {
        self.trouble(Deed::List, format!("list the files in {}", self.url), error, Repeat::Safe)
    }

    pub(super) fn taken(&self, file: &PreparedFile) -> SinkError {
        SinkError::fatal(
            format!("another watershed wrote {}", self.shown(&file.target)),
            "its content differs from what this pipeline prepared; let only one write there",
        )
    }

    pub(super) fn lost(&self, file: &PreparedFile) -> SinkError {
        SinkError::fatal(
            format!("prepared file lost: {}", self.shown(file.handle())),
            format!("{} rows of {} are neither staged nor visible", file.rows, self.shown(&file.target)),
        )
    }
}

/// The place of a parquet sink.
#[derive(Debug, Clone)]
pub(super) struct Place {
    root: Root,
    way: Way,
}

/// How files are shown there.
#[derive(Debug, Clone)]
enum Way {
    Rename(Renaming),
    Upload(Uploading),
}

impl Place {
    /// A local folder.
    pub(super) fn folder(renaming: Renaming) -> Self {
        Self { root: renaming.root.clone(), way: Way::Rename(renaming) }
    }

    /// A place in an object store.
    pub(super) fn store(uploading: Uploading) -> Self {
        Self { root: uploading.root.clone(), way: Way::Upload(uploading) }
    }

    /// A key as people find it.
    pub(super) fn shown(&self, key: &str) -> String {
        self.root.shown(key)
    }

    /// How many files are shown at a time: enough to hide the latency of a store.
    pub(super) fn at_a_time(&self) -> usize {
        match &self.way {
            Way::Rename(_) => 4,
            Way::Upload(uploading) => uploading.at_a_time(),
        }
    }

    /// Starts a file. Nothing is sent before its first part is full.
    pub(super) fn begin(&self, claim: Claim) -> Result<FileWriter, SinkError> {
        Ok(match &self.way {
            Way::Rename(renaming) => FileWriter::Staged(renaming.begin(&claim)?),
            Way::Upload(uploading) => FileWriter::Upload(uploading.begin(claim)),
        })
    }

    /// Finds out whether files can be made here, by making one, reading it and removing it.
    pub(super) async fn probe(&self, key: &str) -> Result<(), SinkError> {
        let path = self.root.path(key)?;
        let failed = |deed, what: &str, error| {
            self.root.trouble(deed, format!("{what} {}", self.root.url()), error, Repeat::Safe)
        };
        let content = PutPayload::from_static(b"a probe of watershed; it may be removed\n");
        match self.root.store.put_opts(&path, content, PutMode::Create.into()).await {
            // There from an attempt that could not remove it.
            Ok(_) | Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {}
            Err(error) => return Err(failed(Deed::Write, "write to", error)),
        }
        // A commit of which the answer was lost reads what it showed.
        let read = async { self.root.store.get(&path).await?.bytes().await };
        read.await.map_err(|error| failed(Deed::Read, "read from", error))?;
        match self.root.store.delete(&path).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(failed(Deed::Delete, "remove from", error)),
        }
        if let Way::Upload(uploading) = &self.way {
            uploading.has_answered();
        }
        Ok(())
    }

    /// Finds out what a run will want beside that: that uploads can be begun, listed and forgotten. Says what it found.
    pub(super) async fn probe_uploads(&self, key: &str) -> Result<String, SinkError> {
        match &self.way {
            Way::Rename(_) => Ok("wrote, read, listed and removed a probe".to_owned()),
            Way::Upload(uploading) => uploading.probe(key).await,
        }
    }

    /// The visible file of `pipeline` below the folder `under` (all, if empty) that has the greatest epoch; that epoch, its
    /// key and its size.
    pub(super) async fn newest(&self, under: &str, pipeline: &str) -> Result<Option<(u64, String, u64)>, SinkError> {
        let files = self.visible(under).await?;
        let of_pipeline = files.into_iter().filter_map(|(key, file)| {
            let epoch = names::visible_epoch(file.location.filename()?, pipeline)?;
            Some((epoch, key, file.size))
        });
        Ok(of_pipeline.max())
    }

    /// The columns inside a visible file of so many bytes, by its footer; none if it is gone.
    pub(super) async fn columns(&self, key: &str, bytes: u64) -> Result<Option<Schema>, SinkError> {
        if bytes == 0 {
            return Ok(None);
        }
        let failed =
            |error| self.root.trouble(Deed::Read, format!("read {}", self.root.shown(key)), error, Repeat::Safe);
        let path = self.root.path(key)?;
        let mut footer = FOOTER;
        loop {
            let end = match self.root.store.get_range(&path, bytes.saturating_sub(footer)..bytes).await {
                Ok(end) => end,
                Err(StoreError::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(failed(error)),
            };
            let mut reader = ParquetMetaDataReader::new();
            let read = match reader.try_parse_sized(&end, bytes) {
                Err(ParquetError::NeedMoreData(more)) if footer < bytes => {
                    footer = more as u64;
                    continue;
                }
                Err(error) => Err(error),
                Ok(()) => reader.finish(),
            };
            let columns = read.and_then(|metadata| {
                let file = metadata.file_metadata();
                parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())
            });
            return match columns {
                Ok(columns) => Ok(Some(columns)),
                Err(error) => {
                    let file = self.root.shown(key);
                    tracing::warn!(file, %error, "not readable; whether the columns kept their types is not known");
                    Ok(None)
                }
            };
        }
    }

    /// The visible files below the folder `under` (all, if empty), with their keys.
    pub(super) async fn visible(&self, under: &str) -> Result<Vec<(String, ObjectMeta)>, SinkError> {
        let prefix = self.root.path(under)?;
        let files = list_visible(&*self.root.store, &self.root.path, &prefix).await;
        let files = files.map_err(|error| self.root.cannot_list(error))?;
        Ok(files.into_iter().filter_map(|file| Some((self.root.key(&file.location)?, file))).collect())
    }

    /// Removes a visible file, if it is there.
    pub(super) async fn remove(&self, key: &str) -> Result<(), SinkError> {
        self.root.remove(key).await
    }

    /// All that processes left in the staging folder `folder`, the unfinished files of a dead one included.
    pub(super) async fn leftovers(&self, folder: &str) -> Result<Vec<Leftover>, SinkError> {
        match &self.way {
            Way::Rename(renaming) => renaming.leftovers(folder).await,
            Way::Upload(_) => {
                let listed = self.root.store.list(Some(&self.root.path(folder)?)).try_collect::<Vec<_>>().await;
                let files = listed.map_err(|error| self.root.cannot_list(error))?;
                let left = files.iter().filter_map(|file| {
                    let key = format!("{folder}/{}", file.location.filename()?);
                    Some(Leftover { key, put: Some(file.last_modified) })
                });
                Ok(left.collect())
            }
        }
    }

    /// Removes leftovers, and whatever they stand for, but for `unpublished` files. They are in nobody's way, so a failure
    /// is only worth a warning.
    pub(super) async fn sweep(
        &self,
        leftovers: Vec<Leftover>,
        pipeline: &str,
        under: &str,
        unpublished: &BTreeSet<String>,
    ) {
        match &self.way {
            Way::Rename(renaming) => {
                let keys = leftovers.into_iter().map(|left| left.key);
                renaming.sweep(keys.filter(|key| !unpublished.contains(key)).collect()).await;
            }
            Way::Upload(uploading) => uploading.sweep(leftovers, pipeline, under, unpublished).await,
        }
    }

    /// The whole of a visible file; none if it is gone.
    pub(super) async fn read(&self, key: &str) -> Result<Option<Bytes>, SinkError> {
        let failed =
            |error| self.root.trouble(Deed::Read, format!("read {}", self.root.shown(key)), error, Repeat::Safe);
        match self.root.store.get(&self.root.path(key)?).await {
            Ok(file) => file.bytes().await.map(Some).map_err(failed),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Makes finished files survive a power cut, their folders included.
    pub(super) async fn make_durable(&self, files: &[Finished]) -> Result<(), SinkError> {
        match &self.way {
            Way::Rename(renaming) => {
                renaming.sync_files(files.iter().filter_map(|file| file.written.hidden.staged()).collect()).await
            }
            // Each part was durable when the store said so.
            Way::Upload(_) => Ok(()),
        }
    }

    /// Shows prepared files. May be repeated, by any process.
    pub(super) async fn publish(&self, file: &PreparedFile) -> Result<(), SinkError> {
        match (&self.way, &file.hidden) {
            (Way::Rename(renaming), Hidden::Staged { staged }) => renaming.publish(file, staged).await,
            (Way::Upload(uploading), Hidden::Upload { upload, parts, tail }) => {
                uploading.publish(file, upload, parts, *tail).await
            }
            (Way::Rename(_), Hidden::Upload { .. }) | (Way::Upload(_), Hidden::Staged { .. }) => {
                Err(SinkError::config(format!(
                    "{} was prepared at another url than {}; run once more with the former, which shows it, then change it",
                    file.target,
                    self.root.url()
                )))
            }
        }
    }

    /// Makes the names of published files survive a power cut.
    pub(super) async fn settle(&self, files: &[PreparedFile]) -> Result<(), SinkError> {
        match &self.way {
            Way::Rename(renaming) => {
                renaming.sync_folders(files.iter().map(|file| file.target.clone()).collect()).await
            }
            Way::Upload(_) => Ok(()),
        }
    }
}

impl Hidden {
    fn staged(&self) -> Option<String> {
        match self {
            Self::Staged { staged } => Some(staged.clone()),
            Self::Upload { .. } => None,
        }
    }
}

/// The parquet files that a reader of `root` sees, by name: those in no folder that begins with `_` or `.`.
pub async fn visible_files(store: &dyn ObjectStore, root: &Path) -> Result<Vec<ObjectMeta>, SinkError> {
    let files = list_visible(store, root, root).await;
    let mut files = files.map_err(|error| trouble(format!("list the files in {root:?}"), error, Repeat::Safe))?;
    files.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(files)
}

async fn list_visible(store: &dyn ObjectStore, root: &Path, prefix: &Path) -> Result<Vec<ObjectMeta>, StoreError> {
    let is_visible = |file: &ObjectMeta| {
        let mut parts = file.location.prefix_match(root).into_iter().flatten();
        file.location.extension() == Some("parquet") && !parts.any(|part| names::is_hidden(part.as_ref()))
    };
    let listed = store.list((!prefix.is_root()).then_some(prefix));
    match listed.try_filter(|file| std::future::ready(is_visible(file))).try_collect().await {
        Err(StoreError::NotFound { .. }) => Ok(Vec::new()),
        listed => listed,
    }
}
