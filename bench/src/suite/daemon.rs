//! The program under test, as a process.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;

const REGION: &str = "region.toml";
const REPORT: &str = "report.json";
const LOG: &str = "log.txt";
const RUN: [&str; 5] = ["run", REGION, "--quiet", "--report", REPORT];
/// Of the log, what is shown when a run fails.
const SHOWN: usize = 2000;

/// What the daemon says of a run.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct RunReport {
    /// Of this process.
    #[serde(flatten)]
    pub(super) total: Counts,
    /// Of all processes over its state.
    pub(super) lifetime: Counts,
    /// True if it went on from a checkpoint.
    pub(super) resumed: bool,
    pub(super) wall_s: f64,
    pub(super) cpu_s: f64,
    pub(super) peak_rss_bytes: u64,
    /// By source.
    #[serde(default)]
    pub(super) event_delays: BTreeMap<String, Delay>,
}

/// How long it took from events until they were in their panes.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Delay {
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

/// What it counted.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Counts {
    pub(super) read: u64,
    pub(super) bad: u64,
    pub(super) filtered: u64,
    pub(super) late: u64,
    pub(super) aggregated: u64,
    pub(super) windows: u64,
    pub(super) rows_out: u64,
    pub(super) bytes_in: u64,
}

/// The program, wherever it is.
#[derive(Debug, Clone)]
pub(crate) struct Program(PathBuf);

impl Program {
    /// The one that is named, or `WATERSHED`, or the one beside this program, or the one that the shell would find.
    pub(crate) fn find(named: Option<&Path>) -> Self {
        let beside = || {
            let beside = std::env::current_exe().ok()?.with_file_name("watershed");
            beside.exists().then_some(beside)
        };
        let named = named.map(Path::to_path_buf).or_else(|| std::env::var_os("WATERSHED").map(PathBuf::from));
        let found = named.or_else(beside).unwrap_or_else(|| PathBuf::from("watershed"));
        // It is started in another folder, and by others.
        let whole = match found.components().count() {
            1 => in_path(&found),
            _ => std::path::absolute(&found).ok(),
        };
        Self(whole.unwrap_or(found))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What `--version` says.
    ///
    /// # Errors
    /// If it can't be run.
    pub(crate) fn version(&self) -> Result<String, String> {
        let output = Command::new(&self.0).arg("--version").output();
        let output = output.map_err(|error| self.told(&error))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Starts a run in `folder`, which gets its region file there. Rows that go to standard output can be read from it.
    ///
    /// # Errors
    /// If it can't be started.
    pub(super) fn start(&self, folder: &Path, region: &str, lanes: u32) -> Result<Daemon, String> {
        fs::write(folder.join(REGION), region).map_err(|error| self.told(&error))?;
        self.spawn(folder, Command::new(&self.0).args(RUN).args(["--lanes", &lanes.to_string()]))
    }

    /// Starts the run in `folder` once more. [`said`] finds what it logs.
    ///
    /// # Errors
    /// If it can't be started.
    pub(super) fn start_again(&self, folder: &Path, lanes: u32) -> Result<Daemon, String> {
        let mut command = Command::new(&self.0);
        command.args(RUN).args(["--lanes", &lanes.to_string(), "--log-format", "json"]);
        self.spawn(folder, command.env("RUST_LOG", "watershed_engine=debug"))
    }

    fn spawn(&self, folder: &Path, command: &mut Command) -> Result<Daemon, String> {
        let log = File::create(folder.join(LOG)).map_err(|error| self.told(&error))?;
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let (begun, begun_at) = (Instant::now(), Utc::now());
        let child = command.spawn().map_err(|error| self.told(&error))?;
        Ok(Daemon { child, begun, begun_at, folder: folder.to_path_buf() })
    }

    fn told(&self, error: &io::Error) -> String {
        format!("cannot run {}: {error}", self.0.display())
    }
}

/// Where the shell would find a program.
fn in_path(name: &Path) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// A run. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    begun: Instant,
    begun_at: DateTime<Utc>,
    folder: PathBuf,
}

/// When a run in `folder` that was started again logged `message` first.
pub(super) fn said(folder: &Path, message: &str) -> Option<DateTime<Utc>> {
    #[derive(Deserialize)]
    struct Line {
        timestamp: String,
        message: String,
    }
    let log = fs::read_to_string(folder.join(LOG)).unwrap_or_default();
    let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    let line = lines.find(|line| line.message == message)?;
    DateTime::parse_from_rfc3339(&line.timestamp).ok().map(|moment| moment.to_utc())
}

impl Daemon {
    /// Where its rows can be read, once.
    pub(super) fn rows(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    pub(super) fn begun_at(&self) -> DateTime<Utc> {
        self.begun_at
    }

    /// True while it runs.
    pub(super) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end.
    pub(super) fn ask_to_end(&self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // It may have ended, which is looked at next.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }

    /// Ends it at once, as a crash would.
    pub(super) fn kill(self) {
        drop(self);
    }

    /// Waits until it has ended well; gives its report, and the time from its start to its end.
    ///
    /// # Errors
    /// If it ends otherwise: with the end of its log.
    pub(super) fn report(mut self) -> Result<(RunReport, Duration), String> {
        let status = self.child.wait().map_err(|error| format!("cannot wait for watershed: {error}"))?;
        let wall = self.begun.elapsed();
        if !status.success() {
            return Err(self.failed(status));
        }
        let text = fs::read(self.folder.join(REPORT)).map_err(|error| format!("no report: {error}"))?;
        let report = serde_json::from_slice(&text).map_err(|error| format!("the report can't be read: {error}"))?;
        Ok((report, wall))
    }

    /// What it said last.
    pub(super) fn last_words(&self) -> String {
        let log = fs::read_to_string(self.folder.join(LOG)).unwrap_or_default();
        let from = log.len().saturating_sub(SHOWN);
        let from = (from..=log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(0);
        log[from..].trim().to_owned()
    }

    fn failed(&self, status: ExitStatus) -> String {
        format!("watershed ended with {status}:\n{}", self.last_words())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that has ended can't be killed, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
