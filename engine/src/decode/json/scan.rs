//! The common spelling of each scalar, read where it stands.

use super::super::arena::Source;
use super::super::column::Column;
use super::super::number::Short;
use super::super::time::{self, Clock};
use super::lex::{plain_end, value_end};

impl Column {
    /// Pushes the value at `at`, directly inside a record that ends with `bytes`, and gives the position behind it.
    /// `None`: it is malformed or does not fit; parts of it may have been pushed.
    ///
    /// The quick reading takes only what it can't get wrong. It may stop in the middle of a malformed value, never with
    /// another value than the exact reading, and what follows a value is checked by the caller.
    #[inline]
    pub(super) fn scan(&mut self, source: Source<'_>, bytes: &[u8], at: usize) -> Option<usize> {
        if let Some(end) = self.scan_quick(source, bytes, at) {
            return Some(end);
        }
        let end = value_end(bytes, at, 1).ok()?;
        self.push_json(source, at..end).ok()?;
        Some(end)
    }

    /// Pushes nothing where it gives `None`.
    #[inline]
    fn scan_quick(&mut self, source: Source<'_>, bytes: &[u8], at: usize) -> Option<usize> {
        match self {
            Self::String(c) => {
                let end = quick_string(bytes, at)?;
                c.push(source, at + 1..end);
                Some(end + 1)
            }
            Self::BigInt(c) => {
                let short = Short::read(bytes, at)?;
                c.push(short.integer()?);
                Some(short.end)
            }
            Self::Int(c) => {
                let short = Short::read(bytes, at)?;
                c.push(short.integer()?.try_into().ok()?);
                Some(short.end)
            }
            Self::Double(c) => {
                let short = Short::read(bytes, at)?;
                c.push(short.double()?);
                Some(short.end)
            }
            Self::Float(c) => {
                let short = Short::read(bytes, at)?;
                c.push(short.float()?);
                Some(short.end)
            }
            Self::Boolean(c) => {
                let rest = &bytes[at..];
                let value = rest.starts_with(b"true");
                if !value && !rest.starts_with(b"false") {
                    return None;
                }
                c.push(value);
                Some(at + if value { 4 } else { 5 })
            }
            Self::Timestamp { values, clock: Clock::Rfc3339(day), .. } => {
                let end = quick_string(bytes, at)?;
                values.push(day.rfc3339(&bytes[at + 1..end])?);
                Some(end + 1)
            }
            Self::Timestamp { values, clock, .. } => {
                let short = Short::read(bytes, at)?;
                values.push(clock.read_integer(short.integer()?)?);
                Some(short.end)
            }
            Self::Date(c) => {
                let end = quick_string(bytes, at)?;
                c.push(time::date(&bytes[at + 1..end])?);
                Some(end + 1)
            }
            _ => None,
        }
    }
}

/// The closing quote of the string at `at`, if it is one without escapes.
#[inline]
fn quick_string(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let end = plain_end(bytes, at + 1);
    (bytes.get(end) == Some(&b'"')).then_some(end)
}
