//! The grammar of JSON (RFC 8259), as positions in bytes: where a value ends, or where it stops being JSON.
//!
//! The one idea: nothing is built and nothing recurses. Containers are counted on a 128-bit stack, one bit a level, so
//! nesting has a limit and the call stack none to fear. The bytes are known to be UTF-8.

use std::borrow::Cow;
use std::ops::Range;

use multiversion::multiversion;
use wide::u8x16;

/// Deepest nesting, the record's own object counted.
pub(super) const MAX_DEPTH: u32 = 128;

/// Where and why a text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Flaw {
    pub(in super::super) at: usize,
    pub(in super::super) what: &'static str,
}

type Lexed<T> = Result<T, Flaw>;

fn flaw<T>(at: usize, what: &'static str) -> Lexed<T> {
    Err(Flaw { at, what })
}

/// The first position from `at` on that is not white space.
#[inline]
pub(in super::super) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\t' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

/// The position of the first quote, backslash or control character from `at` on; the end if there is none.
#[inline]
pub(super) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    // Most texts are short, and end in the first sixteen bytes or the next.
    let long = at + 2 * 16;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        match marks(*chunk) {
            0 => at += 16,
            marks => return at + marks.trailing_zeros() as usize,
        }
        if at == long {
            at = skip_plain(bytes, at);
        }
    }
    // What is left, and a quote behind it.
    let rest = bytes.get(at..).unwrap_or_default();
    let mut chunk = [b'"'; 16];
    chunk[..rest.len()].copy_from_slice(rest);
    at + marks(chunk).trailing_zeros() as usize
}

/// Passes over blocks without a quote, backslash or control character: by as wide registers as the machine turns out to have,
/// where that is not known when the program is built. NEON is part of every 64-bit ARM.
#[multiversion(targets("x86_64+avx512f+avx512bw", "x86_64+avx2"))]
fn skip_plain(bytes: &[u8], mut at: usize) -> usize {
    while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk::<64>()) {
        let marked = |found, &byte| found | u8::from(byte == b'"') | u8::from(byte == b'\\') | u8::from(byte < 0x20);
        if block.iter().fold(0, marked) != 0 {
            break;
        }
        at += 64;
    }
    at
}

/// One bit for each quote, backslash or control character.
#[inline]
fn marks(chunk: [u8; 16]) -> u32 {
    let text = u8x16::new(chunk);
    let quote = text.simd_eq(u8x16::splat(b'"'));
    let backslash = text.simd_eq(u8x16::splat(b'\\'));
    let control = text.simd_eq(text.min(u8x16::splat(0x1f)));
    (quote | backslash | control).to_bitmask()
}

/// The position of the closing quote of the string that begins (behind its opening quote) at `at`.
#[inline]
pub(super) fn string_end(bytes: &[u8], mut at: usize) -> Lexed<usize> {
    loop {
        at = plain_end(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return Ok(at),
            Some(b'\\') => at = escape_end(bytes, at)?,
            Some(_) => return flaw(at, "control character in a string"),
            None => return flaw(at, "string without an end"),
        }
    }
}

/// Just behind the escape that begins with the backslash at `at`.
fn escape_end(bytes: &[u8], at: usize) -> Lexed<usize> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => match bytes.get(at + 2..at + 6) {
            Some(hex) if hex.iter().all(u8::is_ascii_hexdigit) => Ok(at + 6),
            _ => flaw(at, "\\u without four hex digits"),
        },
        _ => flaw(at, "unknown escape in a string"),
    }
}

/// Just behind the number at `at`.
#[inline]
fn number_end(bytes: &[u8], at: usize) -> Lexed<usize> {
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let start = at + usize::from(bytes[at] == b'-');
    let mut end = digits(start);
    if end == start {
        return flaw(start, "number without digits");
    }
    if bytes[start] == b'0' && end > start + 1 {
        return flaw(start, "number with a leading zero");
    }
    if bytes.get(end) == Some(&b'.') {
        let point = end;
        end = digits(point + 1);
        if end == point + 1 {
            return flaw(end, "number without digits behind the point");
        }
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let start = end + 1 + sign;
        end = digits(start);
        if end == start {
            return flaw(end, "number without digits in its exponent");
        }
    }
    Ok(end)
}

