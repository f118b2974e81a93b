//! `watershed-bench run` and `watershed-bench search`.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::args::{Run, Search, Which};
use super::failure::{Failure, Outcome};
use super::screen::Screen;
use super::signals;
use crate::numbers::short;
use crate::suite::{Bench, Changes, Promise, Suite, table};

pub(super) async fn run(arguments: Run, screen: &Arc<Screen>) -> Outcome {
    let changes =
        Changes { runs: arguments.runs, events: arguments.events, rate: arguments.rate, ..changes(&arguments.which) };
    let bench = bench(&arguments.which, &changes)?;
    if let Some(path) = &arguments.out {
        // Better known before than after an hour of runs.
        fs::write(path, "").map_err(|error| Failure::running(format!("cannot write {}: {error}", path.display())))?;
    }
    let stop = signals::listen(screen)?;
    let results = bench.run(stop, |text| screen.say(text)).await.map_err(Failure::Running)?;
    print!("{}", table(&results));
    if let Some(path) = &arguments.out {
        let text = serde_json::to_string_pretty(&results).map_err(|error| Failure::running(error.to_string()))?;
        let written = fs::write(path, format!("{text}\n"));
        written.map_err(|error| Failure::running(format!("cannot write {}: {error}", path.display())))?;
    }
    Ok(())
}

pub(super) async fn search(arguments: Search, screen: &Arc<Screen>) -> Outcome {
    let bench = bench(&arguments.which, &changes(&arguments.which))?;
    let promise = Promise {
        p99: arguments.p99,
        from: arguments.from,
        most: arguments.most,
        precision: f64::from(arguments.precision) / 100.0,
    };
    let stop = signals::listen(screen)?;
    let found = bench.search(promise, stop, |text| screen.say(text)).await.map_err(Failure::Running)?;
    match found {
        Some(rate) => {
            println!("{}/s", short(rate));
            Ok(())
        }
        None => Err(Failure::running("no rate kept the promise")),
    }
}

fn changes(which: &Which) -> Changes {
    Changes {
        lanes: which.lanes,
        length: which.length,
        queries: which.queries.clone(),
        brokers: which.brokers.clone(),
        ..Changes::default()
    }
}

fn bench(which: &Which, changes: &Changes) -> Outcome<Bench> {
    let suite = Suite::load(&which.suite).map_err(Failure::Wrong)?;
    let cache = match &which.cache {
        Some(cache) => cache.clone(),
        None => user_cache().ok_or_else(|| Failure::wrong("there is no home folder: name one with --cache"))?,
    };
    // The program that is measured runs in a folder of its own.
    let cache = std::path::absolute(&cache).unwrap_or(cache);
    Bench::new(suite, changes, which.watershed.as_deref(), cache).map_err(Failure::Wrong)
}

/// `watershed/bench` in the user's cache.
fn user_cache() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?;
    Some(cache.join("watershed").join("bench"))
}
