//! An epoch as events, each sent until it is confirmed.
//!
//! The one idea: events of one key go one after the other, so that they stand in their order. Those of different keys need
//! not wait for each other, and go on several links at once.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::future::join_all;
use tokio::time::{Instant, sleep_until};
use watershed_clients::azure::{Hub, Trouble};

use super::event::{Batches, Group, groups};
use super::session::{Failure, Patience, Session};
use crate::error::SinkError;
use crate::messages::{Epoch, Message, Publisher};

/// Links of a connection. Where each row has a key of its own, so many are on their way at once.
const LINKS: usize = 16;

/// Publishes to an event hub, at least once.
pub(super) struct HubPublisher {
    hub: Hub,
    place: String,
    /// Region, pipeline and sink.
    name: String,
    pub(super) patience: Patience,
    session: Option<Session>,
    confirmed: Confirmed,
    /// The service asks to be left alone until then.
    not_before: Option<Instant>,
}

/// Which events of the epoch that is on its way are confirmed.
#[derive(Default)]
struct Confirmed {
    epoch: u64,
    rows: Vec<AtomicBool>,
}

impl Confirmed {
    fn has(&self, row: usize) -> bool {
        self.rows.get(row).is_some_and(|row| row.load(Ordering::Relaxed))
    }

    fn note(&self, rows: &[usize]) {
        for row in rows.iter().filter_map(|row| self.rows.get(*row)) {
            row.store(true, Ordering::Relaxed);
        }
    }

    fn count(&self) -> usize {
        self.rows.iter().filter(|row| row.load(Ordering::Relaxed)).count()
    }
}

impl fmt::Debug for HubPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubPublisher").field("place", &self.place).field("name", &self.name).finish_non_exhaustive()
    }
}

impl HubPublisher {
    /// A publisher that calls itself `name`.
    pub(super) fn new(hub: Hub, name: String) -> Self {
        let place = hub.place();
        let (patience, confirmed) = (Patience::default(), Confirmed::default());
        Self { hub, place, name, patience, session: None, confirmed, not_before: None }
    }

    /// Sends what of the epoch is not confirmed, over the session there is or a new one; one that has failed is dropped.
    async fn send_rest(&mut self, messages: &[Message], name: &str) -> Result<(), SinkError> {
        if let Some(until) = self.not_before.take() {
            sleep_until(until).await;
        }
        let rest = groups(messages, |row| !self.confirmed.has(row)).map_err(|error| self.at_place(error))?;
        let sent = async {
            let session = match self.session.take().filter(Session::is_good) {
                Some(session) => session,
                None => Session::open(&self.hub, self.patience, LINKS).await?,
            };
            send_all(&session, messages, name, &rest, &self.confirmed).await?;
            Ok::<_, Failure>(session)
        };
        match sent.await {
            Ok(session) => {
                self.session = Some(session);
                Ok(())
            }
            Err(Failure { trouble, error }) => {
                if trouble == Trouble::Throttled {
                    self.not_before = Some(Instant::now() + self.patience.throttled);
                }
                Err(self.at_place(error))
            }
        }
    }

    /// Names the hub in an error of a row, which knows none.
    fn at_place(&self, error: SinkError) -> SinkError {
        match error {
            SinkError::Config { what } if !what.contains(&self.place) => {
                SinkError::config(format!("{}: {what}", self.place))
            }
            other => other,
        }
    }
}

/// Sends the groups, each on a link of its own, or after others on the same. All links go on until they are done or fail.
async fn send_all(
    session: &Session,
    messages: &[Message],
    name: &str,
    groups: &[Group<'_>],
    confirmed: &Confirmed,
) -> Result<(), Failure> {
    let links = session.links();
    let sending = (0..links).map(|link| async move {
        for group in groups.iter().skip(link).step_by(links) {
            for batch in Batches::new(messages, name, group, session.limit()) {
                let batch = batch?;
                session.send(link, &batch.message).await?;
                confirmed.note(&batch.rows);
            }
        }
        Ok::<_, Failure>(())
    });
    join_all(sending).await.into_iter().collect()
}

#[async_trait]
impl Publisher for HubPublisher {
    fn place(&self) -> &str {
        &self.place
    }

    /// The service keeps no record, and is asked nothing before there are rows for it.
    async fn open(&mut self) -> Result<u64, SinkError> {
        Ok(0)
    }

    async fn probe(&mut self) -> Result<String, SinkError> {
        let opened = async {
            let session = Session::open(&self.hub, self.patience, 1).await?;
            let limit = session.limit();
            session.close().await?;
            Ok::<_, Failure>(limit)
        };
        let limit = opened.await.map_err(|failure| failure.error)?;
        Ok(format!("{} takes events of up to {limit} bytes; none was sent", self.place))
    }

    async fn publish(&mut self, epoch: Epoch) -> Result<u64, SinkError> {
        let number = epoch.epoch;
        let messages: Vec<Message> = epoch.parts.into_iter().flatten().collect();
        if self.confirmed.epoch != number || self.confirmed.rows.len() != messages.len() {
            let rows = messages.iter().map(|_| AtomicBool::default()).collect();
            self.confirmed = Confirmed { epoch: number, rows };
        }
        let name = format!("{}/{number}", self.name);
        loop {
            let (was_open, before) = (self.session.is_some(), self.confirmed.count());
            match self.send_rest(&messages, &name).await {
                // A session that was open may have died while there was nothing to send. And as long as each try gets
                // further, the engine, whose pauses grow, need not hear of it.
                Err(error @ SinkError::Retry { .. }) if was_open || self.confirmed.count() > before => {
                    tracing::debug!(%error, epoch = number, "the rest is to be sent again");
                }
                ended => return ended.map(|()| 0),
            }
        }
    }
}
