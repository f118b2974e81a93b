//! Files in a local folder: written under another name, synced, and shown by a rename.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path as DiskPath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use chrono::DateTime;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};
use tokio::io::AsyncWriteExt;

use super::names;
use super::place::{Claim, Hidden, Leftover, PreparedFile, Root, Written};
use crate::error::SinkError;
use crate::trouble::{Repeat, trouble};

/// How much of two files is compared at a time.
const COMPARED_BYTES: u64 = 4 << 20;

/// Bytes of a file that wait before they go to the disk.
const PART_BYTES: usize = 1 << 20;

/// A local folder.
#[derive(Debug, Clone)]
pub(super) struct Renaming {
    pub(super) root: Root,
    /// The folder on this machine, where files must be synced to survive a power cut.
    disk: Arc<DiskPath>,
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct StagedFile {
    root: Root,
    key: String,
    upload: BufWriter,
}

impl StagedFile {
    pub(super) async fn put(&mut self, bytes: Bytes) -> Result<(), SinkError> {
        let sent = self.upload.put(bytes).await;
        sent.map_err(|error| trouble(format!("write {}", self.shown()), error, Repeat::LosesRows))
    }

    pub(super) async fn finish(mut self) -> Result<Written, SinkError> {
        let ended = self.upload.shutdown().await;
        ended.map_err(|error| trouble(format!("write {}", self.shown()), error, Repeat::LosesRows))?;
        Ok(Written { hidden: Hidden::Staged { staged: self.key }, target: None })
    }

    pub(super) fn shown(&self) -> String {
        self.root.shown(&self.key)
    }
}

impl Renaming {
    /// The folder `disk`, which `store` shows whole.
    pub(super) fn new(store: Arc<dyn ObjectStore>, url: &str, disk: PathBuf) -> Self {
        Self { root: Root::new(store, Path::ROOT, url, None), disk: disk.into() }
    }

    pub(super) fn begin(&self, claim: &Claim) -> Result<StagedFile, SinkError> {
        let key = format!("{}/{}", claim.staging, names::staged(claim.epoch, claim.number, claim.process));
        let upload = BufWriter::with_capacity(Arc::clone(&self.root.store), self.root.path(&key)?, PART_BYTES);
        Ok(StagedFile { root: self.root.clone(), key, upload })
    }

    /// A store on a disk does not list the parts of unfinished files.
    pub(super) async fn leftovers(&self, folder: &str) -> Result<Vec<Leftover>, SinkError> {
        let (on_disk, folder) = (self.disk.join(folder), folder.to_owned());
        let listed = blocking(move || match fs::read_dir(on_disk) {
            Ok(entries) => entries
                .map(|entry| {
                    let entry = entry?;
                    let key = format!("{folder}/{}", entry.file_name().to_string_lossy());
                    // It may be gone by now.
                    let put = entry.metadata().and_then(|file| file.modified()).ok().map(DateTime::from);
                    Ok(Leftover { key, put })
                })
                .collect::<io::Result<Vec<_>>>(),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        });
        let doing = || format!("list the staged files in {}", self.root.url());
        listed.await.map_err(|error| trouble(doing(), error, Repeat::Safe))
    }

    pub(super) async fn sweep(&self, keys: Vec<String>) {
        for key in keys {
            let path = self.disk.join(&key);
            match blocking(move || fs::remove_file(path)).await {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    tracing::warn!(file = self.root.shown(&key), %error, "cannot remove a leftover of an earlier run");
                }
                _ => {}
            }
        }
    }

    pub(super) async fn sync_files(&self, keys: Vec<String>) -> Result<(), SinkError> {
        let synced = self.sync(keys, true).await;
        synced.map_err(|error| trouble(format!("write to {}", self.root.url()), error, Repeat::LosesRows))
    }

    pub(super) async fn sync_folders(&self, keys: Vec<String>) -> Result<(), SinkError> {
        let synced = self.sync(keys, false).await;
        synced.map_err(|error| trouble(format!("publish in {}", self.root.url()), error, Repeat::Safe))
    }

    async fn sync(&self, keys: Vec<String>, contents: bool) -> io::Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let disk = Arc::clone(&self.disk);
        blocking(move || sync_on_disk(&disk, &keys, contents)).await
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
    pub(super) async fn publish(&self, file: &PreparedFile, staged_key: &str) -> Result<(), SinkError> {
        let root = &self.root;
        let (staged, target) = (root.path(staged_key)?, root.path(&file.target)?);
        match root.store.rename_if_not_exists(&staged, &target).await {
            Ok(()) => Ok(()),
            Err(StoreError::NotFound { .. }) => match root.size(&file.target).await? {
                Some(bytes) if bytes == file.bytes => Ok(()),
                Some(_) => Err(root.taken(file)),
                None => Err(root.lost(file)),
            },
            // Some stores answer one, some the other.
            Err(error @ (StoreError::AlreadyExists { .. } | StoreError::Precondition { .. })) => {
                match (root.size(staged_key).await?, root.size(&file.target).await?) {
                    // A store may say so although nothing landed.
                    (_, None) => Err(SinkError::retry(format!("cannot publish {}", root.shown(&file.target)), error)),
                    (None, Some(bytes)) if bytes == file.bytes => Ok(()),
                    (Some(a), Some(b)) if a == b && self.same_content(&staged, &target, a).await? => {
                        root.remove(staged_key).await
                    }
                    _ => Err(root.taken(file)),
                }
            }
            Err(error) => Err(trouble(format!("publish {}", root.shown(&file.target)), error, Repeat::Safe)),
        }
    }

    async fn same_content(&self, a: &Path, b: &Path, bytes: u64) -> Result<bool, SinkError> {
        let failed = |error| trouble(format!("read {a}"), error, Repeat::Safe);
        let mut start = 0;
        while start < bytes {
            let range = start..bytes.min(start + COMPARED_BYTES);
            start = range.end;
            let a = self.root.store.get_range(a, range.clone()).await.map_err(failed)?;
            if a != self.root.store.get_range(b, range).await.map_err(failed)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Runs disk work where it holds up no I/O worker.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Syncs the folders of files below `root`, and their contents if asked to.
pub(crate) fn sync_on_disk(root: &DiskPath, keys: &[String], contents: bool) -> io::Result<()> {
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
