//! The payload bytes of a chunk as text, checked once.

use std::borrow::Cow;
use std::ops::Range;

use watershed_connectors::Records;

/// The whole arena of some [`Records`] as text, at the same offsets.
///
/// Payloads are separated by newlines, so the arena is UTF-8 exactly if each payload is. Where one is not, its place is
/// filled with spaces and [`Arena::flaw`] says why.
pub(super) struct Arena<'a> {
    records: &'a Records,
    text: Cow<'a, str>,
}

impl<'a> Arena<'a> {
    pub(super) fn of(records: &'a Records) -> Self {
        let text = match simdutf8::basic::from_utf8(records.bytes()) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(without_broken(records)),
        };
        Self { records, text }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// True if a payload is not text.
    pub(super) fn is_broken(&self) -> bool {
        matches!(self.text, Cow::Owned(_))
    }

    /// Why record `i` is not text; `None` for every record that is.
    pub(super) fn flaw(&self, i: usize) -> Option<String> {
        if !self.is_broken() {
            return None;
        }
        let flaw = std::str::from_utf8(self.records.payload(i)).err()?;
        Some(format!("invalid UTF-8 at byte {}", flaw.valid_up_to()))
    }
}

fn without_broken(records: &Records) -> String {
    let mut text = String::with_capacity(records.byte_len());
    for i in 0..records.len() {
        let span = records.span(i);
        pad(&mut text, span.start);
        if let Ok(payload) = std::str::from_utf8(records.payload(i)) {
            text.push_str(payload);
        }
        pad(&mut text, span.end);
    }
    pad(&mut text, records.byte_len());
    text
}

fn pad(text: &mut String, len: usize) {
    text.extend(std::iter::repeat_n(' ', len.saturating_sub(text.len())));
}

/// A text that values are read from, and whether it is the arena: strings found in the arena are kept as ranges,
/// strings from elsewhere are copied.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) text: &'a str,
    pub(super) in_arena: bool,
}

impl<'a> Source<'a> {
    pub(super) fn arena(text: &'a str) -> Self {
        Self { text, in_arena: true }
    }

    pub(super) fn scratch(text: &'a str) -> Self {
        Self { text, in_arena: false }
    }

    pub(super) fn get(&self, range: Range<usize>) -> &'a str {
        &self.text[range]
    }
}
