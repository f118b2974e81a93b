//! Columns that stand in the names of folders, hive's way: `country=DE/part.parquet`.

use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int8Array, StringArray};
use arrow::datatypes::Int8Type;

/// What a folder is called whose rows have no value.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// A column that has one value in a whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FolderColumn {
    pub(super) name: String,
    value: Option<String>,
}

impl FolderColumn {
    /// The columns that the folders above the file at `path` name. Of two of one name, the inner one counts.
    pub(super) fn all(path: &str) -> Vec<Self> {
        let mut columns: Vec<Self> = Vec::new();
        let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
        for (name, value) in folders.split('/').filter_map(|folder| folder.split_once('=')) {
            let name = unescape(name);
            columns.retain(|column| column.name != name);
            columns.push(Self { name, value: (value != NO_VALUE).then(|| unescape(value)) });
        }
        columns
    }

    /// The value `rows` times, as text.
    pub(super) fn array(&self, rows: usize) -> ArrayRef {
        let values = Arc::new(StringArray::from_iter_values(&self.value));
        // There is at most one value, at key 0.
        let key = self.value.as_ref().map(|_| 0);
        Arc::new(DictionaryArray::<Int8Type>::new(Int8Array::from(vec![key; rows]), values))
    }
}

/// Undoes hive's `%XX`. What is no such escape, or would give broken text, stays as it is.
fn unescape(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let digits = behind.get(..2).filter(|_| first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit())).map(|d| u8::from_str_radix(d, 16)) {
            Some(Ok(byte)) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(first);
                rest = behind;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| name.to_owned())
}
