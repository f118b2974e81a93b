//! How long the service is waited for, and how long it is left alone.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What the service asks of clients that it throttles.
const THROTTLED: Duration = Duration::from_secs(4);

/// Bounds of everything that waits for an answer: nothing here can hang.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// Name lookup, TCP, TLS and AMQP's own greeting.
    pub(super) connect: Duration,
    /// A question about the hub or a partition; the first one carries the token.
    pub(super) ask: Duration,
    /// A farewell: whoever does not answer is left.
    pub(super) close: Duration,
    /// A receiver that sits on events which are known to be there.
    pub(super) stall: Duration,
    /// Between two looks at a silent partition, where there are few.
    pub(super) look: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            ask: Duration::from_secs(15),
            close: Duration::from_secs(3),
            stall: Duration::from_secs(15),
            look: Duration::from_secs(1),
        }
    }
}

/// The pause that the service has asked for, which all partitions of a source keep.
#[derive(Debug, Default)]
pub(super) struct Pace {
    until: Mutex<Option<Instant>>,
}

impl Pace {
    /// The service throttles.
    pub(super) fn throttled(&self) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + THROTTLED);
    }

    /// When it may be asked again, if that is not yet.
    pub(super) fn until(&self) -> Option<Instant> {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.filter(|until| *until > Instant::now())
    }

    /// Waits until it may be asked again.
    pub(super) async fn wait(&self) {
        if let Some(until) = self.until() {
            tokio::time::sleep_until(until.into()).await;
        }
    }
}
