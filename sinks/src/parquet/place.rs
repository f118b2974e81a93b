//! The folder of a parquet sink, as an object store: probing, listing, publishing, sweeping.
//!
//! The one idea: everything is named by its key below the root, so that what was prepared in one process is found by the
//! next, whatever the current folder is then.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path as DiskPath, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use serde::{Deserialize, Serialize};

use super::names;
use super::trouble::{Repeat, trouble};
use crate::error::SinkError;

/// How much of two files is compared at a time.
const COMPARED_BYTES: u64 = 4 << 20;

/// One file on its way from staged to visible, as it travels in the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PreparedFile {
    /// Key of the staged file.
    pub(super) staged: String,
    /// Key under which readers will see it.
    #[serde(rename = "final")]
    pub(super) target: String,
    /// Rows in it.
    pub(super) rows: u64,
    /// Its size.
    pub(super) bytes: u64,
}

/// The folder of a parquet sink.
#[derive(Debug, Clone)]
pub(super) struct Place {
    store: Arc<dyn ObjectStore>,
    root: Path,
    /// The root as the user wrote it, for messages.
    url: Arc<str>,
    /// The root on this machine, if it is a local folder: only there, files must be synced to survive a power cut.
    disk: Option<Arc<DiskPath>>,
}

impl Place {
    pub(super) fn new(store: Arc<dyn ObjectStore>, root: Path, url: &str, disk: Option<PathBuf>) -> Self {
        Self { store, root, url: url.trim_end_matches('/').into(), disk: disk.map(Arc::from) }
    }

    /// A key as people find it.
    pub(super) fn shown(&self, key: &str) -> String {
        format!("{}/{key}", self.url)
    }

    fn path(&self, key: &str) -> Result<Path, SinkError> {
        let path = if self.root.is_root() { Path::parse(key) } else { Path::parse(format!("{}/{key}", self.root)) };
        path.map_err(|error| SinkError::config(format!("{:?} is no path of an object: {error}", self.shown(key))))
    }

    /// Starts a file. Nothing is sent before its first part is full.
    pub(super) fn begin(&self, key: &str) -> Result<BufWriter, SinkError> {
        // 5 MiB is the least that S3 takes for a part; a disk has no such minimum, and half-written files cost less memory.
        let part = if self.disk.is_some() { 1 << 20 } else { 5 << 20 };
        Ok(BufWriter::with_capacity(Arc::clone(&self.store), self.path(key)?, part))
    }

    /// Finds out whether files can be made here, by making one and removing it.
    pub(super) async fn probe(&self, key: &str) -> Result<(), SinkError> {
        let path = self.path(key)?;
        let failed = |error| trouble(format!("write to {}", self.url), error, Repeat::Safe);
        let content = PutPayload::from_static(b"a probe of watershed; it may be removed\n");
        match self.store.put_opts(&path, content, PutMode::Create.into()).await {
            // There from an attempt that could not remove it.
            Ok(_) | Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {}
            Err(error) => return Err(failed(error)),
        }
        self.store.delete(&path).await.map_err(failed)
    }

    /// The greatest epoch among the visible files of `pipeline` below the folder `under` (all, if empty).
    pub(super) async fn last_epoch(&self, under: &str, pipeline: &str) -> Result<Option<u64>, SinkError> {
        let prefix = if under.is_empty() { self.root.clone() } else { self.path(under)? };
        let files = list_visible(&*self.store, &self.root, &prefix).await.map_err(|error| self.cannot_list(error))?;
        let names = files.iter().filter_map(|file| file.location.filename());
        Ok(names.filter_map(|name| names::visible_epoch(name, pipeline)).max())
    }

    fn cannot_list(&self, error: StoreError) -> SinkError {
        trouble(format!("list the files in {}", self.url), error, Repeat::Safe)
    }

    /// Keys of all files in the staging folder `folder`, the unfinished ones of a dead process included.
    pub(super) async fn staged(&self, folder: &str) -> Result<Vec<String>, SinkError> {
        let Some(disk) = &self.disk else {
            let files: Vec<_> =
                self.store.list(Some(&self.path(folder)?)).try_collect().await.map_err(|e| self.cannot_list(e))?;
            let names = files.iter().filter_map(|file| file.location.filename());
            return Ok(names.map(|name| format!("{folder}/{name}")).collect());
        };
        // A store on a disk does not list the parts of unfinished files.
        let (on_disk, folder) = (disk.join(folder), folder.to_owned());
        let listed = blocking(move || match fs::read_dir(on_disk) {
            Ok(entries) => entries
                .map(|entry| entry.map(|entry| format!("{folder}/{}", entry.file_name().to_string_lossy())))
                .collect::<io::Result<Vec<_>>>(),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        });
        listed.await.map_err(|error| trouble(format!("list the staged files in {}", self.url), error, Repeat::Safe))
    }

