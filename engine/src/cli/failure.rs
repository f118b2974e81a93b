//! How a command fails, sorted by exit code.

use std::path::Path;

use crate::config::{self, Region};
use crate::diagnostic::{Diagnostic, render_all};
use crate::sql::SqlError;

/// What a command comes to.
pub(super) type Outcome<T = ()> = Result<T, Failure>;

/// Why a command could not do its work.
#[derive(Debug)]
pub(super) enum Failure {
    /// The config, the SQL or the command line is wrong.
    Wrong(Vec<Diagnostic>),
    /// It was right, and failed while running.
    Running(Diagnostic),
    /// Several, each of its sort.
    Several(Vec<Failure>),
}

impl Failure {
    /// Something else than the user's files failed.
    pub(super) fn running(message: impl Into<String>) -> Self {
        Self::Running(Diagnostic::new(message))
    }

    /// The user has to change something first.
    pub(super) fn wrong(diagnostic: Diagnostic) -> Self {
        Self::Wrong(vec![diagnostic])
    }

    /// All that went wrong; none if nothing did.
    pub(super) fn of(mut failures: Vec<Self>) -> Option<Self> {
        match failures.len() {
            0 | 1 => failures.pop(),
            _ => Some(Self::Several(failures)),
        }
    }

    /// The exit code; of several, that of what the user has to mend.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Running(_) => 1,
            Self::Wrong(_) => 2,
            Self::Several(failures) => failures.iter().map(Self::code).max().unwrap_or(1),
        }
    }

    /// What is to be told of it.
    fn diagnostics(&self) -> Vec<&Diagnostic> {
        match self {
            Self::Running(diagnostic) => vec![diagnostic],
            Self::Wrong(diagnostics) => diagnostics.iter().collect(),
            Self::Several(failures) => failures.iter().flat_map(Self::diagnostics).collect(),
        }
    }

    /// What is printed.
    pub(super) fn render(&self, color: bool) -> String {
        let diagnostics = self.diagnostics();
        let mut text = render_all(diagnostics.iter().copied(), color);
        if diagnostics.len() > 1 {
            text.push_str(&format!("\n{} errors\n", diagnostics.len()));
        }
        text
    }
}

/// Reads a region file.
pub(super) fn load(file: &Path) -> Outcome<Region> {
    config::load(file).map_err(Failure::Wrong)
}

/// The failure for SQL that was refused, each error at its place in the file. Errors of sources and tables come under
/// their names, too.
pub(super) fn refused_sql(region: &Region, errors: Vec<(String, SqlError)>) -> Failure {
    let diagnostics = errors.iter().map(|(name, error)| {
        if let Some(pipeline) = region.pipelines.get(name) {
            return pipeline.origin.diagnose(name, &pipeline.sql, error);
        }
        let table = region.tables.get(name).map(|table| &table.location);
        let location = table.or(region.sources.get(name).map(|source| &source.location));
        let message = region.secrets.redact(&error.message);
        let mut diagnostic = match location {
            Some(location) => Diagnostic::at(location.clone(), format!("`{name}`: {message}")),
            None => Diagnostic::in_file(&region.file, format!("`{name}`: {message}")),
        };
        diagnostic.help = error.help.as_deref().map(|help| region.secrets.redact(help));
        diagnostic
    });
    Failure::Wrong(diagnostics.collect())
}