/// Just behind the scalar at `at`.
#[inline]
fn scalar_end(bytes: &[u8], at: usize) -> Lexed<usize> {
    match bytes.get(at) {
        Some(b'"') => Ok(string_end(bytes, at + 1)? + 1),
        Some(b'-' | b'0'..=b'9') => number_end(bytes, at),
        Some(b't') => literal_end(bytes, at, b"true"),
        Some(b'f') => literal_end(bytes, at, b"false"),
        Some(b'n') => literal_end(bytes, at, b"null"),
        Some(_) => flaw(at, "expected a value"),
        None => flaw(at, "expected a value, but the record ends here"),
    }
}

#[inline]
fn literal_end(bytes: &[u8], at: usize, word: &[u8]) -> Lexed<usize> {
    if bytes[at..].starts_with(word) { Ok(at + word.len()) } else { flaw(at, "expected true, false or null") }
}

/// Just behind the value at `at`, which lies inside `depth` containers.
#[inline]
pub(in super::super) fn value_end(bytes: &[u8], at: usize, depth: u32) -> Lexed<usize> {
    match bytes.get(at) {
        Some(b'{' | b'[') => container_end(bytes, at, depth),
        _ => scalar_end(bytes, at),
    }
}

fn container_end(bytes: &[u8], mut at: usize, depth: u32) -> Lexed<usize> {
    // One bit a level, the innermost lowest: 1 for an object.
    let mut open = 0u128;
    let mut level = depth;
    loop {
        // At a value.
        at = match bytes.get(at) {
            Some(&bracket @ (b'{' | b'[')) => {
                if level == MAX_DEPTH {
                    return flaw(at, "nested deeper than 128 levels");
                }
                level += 1;
                open = open << 1 | u128::from(bracket == b'{');
                let inside = skip_space(bytes, at + 1);
                // In ASCII a closing bracket stands two behind its opening one.
                if bytes.get(inside) != Some(&(bracket + 2)) {
                    at = if bracket == b'{' { key_end(bytes, inside)?.1 } else { inside };
                    continue;
                }
                inside
            }
            _ => scalar_end(bytes, at)?,
        };
        // Behind a value, or at the bracket that closes an empty container.
        loop {
            at = skip_space(bytes, at);
            let object = open & 1 == 1;
            match bytes.get(at) {
                Some(b',') => {
                    at = skip_space(bytes, at + 1);
                    if object {
                        at = key_end(bytes, at)?.1;
                    }
                    break;
                }
                Some(b'}') if object => {}
                Some(b']') if !object => {}
                _ if object => return flaw(at, "expected `,` or `}`"),
                _ => return flaw(at, "expected `,` or `]`"),
            }
            at += 1;
            level -= 1;
            open >>= 1;
            if level == depth {
                return Ok(at);
            }
        }
    }
}

/// The key at `at` without its quotes, and where its value begins.
#[inline]
pub(super) fn key_end(bytes: &[u8], at: usize) -> Lexed<(Range<usize>, usize)> {
    if bytes.get(at) != Some(&b'"') {
        return flaw(at, "expected a key in double quotes");
    }
    let end = string_end(bytes, at + 1)?;
    let colon = skip_space(bytes, end + 1);
    if bytes.get(colon) != Some(&b':') {
        return flaw(colon, "expected `:`");
    }
    Ok((at + 1..end, skip_space(bytes, colon + 1)))
}

/// Walks over a container's members.
pub(in super::super) struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u32,
    close: u8,
    first: bool,
}

/// One member of an object: its key without quotes, and its value.
pub(in super::super) struct Member {
    pub(in super::super) key: Range<usize>,
    pub(in super::super) value: Range<usize>,
}

