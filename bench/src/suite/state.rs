//! What a run keeps in its state folder, as it lies there.

use std::fs;
use std::io;
use std::path::Path;

/// Bytes of all files below `folder`.
///
/// # Errors
/// Names the folder, if it can't be read.
pub(super) fn bytes(folder: &Path) -> Result<u64, String> {
    sum(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

fn sum(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { sum(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

/// The newest checkpoint below `folder`; zero while there is none.
pub(super) fn epoch(folder: &Path) -> u64 {
    let manifests = fs::read_dir(folder.join("checkpoints")).into_iter().flatten().flatten();
    let epochs = manifests.filter_map(|manifest| manifest.path().file_stem()?.to_str()?.parse().ok());
    epochs.max().unwrap_or(0)
}
