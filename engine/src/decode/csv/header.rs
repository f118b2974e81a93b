//! The names in a CSV header.

use super::super::arena::Source;
use super::Splitter;

/// A header's column names, in order.
pub(super) struct Header(Vec<String>);

impl Header {
    pub(super) fn read(bytes: &[u8], splitter: &mut Splitter) -> Self {
        Self(names(bytes, splitter))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn count(&self, name: &str) -> usize {
        self.0.iter().filter(|n| *n == name).count()
    }

    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|n| n == name)
    }
}

/// The names in a header line. A byte order mark in front and space around a name do not belong to it; a line that
/// can't be split is one name.
pub(in super::super) fn names(bytes: &[u8], splitter: &mut Splitter) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
    match splitter.split(text, 0..text.len()) {
        Ok(row) => (0..row.len())
            .map(|i| {
                let (source, range) = row.field(i, Source::scratch(text));
                source.get(range).trim().to_owned()
            })
            .collect(),
        Err(_) => vec![text.to_owned()],
    }
}
