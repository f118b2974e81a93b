//! Opens the place that a checkpoint url names.

use std::path::Path as DiskPath;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::path::Path;
use watershed_sinks::store::{self, Location, Patience, StoreOptions, without_credentials};

use super::disk::DiskStore;
use super::error::{StateError, reason};
use super::names::{CHECKPOINTS, SEGMENTS};

/// Where a chain lies.
#[derive(Debug, Clone)]
pub struct Place {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// The chain's folder in it.
    pub root: Path,
    /// The url for messages: whole, but without credentials.
    pub shown: String,
    /// What a request may take, beside the time for its bytes.
    pub timeout: Duration,
    /// How long a request is tried again.
    pub patience: Duration,
}

impl Place {
    /// Opens `url`: a local path (from the current folder; made if it is missing), `file://`, or a place in an object store
    /// as [`store::open`] knows them. No request is made yet.
    pub fn open(url: &str, options: &StoreOptions) -> Result<Self, StateError> {
        let invalid = |error: watershed_sinks::SinkError| {
            StateError::config(format_args!("can't open the state store {}: {error}", without_credentials(url)))
        };
        match Location::of(url).map_err(invalid)? {
            Location::Folder(folder) => Self::on_disk(&folder),
            Location::Store(_) => {
                let opened = store::open(url, options, Patience::State).map_err(invalid)?;
                Ok(Self {
                    store: opened.objects,
                    root: opened.root,
                    shown: opened.shown.to_string(),
                    timeout: options.timeout(),
                    patience: options.patience(),
                })
            }
        }
    }

    /// A place in a store, with the patience that is the default.
    pub fn of(store: Arc<dyn ObjectStore>, root: Path, shown: String) -> Self {
        let options = StoreOptions::default();
        Self { store, root, shown, timeout: options.timeout(), patience: options.patience() }
    }

    /// Opens a place that is another's: as [`open`](Self::open), but nothing is made or tidied in it.
    pub fn find(url: &str, options: &StoreOptions) -> Result<Self, StateError> {
        match Location::of(url).map_err(StateError::config)? {
            Location::Folder(folder) if !folder.is_dir() => {
                Err(StateError::config(format_args!("there is no folder {} on this machine", folder.display())))
            }
            _ => Self::open(url, options),
        }
    }

    fn on_disk(folder: &DiskPath) -> Result<Self, StateError> {
        let store = DiskStore::open(folder).map_err(|error| {
            let why = reason(&error).map_or_else(|| error.to_string(), str::to_string);
            StateError::config(format_args!("can't open the state folder {}: {why}", folder.display()))
        })?;
        [CHECKPOINTS, SEGMENTS].iter().for_each(|folder| store.remove_abandoned(folder));
        let shown = store.root().display().to_string();
        Ok(Self::of(Arc::new(store), Path::ROOT, shown))
    }
}