    /// Removes leftovers. They are in nobody's way, so a failure is only worth a warning.
    pub(super) async fn sweep(&self, keys: Vec<String>) {
        for key in keys {
            let removed = match &self.disk {
                Some(disk) => {
                    let path = disk.join(&key);
                    blocking(move || fs::remove_file(path)).await.or_else(|error| match error.kind() {
                        ErrorKind::NotFound => Ok(()),
                        _ => Err(error.to_string()),
                    })
                }
                None => self.remove(&key).await.map_err(|error| error.to_string()),
            };
            if let Err(error) = removed {
                tracing::warn!(file = self.shown(&key), error, "cannot remove a leftover of an earlier run");
            }
        }
    }

    async fn remove(&self, key: &str) -> Result<(), SinkError> {
        match self.store.delete(&self.path(key)?).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(trouble(format!("remove {}", self.shown(key)), error, Repeat::Safe)),
        }
    }

    /// Makes finished files survive a power cut, their folders included.
    pub(super) async fn sync_files(&self, keys: Vec<String>) -> Result<(), SinkError> {
        self.sync(keys, true).await.map_err(|error| trouble(format!("write to {}", self.url), error, Repeat::LosesRows))
    }

    /// Makes the names of published files survive a power cut.
    pub(super) async fn sync_folders(&self, keys: Vec<String>) -> Result<(), SinkError> {
        self.sync(keys, false).await.map_err(|error| trouble(format!("publish in {}", self.url), error, Repeat::Safe))
    }

    async fn sync(&self, keys: Vec<String>, contents: bool) -> io::Result<()> {
        match &self.disk {
            Some(disk) if !keys.is_empty() => {
                let disk = Arc::clone(disk);
                blocking(move || sync_on_disk(&disk, &keys, contents)).await
            }
            _ => Ok(()),
        }
    }

    /// Shows a prepared file: a rename that never replaces anything, and that may be repeated.
    ///
    /// | staged | final | |
    /// |---|---|---|
    /// | there | – | renamed |
    /// | – | there, same size | done before |
    /// | there | there, same content | cut short before: the staged one is removed |
    /// | there or not | there, but different | fatal: another watershed wrote it |
    /// | – | – | fatal: lost |
    pub(super) async fn publish(&self, file: &PreparedFile) -> Result<(), SinkError> {
        let (staged, target) = (self.path(&file.staged)?, self.path(&file.target)?);
        match self.store.rename_if_not_exists(&staged, &target).await {
            Ok(()) => Ok(()),
            Err(StoreError::NotFound { .. }) => match self.size(&file.target).await? {
                Some(bytes) if bytes == file.bytes => Ok(()),
                Some(_) => Err(self.taken(file)),
                None => Err(self.lost(file)),
            },
            // Some stores answer one, some the other.
            Err(error @ (StoreError::AlreadyExists { .. } | StoreError::Precondition { .. })) => {
                match (self.size(&file.staged).await?, self.size(&file.target).await?) {
                    // A store may say so although nothing landed.
                    (_, None) => Err(SinkError::retry(format!("cannot publish {}", self.shown(&file.target)), error)),
                    (None, Some(bytes)) if bytes == file.bytes => Ok(()),
                    (Some(a), Some(b)) if a == b && self.same_content(&staged, &target, a).await? => {
                        self.remove(&file.staged).await
                    }
                    _ => Err(self.taken(file)),
                }
            }
            Err(error) => Err(trouble(format!("publish {}", self.shown(&file.target)), error, Repeat::Safe)),
        }
    }

    fn taken(&self, file: &PreparedFile) -> SinkError {
        SinkError::fatal(
            format!("another watershed wrote {}", self.shown(&file.target)),
            "its content differs from what this pipeline prepared; let only one write there",
        )
    }

    fn lost(&self, file: &PreparedFile) -> SinkError {
        SinkError::fatal(
            format!("prepared file lost: {}", self.shown(&file.staged)),
            format!("{} rows of {} are neither staged nor visible", file.rows, self.shown(&file.target)),
        )
    }

    async fn size(&self, key: &str) -> Result<Option<u64>, SinkError> {
        match self.store.head(&self.path(key)?).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(trouble(format!("look at {}", self.shown(key)), error, Repeat::Safe)),
        }
    }

    async fn same_content(&self, a: &Path, b: &Path, bytes: u64) -> Result<bool, SinkError> {
        let failed = |error| trouble(format!("read {a}"), error, Repeat::Safe);
        let mut start = 0;
        while start < bytes {
            let range = start..bytes.min(start + COMPARED_BYTES);
            start = range.end;
            let a = self.store.get_range(a, range.clone()).await.map_err(failed)?;
            if a != self.store.get_range(b, range).await.map_err(failed)? {
                return Ok(false);
            }
        }
        Ok(true)
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

/// Runs disk work where it holds up no I/O worker.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn sync_on_disk(root: &DiskPath, keys: &[String], contents: bool) -> io::Result<()> {
    let mut folders = BTreeSet::new();
    for key in keys {
        let file = root.join(key);
        if contents {
            File::open(&file)?.sync_all()?;
        }
        folders
            .extend(file.ancestors().skip(1).take_while(|folder| folder.starts_with(root)).map(DiskPath::to_path_buf));
    }
    for folder in folders {
        match File::open(folder)?.sync_all() {
            // Some network file systems cannot sync a folder.
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {}
            synced => synced?,
        }
    }
    Ok(())
}
