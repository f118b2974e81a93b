//! Watershed from end to end: events into the program, rows out of it, over several runs.
//!
//! | file | holds |
//! |---|---|
//! | `spec.rs` | a suite as it is written |
//! | `input.rs` | the file that a suite reads |
//! | `region.rs` | the region file of a run |
//! | `daemon.rs` | the program under test, as a process |
//! | `replayed.rs` | one run over a file, into Parquet |
//! | `recovery.rs` | one that is killed in its middle, and one that goes on |
//! | `lake.rs`, `state.rs` | what they left |
//! | `live.rs` | one run under load, rows out |
//! | `way.rs` | how events come to the program under load |
//! | `search.rs` | the highest rate that keeps a promise; pure |

mod daemon;
mod input;
mod lake;
mod live;
mod recovery;
mod region;
mod replayed;
mod search;
mod spec;
mod state;
mod way;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use tempfile::TempDir;
use tokio::sync::watch;
use watershed_connectors::{HumanDuration, Rate};

use crate::numbers::{count, millis, short};
use crate::results::{Case, Machine, Results, spread};
pub(crate) use daemon::Program;
use search::Search;
use spec::Query;
pub(crate) use spec::Suite;

/// Of a rate that is kept, as many events may leave late: what the machine does beside has to be allowed something.
const LATE_AT_MOST: f64 = 0.01;

/// What the command line says otherwise than a suite.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes {
    pub(crate) runs: Option<u32>,
    pub(crate) events: Option<u64>,
    pub(crate) lanes: Option<u32>,
    pub(crate) rate: Option<Rate>,
    pub(crate) length: Option<Duration>,
    /// Only these; all if none is named.
    pub(crate) queries: Vec<String>,
    /// Through Kafka, by these brokers, instead of HTTP.
    pub(crate) brokers: Option<String>,
}

/// A suite, and what it is run with.
#[derive(Debug)]
pub(crate) struct Bench {
    suite: Suite,
    program: Program,
    version: String,
    brokers: Option<String>,
    /// Where input is kept, and runs have their folders.
    cache: PathBuf,
}

/// A promise that a rate has to keep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promise {
    /// Of rows, from the watermark on.
    pub(crate) p99: Duration,
    pub(crate) from: Rate,
    pub(crate) most: Rate,
    /// A share of the rate.
    pub(crate) precision: f64,
}

impl Bench {
    /// A suite as it is to be run.
    ///
    /// # Errors
    /// Says which change does not fit the suite, or that the program is not there.
    pub(crate) fn new(
        mut suite: Suite,
        changes: &Changes,
        program: Option<&Path>,
        cache: PathBuf,
    ) -> Result<Self, String> {
        suite.runs = changes.runs.unwrap_or(suite.runs);
        suite.daemon.lanes = changes.lanes.unwrap_or(suite.daemon.lanes);
        match &mut suite.load {
            Some(load) => {
                if changes.events.is_some() {
                    return Err("--events is for suites that read a file; this one takes --rate and --for".to_owned());
                }
                load.rate = changes.rate.unwrap_or(load.rate);
                load.length = changes.length.map_or(load.length, HumanDuration);
            }
            None => {
                if changes.rate.is_some() || changes.length.is_some() || changes.brokers.is_some() {
                    let load = "--rate, --for and --brokers are for suites with a load; this one takes --events";
                    return Err(load.to_owned());
                }
                suite.events.count = changes.events.unwrap_or(suite.events.count);
            }
        }
        if let Some(unknown) = changes.queries.iter().find(|name| !suite.queries.contains_key(*name)) {
            let names: Vec<&str> = suite.queries.keys().map(String::as_str).collect();
            return Err(format!("there is no query {unknown}; there are {}", names.join(", ")));
        }
        if !changes.queries.is_empty() {
            suite.queries.retain(|name, _| changes.queries.contains(name));
        }
        suite.check()?;
        let program = Program::find(program);
        let version = program.version()?;
        Ok(Self { suite, program, version, brokers: changes.brokers.clone(), cache })
    }

    /// Runs every query as often as the suite says, one after the other in turn, so that a slow minute of the machine does
    /// not fall upon one of them alone.
    ///
    /// # Errors
    /// Says which run failed, and why.
    pub(crate) async fn run(&self, stop: watch::Receiver<bool>, say: impl Fn(&str)) -> Result<Results, String> {
        let begun = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let mut cases: Vec<Case> = self.suite.queries.keys().map(|name| Case::new(name)).collect();
        let input = match self.suite.load {
            None => Some(self.input(stop.clone(), &say).await?),
            Some(_) => None,
        };
        for number in 1..=self.suite.runs {
            for (case, query) in cases.iter_mut().zip(self.suite.queries.values()) {
                let ran = match &input {
                    Some(input) => self.replay(query, input, case, &stop, &say),
                    None => live::run(self, query, self.folder()?.path(), case, stop.clone()).await,
                };
                if *stop.borrow() {
                    return Err("stopped".to_owned());
                }
                ran.map_err(|why| format!("{}, run {number}: {why}", case.name))?;
                say(&format!("{} {number}/{}: {}\n", case.name, self.suite.runs, last(case)));
            }
        }
        Ok(Results {
            suite: self.suite.name.clone(),
            begun,
            machine: Machine::this(),
            program: self.version.clone(),
            cases,
        })
    }

