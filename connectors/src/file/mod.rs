//! Files as a source: one path, a glob or a folder, plain or compressed, read to the end or followed as they grow.
//!
//! The one idea: a file is a split, and a position in it is a byte offset in the decompressed stream, so that a restart
//! goes on at the very next record. Following adds that a path can name one file after another ([`tail`]).

mod bounded;
mod claims;
mod container;
mod list;
mod place;
mod stream;
mod tail;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use serde::Deserialize;

use crate::error::SourceError;
use crate::framing::{Framer, Framing};
use crate::size::ByteSize;
use crate::source::{Position, Reader, Source, SplitId};
use bounded::BoundedReader;
use claims::Claims;
pub use container::Container;
use list::Listed;
pub(crate) use list::Pattern;
use place::Place;
use stream::Encoding;
pub(crate) use stream::open_file;
use tail::Tail;

/// What to read, as written in the region file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileOptions {
    /// One file, a glob (`logs/**/*.ndjson.gz`), or a folder: all regular files in it and below. In folders and under
    /// wildcards, names that start with a dot or an underscore are skipped unless the glob spells that character out.
    pub path: String,
    /// Reads on as the files grow, and finds new ones, instead of ending with them. A rotated file is known again under
    /// its new name; a copy of it (`copytruncate`) is not, so choose a glob that does not match the copies.
    #[serde(default)]
    pub follow: bool,
    /// A longer record is set aside.
    #[serde(default = "FileOptions::default_max_record_bytes")]
    pub max_record_bytes: ByteSize,
}

impl FileOptions {
    /// Reads `path` to its end.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), follow: false, max_record_bytes: Self::default_max_record_bytes() }
    }

    /// 16 MiB: far above any sane event, and little enough to hold in memory for every open file.
    fn default_max_record_bytes() -> ByteSize {
        ByteSize(16 << 20)
    }
}

/// What is in the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileContent {
    /// Records one after another.
    Framed(Framing),
    /// Blocks of records.
    Container(Container),
}

impl From<Framing> for FileContent {
    fn from(framing: Framing) -> Self {
        Self::Framed(framing)
    }
}

impl From<Container> for FileContent {
    fn from(container: Container) -> Self {
        Self::Container(container)
    }
}

/// Files, one split each; the split is named by the file's path as it was listed.
#[derive(Debug)]
pub struct FileSource {
    options: FileOptions,
    content: FileContent,
    pattern: Pattern,
    claims: Arc<Claims>,
    told_of_compressed: AtomicBool,
}

impl FileSource {
    /// Checks the options; looks at no file yet, except that it tells a folder from a file.
    ///
    /// # Errors
    /// [`SourceError::Config`] for an empty path, a broken glob, a size out of range, or a file that can't be followed.
    pub fn new(options: FileOptions, content: impl Into<FileContent>) -> Result<Self, SourceError> {
        let content = content.into();
        match content {
            FileContent::Framed(framing) => framing.check()?,
            FileContent::Container(kind) => check_container(kind, &options)?,
        }
        if !(1..=Framer::MAX_RECORD.0).contains(&options.max_record_bytes.0) {
            return Err(SourceError::config(format!(
                "max_record_bytes = {} is out of range: choose from 1B to {}",
                options.max_record_bytes,
                Framer::MAX_RECORD
            )));
        }
        if options.follow && Encoding::of(&options.path) != Encoding::Plain {
            return Err(SourceError::config(format!(
                "{}: a compressed file cannot be followed, as its end cannot be told from a pause; \
                 leave follow out, or follow the plain file it is made from",
                options.path
            )));
        }
        let pattern = Pattern::parse(&options.path)?;
        let claims = Arc::new(Claims::new(options.follow && pattern.many()));
        Ok(Self { options, content, pattern, claims, told_of_compressed: AtomicBool::new(false) })
    }

    async fn list(&self) -> Result<Vec<Listed>, SourceError> {
        let pattern = self.pattern.clone();
        let follow = self.options.follow;
        tokio::task::spawn_blocking(move || pattern.files(follow))
            .await
            .map_err(|e| SourceError::fatal(format!("cannot list {}", self.options.path), e))?
    }

    /// What of `listed` can be followed and is not a rotated file that is read under its former name.
    fn followable(&self, mut listed: Vec<Listed>) -> Vec<Listed> {
        let seen: HashSet<_> = listed.iter().filter_map(|file| file.identity).collect();
        self.claims.sweep(&seen);
        listed.retain(|file| {
            if Encoding::of(&file.path) != Encoding::Plain {
                if !self.told_of_compressed.swap(true, Ordering::Relaxed) {
                    tracing::warn!(path = %file.path, "compressed files are not followed; read them by a source without follow");
                }
                return false;
            }
            let split = SplitId::new(file.path.as_str());
            !file.identity.is_some_and(|identity| self.claims.held_by_other(&identity, &split))
        });
        listed
    }
}

#[async_trait]
impl Source for FileSource {
    async fn splits(&self) -> Result<Vec<SplitId>, SourceError> {
        let mut listed = self.list().await?;
        if self.options.follow {
            listed = self.followable(listed);
        }
        Ok(listed.into_iter().map(|file| SplitId::new(file.path)).collect())
    }

    async fn open(&self, split: &SplitId, from: Option<&Position>) -> Result<Box<dyn Reader>, SourceError> {
        let max_record = self.options.max_record_bytes;
        let framing = match self.content {
            FileContent::Framed(framing) => framing,
            FileContent::Container(kind) => return kind.open(split.clone(), from, max_record),
        };
        let place = from.map(|position| Place::parse(position, split)).transpose()?;
        if self.options.follow {
            let tail = Tail::open(split.clone(), place, framing, max_record, self.claims.clone())?;
            return Ok(Box::new(tail));
        }
        Ok(Box::new(BoundedReader::open(split.clone(), place, framing, max_record)?))
    }

    fn bounded(&self) -> bool {
        !self.options.follow
    }

    fn discovers(&self) -> bool {
        self.options.follow && self.pattern.many()
    }

    fn blocks(&self) -> bool {
        !self.options.follow
    }
}

/// Refuses what makes no sense for files of blocks.
fn check_container(kind: Container, options: &FileOptions) -> Result<(), SourceError> {
    let (path, name) = (&options.path, kind.name());
    if options.follow {
        return Err(SourceError::config(format!(
            "{path}: {name} cannot be followed, as it is written block by block; leave follow out, and read it when it is whole"
        )));
    }
    if Encoding::of(path) != Encoding::Plain {
        return Err(SourceError::config(format!(
            "{path}: {name} is not read through another compression, as it compresses its own blocks; decompress it first"
        )));
    }
    Ok(())
}
