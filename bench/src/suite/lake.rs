//! What another reader finds in the lake.

use std::fs::{self, File};
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};

/// All Parquet files of a table together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lake {
    /// By their footers.
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// Looks at all files below `folder`. What begins with an underscore is not the table's.
///
/// # Errors
/// Names the file that can't be read.
pub(super) fn look(folder: &Path) -> Result<Lake, String> {
    let mut lake = Lake::default();
    add(folder, &mut lake)?;
    Ok(lake)
}

fn add(folder: &Path, lake: &mut Lake) -> Result<(), String> {
    let told = |path: &Path, why: String| format!("{}: {why}", path.display());
    for entry in fs::read_dir(folder).map_err(|error| told(folder, error.to_string()))? {
        let path = entry.map_err(|error| told(folder, error.to_string()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(['_', '.']) {
            continue;
        }
        if path.is_dir() {
            add(&path, lake)?;
        } else if name.ends_with(".parquet") {
            let file = File::open(&path).map_err(|error| told(&path, error.to_string()))?;
            lake.bytes += file.metadata().map_err(|error| told(&path, error.to_string()))?.len();
            let reader = SerializedFileReader::new(file).map_err(|error| told(&path, error.to_string()))?;
            lake.rows += u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(0);
        }
    }
    Ok(())
}
