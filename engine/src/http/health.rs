//! Whether a run is well: epochs end.

use std::time::Duration;

use crate::run::EpochView;

/// A few missed epochs are a slow store; a minute without one beyond them is trouble that somebody should look at.
const MISSED: u32 = 3;
const GRACE: Duration = Duration::from_secs(60);

/// How a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Health {
    /// Sources, sinks and state are being opened.
    Starting,
    /// Epochs end.
    Running,
    /// None has for so long.
    Stuck(Duration),
}

/// Judges by the epochs. A start that takes as long as that is no better than a run that stands still.
pub(super) fn of(epochs: &EpochView) -> Health {
    let patience = epochs.interval.unwrap_or_default() * MISSED + GRACE;
    match epochs.interval {
        _ if epochs.age > patience => Health::Stuck(epochs.age),
        None => Health::Starting,
        Some(_) => Health::Running,
    }
}

impl Health {
    /// The body of the answer.
    pub(super) fn json(&self) -> serde_json::Value {
        match self {
            Self::Starting => serde_json::json!({ "status": "starting" }),
            Self::Running => serde_json::json!({ "status": "running" }),
            Self::Stuck(age) => {
                let reason = format!("no checkpoint has succeeded for {} s", age.as_secs());
                serde_json::json!({ "status": "stuck", "reason": reason })
            }
        }
    }
}
