//! Trying again: for ever, with growing pauses, and told once.

use std::time::Duration;

use tokio::sync::watch;
use watershed_connectors::{SourceError, SplitId};

use super::reader::stopped;

/// Pauses between attempts to reach a source again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A series of attempts at one thing.
#[derive(Debug)]
pub(super) struct Attempts {
    source: String,
    split: Option<SplitId>,
    pause: Duration,
    failing: bool,
}

impl Attempts {
    pub(super) fn new(source: &str, split: Option<&SplitId>) -> Self {
        Self { source: source.to_string(), split: split.cloned(), pause: FIRST_PAUSE, failing: false }
    }

    /// It worked; says so if it had not.
    pub(super) fn succeeded(&mut self) {
        if std::mem::take(&mut self.failing) {
            tracing::info!(source = %self.source, split = self.split.as_ref().map(SplitId::as_str), "reached again");
        }
    }

    /// Something came of it: the next failure is a new one.
    pub(super) fn progressed(&mut self) {
        self.pause = FIRST_PAUSE;
    }

    /// It did not work; says so the first time, and waits.
    pub(super) async fn failed(&mut self, error: &SourceError, stop: &mut watch::Receiver<bool>) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(source = %self.source, split = self.split.as_ref().map(SplitId::as_str), %error, "trying again");
        }
        // Jitter, so that many do not come back at the same instant.
        let jittered = self.pause.mul_f64(rand::random_range(0.5..1.0));
        // Neither the end of the pause nor that of the run is an error.
        let _ = tokio::time::timeout(jittered, stopped(stop)).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}
