//! What can go wrong with the state store, sorted by what the caller should do about it.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, ErrorKind};

use object_store::Error as StoreError;
use watershed_sinks::whole;

type Cause = Box<dyn Error + Send + Sync>;

/// A failure of the state store.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Passing trouble that did not pass in time: start again later.
    #[error("{what}: {}", whole(.cause.as_ref()))]
    Retry {
        /// What failed, and on which thing.
        what: String,
        /// Why, at the last try.
        cause: Cause,
    },
    /// The place or the permissions must change first.
    #[error("{what}")]
    Config {
        /// What is wrong and what to do.
        what: String,
    },
    /// State is there and can't be used.
    #[error("{object} is damaged: {what}; restore it from a backup, or start over without the state (--reset-state)")]
    Damaged {
        /// The object.
        object: String,
        /// How it was found out.
        what: String,
    },
    /// Another process has taken over. This one must publish nothing any more.
    #[error(
        "another watershed owns this pipeline: epoch {epoch} in {url} was written by {}",
        .rival.as_ref().map_or_else(|| format!("another process; {ONLY_ONE}"), Rival::to_string)
    )]
    Fenced {
        /// The state store.
        url: String,
        /// The epoch that this process may not write.
        epoch: u64,
        /// Who wrote it, if that can be read.
        rival: Option<Rival>,
    },
    /// State in a format that this build does not read.
    #[error("{object} has format version {found}, and this build reads versions up to {known}; {advice}")]
    Incompatible {
        /// The object.
        object: String,
        /// Its version.
        found: u64,
        /// The newest version that this build reads.
        known: u32,
        /// What to do.
        advice: &'static str,
    },
}

/// A process that wrote an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rival {
    /// Its random name.
    pub owner: String,
    /// Its generation.
    pub generation: u64,
    /// The split that it has taken over, if it wants no more of the chain.
    pub took: Option<String>,
}

/// What to do where two processes write to one chain.
const ONLY_ONE: &str = "let only one run, or give each a checkpoint url of its own";

impl Display for Rival {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} (generation {})", self.owner, self.generation)?;
        match &self.took {
            Some(split) => write!(f, ", which has taken {split} over from this silent one; start it again"),
            None => write!(f, "; {ONLY_ONE}"),
        }
    }
}

impl StateError {
    /// Trouble that may pass.
    pub fn retry(what: impl Display, cause: impl Into<Cause>) -> Self {
        Self::Retry { what: what.to_string(), cause: cause.into() }
    }

    /// Trouble that the user must mend.
    pub fn config(what: impl Display) -> Self {
        Self::Config { what: what.to_string() }
    }

    /// State that can't be used.
    pub fn damaged(object: impl Display, what: impl Display) -> Self {
        Self::Damaged { object: object.to_string(), what: what.to_string() }
    }

    /// Sorts what a store answered while `doing`, such as "write s3://b/checkpoints/0000000001.json".
    pub(super) fn store(doing: &str, cause: StoreError) -> Self {
        match reason(&cause) {
            Some(reason) => Self::config(format!("can't {doing}: {reason}")),
            None => Self::retry(format!("can't {doing}"), cause),
        }
    }
}

/// What about the place or the permissions is wrong, and what helps; none if that is not it.
pub(super) fn reason(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut next = Some(error);
    while let Some(error) = next {
        match error.downcast_ref() {
            Some(StoreError::PermissionDenied { .. }) => return Some(PERMISSION),
            Some(StoreError::Unauthenticated { .. }) => return Some(CREDENTIALS),
            Some(StoreError::NotFound { .. }) => return Some(MISSING),
            Some(error @ StoreError::Generic { .. }) => {
                if let Some(reason) = status_reason(&error.to_string()) {
                    return Some(reason);
                }
            }
            Some(StoreError::NotImplemented { .. } | StoreError::NotSupported { .. }) => {
                return Some("this store can't create an object only where none is; use another for checkpoints");
            }
            _ => {}
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            let inner = || error.get_ref().and_then(|inner| reason(inner));
            if let Some(reason) = io_reason(error).or_else(inner) {
                return Some(reason);
            }
        }
        next = error.source();
    }
    None
}

const PERMISSION: &str = "permission denied; let these credentials read, write, list and delete there";
const CREDENTIALS: &str = "the credentials are not accepted; renew them";
const MISSING: &str = "it does not exist; make the bucket, container or folder, or mend the checkpoint url";

/// What a cloud refused without a kind of its own, as it is with listings: only the text tells the status.
fn status_reason(text: &str) -> Option<&'static str> {
    let (_, status) = text.split_once("non-2xx status code: ")?;
    match status.get(..3)? {
        "401" => Some(CREDENTIALS),
        "403" => Some(PERMISSION),
        "404" => Some(MISSING),
        _ => None,
    }
}

fn io_reason(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::StorageFull => Some("the disk is full; free some space, or move the state elsewhere"),
        ErrorKind::QuotaExceeded => Some("the disk quota is used up; free some space, or move the state elsewhere"),
        ErrorKind::ReadOnlyFilesystem => {
            Some("the file system is read-only; mount it writable, or keep the state elsewhere")
        }
        ErrorKind::PermissionDenied => Some("permission denied; let this user read and write there"),
        ErrorKind::NotFound => Some("the folder is gone; put it back, or mend the checkpoint url"),
        ErrorKind::NotADirectory => Some("a part of the path is a file, not a folder; mend the checkpoint url"),
        ErrorKind::InvalidFilename => Some("the name is too long or not allowed there; mend the checkpoint url"),
        _ => None,
    }
}
