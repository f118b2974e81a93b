//! A file that a user wrote, kept whole so that every error can show its line.

use std::fmt;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, Location};

/// Largest region, schema or SQL file, in bytes. A region of a thousand pipelines is a tenth of it.
pub(super) const MAX_FILE_BYTES: usize = 1024 * 1024;

/// A range of bytes in a document.
pub(super) type Span = Range<usize>;

/// The text of one file, and its name as the user would write it.
pub(super) struct Document {
    path: PathBuf,
    text: String,
    line_starts: Vec<usize>,
}

/// Only the name: the text may hold what nobody should see twice.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({})", self.path.display())
    }
}

impl Document {
    pub(super) fn new(path: PathBuf, text: String) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(newlines).collect();
        Self { path, text, line_starts }
    }

    /// Takes the bytes of a file; refuses what is too large or not UTF-8.
    pub(super) fn from_bytes(path: PathBuf, bytes: Vec<u8>) -> Result<Self, Diagnostic> {
        if bytes.len() > MAX_FILE_BYTES {
            return Err(Diagnostic::in_file(&path, format!("the file is larger than {MAX_FILE_BYTES} bytes"))
                .help("this is meant to be a short text file; is it the right one?"));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(path, text)),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let document = Self::new(path, String::from_utf8_lossy(error.as_bytes()).into_owned());
                Err(document.error(good..good + 1, "the file is not UTF-8 text").help("save it as UTF-8"))
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What is written at `span`, shortened to one line and without the quotes of a string.
    pub(super) fn written(&self, span: &Span) -> String {
        shorten(self.raw(span))
    }

    /// What is written at `span`, without the quotes of a string.
    pub(super) fn raw(&self, span: &Span) -> &str {
        let text = self.text.get(span.clone()).unwrap_or_default();
        ["\"\"\"", "'''", "\"", "'"]
            .iter()
            .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
            .unwrap_or(text)
    }

    /// An error at `span`.
    pub(super) fn error(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(self.location(span), message)
    }

    pub(super) fn location(&self, span: Span) -> Location {
        let start = self.floor(span.start);
        let line = self.line_starts.partition_point(|at| *at <= start) - 1;
        let line_start = self.line_starts[line];
        let rest = &self.text[line_start..];
        let source_line = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let end = self.floor(span.end).clamp(start, (line_start + source_line.len()).max(start));
        Location {
            file: self.path.clone(),
            line: line + 1,
            column: self.text[line_start..start].chars().count() + 1,
            width: self.text[start..end].chars().count().max(1),
            source_line: source_line.to_string(),
        }
    }

    /// The character boundary at or before `offset`.
    fn floor(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

/// A value as it is quoted in a message: one line of at most 60 characters.
pub(super) fn shorten(text: &str) -> String {
    const SHOWN: usize = 60;
    let line = text.trim().lines().next().unwrap_or_default();
    if line.chars().count() <= SHOWN && line.len() == text.trim().len() {
        return line.to_string();
    }
    line.chars().take(SHOWN).chain(['…']).collect()
}

/// Reads a whole file of at most `limit` bytes; one byte more is read to notice a larger one.
pub(super) fn read_limited(path: &Path, limit: usize) -> std::io::Result<Vec<u8>> {
    let file = std::fs::File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(std::io::Error::new(std::io::ErrorKind::IsADirectory, "it is a folder"));
    }
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
