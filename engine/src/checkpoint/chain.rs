//! The chain of manifests: one per epoch, each owned by the process that created it.
//!
//! The one idea: the right to write epoch n+1 is the put-if-absent of its manifest, and a process holds it as a
//! [`Writer`]. Taking over is writing an epoch, too: after it, the put of whoever wrote before fails. A writer that
//! failed once is dead; only a takeover makes a new one.

use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use bytes::Bytes;
use object_store::ObjectStore;
use object_store::path::Path;

use super::block::Piece;
use super::create::{Created, create};
use super::document::{self, Unreadable};
use super::error::{Rival, StateError};
use super::manifest::{MANIFEST_VERSION, Manifest};
use super::place::Place;
use super::store::StateStore;
use super::sweep::Known;
use super::writer::Writer;
use super::{fetch, names};
use crate::environment::Environment;

/// The checkpoints of a region. Clones are the same chain.
#[derive(Debug, Clone)]
pub struct Chain {
    store: StateStore,
    checkpoints: Path,
    segments: Path,
    owner: Arc<str>,
    known: Arc<Mutex<Known>>,
}

/// What became of the manifest of an epoch.
pub(super) enum Put {
    /// It stands.
    Stands,
    /// The epoch is another's.
    Taken(Option<Rival>),
}

impl Chain {
    /// The chain in the folder `root` of a store, which messages call `url`. No request is made yet.
    pub fn open(store: Arc<dyn ObjectStore>, root: &Path, url: &str, environment: Arc<dyn Environment>) -> Self {
        Self::of(StateStore::new(store, url, environment), root)
    }

    /// The chain at a place. No request is made yet.
    pub fn at(place: &Place, environment: Arc<dyn Environment>) -> Self {
        let store = StateStore::new(place.store.clone(), &place.shown, environment);
        Self::of(store.with_timeout(place.timeout).with_patience(place.patience), &place.root)
    }

    /// The chain in the folder `root` of a store.
    pub fn of(store: StateStore, root: &Path) -> Self {
        let environment = store.environment();
        let owner = format!("{:016x}{:016x}", environment.random_u64(), environment.random_u64());
        Self {
            checkpoints: root.clone().join(names::CHECKPOINTS),
            segments: root.clone().join(names::SEGMENTS),
            owner: owner.into(),
            known: Arc::default(),
            store,
        }
    }

    /// The random name of this process.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The place, for messages: without credentials.
    pub fn url(&self) -> &str {
        self.store.url()
    }

    /// The name of the chain itself, wherever it lies: the random name of whoever began it. None if nobody has.
    pub async fn name(&self) -> Result<Option<String>, StateError> {
        let path = self.manifest_path(names::FIRST);
        let Some(file) = self.store.get(&path, None, 0).await? else { return Ok(None) };
        let damaged = |what| StateError::damaged(self.store.shown(&path), what);
        document::owner(&file).map(Some).map_err(damaged)
    }

    /// The newest manifest; none if there has never been one.
    ///
    /// One that can't be read is an error: an older one would show rows twice and read records again.
    pub async fn newest(&self) -> Result<Option<Manifest>, StateError> {
        match self.newest_epoch().await? {
            Some(epoch) => self.read(epoch).await.map(Some),
            None => Ok(None),
        }
    }

    /// The number of the newest epoch, whether or not its manifest can be read.
    ///
    /// A listing says where to begin; it may be old or have gaps. Milestones are never removed, and neither is anything
    /// from the last one on: from there, what exists is known by asking for it.
    pub async fn newest_epoch(&self) -> Result<Option<u64>, StateError> {
        let listed = self.store.list(&self.checkpoints).await?;
        let epochs = listed.iter().filter_map(|object| names::manifest_epoch(object.location.filename()?));
        let listed = epochs.max().unwrap_or(0);
        if listed == 0 && !self.exists(names::FIRST).await? {
            return Ok(None);
        }
        let number = names::milestone_number(listed);
        let number = last(number, |number| self.exists(names::milestone(number))).await?;
        last(listed.max(names::milestone(number)), |epoch| self.exists(epoch)).await.map(Some)
    }

