//! From a path, a glob or a folder to the files it names.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use super::place::Identity;
use crate::error::SourceError;

/// A file that was found; without identity if there is none at the path yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) path: String,
    pub(super) identity: Option<Identity>,
}

/// What `path` in the options means.
#[derive(Debug, Clone)]
pub(crate) enum Pattern {
    /// A file, or a folder to be read whole.
    Path { path: PathBuf, folder: bool },
    /// Files below `base` that match.
    Glob { base: PathBuf, matcher: GlobMatcher, depth: usize, wants: Wants },
}

/// Which names are looked at that are skipped otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wants {
    dot: bool,
    underscore: bool,
}

impl Wants {
    fn skips(self, name: &str) -> bool {
        match name.as_bytes().first() {
            Some(b'.') => !self.dot,
            Some(b'_') => !self.underscore,
            _ => false,
        }
    }
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, SourceError> {
        if text.is_empty() {
            return Err(SourceError::config("path is empty: name a file, a glob or a folder"));
        }
        let wild = |part: &str| part.contains(['*', '?', '[', '{']);
        if !wild(text) || Path::new(text).exists() {
            return Ok(Self::Path { path: text.into(), folder: text.ends_with('/') || Path::new(text).is_dir() });
        }
        let clean: PathBuf = Path::new(text).components().collect();
        let clean = clean.to_string_lossy();
        let matcher = GlobBuilder::new(&clean)
            .literal_separator(true)
            .build()
            .map_err(|e| SourceError::config(format!("path \"{text}\" is no glob: {}", e.kind())))?
            .compile_matcher();
        let base: PathBuf = Path::new(&*clean)
            .components()
            .take_while(|part| !matches!(part, Component::Normal(name) if wild(&name.to_string_lossy())))
            .collect();
        let below = clean.get(base.as_os_str().len()..).unwrap_or(&clean).trim_start_matches('/');
        let depth = if below.contains("**") { usize::MAX } else { below.matches('/').count() + 1 };
        let starts = |c: char| below.split(['/', '{', ',']).any(|part| part.starts_with(c));
        Ok(Self::Glob { base, matcher, depth, wants: Wants { dot: starts('.'), underscore: starts('_') } })
    }

    /// True if it can name more than one file.
    pub(super) fn many(&self) -> bool {
        !matches!(self, Self::Path { folder: false, .. })
    }

    /// The files it names now, sorted by path. Where `may_lack`, there need not be one yet.
    pub(crate) fn files(&self, may_lack: bool) -> Result<Vec<Listed>, SourceError> {
        let mut found = match self {
            Self::Path { path, folder } => match fs::metadata(path) {
                Ok(metadata) if metadata.is_dir() => Walk::below(path, usize::MAX, Wants::default(), None)?,
                Ok(metadata) if metadata.is_file() => vec![listed(path, Some(&metadata))?],
                Ok(_) => {
                    let path = path.display();
                    return Err(SourceError::config(format!(
                        "{path} is neither a file nor a folder; a pipe can be read by connector = \"stdin\""
                    )));
                }
                Err(e) if e.kind() == ErrorKind::NotFound && may_lack => {
                    return if *folder { Ok(Vec::new()) } else { Ok(vec![listed(path, None)?]) };
                }
                Err(e) => return Err(unreadable(path, &e)),
            },
            Self::Glob { base, matcher, depth, wants } => Walk::below(base, *depth, *wants, Some(matcher))?,
        };
        if found.is_empty() && !may_lack {
            return Err(SourceError::config(match self {
                Self::Path { path, .. } => format!(
                    "folder {} holds no file to read (names with a leading dot or underscore are skipped)",
                    path.display()
                ),
                Self::Glob { matcher, .. } => format!(
                    "no file matches \"{}\": check path, which counts from the working directory",
                    matcher.glob()
                ),
            }));
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }
}

/// Says what to do about a path that cannot be read.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> SourceError {
    let path = path.display();
    SourceError::config(match error.kind() {
        ErrorKind::NotFound => format!("{path} does not exist: check path, which counts from the working directory"),
        ErrorKind::PermissionDenied => format!("{path} may not be read by this user: change its permissions"),
        _ => format!("{path} cannot be read: {error}"),
    })
}

fn listed(path: &Path, metadata: Option<&Metadata>) -> Result<Listed, SourceError> {
    let name = path.to_str().ok_or_else(|| {
        SourceError::config(format!(
            "{}: the name is not UTF-8, so that no checkpoint can hold it; rename the file",
            path.display()
        ))
    })?;
    Ok(Listed { path: name.to_owned(), identity: metadata.map(Identity::of) })
}

/// A walk through a tree of folders. Links are followed; a folder reached twice is read once.
struct Walk<'a> {
    wants: Wants,
    matcher: Option<&'a GlobMatcher>,
    visited: HashSet<(u64, u64)>,
    found: Vec<Listed>,
}

impl<'a> Walk<'a> {
    fn below(
        base: &Path,
        depth: usize,
        wants: Wants,
        matcher: Option<&'a GlobMatcher>,
    ) -> Result<Vec<Listed>, SourceError> {
        let mut walk = Self { wants, matcher, visited: HashSet::new(), found: Vec::new() };
        let start = if base.as_os_str().is_empty() { Path::new(".") } else { base };
        match fs::metadata(start) {
            Ok(metadata) if metadata.is_dir() => walk.folder(start, base, &metadata, depth)?,
            _ => {}
        }
        Ok(walk.found)
    }

    /// Reads the folder at `real`, which is spelled `shown` in the paths of what is found.
    fn folder(&mut self, real: &Path, shown: &Path, metadata: &Metadata, depth: usize) -> Result<(), SourceError> {
        if depth == 0 || !self.visited.insert((metadata.dev(), metadata.ino())) {
            return Ok(());
        }
        let entries = match fs::read_dir(real) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            // A glob need not reach into that folder; a folder to be read whole does.
            Err(e) if self.matcher.is_some() => {
                tracing::warn!(folder = %real.display(), error = %e, "folder cannot be read and is left out");
                return Ok(());
            }
            Err(e) => return Err(unreadable(real, &e)),
        };
        // In order, so that of two links to one folder always the same one counts.
        let mut names: Vec<_> = entries
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<_>>()
            .map_err(|e| unreadable(real, &e))?;
        names.sort_unstable();
        for name in names {
            if self.wants.skips(&name.to_string_lossy()) {
                continue;
            }
            // Gone since, or a link to nothing.
            let Ok(metadata) = fs::metadata(real.join(&name)) else { continue };
            let path = shown.join(&name);
            if metadata.is_dir() {
                self.folder(&path, &path, &metadata, depth - 1)?;
            } else if metadata.is_file() && self.matcher.is_none_or(|matcher| matcher.is_match(&path)) {
                self.found.push(listed(&path, Some(&metadata))?);
            }
        }
        Ok(())
    }
}
