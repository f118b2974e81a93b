//! `watershed-bench compare`.

use std::fs;
use std::path::Path;

use super::args::Compare;
use super::failure::{Failure, Outcome};
use crate::compare;
use crate::results::Results;

pub(super) fn compare(arguments: &Compare) -> Outcome {
    let (before, after) = (read(&arguments.before)?, read(&arguments.after)?);
    let comparison = compare::compare(&before, &after, f64::from(arguments.threshold) / 100.0);
    print!("{}", comparison.text());
    match comparison.slower() {
        true => Err(Failure::running("something became slower")),
        false => Ok(()),
    }
}

fn read(path: &Path) -> Outcome<Results> {
    let wrong = |why: String| Failure::wrong(format!("{}: {why}", path.display()));
    let text = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| wrong(format!("these are no results of `run --out`: {error}")))
}