    /// Becomes the owner of the chain by writing the next epoch.
    ///
    /// `build` gets the newest manifest, if there is one, and the number of the next epoch, and says what the new process
    /// begins with: usually the same state. It is called again when another process was faster. Whatever it leaves in
    /// `version`, `epoch`, `generation`, `owner` and `written_at` is overwritten.
    pub async fn take_over<E, F>(&self, mut build: F) -> Result<Writer, E>
    where
        E: From<StateError>,
        F: FnMut(Option<&Manifest>, u64) -> Result<Manifest, E>,
    {
        loop {
            let newest = self.newest().await?;
            let (epoch, generation) =
                newest.as_ref().map_or((1, 1), |newest| (newest.epoch + 1, newest.generation + 1));
            let mut manifest = build(newest.as_ref(), epoch)?;
            self.sign(&mut manifest, epoch, generation);
            if let Put::Stands = self.put_manifest(newest.as_ref(), &manifest).await? {
                return Ok(Writer::new(self.clone(), manifest));
            }
        }
    }

    /// Becomes the owner without reading what is there: the state so far is given up, readable or not. The chain goes on
    /// where it was, so that a process which still writes to it is stopped.
    pub async fn start_over<E, F>(&self, mut build: F) -> Result<Writer, E>
    where
        E: From<StateError>,
        F: FnMut(u64) -> Result<Manifest, E>,
    {
        loop {
            let epoch = self.newest_epoch().await?.map_or(1, |newest| newest + 1);
            let generation = match self.newest().await {
                Ok(newest) => newest.map_or(1, |newest| newest.generation + 1),
                // There was at most one takeover an epoch.
                Err(StateError::Damaged { .. } | StateError::Incompatible { .. }) => epoch,
                Err(error) => return Err(error.into()),
            };
            let mut manifest = build(epoch)?;
            self.sign(&mut manifest, epoch, generation);
            if let Put::Stands = self.put_manifest(None, &manifest).await? {
                return Ok(Writer::new(self.clone(), manifest));
            }
        }
    }

    /// A new name for a segment of `epoch`: one that is about to be written.
    pub fn segment_name(&self, epoch: u64) -> String {
        names::segment(epoch, self.store.environment().random_u64())
    }

    /// Stores a segment. It must be there before a manifest names it.
    pub async fn put_segment(&self, name: &str, bytes: Bytes) -> Result<(), StateError> {
        let path = self.segments.clone().join(name);
        match create(&self.store, &path, bytes).await? {
            Created::Written => {
                self.known().add_segment(name);
                Ok(())
            }
            Created::Conflict { .. } => {
                Err(StateError::damaged(self.store.shown(&path), "it should be new, and other bytes are there"))
            }
        }
    }

    /// The rows of pieces, in their order. Each segment is asked for once.
    pub async fn read_blocks(&self, pieces: &[Piece]) -> Result<Vec<RecordBatch>, StateError> {
        fetch::read_blocks(&self.store, &self.segments, pieces).await
    }

    pub(super) fn sign(&self, manifest: &mut Manifest, epoch: u64, generation: u64) {
        let now: chrono::DateTime<chrono::Utc> = self.store.environment().now().into();
        manifest.version = manifest.needed_version();
        manifest.epoch = epoch;
        manifest.generation = generation;
        manifest.owner = self.owner.to_string();
        manifest.written_at = now.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    }

    /// The commit point. `before` is the manifest that it follows on.
    ///
    /// A put can succeed although the epoch is long over, if the process slept until a sweep had removed the manifest that
    /// was there. The next milestone tells: it stands by then, and is never removed.
    pub(super) async fn put_manifest(&self, before: Option<&Manifest>, manifest: &Manifest) -> Result<Put, StateError> {
        let path = self.manifest_path(manifest.epoch);
        self.check_pieces(before, manifest, &path)?;
        let failed =
            |error| StateError::config(format_args!("can't write {} as JSON: {error}", self.store.shown(&path)));
        let file = document::encode(manifest).map_err(failed)?;
        if let Created::Conflict { found } = create(&self.store, &path, file).await? {
            return Ok(Put::Taken(rival(&found)));
        }
        let milestone = self.manifest_path(names::next_milestone(manifest.epoch));
        if let Some(found) = self.store.get(&milestone, None, 0).await? {
            return Ok(Put::Taken(rival(&found)));
        }
        self.known().add_manifest(manifest, self.store.environment().now());
        Ok(Put::Stands)
    }

