//! What can go wrong on the way to a service, sorted by what the caller should do about it.

use std::error::Error;
use std::fmt::Display;

type Cause = Box<dyn Error + Send + Sync>;

/// A failure to reach a service, or to be let in.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Passing trouble: to be tried again.
    #[error("{what}: {cause}")]
    Retry {
        /// What failed, and on which thing.
        what: String,
        /// Why.
        cause: Cause,
    },
    /// The configuration or the environment must change first: no credentials, a missing permission.
    #[error("{what}")]
    Config {
        /// What is wrong and what to do.
        what: String,
    },
}

/// An error, and its causes one below the other.
pub fn error_chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

impl ClientError {
    /// Trouble that may pass.
    pub fn retry(what: impl Display, cause: impl Into<Cause>) -> Self {
        Self::Retry { what: what.to_string(), cause: cause.into() }
    }

    /// Trouble that the user must mend.
    pub fn config(what: impl Display) -> Self {
        Self::Config { what: what.to_string() }
    }
}
