//! JSON text, for columns that hold it and formats that do not.

use std::fmt::Write;

/// Writes a string with its quotes.
pub(super) fn string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Writing to a string does not fail.
            c if c < ' ' => drop(write!(out, "\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Writes bytes as a string in base64 (RFC 4648, section 4).
pub(super) fn base64(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.push('"');
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0u32, |bits, i| bits << 8 | group.get(i).map_or(0, |&byte| byte.into()));
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 63;
            out.push(if digit <= group.len() { char::from(DIGITS[value as usize]) } else { '=' });
        }
    }
    out.push('"');
}

/// Writes the items of a list or the members of an object with commas between them.
#[derive(Debug, Clone, Default)]
pub(super) struct Commas {
    begun: bool,
}

impl Commas {
    /// Makes room for one more.
    pub(super) fn next(&mut self, out: &mut String) {
        if std::mem::replace(&mut self.begun, true) {
            out.push(',');
        }
    }
}
