//! A store that fails on purpose, for the tests of this crate and of others.
//!
//! The one idea: the faults are those that clouds are known for, drawn by a seed or scripted one by one, and counted, so
//! that a test can say that it met them.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

use crate::environment::{Environment, Simulated};

/// What a store is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Put in one piece, and the beginning and the end of one in parts.
    Put,
    /// Get, of metadata alone too.
    Get,
    /// List.
    List,
    /// Delete.
    Delete,
    /// Copy or rename.
    Copy,
}

/// A way to fail. Which make sense for which operation is said with each; elsewhere it is an [`Error`](Self::Error).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The server says 500 and does nothing. All.
    Error,
    /// It is done, and the answer is lost on the way: an error. All but list.
    LostAnswer,
    /// No answer for a day; nothing is done. All.
    Hang,
    /// No answer for a day, although it is done. Put, delete, copy.
    DoneAndHang,
    /// No answer for a day, and it is done when something else is asked later. Put.
    Late,
    /// Done after up to ten seconds. All.
    Slow,
    /// "Already exists" although nothing landed, as S3 says when two puts meet. Put to create.
    FalseConflict,
    /// An existing object is told as "precondition failed", as Azure does. Put to create.
    Precondition,
    /// Some entries are missing. List.
    PartialList,
    /// One bit of the contents is wrong. Get.
    BitFlip,
}

/// A put that the network still holds.
type LatePut = (Path, PutPayload, PutOptions);

/// An object store with faults before it.
#[derive(Clone)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    environment: Arc<dyn Environment>,
    dice: Simulated,
    faults: Arc<Mutex<Faults>>,
}

#[derive(Default)]
struct Faults {
    likely: Vec<(Operation, Fault, f64)>,
    scripted: BTreeMap<Operation, VecDeque<Option<Fault>>>,
    injected: BTreeMap<(Operation, Fault), u64>,
    late: Vec<LatePut>,
}

impl FaultyStore {
    /// A store without faults yet, whose waits are those of `environment`.
    pub fn new(inner: Arc<dyn ObjectStore>, environment: Arc<dyn Environment>, seed: u64) -> Self {
        Self { inner, environment, dice: Simulated::new(seed), faults: Arc::default() }
    }

    /// From now on, `operation` fails like this with a probability.
    pub fn fail(&self, operation: Operation, fault: Fault, probability: f64) {
        self.faults().likely.push((operation, fault, probability));
    }

    /// The next `operation` that nothing is scripted for yet fails like this; with none, it does not fail.
    pub fn fail_next(&self, operation: Operation, fault: Option<Fault>) {
        self.faults().scripted.entry(operation).or_default().push_back(fault);
    }

    /// No faults from now on.
    pub fn heal(&self) {
        let mut faults = self.faults();
        faults.likely.clear();
        faults.scripted.clear();
    }

