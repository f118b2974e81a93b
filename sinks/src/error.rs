//! What can go wrong at a sink, sorted by what the caller should do about it.

use std::fmt::Display;

use watershed_clients::{ClientError, error_chain};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failure of a sink.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Passing trouble: the engine waits and calls again.
    #[error("{what}: {}", whole(.cause.as_ref()))]
    Retry {
        /// What failed, and on which thing.
        what: String,
        /// Why.
        cause: Cause,
    },
    /// The configuration or the environment must change first: a missing folder, a missing permission.
    #[error("{what}")]
    Config {
        /// What is wrong and what to do.
        what: String,
    },
    /// Going on would lose or repeat rows.
    #[error("{what}: {}", whole(.cause.as_ref()))]
    Fatal {
        /// What failed, and on which thing.
        what: String,
        /// Why.
        cause: Cause,
    },
    /// The reader at the other end went away, as `head` does: nothing is wrong, and nobody wants more rows.
    #[error("{what}")]
    Closed {
        /// What was closed.
        what: String,
    },
}

/// What an error says, and behind it whatever its causes say beyond that: clients of HTTP tell the reason only there.
pub fn whole(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    for said in error_chain(error).skip(1).map(ToString::to_string) {
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
    }
    text
}

impl SinkError {
    /// Trouble that may pass.
    pub fn retry(what: impl Display, cause: impl Into<Cause>) -> Self {
        Self::Retry { what: what.to_string(), cause: cause.into() }
    }

    /// Trouble that the user must mend.
    pub fn config(what: impl Display) -> Self {
        Self::Config { what: what.to_string() }
    }

    /// Trouble that ends the run.
    pub fn fatal(what: impl Display, cause: impl Into<Cause>) -> Self {
        Self::Fatal { what: what.to_string(), cause: cause.into() }
    }

    /// The end of the reader's interest.
    pub fn closed(what: impl Display) -> Self {
        Self::Closed { what: what.to_string() }
    }
}

impl From<ClientError> for SinkError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Retry { what, cause } => Self::Retry { what, cause },
            ClientError::Config { what } => Self::Config { what },
        }
    }
}
