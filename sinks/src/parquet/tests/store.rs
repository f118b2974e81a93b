//! A store that fails, or pauses, where a test says so.

use std::fmt;
use std::io;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::Semaphore;

use super::*;
use crate::store::{MemoryUploads, Store, Unfinished, Uploads};

/// What a store is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Put,
    Multipart,
    Get,
    Copy,
    Delete,
    List,
    Begin,
    Part,
    Complete,
    Abort,
    ListUploads,
}

type Fails = Box<dyn Fn(Step, &str) -> Option<Error> + Send + Sync>;

fn nothing() -> Mutex<Fails> {
    Mutex::new(Box::new(|_, _| None))
}

/// Holds up one step of a store.
pub(crate) struct Gate {
    step: Step,
    /// How many such steps still pass before one waits.
    passing: Mutex<Option<usize>>,
    arrived: Semaphore,
    open: Semaphore,
}

impl Gate {
    /// Waits until somebody waits at the gate.
    pub(crate) async fn reached(&self) {
        self.arrived.acquire().await.unwrap().forget();
    }

    pub(crate) fn open(&self) {
        self.open.add_permits(1);
    }

    async fn pass(&self, step: Step) {
        let waits = step == self.step && {
            let mut passing = self.passing.lock().unwrap();
            let waits = *passing == Some(0);
            *passing = passing.and_then(|n| n.checked_sub(1));
            waits
        };
        if waits {
            self.arrived.add_permits(1);
            self.open.acquire().await.unwrap().forget();
        }
    }
}

/// A store whose steps fail or pause as told.
pub(crate) struct FailingStore {
    inner: Arc<dyn ObjectStore>,
    uploads: Arc<dyn Uploads>,
    fails: Mutex<Fails>,
    loses: Mutex<Fails>,
    gate: Mutex<Option<Arc<Gate>>>,
}

impl FailingStore {
    pub(crate) fn new() -> Arc<Self> {
        Self::over(Arc::new(InMemory::new()))
    }

    pub(crate) fn over(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        let uploads = Arc::new(MemoryUploads::new(Arc::clone(&inner)));
        Self::beside(inner, uploads)
    }

    /// Another way to a store whose uploads are these.
    pub(crate) fn beside(inner: Arc<dyn ObjectStore>, uploads: Arc<dyn Uploads>) -> Arc<Self> {
        Arc::new(Self { inner, uploads, fails: nothing(), loses: nothing(), gate: Mutex::default() })
    }

    /// The folder `root` in it.
    pub(crate) fn place(self: &Arc<Self>, root: &str) -> Store {
        Store::new(Arc::clone(self) as _, Arc::clone(self) as _, Path::from(root), "mem/lake")
    }

    /// From now on, `step` fails with an I/O error of `kind`.
    pub(crate) fn fail(&self, step: Step, kind: io::ErrorKind) {
        self.fail_with(move |failing, _| {
            let error = || Error::Generic { store: "FailingStore", source: Box::new(io::Error::from(kind)) };
            (failing == step).then(error)
        });
    }

    pub(crate) fn fail_with(&self, fails: impl Fn(Step, &str) -> Option<Error> + Send + Sync + 'static) {
        *self.fails.lock().unwrap() = Box::new(fails);
    }

    /// From now on, what is asked of uploads is done, and answered with these errors.
    pub(crate) fn lose_with(&self, loses: impl Fn(Step, &str) -> Option<Error> + Send + Sync + 'static) {
        *self.loses.lock().unwrap() = Box::new(loses);
    }

    fn answer<T>(&self, step: Step, path: &Path, done: Result<T>) -> Result<T> {
        match (self.loses.lock().unwrap())(step, path.as_ref()) {
            Some(error) if done.is_ok() => Err(error),
            _ => done,
        }
    }

    pub(crate) fn heal(&self) {
        self.fail_with(|_, _| None);
    }

    /// Lets `passing` more of these steps pass; the next waits until the gate is opened.
    pub(crate) fn pause(&self, step: Step, passing: usize) -> Arc<Gate> {
        let (arrived, open) = (Semaphore::new(0), Semaphore::new(0));
        let gate = Arc::new(Gate { step, passing: Mutex::new(Some(passing)), arrived, open });
        *self.gate.lock().unwrap() = Some(Arc::clone(&gate));
        gate
    }

    async fn check(&self, step: Step, path: &Path) -> Result<()> {
        self.wait(step).await;
        (self.fails.lock().unwrap())(step, path.as_ref()).map_or(Ok(()), Err)
    }

    fn wait(&self, step: Step) -> impl Future<Output = ()> + Send + 'static {
        let gate = self.gate.lock().unwrap().clone();
        async move {
            if let Some(gate) = gate {
                gate.pass(step).await;
            }
        }
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
        self.check(Step::Put, location).await?;
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.check(Step::Multipart, location).await?;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.check(Step::Get, location).await?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let fails = (self.fails.lock().unwrap())(Step::Delete, "");
        let (inner, wait) = (Arc::clone(&self.inner), self.wait(Step::Delete));
        let deleting = async move {
            wait.await;
            match fails {
                None => inner.delete_stream(locations),
                Some(error) => futures::stream::iter([Err(error)]).boxed(),
            }
        };
        futures::stream::once(deleting).flatten().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match (self.fails.lock().unwrap())(Step::List, "") {
            None => self.inner.list(prefix),
            Some(error) => futures::stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.check(Step::Copy, to).await?;
        self.inner.copy_opts(from, to, options).await
    }
}

#[async_trait]
impl Uploads for FailingStore {
    async fn begin(&self, key: &Path) -> Result<String> {
        self.check(Step::Begin, key).await?;
        let done = self.uploads.begin(key).await;
        self.answer(Step::Begin, key, done)
    }

    async fn part(&self, key: &Path, id: &str, number: usize, bytes: Bytes) -> Result<String> {
        self.check(Step::Part, key).await?;
        let done = self.uploads.part(key, id, number, bytes).await;
        self.answer(Step::Part, key, done)
    }

    async fn complete(&self, key: &Path, id: &str, parts: &[String]) -> Result<()> {
        self.check(Step::Complete, key).await?;
        let done = self.uploads.complete(key, id, parts).await;
        self.answer(Step::Complete, key, done)
    }

    async fn abort(&self, key: &Path, id: &str) -> Result<()> {
        self.check(Step::Abort, key).await?;
        let done = self.uploads.abort(key, id).await;
        self.answer(Step::Abort, key, done)
    }

    async fn unfinished(&self, below: &Path) -> Result<Vec<Unfinished>> {
        self.check(Step::ListUploads, below).await?;
        self.uploads.unfinished(below).await
    }
}
