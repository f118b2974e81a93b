//! Scalars from text: what a CSV field, a map's key, a JSON number or a JSON string means to a column.

use std::ops::Range;

use super::arena::Source;
use super::column::Column;
use super::mismatch::Mismatch;
use super::{base64, number, time};

impl Column {
    /// Pushes a number by its text; false if this column takes no such number.
    pub(super) fn push_number(&mut self, text: &str) -> bool {
        match self {
            Self::Int(c) => number::to_integer(text).map(|v| c.push(v)),
            Self::BigInt(c) => number::to_integer(text).map(|v| c.push(v)),
            Self::Float(c) => number::to_f32(text).map(|v| c.push(v)),
            Self::Double(c) => number::to_f64(text).map(|v| c.push(v)),
            Self::Decimal { values, precision, scale } => {
                number::to_decimal(text, *precision, *scale).map(|v| values.push(v))
            }
            Self::Timestamp { values, clock, .. } => clock.read_number(text).map(|v| values.push(v)),
            _ => None,
        }
        .is_some()
    }

    /// Pushes what JSON puts in a string, strings themselves excepted; false if this column takes no such text.
    pub(super) fn push_words(&mut self, text: &str) -> bool {
        match self {
            Self::Decimal { values, precision, scale } => {
                number::to_decimal(text, *precision, *scale).map(|v| values.push(v))
            }
            Self::Date(c) => time::date(text.as_bytes()).map(|v| c.push(v)),
            Self::Timestamp { values, clock, .. } => clock.read_words(text).map(|v| values.push(v)),
            Self::Bytes(c) => c.push_with(|out| base64::decode(text, out)).then_some(()),
            _ => None,
        }
        .is_some()
    }

    /// Pushes a bare text, as CSV has it. Space around anything but a string is ignored.
    pub(super) fn push_text(&mut self, source: Source<'_>, range: Range<usize>) -> Result<(), Mismatch> {
        let text = source.get(range.clone());
        let trimmed = text.trim_matches([' ', '\t']);
        let pushed = match self {
            Self::String(c) => {
                c.push(source, range);
                true
            }
            Self::Boolean(c) => boolean(trimmed).map(|v| c.push(v)).is_some(),
            _ => self.push_number(trimmed) || self.push_words(trimmed),
        };
        if pushed { Ok(()) } else { Err(Mismatch::new(self.expectation(), &format!("{text:?}"))) }
    }
}

fn boolean(text: &str) -> Option<bool> {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    if is("true") || is("t") || text == "1" {
        Some(true)
    } else if is("false") || is("f") || text == "0" {
        Some(false)
    } else {
        None
    }
}
