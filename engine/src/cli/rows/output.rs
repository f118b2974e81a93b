//! Where rows are written: standard output, or a file that is whole or not there.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Standard output, or a file beside the one that it becomes when it is kept.
pub(in crate::cli) struct Output {
    out: Box<dyn Write + Send>,
    unkept: Option<Unkept>,
}

/// A file that goes unless it is kept.
struct Unkept {
    written: PathBuf,
    target: PathBuf,
}

impl Output {
    pub(in crate::cli) fn stdout() -> Self {
        Self { out: Box::new(BufWriter::new(io::stdout())), unkept: None }
    }

    /// A file that takes the place of `target`, if there is one, when it is kept.
    pub(in crate::cli) fn file(target: &Path) -> io::Result<Self> {
        let Some(name) = target.file_name().filter(|_| !target.is_dir()) else {
            return Err(io::ErrorKind::IsADirectory.into());
        };
        // Of this process alone.
        let name = format!(".{}.{}", name.to_string_lossy(), std::process::id());
        let written = target.with_file_name(name);
        let out = Box::new(BufWriter::new(File::create(&written)?));
        Ok(Self { out, unkept: Some(Unkept { written, target: target.to_path_buf() }) })
    }

    /// Everything was written and flushed: a file gets its name.
    pub(in crate::cli) fn keep(mut self) -> io::Result<()> {
        if let Some(Unkept { written, target }) = &self.unkept {
            fs::rename(written, target)?;
        }
        self.unkept = None;
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(Unkept { written, .. }) = &self.unkept {
            // Half an answer is no answer; should it stay, its name says nothing.
            let _ = fs::remove_file(written);
        }
    }
}
