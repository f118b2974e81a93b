//! What a JSON value means to a column: the exact reading, for every type.
//!
//! The text has been checked by the lexer; what can still go wrong is that a value does not fit its column.

use std::collections::HashMap;
use std::ops::Range;

use super::super::arena::Source;
use super::super::column::{Column, ListColumn, MapColumn, StructColumn};
use super::super::mismatch::Mismatch;
use super::lex::{Flaw, Walk, unescape};

impl Column {
    /// Pushes the value at `range` of `source`: one row, or, on a mismatch, possibly parts of one, which the caller cuts
    /// off with the rest of the record.
    pub(in super::super) fn push_json(&mut self, source: Source<'_>, range: Range<usize>) -> Result<(), Mismatch> {
        let value = source.get(range.clone());
        let pushed = match (&mut *self, value.as_bytes().first()) {
            (_, Some(b'n')) => {
                self.push_null();
                true
            }
            (Self::Json(c), _) => {
                c.push(source, range);
                true
            }
            (Self::List(c), Some(b'[')) => return push_list(c, source, range),
            (Self::Struct(c), Some(b'{')) => return push_struct(c, source, range),
            (Self::Map(c), Some(b'{')) => return push_map(c, source, range),
            (Self::Boolean(c), Some(b't' | b'f')) => {
                c.push(value == "true");
                true
            }
            (_, Some(b'"')) => self.push_string(source, range.start + 1..range.end - 1),
            (_, Some(b'-' | b'0'..=b'9')) => self.push_number(value),
            _ => false,
        };
        if pushed { Ok(()) } else { Err(Mismatch::new(self.expectation(), value)) }
    }

    /// Pushes the string whose inside is at `inside`.
    fn push_string(&mut self, source: Source<'_>, inside: Range<usize>) -> bool {
        let Some(text) = unescape(source.get(inside.clone())) else {
            return false;
        };
        match (self, text) {
            (Self::String(c), std::borrow::Cow::Borrowed(_)) => c.push(source, inside),
            (Self::String(c), std::borrow::Cow::Owned(text)) => c.push_owned(&text),
            (column, text) => return column.push_words(&text),
        }
        true
    }
}

fn push_list(column: &mut ListColumn, source: Source<'_>, range: Range<usize>) -> Result<(), Mismatch> {
    let mut walk = Walk::new(&source.text.as_bytes()[..range.end], range.start, 0);
    let mut index = 0;
    while let Some(item) = walk.item().map_err(broken)? {
        column.items.push_json(source, item).map_err(|m| m.in_item(index))?;
        index += 1;
    }
    column.push();
    Ok(())
}

fn push_struct(column: &mut StructColumn, source: Source<'_>, range: Range<usize>) -> Result<(), Mismatch> {
    let bytes = &source.text.as_bytes()[..range.end];
    let mut found = std::mem::take(&mut column.found);
    found.clear();
    found.resize(column.children.len(), None);
    let mut walk = Walk::new(bytes, range.start, 0);
    let mut guess = 0;
    while let Some(member) = walk.member().map_err(broken)? {
        let key = key_text(source, member.key)?;
        if let Some(child) = column.names.find(&key, guess) {
            found[child] = Some(member.value);
            guess = child + 1;
        }
    }
    for (i, child) in column.children.iter_mut().enumerate() {
        match found[i].take() {
            Some(value) => child.push_json(source, value).map_err(|m| m.in_field(column.names.get(i)))?,
            None => child.push_null(),
        }
    }
    column.found = found;
    column.push();
    Ok(())
}

fn push_map(column: &mut MapColumn, source: Source<'_>, range: Range<usize>) -> Result<(), Mismatch> {
    let mut walk = Walk::new(&source.text.as_bytes()[..range.end], range.start, 0);
    let mut entries = Vec::new();
    // A key that comes again keeps its place and gets the later value.
    let mut places = HashMap::new();
    while let Some(member) = walk.member().map_err(broken)? {
        let key = key_text(source, member.key.clone())?;
        let place = *places.entry(key).or_insert(entries.len());
        if place == entries.len() {
            entries.push((member.key, member.value));
        } else {
            entries[place].1 = member.value;
        }
    }
    for (key, value) in entries {
        let text = key_text(source, key.clone())?;
        match &text {
            std::borrow::Cow::Borrowed(_) => column.keys.push_text(source, key),
            std::borrow::Cow::Owned(text) => column.keys.push_text(Source::scratch(text), 0..text.len()),
        }?;
        column.values.push_json(source, value).map_err(|m| m.in_field(&text))?;
    }
    column.push();
    Ok(())
}

/// The text of a key; half a surrogate pair is none.
pub(super) fn key_text<'a>(source: Source<'a>, key: Range<usize>) -> Result<std::borrow::Cow<'a, str>, Mismatch> {
    let raw = source.get(key);
    unescape(raw).ok_or_else(|| Mismatch::new("a key of whole characters", raw))
}

/// Checked text has no flaws; one that slipped through is still a bad record.
fn broken(flaw: Flaw) -> Mismatch {
    Mismatch::new("JSON", flaw.what)
}
