//! Columns of strings and bytes: ranges while rows come and go, views at the end.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::array::builder::{BinaryViewBuilder, StringViewBuilder};

use super::super::arena::Source;

/// Set in a start that lies in the column's own text and not in the arena. Arenas end below it
/// (`Records::MAX_BYTES`), and so does the column's own text: it holds parts of one arena, unescaped.
const OWNED: u32 = 1 << 31;

/// The span of a null: no text starts there.
const NULL: (u32, u32) = (u32::MAX, 0);

/// Strings up to this length lie inside their view.
const INLINE: u32 = 12;

/// A column of strings.
pub(crate) struct TextColumn {
    /// Start and length of each string.
    spans: Vec<(u32, u32)>,
    owned: String,
}

impl TextColumn {
    pub(super) fn new() -> Self {
        Self { spans: Vec::new(), owned: String::new() }
    }

    pub(super) fn reserve(&mut self, rows: usize) {
        self.spans.reserve(rows);
    }

    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Pushes a piece of `source`.
    #[inline]
    pub(crate) fn push(&mut self, source: Source<'_>, range: Range<usize>) {
        if source.in_arena {
            self.spans.push((range.start as u32, range.len() as u32));
        } else {
            self.push_owned(source.get(range));
        }
    }

    /// Pushes a string that lies in no arena.
    pub(crate) fn push_owned(&mut self, text: &str) {
        self.spans.push((self.owned.len() as u32 | OWNED, text.len() as u32));
        self.owned.push_str(text);
    }

    pub(super) fn push_null(&mut self) {
        self.spans.push(NULL);
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        self.spans.truncate(rows);
    }

    pub(super) fn finish(&mut self, arena: &str) -> ArrayRef {
        let long: u64 = self.spans.iter().map(|&(_, len)| if len > INLINE { u64::from(len) } else { 0 }).sum();
        // One block that holds all long strings.
        let block = u32::try_from(long.max(1)).unwrap_or(u32::MAX);
        let mut builder = StringViewBuilder::with_capacity(self.spans.len()).with_fixed_block_size(block);
        for &(start, len) in &self.spans {
            if (start, len) == NULL {
                builder.append_null();
                continue;
            }
            let text = if start & OWNED == 0 { arena } else { self.owned.as_str() };
            let start = (start & !OWNED) as usize;
            builder.append_value(&text[start..start + len as usize]);
        }
        self.spans.clear();
        self.owned.clear();
        Arc::new(builder.finish())
    }
}

/// A column of bytes.
pub(crate) struct BytesColumn {
    data: Vec<u8>,
    spans: Vec<Option<Range<usize>>>,
}

impl BytesColumn {
    pub(super) fn new() -> Self {
        Self { data: Vec::new(), spans: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Pushes what `decode` appends to the column's data; nothing if it says no.
    pub(crate) fn push_with(&mut self, decode: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
        let start = self.data.len();
        let good = decode(&mut self.data);
        if good {
            self.spans.push(Some(start..self.data.len()));
        }
        good
    }

    pub(super) fn push_null(&mut self) {
        self.spans.push(None);
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        self.spans.truncate(rows);
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        let mut builder = BinaryViewBuilder::with_capacity(self.spans.len());
        for span in self.spans.drain(..) {
            builder.append_option(span.map(|span| &self.data[span]));
        }
        self.data.clear();
        Arc::new(builder.finish())
    }
}
