//! Which byte of the file each byte of a string value came from, through quotes, escapes and `${…}`.

use super::document::Span;

/// One stretch of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    /// Where it starts in the value.
    value: usize,
    /// Where it starts in the file.
    file: usize,
    /// True if both go on byte by byte; false if the whole stretch stands for one place (an escape, a variable).
    literal: bool,
}

/// Maps offsets in a value to offsets in its file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mapping(Vec<Piece>);

impl Mapping {
    /// Value and file are the same bytes.
    pub(super) fn identity() -> Self {
        Self(vec![Piece { value: 0, file: 0, literal: true }])
    }

    /// Aligns the decoded `value` of a TOML string with `raw`, its text in the file at `base`, quotes included.
    pub(super) fn of_string(raw: &str, base: usize, value: &str) -> Self {
        let mut mapping = Self::default();
        let escapes = raw.starts_with('"');
        let multi_line = raw.starts_with("\"\"\"") || raw.starts_with("'''");
        let mut at = if multi_line { 3 } else { 1 };
        if at == 3 {
            // A newline right behind the opening quotes is not part of the value.
            at += if raw[3..].starts_with("\r\n") { 2 } else { usize::from(raw[3..].starts_with('\n')) };
        }
        if value.is_empty() {
            mapping.push(0, base + at.min(raw.len()), false);
        }
        for (index, c) in value.char_indices() {
            if escapes {
                at = skip_line_continuations(raw, at);
            }
            let Some(rest) = raw.get(at..) else { break };
            if escapes && rest.starts_with('\\') {
                mapping.push(index, base + at, false);
                at += escape_len(rest);
                continue;
            }
            if c == '\n' && rest.starts_with("\r\n") {
                at += 1;
            }
            mapping.push(index, base + at, true);
            at += c.len_utf8();
        }
        mapping
    }

    /// The next stretch; merged with the one before where nothing changes.
    pub(super) fn push(&mut self, value: usize, file: usize, literal: bool) {
        let goes_on = self.0.last().is_some_and(|last| {
            literal && last.literal && file.checked_sub(last.file) == value.checked_sub(last.value)
        });
        if !goes_on {
            self.0.push(Piece { value, file, literal });
        }
    }

    /// Appends the stretches that cover `span` of another mapping, to stand at `value` from now on.
    pub(super) fn push_part(&mut self, other: &Mapping, span: Span, value: usize) {
        if span.is_empty() {
            return;
        }
        let first = other.0.partition_point(|piece| piece.value <= span.start).saturating_sub(1);
        for piece in other.0[first..].iter().take_while(|piece| piece.value < span.end) {
            let inside = piece.value.max(span.start);
            let skipped = if piece.literal { inside - piece.value } else { 0 };
            self.push(value + (inside - span.start), piece.file + skipped, piece.literal);
        }
    }

    /// The place in the file of byte `value`.
    pub(super) fn file_offset(&self, value: usize) -> usize {
        let index = self.0.partition_point(|piece| piece.value <= value).saturating_sub(1);
        match self.0.get(index) {
            Some(piece) if piece.literal => piece.file + (value - piece.value.min(value)),
            Some(piece) => piece.file,
            None => 0,
        }
    }
}

/// Skips every backslash that ends a line, with the blanks and newlines behind it.
fn skip_line_continuations(raw: &str, mut at: usize) -> usize {
    while let Some(rest) = raw.get(at..).and_then(|rest| rest.strip_prefix('\\')) {
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        if !rest[..blanks].contains('\n') {
            break;
        }
        at += 1 + blanks;
    }
    at
}

/// Bytes of the escape that `rest` starts with.
fn escape_len(rest: &str) -> usize {
    match rest.as_bytes().get(1) {
        Some(b'x') => 4,
        Some(b'u') => 6,
        Some(b'U') => 10,
        _ => 2,
    }
}
