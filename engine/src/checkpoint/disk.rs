//! A folder as an object store that survives a power cut.
//!
//! The one idea: a put is written and synced under a name that nothing lists, and only then linked to its own; then the
//! folder is synced. So a name is either absent or has all its bytes, whenever the machine stops.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path as DiskPath, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

/// A file still being written after so long was left behind by a process that died.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);

/// A local folder.
#[derive(Debug)]
pub(super) struct DiskStore {
    root: PathBuf,
    files: LocalFileSystem,
    next: AtomicU64,
}

impl DiskStore {
    /// Opens a folder, which is made if it is missing.
    pub(super) fn open(folder: &DiskPath) -> io::Result<Self> {
        make_folder(folder)?;
        let root = fs::canonicalize(folder)?;
        let files = LocalFileSystem::new_with_prefix(&root).map_err(io::Error::other)?;
        Ok(Self { root, files, next: AtomicU64::new(0) })
    }

    pub(super) fn root(&self) -> &DiskPath {
        &self.root
    }

    /// Removes from a folder what dead processes did not finish. It is in nobody's way, so that a failure does not matter.
    pub(super) fn remove_abandoned(&self, folder: &str) {
        let Ok(entries) = fs::read_dir(self.root.join(folder)) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let unfinished = name
                .to_str()
                .and_then(|name| name.rsplit_once('#'))
                .is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let age = modified.ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
            if unfinished && age.is_some_and(|age| age > ABANDONED_AFTER) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

impl fmt::Display for DiskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskStore({})", self.root.display())
    }
}

#[async_trait]
impl ObjectStore for DiskStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let create = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return self.files.put_opts(location, payload, options).await,
        };
        let path = self.files.path_to_filesystem(location)?;
        // Names of this form are left out of listings. The process and the clock keep two that share a folder apart.
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.subsec_nanos());
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let staged = format!("{}#{}{clock:09}{number}", path.display(), std::process::id()).into();
        let (location, root) = (location.clone(), self.root.clone());
        blocking(move || match put(&root, &path, staged, &payload, create) {
            Ok(()) => Ok(PutResult { e_tag: None, version: None }),
            Err(source) if create && source.kind() == ErrorKind::AlreadyExists => {
                Err(Error::AlreadyExists { path: location.to_string(), source: source.into() })
            }
            Err(source) => Err(Error::Generic { store: "DiskStore", source: source.into() }),
        })
        .await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.files.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.files.rename_opts(from, to, options).await
    }
}

/// Runs disk work where it holds up no I/O worker; in place where there are none.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(work).await?,
        Err(_) => work(),
    }
}

fn put(root: &DiskPath, path: &DiskPath, staged: PathBuf, payload: &PutPayload, create: bool) -> io::Result<()> {
    // Made anew, it would hide that all that was in it is gone.
    if !root.is_dir() {
        return Err(io::Error::new(ErrorKind::NotFound, "the state folder is gone; bring it back"));
    }
    let folder = path.parent().unwrap_or(DiskPath::new("/"));
    make_folder(folder)?;
    let staged = Staged(staged);
    let mut file = OpenOptions::new().write(true).create_new(true).open(&staged.0)?;
    payload.iter().try_for_each(|chunk| file.write_all(chunk))?;
    file.sync_all()?;
    drop(file);
    let named = if create { fs::hard_link(&staged.0, path) } else { fs::rename(&staged.0, path) };
    drop(staged);
    match named {
        // It may be one's own from a try whose folder could not be synced: whoever reads it now may rely on it.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => sync_folder(folder).and(Err(error)),
        Err(error) => Err(error),
        Ok(()) => sync_folder(folder),
    }
}

/// A file on its way; removed if it does not get there.
struct Staged(PathBuf);

impl Drop for Staged {
    fn drop(&mut self) {
        // Renamed, it is gone already; otherwise it is in nobody's way.
        let _ = fs::remove_file(&self.0);
    }
}

/// Makes a folder and those above it, so that they are there after a power cut too.
fn make_folder(folder: &DiskPath) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(DiskPath::new("/"));
    make_folder(above)?;
    match fs::create_dir(folder) {
        // Another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(ErrorKind::NotADirectory.into()),
        made => made?,
    }
    sync_folder(if above.as_os_str().is_empty() { DiskPath::new(".") } else { above })
}

fn sync_folder(folder: &DiskPath) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        // Some network file systems cannot sync a folder.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}
