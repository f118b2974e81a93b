//! Standard error: log lines, errors and the one line that shows progress, without one tearing the other.
//!
//! The one idea: everything that goes to standard error goes through [`Screen`], which knows whether a progress line
//! stands there, and takes filled-in values out of whatever passes.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

use super::args::LogFormat;
use super::failure::{Failure, Outcome};
use crate::config::Secrets;
use crate::diagnostic::Diagnostic;

/// Back to the first column, and everything on the line gone.
const CLEAR_LINE: &str = "\r\x1b[2K";

/// Text beyond the right edge is cut off instead of going on in the next line, which could not be cleared.
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

/// Standard error.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: bool,
    secrets: RwLock<Secrets>,
    /// True while a progress line stands on the last line.
    progress: Mutex<bool>,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { terminal: io::stderr().is_terminal(), secrets: RwLock::default(), progress: Mutex::new(false) }
    }

    /// True if somebody is watching.
    pub(super) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// True if errors may be colored: on a terminal, unless NO_COLOR is set.
    pub(super) fn color(&self) -> bool {
        self.terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
    }

    /// From now on these values are shown as they are written in the config.
    pub(super) fn hide(&self, secrets: &Secrets) {
        // Of several region files none is forgotten; nobody panics while holding the lock.
        self.secrets.write().unwrap_or_else(PoisonError::into_inner).join(secrets);
    }

    /// Text without filled-in values.
    pub(super) fn redact(&self, text: &str) -> String {
        self.secrets.read().unwrap_or_else(PoisonError::into_inner).redact(text)
    }

    /// Prints text that ends with a newline, above the progress line.
    pub(super) fn print(&self, text: &str) {
        let text = self.redact(text);
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let clear = if *progress { CLEAR_LINE } else { "" };
        *progress = false;
        // Nobody can be told that standard error is gone.
        let _ = io::stderr().lock().write_all(format!("{clear}{text}").as_bytes());
    }

    /// Shows one line in place of the one that was shown last.
    pub(super) fn show_progress(&self, line: &str) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        *progress = true;
        let mut stderr = io::stderr().lock();
        let _ = stderr.write_all(format!("{CLEAR_LINE}{NO_WRAP}{line}{WRAP}").as_bytes());
        let _ = stderr.flush();
    }

    /// Takes the progress line away.
    pub(super) fn clear_progress(&self) {
        self.print("");
    }
}

/// Whatever is asked for, not this: it repeats what AWS's token service says of a signature, and that repeats the signed
/// request with its token.
const NEVER: &str = "aws_config=error";

/// Sends log lines to the screen: as RUST_LOG says, or else warnings, with more of this program's own for each `-v`. Of the
/// clients below only errors: they warn of each broken connection anew, and the engine says it once. That others
/// have written to a table is no error at all.
pub(super) fn start_logging(screen: &Arc<Screen>, verbose: u8, format: LogFormat) -> Outcome {
    let directives = match std::env::var("RUST_LOG") {
        Ok(directives) if !directives.trim().is_empty() => directives,
        _ => match verbose {
            0 => "error,deltalake_core::kernel::transaction=off,watershed=warn",
            1 => "error,deltalake_core::kernel::transaction=off,watershed=info",
            2 => "info,watershed=debug",
            _ => "debug,watershed=trace",
        }
        .to_string(),
    };
    let filter = EnvFilter::try_new(format!("{directives},{NEVER}")).map_err(|error| {
        let error = Diagnostic::new(format!("RUST_LOG is not understood: {error}"));
        Failure::wrong(error.help("write for example RUST_LOG=watershed=debug"))
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(LogWriter(screen.clone()));
    let started = match format {
        LogFormat::Text => lines.with_ansi(screen.color()).finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    };
    started.map_err(|error| Failure::running(format!("cannot start logging: {error}")))
}

/// Takes log lines, one at each call.
#[derive(Clone)]
struct LogWriter(Arc<Screen>);

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.print(&String::from_utf8_lossy(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
