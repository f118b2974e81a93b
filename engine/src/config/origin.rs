//! From a line and column in a pipeline's SQL back to the file that the user has open.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::document::Document;
use super::fill::Secrets;
use super::mapping::Mapping;
use crate::diagnostic::{Diagnostic, Location};
use crate::sql::SqlError;

/// Where a pipeline's SQL stands: in a file of its own, or in a string of the region file.
#[derive(Clone)]
pub struct SqlOrigin {
    pub(super) document: Arc<Document>,
    pub(super) mapping: Mapping,
    pub(super) secrets: Secrets,
}

impl SqlOrigin {
    /// The file that holds the SQL.
    pub fn file(&self) -> &Path {
        self.document.path()
    }

    /// The place in the file of a line and column (from 1, in characters) of the statement `sql`.
    pub fn locate(&self, sql: &str, line: usize, column: usize) -> Location {
        let line_start = match line {
            0 | 1 => 0,
            _ => sql.match_indices('\n').nth(line - 2).map_or(sql.len(), |(at, _)| at + 1),
        };
        let rest = &sql[line_start..];
        let inside = rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at);
        let start = line_start + inside;
        let first = self.mapping.file_offset(start);
        // A place right behind the last byte has no byte of its own to map.
        let last = self.mapping.file_offset(start + token_len(&sql[start.min(sql.len())..]) - 1);
        self.document.location(first..last.max(first) + 1)
    }

    /// The diagnostic for an error in the statement `sql` of `pipeline`.
    pub fn diagnose(&self, pipeline: &str, sql: &str, error: &SqlError) -> Diagnostic {
        let message = self.secrets.redact(&error.message);
        let diagnostic = match error.position {
            Some((line, column)) => Diagnostic::at(self.locate(sql, line, column), message),
            None => Diagnostic::at(self.locate(sql, 1, 1), format!("pipeline `{pipeline}`: {message}")),
        };
        match &error.help {
            Some(help) => diagnostic.help(self.secrets.redact(help)),
            None => diagnostic,
        }
    }
}

impl fmt::Debug for SqlOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqlOrigin({})", self.document.path().display())
    }
}

/// Bytes of the word that `text` starts with; at least 1.
fn token_len(text: &str) -> usize {
    let word = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    word.max(1)
}
