//! One TOML file says everything about one region: sources, sinks, tables and pipelines.
//!
//! The one idea: a file passes through three forms. A `tree` knows every value's place and has `${…}` filled in; the
//! `written` structs know each key's type, default and doc; a [`Region`] holds what the program needs, checked. All
//! errors of a file are collected, each with its line, and none of them shows a filled-in value.
//!
//! Paths: `sql_file`, `schema_file` and `${file:PATH}` start from the folder of the region file, because they travel with
//! it; data places (`path`, `url`, `dead_letters`) start from the current folder.

mod columns;
mod document;
mod fill;
mod format;
mod keys;
mod mapping;
mod messages;
mod origin;
mod pipeline;
mod place;
mod read;
mod read_error;
mod reference;
mod region;
mod residency;
mod resolve;
mod sink;
mod source;
mod streams;
mod table;
mod tree;
mod written;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use fill::{Environment, Secrets};
pub use origin::SqlOrigin;
pub use reference::reference;
pub use region::{
    Checkpoint, ConnectorOptions, Deduplicate, Http, OnBad, PipelineConfig, Region, Residency, SinkConfig, SinkOptions,
    SourceConfig, Spill, Standby, TableConfig, TableFormat, Written,
};

use self::document::{Document, MAX_FILE_BYTES, read_limited};
use self::fill::Filler;
use self::read::Findings;
use self::resolve::Context;
use crate::diagnostic::Diagnostic;

/// Reads the region file at `path`, with this process's environment and a lane for each core.
pub fn load(path: &Path) -> Result<Region, Vec<Diagnostic>> {
    let bytes = read_limited(path, MAX_FILE_BYTES).map_err(|error| {
        let help = "name a region file; `watershed init` writes a first one";
        vec![Diagnostic::new(format!("cannot read `{}`: {error}", path.display())).help(help)]
    })?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    parse(path, bytes, &|name| std::env::var(name), cores)
}

/// Reads a region file from its bytes. Every error that does not follow from another one is returned, in the order of
/// the file.
pub fn parse(
    path: &Path,
    bytes: Vec<u8>,
    environment: Environment<'_>,
    cores: usize,
) -> Result<Region, Vec<Diagnostic>> {
    let document = Arc::new(Document::from_bytes(path.to_path_buf(), bytes).map_err(|diagnostic| vec![diagnostic])?);
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    let mut filler = Filler { environment, folder: &folder, secrets: Secrets::default() };
    let (root, errors) = tree::parse(&document, &mut filler);
    let Some(root) = root else { return Err(errors) };
    let findings = Findings::default();
    findings.extend(errors);
    let context = Context {
        document: document.clone(),
        folder: folder.clone(),
        findings,
        filler: RefCell::new(filler),
        allowed: RefCell::default(),
        cores,
    };
    let region = resolve::region(&root, &context);
    let mut errors = context.findings.into_inner();
    match region {
        Some(region) if errors.is_empty() => Ok(region),
        _ => {
            // Errors in other files keep their order, behind those of this one.
            errors.sort_by_key(|error| (error.file.as_deref() != Some(document.path()), error.line_column));
            // A line that is shown for one of its words may hold a secret in another.
            let secrets = &context.filler.borrow().secrets;
            for line in errors.iter_mut().filter_map(|error| error.source_line.as_mut()) {
                *line = secrets.redact(line);
            }
            Err(errors)
        }
    }
}
