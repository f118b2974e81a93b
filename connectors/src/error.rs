//! What can go wrong at a source, sorted by what the caller should do about it.

use std::fmt::Display;

use watershed_clients::ClientError;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failure of a source. A record that is merely bad is no error: readers hand it out as rejected.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Passing trouble: the engine waits and calls again.
    #[error("{what}: {cause}")]
    Retry {
        /// What failed, and on which thing.
        what: String,
        /// Why.
        cause: Cause,
    },
    /// The configuration or the environment must change first: a missing file, a missing permission.
    #[error("{what}")]
    Config {
        /// What is wrong and what to do.
        what: String,
    },
    /// Going on would lose or repeat records.
    #[error("{what}: {cause}")]
    Fatal {
        /// What failed, and on which thing.
        what: String,
        /// Why.
        cause: Cause,
    },
}

impl SourceError {
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
}

impl From<ClientError> for SourceError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Retry { what, cause } => Self::Retry { what, cause },
            ClientError::Config { what } => Self::Config { what },
        }
    }
}
