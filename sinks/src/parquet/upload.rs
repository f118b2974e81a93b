//! Files in an object store: each is an upload, of which all parts are there before the checkpoint, and which is completed
//! behind it.
//!
//! The one idea: a store shows an upload to nobody until it is completed, and then whole and at once. So the bytes travel
//! once, nothing is copied or renamed, and completing is all that a commit, its repetition and an heir's have to do.
//!
//! A key is used by one upload ever: it has the number of its process in it, drawn at random. So completing replaces
//! nothing, whoever wakes up late to do it, and no store has to be asked to look first.
//!
//! What a process leaves unfinished is found by the next one: it leaves a marker that names its number, and the store
//! lists uploads that nobody completed. Those with the number of a dead process are aborted.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::{TimeDelta, Utc};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt, PutPayload};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::names;
use super::place::{Claim, Hidden, Leftover, PreparedFile, Root, Tail, Written};
use crate::error::SinkError;
use crate::store::{Deed, Store, StoreOptions, Unfinished, Uploads};
use crate::trouble::Repeat;

/// The least that S3 takes for a part that is not the last.
const LEAST_PART: u64 = 5 << 20;

/// S3 takes 10,000 parts; a file may become twice as large as it was meant to be.
const MOST_PARTS: u64 = 5_000;

/// How much of a file's end is compared when it is found to be there already. A footer of a few hundred columns and row
/// groups fits.
const TAIL_BYTES: usize = 64 << 10;

/// First and last pause between tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// How many bytes a second a slow line moves.
const SLOW_LINE: u64 = 512 << 10;

/// How long the object of an upload that is gone is looked for before the file is lost: a store may still be busy with
/// putting it together for a process that died.
const LOOKED_FOR: Duration = Duration::from_secs(30);

/// How long the marker of a process stays.
const MARKED_FOR: TimeDelta = TimeDelta::days(1);

/// A place in an object store.
#[derive(Debug, Clone)]
pub(super) struct Uploading {
    pub(super) root: Root,
    uploads: Arc<dyn Uploads>,
    part_bytes: usize,
    timeout: Duration,
    patience: Duration,
    /// Parts that may be on their way at a time.
    max_uploads: usize,
    on_their_way: Arc<Semaphore>,
    /// The marker of this process: the epoch that it names, and its key.
    marked: Arc<Mutex<Option<(u64, String)>>>,
    /// True once anything worked.
    answered: Arc<AtomicBool>,
    /// Requests that are being asked again.
    troubled: Arc<AtomicUsize>,
}

impl Uploading {
    /// `file_bytes` is how large files will be, about.
    pub(super) fn new(store: Store, options: &StoreOptions, file_bytes: u64) -> Self {
        let part_bytes = file_bytes.div_ceil(MOST_PARTS).max(LEAST_PART);
        let max_uploads = options.max_uploads();
        Self {
            root: Root::new(store.objects, store.root, &store.shown, store.cloud),
            uploads: store.uploads,
            part_bytes: usize::try_from(part_bytes).unwrap_or(usize::MAX),
            timeout: options.timeout(),
            patience: options.patience(),
            max_uploads,
            on_their_way: Arc::new(Semaphore::new(max_uploads)),
            marked: Arc::default(),
            answered: Arc::default(),
            troubled: Arc::default(),
        }
    }

    pub(super) fn at_a_time(&self) -> usize {
        self.max_uploads
    }

    pub(super) fn begin(&self, claim: Claim) -> UploadFile {
        UploadFile {
            place: self.clone(),
            claim,
            begun: None,
            waiting: BytesMut::new(),
            tail: Bytes::new(),
            sending: JoinSet::new(),
            parts: Vec::new(),
        }
    }

