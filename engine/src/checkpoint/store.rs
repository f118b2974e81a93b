//! The state store, asked with patience.
//!
//! The one idea: every request has a time-out of its own, and trouble that may pass is met by asking again, for a bounded
//! time. It is told once when it begins and once when it is over, not at every try.

use std::future::Future;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::future::{Either, select};
use object_store::path::Path;
use object_store::{Error as StoreError, GetOptions, ObjectMeta, ObjectStore};

use super::error::{StateError, reason};
use crate::environment::Environment;

/// A daemon that could not commit for so long stops (docs/design: another may have taken over by then).
const PATIENCE: Duration = Duration::from_secs(600);
/// Before a place has ever answered, its url is more likely wrong than its server down.
const FIRST_PATIENCE: Duration = Duration::from_secs(60);
/// What any one request may take, whatever its size, if nothing else is said ...
const REQUEST: Duration = Duration::from_secs(30);
/// ... and how many bytes a second a slow line moves.
const SLOW_LINE: u64 = 512 << 10;
/// A listing of this many bytes is a large one.
const LISTING: u64 = 64 << 20;
/// First and last pause between tries; each is drawn from the upper half.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// An object store with time-outs and retries around it.
#[derive(Debug, Clone)]
pub struct StateStore {
    store: Arc<dyn ObjectStore>,
    environment: Arc<dyn Environment>,
    url: Arc<str>,
    timeout: Duration,
    patience: Duration,
    /// Requests that are being asked again.
    troubled: Arc<AtomicUsize>,
    /// True once anything worked.
    answered: Arc<AtomicBool>,
}

impl StateStore {
    /// A store that messages call `url`.
    pub fn new(store: Arc<dyn ObjectStore>, url: &str, environment: Arc<dyn Environment>) -> Self {
        Self {
            store,
            environment,
            url: url.trim_end_matches('/').into(),
            timeout: REQUEST,
            patience: PATIENCE,
            troubled: Arc::default(),
            answered: Arc::default(),
        }
    }

    /// The same store, of which a request may take so long, beside the time for its bytes.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same store, asked for so long.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    pub(super) fn environment(&self) -> &Arc<dyn Environment> {
        &self.environment
    }

    pub(super) fn object_store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Begins something that may take several tries. `doing` completes "can't ...".
    pub(super) fn begin(&self, doing: String) -> Trial<'_> {
        let patience = match self.answered.load(Ordering::Relaxed) {
            true => self.patience,
            false => self.patience.min(FIRST_PATIENCE),
        };
        let give_up_at = self.environment.elapsed().saturating_add(patience);
        Trial { store: self, doing, give_up_at, pause: PAUSES.0, troubled: false, succeeded: false }
    }

    /// One request, cut off when it takes longer than `bytes` may.
    pub(super) async fn once<T>(
        &self,
        bytes: u64,
        request: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let limit = self.timeout + Duration::from_secs(bytes / SLOW_LINE);
        match select(pin!(request), self.environment.sleep(limit)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(StoreError::Generic {
                store: "StateStore",
                source: format!("no answer within {} s", limit.as_secs()).into(),
            }),
        }
    }

    /// Asks until there is an answer or the patience is over. None: there is no such object.
    async fn ask<T, F>(&self, doing: String, bytes: u64, request: impl Fn() -> F) -> Result<Option<T>, StateError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut trial = self.begin(doing);
        loop {
            match self.once(bytes, request()).await {
                Ok(answer) => {
                    trial.succeed();
                    return Ok(Some(answer));
                }
                Err(StoreError::NotFound { .. }) => {
                    trial.succeed();
                    return Ok(None);
                }
                Err(error) => trial.wait(error).await?,
            }
        }
    }

    /// The object, or so many of its bytes. None: there is no such object. `bytes` is what is expected to come.
    pub(super) async fn get(
        &self,
        path: &Path,
        range: Option<Range<u64>>,
        bytes: u64,
    ) -> Result<Option<Bytes>, StateError> {
        let request = || async {
            let options = GetOptions { range: range.clone().map(Into::into), ..GetOptions::default() };
            self.store.get_opts(path, options).await?.bytes().await
        };
        self.ask(format!("read {}", self.shown(path)), bytes, request).await
    }

    /// True if there is such an object.
    pub(super) async fn exists(&self, path: &Path) -> Result<bool, StateError> {
        Ok(self.size(path).await?.is_some())
    }

    /// Its size in bytes. None: there is no such object.
    pub(super) async fn size(&self, path: &Path) -> Result<Option<u64>, StateError> {
        let request = || async {
            let options = GetOptions { head: true, ..GetOptions::default() };
            Ok(self.store.get_opts(path, options).await?.meta.size)
        };
        self.ask(format!("look at {}", self.shown(path)), 0, request).await
    }

    /// All objects below a folder.
    pub(super) async fn list(&self, folder: &Path) -> Result<Vec<ObjectMeta>, StateError> {
        let doing = format!("list {}", self.shown(folder));
        let request = || self.store.list(Some(folder)).try_collect();
        match self.ask(doing.clone(), LISTING, request).await? {
            Some(listed) => Ok(listed),
            // A folder that is missing lists as empty: this is the bucket.
            None => Err(StateError::store(
                &doing,
                StoreError::NotFound { path: folder.to_string(), source: "no bucket or container".into() },
            )),
        }
    }

    /// A path as people find it.
    pub(super) fn shown(&self, path: &Path) -> String {
        format!("{} in {}", path, self.url)
    }
}

/// Something that is tried until it works, it can't work, or the patience is over.
pub(super) struct Trial<'a> {
    store: &'a StateStore,
    doing: String,
    give_up_at: Duration,
    pause: Duration,
    troubled: bool,
    succeeded: bool,
}

impl Trial<'_> {
    /// Waits before the next try, or says why there is none.
    ///
    /// What only the user can mend ends the trial at once where nothing has ever worked. Later it may be a hiccup of the
    /// permissions or a disk that somebody is about to clear, so that it is tried again as well.
    pub(super) async fn wait(&mut self, error: StoreError) -> Result<(), StateError> {
        let environment = &self.store.environment;
        let left = self.give_up_at.saturating_sub(environment.elapsed());
        let hopeless = reason(&error).is_some() && !self.store.answered.load(Ordering::Relaxed);
        if left.is_zero() || hopeless {
            return Err(StateError::store(&self.doing, error));
        }
        if !self.troubled {
            self.troubled = true;
            if self.store.troubled.fetch_add(1, Ordering::Relaxed) == 0 {
                let (url, seconds) = (&*self.store.url, left.as_secs());
                tracing::warn!(url, %error, "can't {}; trying again for up to {seconds} s", self.doing);
            }
        }
        let half = self.pause / 2;
        let jitter = environment.random_u64() % (half.as_nanos() as u64).max(1);
        environment.sleep((half + Duration::from_nanos(jitter)).min(left)).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
        Ok(())
    }

    /// It worked.
    pub(super) fn succeed(&mut self) {
        self.succeeded = true;
        self.store.answered.store(true, Ordering::Relaxed);
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        let last = self.troubled && self.store.troubled.fetch_sub(1, Ordering::Relaxed) == 1;
        if last && self.succeeded {
            tracing::info!(url = &*self.store.url, "the state store answers again");
        }
    }
}
