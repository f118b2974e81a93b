//! Standard error: messages, and the one line that shows progress.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Back to the first column, and everything on the line gone.
const CLEAR_LINE: &str = "\r\x1b[2K";
/// Where no terminal is, lines stay; one in so long is enough to see that it goes on.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Standard error.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: bool,
    quiet: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// True while a progress line stands on the last line.
    stands: bool,
    last: Instant,
}

impl Screen {
    pub(crate) fn new(quiet: bool) -> Self {
        let state = Mutex::new(State { stands: false, last: Instant::now() });
        Self { terminal: io::stderr().is_terminal(), quiet, state }
    }

    /// Prints text that ends with a newline, above the progress line.
    pub(crate) fn print(&self, text: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let clear = if std::mem::take(&mut state.stands) { CLEAR_LINE } else { "" };
        // Nobody can be told that standard error is gone.
        let _ = io::stderr().lock().write_all(format!("{clear}{text}").as_bytes());
    }

    /// The same, unless it is to be quiet.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            self.print(text);
        }
    }

    /// Shows one line in place of the one that was shown last; where no terminal is, one in ten seconds.
    pub(crate) fn progress(&self, line: &str) {
        if self.quiet {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.terminal {
            state.stands = true;
            let _ = io::stderr().lock().write_all(format!("{CLEAR_LINE}{line}").as_bytes());
        } else if state.last.elapsed() >= LINE_EVERY {
            state.last = Instant::now();
            let _ = io::stderr().lock().write_all(format!("{line}\n").as_bytes());
        }
    }
}
