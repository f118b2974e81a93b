//! `watershed-bench peers`: the source tree's script, which knows how other engines are asked.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::args::Peers;
use super::failure::{Failure, Outcome};
use crate::suite::Program;

const SCRIPT: &str = "scripts/bench-peers.py";
/// A folder of the tree that this program was built from.
const BUILT_FROM: &str = env!("CARGO_MANIFEST_DIR");
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// Becomes the script, so that its exit code is this program's, and signals reach it. Comes back only if that fails.
pub(super) fn peers(arguments: &Peers) -> Outcome {
    let current = std::env::current_dir().unwrap_or_default();
    let script = script([Path::new(BUILT_FROM), &current]).map_err(Failure::Wrong)?;
    let program = Program::find(arguments.watershed.as_deref());
    program.version().map_err(Failure::Wrong)?;
    let generator = std::env::current_exe().map_err(|error| Failure::running(error.to_string()))?;
    let error = Command::new("python3")
        .arg(script)
        .args(passed_on(arguments))
        .env("WATERSHED", program.path())
        .env("WATERSHED_BENCH", generator)
        .exec();
    Err(Failure::wrong(format!("cannot run python3, which the peers need: {error}")))
}

/// The script of the first of these folders that has it, or has it above.
fn script(folders: [&Path; 2]) -> Result<PathBuf, String> {
    let trees = folders.iter().flat_map(|folder| folder.ancestors());
    trees.map(|tree| tree.join(SCRIPT)).find(|script| script.is_file()).ok_or_else(|| {
        let [built_from, current] = folders.map(Path::display);
        format!(
            "there is no {SCRIPT} in {built_from} or above it, where this program was built, nor in {current} or above it: \
             call it in a clone of {REPOSITORY}"
        )
    })
}

/// The arguments as the script has them.
fn passed_on(arguments: &Peers) -> Vec<OsString> {
    let mut passed: Vec<OsString> = arguments.engines.iter().map(OsString::from).collect();
    let mut option = |name: &str, value: OsString| passed.extend([name.into(), value]);
    for question in &arguments.questions {
        option("--question", question.into());
    }
    if let Some(events) = arguments.events {
        option("--events", events.to_string().into());
    }
    if let Some(runs) = arguments.runs {
        option("--runs", runs.to_string().into());
    }
    for (name, path) in [("--input", &arguments.input), ("--folder", &arguments.folder), ("--json", &arguments.json)] {
        if let Some(path) = path {
            option(name, path.into());
        }
    }
    if arguments.pin {
        passed.push("--pin".into());
    }
    passed
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{SCRIPT, script};

    #[test]
    fn the_script_is_looked_for_where_it_may_be() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let (built_from, clone) = (folder.path().join("built/bench"), folder.path().join("clone/docs"));
        for made in [&built_from, &clone, &folder.path().join("built/scripts"), &folder.path().join("clone/scripts")] {
            fs::create_dir_all(made)?;
        }
        let error = script([&built_from, &clone]).err().unwrap_or_default();
        for expected in [built_from.to_string_lossy(), clone.to_string_lossy(), "in a clone of https://".into()] {
            assert!(error.contains(&*expected), "{error}");
        }
        let (first, second) = (folder.path().join("built").join(SCRIPT), folder.path().join("clone").join(SCRIPT));
        fs::write(&second, "")?;
        assert_eq!(script([&built_from, &clone]), Ok(second));
        fs::write(&first, "")?;
        assert_eq!(script([&built_from, &clone]), Ok(first));
        Ok(())
    }
}
