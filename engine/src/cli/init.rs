//! `watershed init`: a first region file and a pipeline to change.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use super::failure::{Failure, Outcome};
use crate::diagnostic::Diagnostic;

/// What is written, and where below the folder.
pub(super) const FILES: [(&str, &str); 2] =
    [("watershed.toml", include_str!("init/watershed.toml")), ("pipelines/first.sql", include_str!("init/first.sql"))];

/// Writes the first files into `dir`. Replaces nothing: if any of them is there, none is written.
pub(super) fn init(dir: &Path) -> Outcome {
    let taken: Vec<_> = FILES.iter().map(|(name, _)| dir.join(name)).filter(|path| path.exists()).collect();
    if !taken.is_empty() {
        let errors = taken.iter().map(|path| {
            Diagnostic::new(format!("{} is there already", path.display()))
                .help("remove it, or name another folder: watershed init DIR")
        });
        return Err(Failure::Wrong(errors.collect()));
    }
    for (name, content) in FILES {
        let path = dir.join(name);
        write_new(&path, content)
            .map_err(|error| Failure::running(format!("cannot write {}: {error}", path.display())))?;
        println!("wrote {}", path.display());
    }
    let enter = if dir == Path::new(".") { String::new() } else { format!("  cd {}\n", dir.display()) };
    println!(
        "\nNow try\n{enter}  watershed check watershed.toml\n  watershed run watershed.toml\n  \
         watershed query watershed.toml 'SELECT * FROM first ORDER BY window_start LIMIT 10'"
    );
    Ok(())
}

fn write_new(path: &Path, content: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(content.as_bytes())
}
