//! Which shards are read here, and where each begins: the only place that knows.
//!
//! `start = "latest"` is a moment: the one at which the stream was listed first. Each shard begins at it by time stamp,
//! and each position carries it, so that a failure before the first record neither loses nor repeats any, and a shard
//! that is first opened after a restart begins at the same moment. Shards that open later hold only younger records.
//!
//! | checkpoint | `start` | an unknown shard begins |
//! |---|---|---|
//! | none | `earliest` | at its oldest record |
//! | none | `latest`, or a moment | at that moment; `latest` leaves out what is closed already |
//! | some | any | where the first start began |

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use watershed_clients::aws::Connection;

use super::client;
use super::lineage::{Lineage, Shard};
use super::place::Place;
use crate::error::SourceError;
use crate::source::{Known, Position, SplitId};
use crate::start::Start;

/// The shards of a stream.
#[derive(Debug)]
pub(super) struct Shards {
    start: Start,
    refresh: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lineage: Lineage,
    /// Where the first start began, once that is known; none inside: at the oldest record.
    since: Option<Option<i64>>,
    /// The last list and its age. None before the first, and after the end of a shard: then there are new ones.
    list: Option<(Instant, Arc<[Shard]>)>,
    /// The closed ones of the last list.
    closed: HashSet<SplitId>,
    /// How many shards have ended, to tell whether a list is older than the last end.
    ends: usize,
    /// What is closed in the first list is left out.
    skip_closed: bool,
}

impl Shards {
    pub(super) fn new(start: Start, refresh: Duration) -> Self {
        let skip_closed = start == Start::Latest;
        Self { start, refresh, state: Mutex::new(State { skip_closed, ..State::default() }) }
    }

    /// Takes note of what a checkpoint knows.
    pub(super) fn restore(&self, known: &[(SplitId, Known)]) {
        if known.is_empty() {
            return;
        }
        let places = known.iter().filter_map(|(split, known)| Place::parse(split, known.position.as_ref()?).ok());
        let since = places.filter_map(|place| place.since).min();
        let mut state = self.lock();
        state.lineage.restore(known);
        state.since = Some(since);
        state.skip_closed = false;
    }

    /// The shards to be read now.
    pub(super) async fn to_read(&self, connection: &Connection) -> Result<Vec<SplitId>, SourceError> {
        let shards = self.listed(connection).await?;
        let mut state = self.lock();
        if std::mem::take(&mut state.skip_closed) {
            state.lineage.skip_closed(&shards);
        }
        Ok(state.lineage.to_read(&shards))
    }

    /// Every shard of the stream, as of the last look.
    pub(super) async fn listed(&self, connection: &Connection) -> Result<Arc<[Shard]>, SourceError> {
        let ends = {
            let state = self.lock();
            match &state.list {
                Some((asked, shards)) if asked.elapsed() < self.refresh => return Ok(shards.clone()),
                _ => state.ends,
            }
        };
        // The moment is taken before the list: what is written in between is read.
        self.since();
        let asked = Instant::now();
        let shards: Arc<[Shard]> = client::shards(connection).await?.into();
        let mut state = self.lock();
        state.closed = shards.iter().filter(|shard| shard.closed).map(|shard| shard.id.clone()).collect();
        state.list = (state.ends == ends).then(|| (asked, shards.clone()));
        Ok(shards)
    }

    /// True if the last look at the stream has shown `shard` to take no more records.
    pub(super) fn closed(&self, shard: &SplitId) -> bool {
        self.lock().closed.contains(shard)
    }

    /// Where to begin in `shard`.
    pub(super) fn place(&self, shard: &SplitId, from: Option<&Position>) -> Result<Place, SourceError> {
        match from {
            Some(position) => Place::parse(shard, position),
            None => Ok(Place::first(self.since())),
        }
    }

    /// Takes note that `shard` was read to its end: its children may be read.
    pub(super) fn drained(&self, shard: &SplitId) {
        let mut state = self.lock();
        state.lineage.drained(shard);
        state.ends += 1;
        state.list = None;
    }

    /// Where the first start began.
    fn since(&self) -> Option<i64> {
        *self.lock().since.get_or_insert_with(|| match self.start {
            Start::Earliest => None,
            Start::At(moment) => Some(moment.timestamp_millis()),
            Start::Latest => Some(now()),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Nobody panics while holding the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds since the Unix epoch.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