    /// One run over a file, and what the suite wants beside it.
    fn replay(
        &self,
        query: &Query,
        input: &Path,
        case: &mut Case,
        stop: &watch::Receiver<bool>,
        say: &impl Fn(&str),
    ) -> Result<(), String> {
        let first = case.metrics.is_empty();
        let took = replayed::run(self, query, input, self.folder()?.path(), case)?;
        if !self.suite.recovery || *stop.borrow() {
            return Ok(());
        }
        // The first run decides for all, so that each metric has as many numbers.
        if first && took < recovery::SHORTEST {
            let took = millis(took.as_secs_f64() * 1000.0);
            say(&format!("{}: no recovery time, as a run is over within {took}: read more events\n", case.name));
        } else if first || case.has(recovery::TIME) {
            let recovered = recovery::run(self, query, input, took, case, stop);
            recovered.map_err(|why| format!("killed and started again: {why}"))?;
        }
        Ok(())
    }

    /// Finds the highest rate at which the first query keeps a promise.
    ///
    /// # Errors
    /// Says which run failed, and why.
    pub(crate) async fn search(
        &self,
        promise: Promise,
        stop: watch::Receiver<bool>,
        say: impl Fn(&str),
    ) -> Result<Option<f64>, String> {
        let load = self.suite.load.ok_or("a search needs a suite with a load")?;
        let Some((name, query)) = self.suite.queries.first_key_value() else { return Ok(None) };
        let mut search = Search::new(promise.from.a_second(), promise.most.a_second(), promise.precision);
        while let Some(rate) = search.next() {
            let rate = rate.round().max(1.0);
            let folder = self.folder()?;
            let load = spec::LoadSpec { rate: Rate::per_second(rate as u64), ..load };
            let outcome = live::measure(self, query, load, folder.path(), stop.clone(), |_| {}).await;
            if *stop.borrow() {
                return Err("stopped".to_owned());
            }
            // A rate at which events are given up is too high, and so is one at which no window closes in time.
            let (kept, why) = match outcome {
                Ok(outcome) => {
                    let late = outcome.load.late as f64 / outcome.load.sent.max(1) as f64;
                    let p99 = outcome.rows.p99_ms;
                    let kept = outcome.rows.rows > 0
                        && p99 <= promise.p99.as_secs_f64() * 1000.0
                        && late <= LATE_AT_MOST
                        && outcome.daemon.total.late == 0;
                    let late = short(late * 100.0);
                    let dropped = count(outcome.daemon.total.late);
                    (
                        kept,
                        format!("rows visible p99 {}, {late} % left late, {dropped} late in the daemon", millis(p99)),
                    )
                }
                Err(why) => (false, why),
            };
            say(&format!("{name} at {}/s: {why}: {}\n", short(rate), if kept { "kept" } else { "broken" }));
            search.tell(rate, kept);
        }
        Ok(search.found())
    }

    /// The file that is read, in the page cache, so that the first run is like the others.
    async fn input(&self, stop: watch::Receiver<bool>, say: &impl Fn(&str)) -> Result<PathBuf, String> {
        let path = input::file(&self.suite.events, &self.cache, stop, |_| {}).await?;
        say(&format!("events in {}\n", path.display()));
        let read = File::open(&path).and_then(|mut file| io::copy(&mut file, &mut io::sink()));
        read.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Ok(path)
    }

    /// An empty folder, which goes when it is dropped.
    fn folder(&self) -> Result<TempDir, String> {
        let told = |error: io::Error| format!("no folder in {}: {error}", self.cache.display());
        std::fs::create_dir_all(&self.cache).map_err(told)?;
        tempfile::Builder::new().prefix("run-").tempdir_in(&self.cache).map_err(told)
    }
}

/// What the last run measured.
fn last(case: &Case) -> String {
    let shown = case.metrics.iter().filter_map(|metric| {
        let value = metric.runs.last()?;
        Some(format!("{} {} {}", metric.name, short(*value), metric.unit))
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// Results as a table: medians, least to most in brackets.
pub(crate) fn table(results: &Results) -> String {
    let mut text = String::new();
    for case in &results.cases {
        text.push_str(&format!("{}\n", case.name));
        for fact in &case.facts {
            text.push_str(&format!("  {:24} {}\n", fact.name, count(fact.value)));
        }
        for metric in &case.metrics {
            let (least, most) = spread(&metric.runs);
            let (median, least, most) = (short(metric.median), short(least), short(most));
            text.push_str(&format!("  {:24} {median} ({least} to {most}) {}\n", metric.name, metric.unit));
        }
    }
    text
}
