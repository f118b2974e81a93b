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

    /// The exit code.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Running(_) => 1,
            Self::Wrong(_) => 2,
        }
    }

    /// What is printed.
    pub(super) fn render(&self, color: bool) -> String {
        match self {
            Self::Running(diagnostic) => diagnostic.render(color),
            Self::Wrong(diagnostics) => {
                let mut text = render_all(diagnostics, color);
                if diagnostics.len() > 1 {
                    text.push_str(&format!("\n{} errors\n", diagnostics.len()));
                }
                text
            }
        }
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