    /// A sweep removes segments of earlier epochs that the newest manifest does not name: naming one again is too late.
    fn check_pieces(&self, before: Option<&Manifest>, manifest: &Manifest, path: &Path) -> Result<(), StateError> {
        let kept: std::collections::BTreeSet<&str> =
            before.into_iter().flat_map(Manifest::pieces).map(|piece| piece.segment.as_str()).collect();
        let good = |name: &str| kept.contains(name) || names::segment_epoch(name) == Some(manifest.epoch);
        match manifest.pieces().find(|piece| !good(&piece.segment)) {
            None => Ok(()),
            Some(piece) => {
                let what = format!("it would name {}, which the epoch before did not keep", piece.segment);
                Err(StateError::damaged(self.store.shown(path), what))
            }
        }
    }

    async fn exists(&self, epoch: u64) -> Result<bool, StateError> {
        self.store.exists(&self.manifest_path(epoch)).await
    }

    async fn read(&self, epoch: u64) -> Result<Manifest, StateError> {
        match self.read_once(epoch).await {
            // A flip on the way here is gone the second time; one at rest is not.
            Err(StateError::Damaged { .. }) => self.read_once(epoch).await,
            read => read,
        }
    }

    async fn read_once(&self, epoch: u64) -> Result<Manifest, StateError> {
        let path = self.manifest_path(epoch);
        let shown = || self.store.shown(&path);
        let Some(file) = self.store.get(&path, None, 0).await? else {
            return Err(StateError::damaged(shown(), "it has just been removed"));
        };
        match document::decode(&file) {
            Ok(manifest) if manifest.epoch == epoch => Ok(manifest),
            Ok(manifest) => Err(StateError::damaged(shown(), format_args!("it is of epoch {}", manifest.epoch))),
            Err(Unreadable::Damaged(what)) => Err(StateError::damaged(shown(), what)),
            Err(Unreadable::Version(found)) => Err(StateError::Incompatible {
                object: shown(),
                found,
                known: MANIFEST_VERSION,
                advice: match found > u64::from(MANIFEST_VERSION) {
                    true => "run the newer watershed that wrote it",
                    false => "no watershed wrote that; start over without the state (--reset-state)",
                },
            }),
        }
    }

    pub(super) fn fenced(&self, epoch: u64, rival: Option<Rival>) -> StateError {
        StateError::Fenced { url: self.store.url().to_string(), epoch, rival }
    }

    pub(super) fn store(&self) -> &StateStore {
        &self.store
    }

    pub(super) fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        // Nobody panics while holding the lock.
        self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn checkpoints(&self) -> &Path {
        &self.checkpoints
    }

    pub(super) fn segments(&self) -> &Path {
        &self.segments
    }

    pub(super) fn manifest_path(&self, epoch: u64) -> Path {
        self.checkpoints.clone().join(names::manifest(epoch))
    }
}

fn rival(file: &[u8]) -> Option<Rival> {
    let Manifest { owner, generation, lost_split, .. } = document::decode(file).ok()?;
    Some(Rival { owner, generation, took: lost_split })
}

/// The last number for which `holds`, which is so for `known` and all up to some number, and for none after it: steps
/// that double, then halves.
async fn last<F>(known: u64, holds: impl Fn(u64) -> F) -> Result<u64, StateError>
where
    F: Future<Output = Result<bool, StateError>>,
{
    let (mut known, mut step) = (known, 1);
    while holds(known + step).await? {
        known += step;
        step *= 2;
    }
    let mut beyond = known + step;
    while known + 1 < beyond {
        let middle = known + (beyond - known) / 2;
        match holds(middle).await? {
            true => known = middle,
            false => beyond = middle,
        }
    }
    Ok(known)
}
