//! A store in memory that fails where a test says so.

use std::fmt;
use std::io;

use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::*;

/// What a store is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Put,
    Multipart,
    Copy,
    Delete,
    List,
}

type Fails = Box<dyn Fn(Step, &str) -> Option<Error> + Send + Sync>;

/// A store whose steps fail as told.
pub(super) struct FailingStore {
    inner: InMemory,
    fails: Mutex<Fails>,
}

impl FailingStore {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { inner: InMemory::new(), fails: Mutex::new(Box::new(|_, _| None)) })
    }

    /// From now on, `step` fails with an I/O error of `kind`.
    pub(super) fn fail(&self, step: Step, kind: io::ErrorKind) {
        self.fail_with(move |failing, _| {
            let error = || Error::Generic { store: "FailingStore", source: Box::new(io::Error::from(kind)) };
            (failing == step).then(error)
        });
    }

    pub(super) fn fail_with(&self, fails: impl Fn(Step, &str) -> Option<Error> + Send + Sync + 'static) {
        *self.fails.lock().unwrap() = Box::new(fails);
    }

    pub(super) fn heal(&self) {
        self.fail_with(|_, _| None);
    }

    fn check(&self, step: Step, path: &Path) -> Result<()> {
        (self.fails.lock().unwrap())(step, path.as_ref()).map_or(Ok(()), Err)
    }
}

impl fmt::Debug for FailingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FailingStore")
    }
}

impl fmt::Display for FailingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FailingStore")
    }
}

#[async_trait]
impl ObjectStore for FailingStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.check(Step::Put, location)?;
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.check(Step::Multipart, location)?;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.check(Step::Delete, &Path::ROOT) {
            Ok(()) => self.inner.delete_stream(locations),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.check(Step::List, prefix.unwrap_or(&Path::ROOT)) {
            Ok(()) => self.inner.list(prefix),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.check(Step::Copy, to)?;
        self.inner.copy_opts(from, to, options).await
    }
}