    /// How often each fault was injected.
    pub fn injected(&self) -> BTreeMap<(Operation, Fault), u64> {
        self.faults().injected.clone()
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        // Nobody panics while holding the lock.
        self.faults.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn draw(&self, operation: Operation) -> Option<Fault> {
        let mut faults = self.faults();
        let scripted = faults.scripted.get_mut(&operation).and_then(VecDeque::pop_front);
        let fault = scripted.unwrap_or_else(|| {
            let of_this = faults.likely.iter().filter(|(of, _, _)| *of == operation);
            let mut likely = of_this.map(|(_, fault, probability)| (*fault, *probability));
            likely.find(|(_, probability)| self.chance() < *probability).map(|(fault, _)| fault)
        })?;
        *faults.injected.entry((operation, fault)).or_default() += 1;
        Some(fault)
    }

    /// A number from 0 to 1.
    fn chance(&self) -> f64 {
        (self.dice.random_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Does `request` as the fault of the day has it. None: the fault is one that `request` knows more about.
    async fn meet<T>(&self, fault: Option<Fault>, request: impl Future<Output = Result<T>>) -> Result<T> {
        self.land_late_puts().await;
        match fault {
            None => request.await,
            Some(Fault::LostAnswer) => {
                let _ = request.await;
                Err(error("the answer was lost"))
            }
            Some(Fault::Hang | Fault::Late) => Err(self.hang().await),
            Some(Fault::DoneAndHang) => {
                let _ = request.await;
                Err(self.hang().await)
            }
            Some(Fault::Slow) => {
                self.environment.sleep(Duration::from_millis(self.dice.random_u64() % 10_000)).await;
                self.land_late_puts().await;
                request.await
            }
            Some(_) => Err(error("500")),
        }
    }

    async fn hang(&self) -> Error {
        self.environment.sleep(Duration::from_secs(24 * 3600)).await;
        error("no answer")
    }

    /// Half of the puts that are still on their way arrive.
    async fn land_late_puts(&self) {
        let late = std::mem::take(&mut self.faults().late);
        for (path, payload, options) in late {
            if self.chance() < 0.5 {
                // Nobody waits for the answer any more.
                let _ = self.inner.put_opts(&path, payload, options).await;
            } else {
                self.faults().late.push((path, payload, options));
            }
        }
    }

    async fn flipped(&self, got: GetResult) -> Result<GetResult> {
        let (meta, range, attributes) = (got.meta.clone(), got.range.clone(), got.attributes.clone());
        let mut bytes = got.bytes().await?.to_vec();
        if !bytes.is_empty() {
            let bit = self.dice.random_u64() as usize % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let stream = futures::stream::once(async move { Ok(Bytes::from(bytes)) });
        Ok(GetResult { payload: GetResultPayload::Stream(stream.boxed()), meta, range, attributes })
    }
}

fn error(what: &'static str) -> Error {
    Error::Generic { store: "FaultyStore", source: what.into() }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({:?})", self.inner)
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let fault = self.draw(Operation::Put);
        let path = location.to_string();
        let create = options.mode == PutMode::Create;
        match fault {
            Some(Fault::FalseConflict) if create => {
                return Err(Error::AlreadyExists { path, source: "409".into() });
            }
            Some(Fault::Late) => self.faults().late.push((location.clone(), payload.clone(), options.clone())),
            _ => {}
        }
        let azure = create && fault == Some(Fault::Precondition);
        let request = async {
            match self.inner.put_opts(location, payload, options).await {
                Err(Error::AlreadyExists { path, source }) if azure => Err(Error::Precondition { path, source }),
                answer => answer,
            }
        };
        self.meet(fault.filter(|_| !azure), request).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.meet(self.draw(Operation::Put), self.inner.put_multipart_opts(location, options)).await?;
        Ok(Box::new(FaultyUpload { inner, store: self.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.draw(Operation::Get);
        let flips = fault == Some(Fault::BitFlip) && !options.head;
        let got = self.meet(fault.filter(|fault| *fault != Fault::BitFlip), self.inner.get_opts(location, options));
        if flips { self.flipped(got.await?).await } else { got.await }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .then(move |location| {
                let store = store.clone();
                async move {
                    let location = location?;
                    store.meet(store.draw(Operation::Delete), store.inner.delete(&location)).await?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, fault) = (self.clone(), self.draw(Operation::List));
        let listed = self.inner.list(prefix);
        match fault {
            None => listed,
            Some(Fault::PartialList) => listed.filter(move |_| futures::future::ready(store.chance() < 0.5)).boxed(),
            fault => {
                let failed = async move { store.meet(fault, async { Ok(()) }).await.err().map(Err) };
                futures::stream::once(failed).filter_map(futures::future::ready).chain(listed).boxed()
            }
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.meet(self.draw(Operation::List), self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.meet(self.draw(Operation::Copy), self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.meet(self.draw(Operation::Copy), self.inner.rename_opts(from, to, options)).await
    }
}

/// An upload whose end may fail.
#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    store: FaultyStore,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let store = self.store.clone();
        store.meet(store.draw(Operation::Put), self.inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