    /// Says that something worked: what is refused from now on may be a hiccup.
    pub(super) fn has_answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// One request, cut off when it takes longer than `bytes` may.
    async fn once<T>(&self, bytes: u64, request: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let limit = self.timeout + Duration::from_secs(bytes / SLOW_LINE);
        match timeout(limit, request).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::Generic {
                store: "lake",
                source: format!("no answer within {} s", limit.as_secs()).into(),
            }),
        }
    }

    /// Asks until there is an answer, or none can come, or the patience is over. `doing` completes "cannot ...".
    ///
    /// What only the user can mend ends it at once where nothing has ever worked. Later it may be a hiccup of the
    /// permissions, so that it is tried again as well; but not an upload that is gone.
    async fn persist<T, F>(
        &self,
        doing: impl Fn() -> String,
        bytes: u64,
        request: impl Fn() -> F,
    ) -> Result<T, SinkError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let give_up = Instant::now() + self.patience;
        let mut pause = PAUSES.0;
        let mut told = false;
        loop {
            let error = match self.once(bytes, request()).await {
                Ok(answer) => {
                    self.has_answered();
                    if told && self.troubled.fetch_sub(1, Ordering::Relaxed) == 1 {
                        tracing::info!(url = self.root.url(), "the lake answers again");
                    }
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let gone = is_gone(&error);
            let left = give_up.saturating_duration_since(Instant::now());
            let text = error.to_string();
            let sorted = self.root.trouble(Deed::Write, doing(), error, Repeat::LosesRows);
            let hopeless =
                gone || (matches!(sorted, SinkError::Config { .. }) && !self.answered.load(Ordering::Relaxed));
            if hopeless || left.is_zero() {
                if told {
                    self.troubled.fetch_sub(1, Ordering::Relaxed);
                }
                return Err(sorted);
            }
            if !told {
                told = true;
                if self.troubled.fetch_add(1, Ordering::Relaxed) == 0 {
                    let seconds = left.as_secs();
                    tracing::warn!(
                        url = self.root.url(),
                        error = text,
                        "cannot {}; trying again for up to {seconds} s",
                        doing()
                    );
                }
            }
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Says that this process uploads, and up to which epoch: before it begins the first, and again where the name of a file
    /// does not say it, for the file was begun in an epoch and is prepared in a later one.
    async fn mark(&self, claim: &Claim, epoch: u64) -> Result<(), SinkError> {
        let mut marked = self.marked.lock().await;
        if marked.as_ref().is_some_and(|(through, _)| *through >= epoch) {
            return Ok(());
        }
        let key = format!("{}/{}", claim.staging, names::marker(epoch, claim.process));
        let path = self.root.path(&key)?;
        let content = PutPayload::from_static(
            b"a watershed writes here; the next one aborts the uploads that it leaves unfinished, and removes this\n",
        );
        let request = || async { self.root.store.put(&path, content.clone()).await.map(drop) };
        self.persist(|| format!("write {}", self.root.shown(&key)), 0, request).await?;
        if let Some((_, before)) = marked.replace((epoch, key)) {
            // If it stays, it says less than the new one, and goes with it.
            let _ = self.root.remove(&before).await;
        }
        Ok(())
    }

    /// Begins, lists and aborts an upload. Says what it found.
    pub(super) async fn probe(&self, key: &str) -> Result<String, SinkError> {
        let failed = |deed, what: &str, error| {
            let doing = format!("{what} in {}", self.root.url());
            self.root.trouble(deed, doing, error, Repeat::Safe)
        };
        let path = self.root.path(key)?;
        let begun = self.once(0, self.uploads.begin(&path)).await;
        let id = begun.map_err(|error| failed(Deed::Write, "begin an upload", error))?;
        let listed = self.once(0, self.uploads.unfinished(&path)).await;
        let aborted = self.once(0, self.uploads.abort(&path, &id)).await;
        aborted.map_err(|error| failed(Deed::Abort, "abort an upload", error))?;
        Ok(match listed {
            Ok(_) => "wrote, read, listed and removed a probe; began and aborted an upload".to_owned(),
            Err(error) => {
                let why = failed(Deed::ListUploads, "list unfinished uploads", error);
                format!("wrote, read, listed and removed a probe; {why}: let the bucket's rules abort them")
            }
        })
    }

    /// Shows a prepared file: completes its upload. May be repeated, by any process.
    ///
    /// | upload | object | |
    /// |---|---|---|
    /// | there | – | completed |
    /// | gone | there, same size and end | done before |
    /// | gone or not | there, but different | fatal: another watershed wrote it |
    /// | gone | – | looked for again, for a while; then fatal: lost |
    /// | unknown, for the store is in trouble | – | tried again by the caller |
    pub(super) async fn publish(
        &self,
        file: &PreparedFile,
        id: &str,
        parts: &[String],
        tail: Tail,
    ) -> Result<(), SinkError> {
        let target = self.root.path(&file.target)?;
        let mut pause = PAUSES.0;
        let give_up = Instant::now() + self.patience.min(LOOKED_FOR);
        // Putting parts together takes a store longer the more there are.
        while let Err(error) = self.once(file.bytes, self.uploads.complete(&target, id, parts)).await {
            match self.root.size(&file.target).await? {
                Some(bytes) if bytes == file.bytes && self.ends_with(&target, bytes, tail).await? => break,
                Some(_) => return Err(self.root.taken(file)),
                None if is_gone(&error) && Instant::now() < give_up => {
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
                None if is_gone(&error) => return Err(self.root.lost(file)),
                None => {
                    let doing = format!("publish {}", self.root.shown(&file.target));
                    return Err(self.root.trouble(Deed::Write, doing, error, Repeat::Safe));
                }
            }
        }
        self.has_answered();
        Ok(())
    }

    async fn ends_with(&self, path: &Path, bytes: u64, tail: Tail) -> Result<bool, SinkError> {
        let range = bytes.saturating_sub(tail.bytes)..bytes;
        let end = self.once(tail.bytes, self.root.store.get_range(path, range)).await;
        let failed = |error| self.root.trouble(Deed::Read, format!("read {path}"), error, Repeat::Safe);
        Ok(crc32fast::hash(&end.map_err(failed)?) == tail.crc32)
    }

    /// Aborts what dead processes left, by their markers. Those stay for a day: a process that was only paused may begin one
    /// more upload when it wakes up, before it hears that it has been replaced, and the next start is to find that as well.
    pub(super) async fn sweep(
        &self,
        leftovers: Vec<Leftover>,
        pipeline: &str,
        under: &str,
        unpublished: &BTreeSet<String>,
    ) {
        let dead: BTreeSet<u64> = leftovers.iter().filter_map(|left| names::marked_process(left.name())).collect();
        let swept = async {
            if !dead.is_empty() {
                let listed = self.once(0, self.uploads.unfinished(&self.root.path(under)?)).await;
                let doing = || format!("list unfinished uploads in {}", self.root.url());
                let listed =
                    listed.map_err(|error| self.root.trouble(Deed::ListUploads, doing(), error, Repeat::Safe))?;
                for upload in listed {
                    if self.is_left_by(&dead, &upload, pipeline, unpublished) {
                        self.abort(&upload).await?;
                    }
                }
            }
            let now = Utc::now();
            let is_old = |left: &&Leftover| left.put.is_none_or(|put| now - put > MARKED_FOR);
            for left in leftovers.iter().filter(is_old) {
                self.root.remove(&left.key).await?;
            }
            Ok::<(), SinkError>(())
        };
        if let Err(error) = swept.await {
            tracing::warn!(url = self.root.url(), %error, "uploads of an earlier run stay unfinished; they cost space");
        }
    }

    fn is_left_by(
        &self,
        dead: &BTreeSet<u64>,
        upload: &Unfinished,
        pipeline: &str,
        unpublished: &BTreeSet<String>,
    ) -> bool {
        let number = upload.key.filename().and_then(|name| names::visible_number(name, pipeline));
        let process = number.map(names::process_of);
        let key = self.root.key(&upload.key);
        process.is_some_and(|process| dead.contains(&process)) && key.is_some_and(|key| !unpublished.contains(&key))
    }

    async fn abort(&self, upload: &Unfinished) -> Result<(), SinkError> {
        match self.once(0, self.uploads.abort(&upload.key, &upload.id)).await {
            Err(error) if !is_gone(&error) => {
                let doing = format!("abort an upload of {} in {}", upload.key, self.root.url());
                Err(self.root.trouble(Deed::Abort, doing, error, Repeat::Safe))
            }
            _ => Ok(()),
        }
    }
}

/// True if a store says that there is no such upload. Azure has none by name: there it is the parts that are gone.
fn is_gone(error: &StoreError) -> bool {
    let text = error.to_string();
    let elsewhere = ["NoSuchBucket", "ContainerNotFound"].iter().any(|code| text.contains(code));
    let gone = matches!(error, StoreError::NotFound { .. })
        || ["NoSuchUpload", "InvalidBlockList", "status code: 404"].iter().any(|code| text.contains(code));
    gone && !elsewhere
}

/// An upload at a store.
#[derive(Debug)]
struct Begun {
    key: String,
    path: Path,
    id: String,
    /// The epoch in its name.
    epoch: u64,
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct UploadFile {
    place: Uploading,
    claim: Claim,
    begun: Option<Arc<Begun>>,
    /// Bytes that do not fill a part yet.
    waiting: BytesMut,
    /// What was put last.
    tail: Bytes,
    /// Parts on their way. Dropping it stops them.
    sending: JoinSet<Result<(usize, String), SinkError>>,
    /// What the store said to each part; none while it is on its way.
    parts: Vec<Option<String>>,
}

impl UploadFile {
    pub(super) fn shown(&self) -> String {
        match &self.begun {
            Some(begun) => self.place.root.shown(&begun.key),
            None => self.place.root.shown(&self.claim.folder),
        }
    }

    pub(super) async fn put(&mut self, bytes: Bytes) -> Result<(), SinkError> {
        self.tail = bytes.slice(bytes.len().saturating_sub(TAIL_BYTES)..);
        self.waiting.extend_from_slice(&bytes);
        while self.waiting.len() >= self.place.part_bytes {
            let part = self.waiting.split_to(self.place.part_bytes).freeze();
            self.send(part, self.claim.epoch).await?;
        }
        while let Some(sent) = self.sending.try_join_next() {
            self.take(sent)?;
        }
        Ok(())
    }

    /// Sends a part once there is room for it among those on their way; begins the upload before the first, in `epoch`.
    async fn send(&mut self, part: Bytes, epoch: u64) -> Result<(), SinkError> {
        let begun = match self.begun.clone() {
            Some(begun) => begun,
            None => {
                let begun = Arc::new(self.begin(epoch).await?);
                self.begun = Some(Arc::clone(&begun));
                begun
            }
        };
        let place = self.place.clone();
        let permit = Arc::clone(&place.on_their_way).acquire_owned().await;
        let permit = permit.map_err(|error| SinkError::fatal("parquet sink", error))?;
        let number = self.parts.len();
        self.parts.push(None);
        self.sending.spawn(async move {
            let doing = || format!("write {}", place.root.shown(&begun.key));
            let request = || place.uploads.part(&begun.path, &begun.id, number, part.clone());
            let said = place.persist(doing, part.len() as u64, request).await?;
            drop(permit);
            Ok((number, said))
        });
        Ok(())
    }

    async fn begin(&self, epoch: u64) -> Result<Begun, SinkError> {
        let place = &self.place;
        place.mark(&self.claim, epoch).await?;
        let name = names::visible(&self.claim.pipeline, epoch, names::uploaded(self.claim.process, self.claim.number));
        let key = match self.claim.folder.as_str() {
            "" => name,
            folder => format!("{folder}/{name}"),
        };
        let path = place.root.path(&key)?;
        let doing = || format!("write {}", place.root.shown(&key));
        let id = place.persist(doing, 0, || place.uploads.begin(&path)).await?;
        Ok(Begun { key, path, id, epoch })
    }

    fn take(
        &mut self,
        sent: Result<Result<(usize, String), SinkError>, tokio::task::JoinError>,
    ) -> Result<(), SinkError> {
        let (number, said) =
            sent.map_err(|error| SinkError::fatal(format!("cannot write {}", self.shown()), error))??;
        self.parts[number] = Some(said);
        Ok(())
    }

    pub(super) async fn finish(mut self, epoch: u64) -> Result<Written, SinkError> {
        if !self.waiting.is_empty() || self.parts.is_empty() {
            let last = self.waiting.split().freeze();
            self.send(last, epoch).await?;
        }
        while let Some(sent) = self.sending.join_next().await {
            self.take(sent)?;
        }
        let parts: Option<Vec<String>> = std::mem::take(&mut self.parts).into_iter().collect();
        let (Some(parts), Some(begun)) = (parts, &self.begun) else {
            return Err(SinkError::fatal(format!("cannot write {}", self.shown()), "a part was not sent"));
        };
        if begun.epoch < epoch {
            self.place.mark(&self.claim, epoch).await?;
        }
        let tail = Tail { bytes: self.tail.len() as u64, crc32: crc32fast::hash(&self.tail) };
        let hidden = Hidden::Upload { upload: begun.id.clone(), parts, tail };
        Ok(Written { hidden, target: Some(begun.key.clone()) })
    }
}
