//! How a command fails, sorted by exit code.

/// What a command comes to.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Why a command could not do its work.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The command line or a file that the user wrote is wrong: 2.
    Wrong(String),
    /// It was right, and failed while running, or found what it was asked to find: 1.
    Running(String),
}

impl Failure {
    /// The user has to change something first.
    pub(crate) fn wrong(message: impl Into<String>) -> Self {
        Self::Wrong(message.into())
    }

    /// Something failed.
    pub(crate) fn running(message: impl Into<String>) -> Self {
        Self::Running(message.into())
    }

    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Running(_) => 1,
            Self::Wrong(_) => 2,
        }
    }

    pub(crate) fn message(&self) -> &str {
        let (Self::Running(message) | Self::Wrong(message)) = self;
        message
    }
}
