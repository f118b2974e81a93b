//! What another reader finds in the lake.

use std::fs::{self, File};
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};

/// Rows of all Parquet files below `folder`, by their footers. What begins with an underscore is not the table's.
///
/// # Errors
/// Names the file that can't be read.
pub(super) fn rows(folder: &Path) -> Result<u64, String> {
    let told = |path: &Path, why: String| format!("{}: {why}", path.display());
    let mut rows = 0;
    for entry in fs::read_dir(folder).map_err(|error| told(folder, error.to_string()))? {
        let path = entry.map_err(|error| told(folder, error.to_string()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(['_', '.']) {
            continue;
        }
        if path.is_dir() {
            rows += self::rows(&path)?;
        } else if name.ends_with(".parquet") {
            let file = File::open(&path).map_err(|error| told(&path, error.to_string()))?;
            let reader = SerializedFileReader::new(file).map_err(|error| told(&path, error.to_string()))?;
            rows += u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(0);
        }
    }
    Ok(rows)
}
