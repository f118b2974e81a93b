//! `watershed run`.

use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::args::Run;
use super::failure::{Failure, Outcome, load, refused_sql};
use super::federation::Counter;
use super::places::check_sinks;
use super::progress::{self, REFRESH, Rate};
use super::residency;
use super::screen::Screen;
use super::signals::Signals;
use super::tables;
use crate::config::{Http, Region};
use crate::diagnostic::Diagnostic;
use crate::http::{Queries, Server};
use crate::plan::{PlannedRegion, plan_region};
use crate::report::{Progress, RunReport};
use crate::run::{self, Board, RunOptions};

/// Runs the pipelines of a region file to their end, or until a signal.
pub(super) async fn run(arguments: Run, screen: &Arc<Screen>) -> Outcome {
    let mut region = load(&arguments.file)?;
    screen.hide(&region.secrets);
    if let Some(lanes) = arguments.lanes {
        region.lanes = lanes;
    }
    check_ready(&region)?;
    if let Some(path) = &arguments.report {
        check_report_place(path)?;
    }
    let planned = plan_region(&region).await.map_err(|errors| refused_sql(&region, errors))?;
    let Run { report, quiet, reset_state, drain, .. } = arguments;
    drive(region, planned, Drive { report, quiet, reset_state, drain, only: None }, screen).await.map(drop)
}

/// What is to be done besides running.
pub(super) struct Drive {
    pub(super) report: Option<PathBuf>,
    pub(super) quiet: bool,
    pub(super) reset_state: bool,
    pub(super) drain: bool,
    /// Puts out only windows that lie in this range of event time.
    pub(super) only: Option<Range<i64>>,
}

/// Runs what is planned to its end, or until a signal; shows how far it is, and what came of it. True if no signal came.
pub(super) async fn drive(region: Region, planned: PlannedRegion, drive: Drive, screen: &Arc<Screen>) -> Outcome<bool> {
    check_sinks(&region, &planned)?;
    residency::check(&region, &planned).await?;
    tables::check(&region).await?;
    let (signals, stop) = Signals::listen(screen)?;
    let stopped = stop.clone();
    let live = screen.is_terminal() && !drive.quiet;
    let (sender, receiver) = watch::channel(Progress::default());
    let board = Arc::new(Board::default());
    let server = match &region.http {
        Some(http) => Some(listen_on(http, &region, &planned, board.clone()).await?),
        None => None,
    };
    let options = RunOptions {
        lanes: region.lanes,
        board,
        progress: live.then_some(sender),
        reset_state: drive.reset_state,
        drain: drive.drain,
        only: drive.only,
        ..RunOptions::new(stop)
    };
    let running = run::run(planned, options);
    tokio::pin!(running);
    let result = tokio::select! {
        result = &mut running => result,
        // Ends by itself only when the run has dropped its sender.
        () = show(receiver, screen), if live => running.await,
    };
    if let Some(server) = server {
        server.stop().await;
    }
    if live {
        screen.clear_progress();
    }
    drop(signals);
    let report = result.map_err(|error| match error.is_config() {
        true => Failure::wrong(Diagnostic::new(error.to_string())),
        false => Failure::running(error.to_string()),
    })?;
    if !drive.quiet {
        screen.print(&progress::summary(&report));
    }
    if let Some(path) = &drive.report {
        write_report(path, &report)?;
    }
    let whole = !*stopped.borrow();
    Ok(whole)
}

/// Starts the daemon's own HTTP server.
async fn listen_on(http: &Http, region: &Region, planned: &PlannedRegion, board: Arc<Board>) -> Outcome<Server> {
    let token = http.query_token.clone();
    let queries = token.map(|token| Queries::new(token, Counter::new(region, planned)));
    let address = http.listen;
    Server::start(address, board, queries).await.map_err(|error| {
        let error = Diagnostic::new(format!("cannot listen on {address}: {error}"));
        Failure::wrong(error.help("give [http] listen another address or port"))
    })
}

/// What `check` lets pass, because it is how one begins, and `run` does not.
fn check_ready(region: &Region) -> Outcome {
    let file = region.file.display();
    if region.pipelines.is_empty() {
        let error = Diagnostic::in_file(&region.file, "there are no pipelines to run");
        return Err(Failure::wrong(error.help("add [pipelines.NAME] with `sql` and `sink`")));
    }
    let lacking = region.sources.values().filter(|source| source.schema.is_none());
    let errors: Vec<_> = lacking
        .map(|source| {
            Diagnostic::at(source.location.clone(), format!("source `{}` has no schema", source.name))
                .help(format!("run `watershed check {file}` to infer it"))
        })
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(Failure::Wrong(errors)) }
}

/// Finds out before the run whether its report can be written after it.
pub(super) fn check_report_place(path: &Path) -> Outcome {
    if path == Path::new("-") {
        return Ok(());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let problem = if path.is_dir() {
        "it is a folder"
    } else if !folder.is_dir() {
        "its folder does not exist"
    } else {
        return Ok(());
    };
    Err(Failure::wrong(Diagnostic::new(format!("--report {}: {problem}", path.display()))))
}

fn write_report(path: &Path, report: &RunReport) -> Outcome {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::running(format!("cannot write the report to {}: {error}", path.display()))
    };
    let mut json = serde_json::to_string_pretty(report).map_err(|error| failed(&error))?;
    json.push('\n');
    let written = match path == Path::new("-") {
        true => std::io::stdout().lock().write_all(json.as_bytes()),
        false => fs::write(path, json),
    };
    written.map_err(|error| failed(&error))
}

/// Shows the progress until its sender is gone.
async fn show(receiver: watch::Receiver<Progress>, screen: &Screen) {
    let mut ticks = tokio::time::interval(REFRESH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut rate = Rate::default();
    while receiver.has_changed().is_ok() {
        ticks.tick().await;
        let progress = *receiver.borrow();
        let rate = rate.update(&progress);
        screen.show_progress(&progress::line(&progress, rate));
    }
}
