//! Where a reader stands in a file, as it is written into checkpoints.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::error::SourceError;
use crate::source::{Position, SplitId};

/// Tells a file from others that had or will have its name: the inode, and when it was made, since inodes are used
/// again. The device is left out: its number can change with a reboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Nanoseconds since the epoch; none where the file system does not say.
    created: Option<u64>,
    inode: u64,
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let created = metadata.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        Self { created: created.map(|since| since.as_nanos() as u64), inode: metadata.ino() }
    }
}

/// A place in the file or files that a path names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Place {
    path: String,
    /// Of the next record, in the decompressed stream.
    pub(super) offset: u64,
    /// The compressed data broke off here; there is no more.
    #[serde(default)]
    pub(super) broken: bool,
    /// When following: the file that `offset` is in, then those that took its name since, in order.
    #[serde(default)]
    pub(super) files: Vec<Identity>,
    /// When following several paths: the files read to the end under this one that may still be around under others.
    #[serde(default)]
    pub(super) done: Vec<Identity>,
}

impl Place {
    pub(super) fn parse(position: &Position, split: &SplitId) -> Result<Self, SourceError> {
        let place = Self::deserialize(&position.0).map_err(|e| {
            SourceError::config(format!("{split}: the checkpoint holds no position in a file ({e}); start with --reset-state to read from the start"))
        })?;
        if place.path == split.as_str() {
            return Ok(place);
        }
        Err(SourceError::config(format!("{split}: the checkpoint holds a position in another file, {}", place.path)))
    }

    pub(super) fn bounded(split: &SplitId, offset: u64, broken: bool) -> Position {
        if broken {
            return Position(json!({ "path": split, "offset": offset, "broken": true }));
        }
        Position(json!({ "path": split, "offset": offset }))
    }

    pub(super) fn followed(split: &SplitId, offset: u64, files: &[Identity], done: &[Identity]) -> Position {
        if done.is_empty() {
            return Position(json!({ "path": split, "offset": offset, "files": files }));
        }
        Position(json!({ "path": split, "offset": offset, "files": files, "done": done }))
    }
}