impl<'a> Walk<'a> {
    /// Begins at the opening bracket at `at`; `depth` containers are open around it.
    pub(in super::super) fn new(bytes: &'a [u8], at: usize, depth: u32) -> Self {
        Self { bytes, at: at + 1, depth: depth + 1, close: bytes[at] + 2, first: true }
    }

    /// Behind the closing bracket, once the walk has come to its end.
    pub(in super::super) fn end(&self) -> usize {
        self.at
    }

    /// The next member of an object.
    pub(in super::super) fn member(&mut self) -> Lexed<Option<Member>> {
        if !self.advance("expected `,` or `}`")? {
            return Ok(None);
        }
        let (key, value) = key_end(self.bytes, self.at)?;
        self.at = value_end(self.bytes, value, self.depth)?;
        Ok(Some(Member { key, value: value..self.at }))
    }

    /// The next item of a list.
    pub(in super::super) fn item(&mut self) -> Lexed<Option<Range<usize>>> {
        if !self.advance("expected `,` or `]`")? {
            return Ok(None);
        }
        let start = self.at;
        self.at = value_end(self.bytes, start, self.depth)?;
        Ok(Some(start..self.at))
    }

    /// Goes to the next member, or behind the closing bracket.
    fn advance(&mut self, expected: &'static str) -> Lexed<bool> {
        self.at = skip_space(self.bytes, self.at);
        let first = std::mem::replace(&mut self.first, false);
        match self.bytes.get(self.at) {
            Some(&b) if b == self.close => {
                self.at += 1;
                return Ok(false);
            }
            Some(b',') if !first => self.at = skip_space(self.bytes, self.at + 1),
            _ if first => {}
            _ => return flaw(self.at, expected),
        }
        Ok(true)
    }
}

/// The text that a string's inside stands for; `None` for half a surrogate pair, which is no text.
pub(in super::super) fn unescape(text: &str) -> Option<Cow<'_, str>> {
    let Some(first) = memchr::memchr(b'\\', text.as_bytes()) else {
        return Some(Cow::Borrowed(text));
    };
    let mut out = String::with_capacity(text.len());
    let (plain, mut rest) = text.split_at(first);
    out.push_str(plain);
    while let Some(escape) = rest.strip_prefix('\\') {
        let code = escape.chars().next()?;
        rest = &escape[code.len_utf8()..];
        match code {
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'u' => {
                let unit = hex(rest)?;
                rest = &rest[4..];
                if !(0xd800..0xdc00).contains(&unit) {
                    out.push(char::from_u32(unit)?);
                } else {
                    rest = rest.strip_prefix("\\u")?;
                    let low = hex(rest).filter(|low| (0xdc00..0xe000).contains(low))?;
                    rest = &rest[4..];
                    out.push(char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00))?);
                }
            }
            itself => out.push(itself),
        }
        let next = memchr::memchr(b'\\', rest.as_bytes()).unwrap_or(rest.len());
        out.push_str(&rest[..next]);
        rest = &rest[next..];
    }
    Some(Cow::Owned(out))
}

fn hex(text: &str) -> Option<u32> {
    u32::from_str_radix(text.get(..4)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length and every place of a mark around what is looked at in one step.
    #[test]
    fn a_plain_text_ends_at_its_first_mark_however_long_it_is() {
        for len in 0..300 {
            let mut text = vec![b'a'; len];
            assert_eq!(plain_end(&text, 0), len);
            for mark in 0..len {
                for byte in [b'"', b'\\', 0x1f, 0] {
                    text[mark] = byte;
                    assert_eq!(plain_end(&text, 0), mark, "{byte} in {len}");
                }
                for byte in [0x7f, 0x80, 0xff, b' ', b'!', b'#'] {
                    text[mark] = byte;
                    assert_eq!(plain_end(&text, 0), len, "{byte} at {mark}");
                }
                text[mark] = b'a';
            }
        }
    }
}
