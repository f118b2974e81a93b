//! Sharing a stream between daemons, by leases in a DynamoDB table of the Kinesis Client Library's shape.
//!
//! The one idea: who may read a shard is one row, changed only by conditional writes. What to change is decided by
//! [`worker`] and [`plan`] without I/O; here it is carried out by three tasks. One renews what is held and waits for
//! nothing else, so that neither a slow sink nor a slow scan costs a lease; one looks for what to take; and one asks the
//! states of those who had it before ([`Predecessors`]).
//!
//! | what happens | the row: owner, checkpoint owner; state, before | guarantee |
//! |---|---|---|
//! | A holds a shard | A, –; a, – | |
//! | B wishes it | B, A; a, – | |
//! | A's reader says [`Left`](crate::ReadStatus::Left), an epoch makes durable what it read, and A gives the shard up | B, –; –, – | exactly once |
//! | B begins at the checkpoint | B, –; b, – | |
//! | A dies, or does not hand over: the counter stands still for a duration, or three have passed. B takes the shard | B, –; b, a | |
//! | B ends A's right to write to state a, and learns what it knows: that is the checkpoint now | B, –; b, – | exactly once |
//! | B dies before that; C takes the shard, and asks a: B has read nothing | C, –; c, a | exactly once |
//! | state a can't be had: B begins at the checkpoint all the same | B, –; b, – | what A counted behind the checkpoint is read again |
//! | A starts again, with its state, before another takes the shard | A, –; a, – | exactly once |

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use futures::{StreamExt, stream};
use serde::Deserialize;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::duration::HumanDuration;
use crate::error::SourceError;
use crate::kinesis::lineage::Shard;
use crate::kinesis::place::Place;
use crate::predecessors::Predecessors;
use crate::source::{Known, SplitId};
use crate::start::Start;

mod checkpoint;
mod lease;
mod plan;
mod reader;
mod rows;
mod table;
#[cfg(test)]
mod tests;
mod worker;

pub(crate) use reader::{Gone, Leased};

use checkpoint::{Checkpoint, Sequence};
use lease::{Change, Outcome};
use table::LeaseTable;
use worker::{Claim, Question, Renewal, Then, Worker};

/// Writes to the table at a time.
const AT_ONCE: usize = 16;
/// A third of the duration passes between two signs of life, so that one may fail.
const SIGNS: u32 = 3;
/// A write that is not answered is sent again after these pauses; the next sign of life is soon enough after that.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(200)];
/// Bounds of `duration`: shorter ones are lost by a hiccup of the network, and beyond these nobody takes over in time.
const DURATIONS: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);

/// `leases`: share the stream with other daemons.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseOptions {
    /// The table; made if it is missing.
    pub table: String,
    /// Names this daemon among those that share the stream. Left out, it is made up from the host's name.
    pub owner: Option<String>,
    /// After how long without a sign of life others take over.
    #[serde(default = "ten_seconds")]
    pub duration: HumanDuration,
    /// The address of DynamoDB, if it is not the region's.
    pub endpoint: Option<String>,
}

fn ten_seconds() -> HumanDuration {
    Duration::from_secs(10).into()
}

impl LeaseOptions {
    /// Refuses what makes no sense; `interval` lies between two checkpoints.
    pub(crate) fn check(&self, interval: Duration) -> Result<(), SourceError> {
        let duration = Duration::from(self.duration);
        if interval > 2 * duration {
            return Err(SourceError::config(
                "leases: no hand-over can be in time, as a checkpoint takes longer than others wait: make `duration` at \
                 least half of the checkpoint interval",
            ));
        }
        if !DURATIONS.contains(&duration) {
            return Err(SourceError::config("leases: `duration` must lie between \"1s\" and \"10m\""));
        }
        if self.owner.as_ref().is_some_and(|owner| owner.is_empty() || owner.len() > 255) {
            return Err(SourceError::config("leases: `owner` must have 1 to 255 characters"));
        }
        if self.table.is_empty() {
            return Err(SourceError::config("leases: `table` must name a table of DynamoDB"));
        }
        Ok(())
    }
}

/// A name that no other process has.
fn own_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    let host = if host.trim().is_empty() { "watershed" } else { host.trim() };
    format!("{host}-{}-{:08x}", std::process::id(), rand::random::<u32>())
}

/// The leases of one daemon on one stream.
#[derive(Debug)]
pub(crate) struct Leases {
    inner: Arc<Inner>,
    start: Start,
    tasks: tokio::sync::Mutex<Option<JoinSet<()>>>,
}

#[derive(Debug)]
struct Inner {
    table: LeaseTable,
    duration: Duration,
    worker: Mutex<Worker>,
    predecessors: Option<Arc<dyn Predecessors>>,
    /// Where the worker's time begins.
    begun: Instant,
    /// There is something to write.
    news: Notify,
    /// There may be something to take.
    free: Notify,
    /// There may be somebody to ask.
    taken: Notify,
    /// Counts what the tasks have done.
    rounds: watch::Sender<u64>,
    /// True while leases cannot be renewed, and while the table cannot be looked at.
    renewing_fails: AtomicBool,
    looking_fails: AtomicBool,
}

/// The right to read a shard, as long as it lasts.
#[derive(Debug)]
pub(crate) struct Hold {
    inner: Arc<Inner>,
    shard: String,
    grant: u64,
    checkpoint: Checkpoint,
    since: Option<i64>,
}

impl Leases {
    /// Nothing is asked or taken before [`list`](Self::list). Shards that a checkpoint knows to be over are not read again.
    pub(crate) fn new(
        options: &LeaseOptions,
        config: &SdkConfig,
        start: Start,
        known: &[(SplitId, Known)],
        predecessors: Option<Arc<dyn Predecessors>>,
    ) -> Self {
        let owner = options.owner.clone().unwrap_or_else(own_name);
        let duration = Duration::from(options.duration);
        let table = LeaseTable::new(config, options.endpoint.as_deref(), &options.table, duration / SIGNS / 2);
        let mut worker = Worker::new(&owner, predecessors.as_ref().map(|before| before.own()), duration);
        known.iter().filter(|(_, known)| known.ended).for_each(|(split, _)| worker.remember_drained(split.as_str()));
        let inner = Inner {
            table,
            duration,
            worker: Mutex::new(worker),
            predecessors,
            begun: Instant::now(),
            news: Notify::new(),
            free: Notify::new(),
            taken: Notify::new(),
            rounds: watch::channel(0).0,
            renewing_fails: AtomicBool::new(false),
            looking_fails: AtomicBool::new(false),
        };
        Self { inner: Arc::new(inner), start, tasks: tokio::sync::Mutex::new(None) }
    }

    /// The shards that this daemon is to read, of all that there are. The first call takes what can be had at once, and
    /// begins to renew and to look for more.
    pub(crate) async fn list(&self, shards: &[Shard]) -> Result<Vec<SplitId>, SourceError> {
        let mut tasks = self.tasks.lock().await;
        let inner = &self.inner;
        if tasks.is_none() {
            inner.table.patient().ensure().await?;
            inner.look().await?;
        }
        inner.add_missing(shards, self.start).await?;
        if tasks.is_none() {
            inner.take().await?;
            let mut running = JoinSet::new();
            running.spawn(renew(inner.clone()));
            running.spawn(look_out(inner.clone()));
            running.spawn(ask(inner.clone()));
            *tasks = Some(running);
        }
        let held = inner.worker().shards(inner.now());
        Ok(held.into_iter().map(SplitId::new).collect())
    }

    /// The right to read `shard`, once it is handed over; none if another daemon keeps it.
    pub(crate) async fn open(&self, shard: &str) -> Option<Hold> {
        let inner = &self.inner;
        let mut rounds = inner.rounds.subscribe();
        loop {
            rounds.mark_unchanged();
            let claim = inner.worker().claim(shard, inner.now());
            match claim {
                Claim::Held { grant, checkpoint, since } => {
                    return Some(Hold { inner: inner.clone(), shard: shard.to_string(), grant, checkpoint, since });
                }
                Claim::Elsewhere => return None,
                // The sender is in `inner`.
                Claim::Coming => drop(rounds.changed().await),
            }
        }
    }

    /// Tries everything that sharing needs, changing nothing.
    pub(crate) async fn probe(&self) -> Result<String, SourceError> {
        self.inner.table.patient().probe().await
    }

    /// Gives every lease back, so that others need not wait.
    pub(crate) async fn close(&self) {
        let running = self.tasks.lock().await.take();
        if let Some(mut running) = running {
            running.shutdown().await;
        }
        let inner = &self.inner;
        inner.worker().close();
        for _ in 0..SIGNS {
            inner.renew(true).await;
            // What could not be told is noticed by others after a duration.
            let _ = inner.take().await;
            if !inner.worker().holds_any() {
                return;
            }
        }
    }
}

impl Hold {
    /// Where to begin: at `place`, which is what our own checkpoint says, or at the table's, if that is further.
    pub(crate) fn place(&self, place: Place) -> Place {
        further(place, &self.checkpoint, self.since)
    }

    /// True as long as nobody else can have the shard and nobody asks for it.
    fn may_read(&self) -> bool {
        self.inner.worker().may_read(&self.shard, self.grant, self.inner.now())
    }

    /// More was handed out than is durable.
    fn handed_out(&self) {
        self.inner.worker().handed_out(&self.shard, self.grant);
    }

    /// Everything up to `checkpoint` is durable; how much `then` is left.
    fn durable(&self, checkpoint: Option<Checkpoint>, then: Then) {
        self.inner.worker().durable(&self.shard, self.grant, checkpoint, then);
        self.inner.news.notify_one();
    }

    /// The end of the shard was read.
    fn drained(&self) {
        self.inner.worker().drained(&self.shard, self.grant);
    }
}

/// A place as a checkpoint; none if nothing was read up to it.
fn reckon(place: &Place) -> Option<Checkpoint> {
    let sequence = Sequence::parse(place.sequence.as_ref()?)?;
    Some(Checkpoint::After { sequence, sub: place.sub.map_or(0, u64::from) })
}

/// The further one of a place of our own and a checkpoint of the table.
fn further(place: Place, checkpoint: &Checkpoint, since: Option<i64>) -> Place {
    match (reckon(&place), checkpoint) {
        (own, Checkpoint::After { sequence, sub }) if own.as_ref().is_none_or(|own| own < checkpoint) => {
            Place { sequence: Some(sequence.as_str().into()), sub: u32::try_from(*sub).ok(), ..place }
        }
        // All daemons begin at the moment at which the first of them did.
        (None, Checkpoint::AtTimestamp | Checkpoint::Latest) => Place { since: since.or(place.since), ..place },
        (None, Checkpoint::TrimHorizon) => Place { since: None, ..place },
        _ => place,
    }
}

/// Shows signs of life for ever.
async fn renew(inner: Arc<Inner>) {
    let mut due = tokio::time::interval(inner.duration / SIGNS);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let is_due = tokio::select! {
            _ = due.tick() => true,
            () = inner.news.notified() => false,
        };
        inner.renew(is_due).await;
    }
}

/// Asks those who had held what was taken, for ever.
async fn ask(inner: Arc<Inner>) {
    loop {
        inner.taken.notified().await;
        inner.ask().await;
    }
}

/// Looks for what to take for ever.
async fn look_out(inner: Arc<Inner>) {
    loop {
        // Jitter, so that daemons that began together do not reach for the same leases again and again.
        let pause = (inner.duration / SIGNS).mul_f64(rand::random_range(0.7..1.0));
        // Neither way of waking says more than that it is time.
        let _ = tokio::time::timeout(pause, inner.free.notified()).await;
        let outcome = match inner.look().await {
            Ok(()) => inner.take().await,
            Err(error) => Err(error),
        };
        say_once(&inner.looking_fails, outcome.err());
    }
}

impl Inner {
    fn worker(&self) -> MutexGuard<'_, Worker> {
        // Nobody panics while holding the lock.
        self.worker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Reads the table.
    async fn look(&self) -> Result<(), SourceError> {
        let rows = self.table.scan().await?;
        self.worker().observe(rows, self.now());
        Ok(())
    }

    /// Adds rows for shards that have none.
    async fn add_missing(&self, shards: &[Shard], start: Start) -> Result<(), SourceError> {
        let missing = {
            let worker = self.worker();
            let known: BTreeSet<&str> = worker.rows().map(|lease| lease.shard.as_str()).collect();
            rows::missing(shards, &known, start, chrono::Utc::now().timestamp_millis())
        };
        if missing.is_empty() {
            return Ok(());
        }
        for lease in &missing {
            self.table.add(lease).await?;
        }
        self.look().await?;
        self.free.notify_one();
        Ok(())
    }

    /// Takes what is to be taken.
    async fn take(&self) -> Result<(), SourceError> {
        let changes = self.worker().plan(self.now());
        let mut outcomes = stream::iter(changes).map(|change| self.change(change)).buffer_unordered(AT_ONCE);
        let mut failed = None;
        while let Some((change, outcome, sent)) = outcomes.next().await {
            let outcome = outcome.unwrap_or_else(|error| {
                failed = Some(error);
                Outcome::Unknown
            });
            self.worker().planned(&change, outcome, sent, self.now());
        }
        self.rounds.send_modify(|rounds| *rounds += 1);
        self.taken.notify_one();
        failed.map_or(Ok(()), Err)
    }

    /// Asks the states of those who had held what was taken. One that can't be had is asked once, and told of once.
    async fn ask(&self) {
        let mut missed: BTreeSet<String> = BTreeSet::new();
        loop {
            let Some(question) = self.worker().questions(self.now()).into_iter().next() else { return };
            let learned = match missed.contains(&question.before) {
                true => None,
                false => self.ask_one(&question).await.unwrap_or_else(|error| {
                    let (shard, state) = (&question.shard, &question.before);
                    tracing::warn!(
                        shard, state, %error,
                        "the state of the daemon that had this shard can't be had: what it had counted behind the lease \
                         table's checkpoint is counted again; keep every daemon's state in a store that all of them reach"
                    );
                    missed.insert(question.before.clone());
                    None
                }),
            };
            self.worker().answered(&question, learned);
            self.news.notify_one();
        }
    }

    async fn ask_one(&self, question: &Question) -> Result<Option<Checkpoint>, SourceError> {
        let Some(predecessors) = &self.predecessors else {
            return Err(SourceError::config("this daemon keeps no state"));
        };
        let known = predecessors.fence(&question.before, &SplitId::new(question.shard.as_str())).await?;
        Ok(known.and_then(|known| match known.ended {
            true => Some(Checkpoint::ShardEnd),
            false => reader::checkpoint_of(&known.position?),
        }))
    }

    async fn change(&self, change: Change) -> (Change, Result<Outcome, SourceError>, Duration) {
        let sent = self.now();
        let outcome = self.table.change(&change).await;
        (change, outcome, sent)
    }

    /// Renews what is held, and gives up what is not needed any more.
    async fn renew(&self, due: bool) {
        let renewals = self.worker().renewals(due, self.now());
        let given = renewals.iter().any(Renewal::gives);
        if !renewals.is_empty() {
            let answers = stream::iter(renewals).map(|renewal| self.renew_one(renewal)).buffer_unordered(AT_ONCE);
            let answers: Vec<Result<bool, SourceError>> = answers.collect().await;
            if answers.iter().any(|again| matches!(again, Ok(true))) {
                self.news.notify_one();
            }
            say_once(&self.renewing_fails, answers.into_iter().find_map(Result::err));
        }
        self.rounds.send_modify(|rounds| *rounds += 1);
        if given {
            self.free.notify_one();
        }
    }

    /// True if the lease should be renewed again at once.
    async fn renew_one(&self, renewal: Renewal) -> Result<bool, SourceError> {
        let mut pauses = PAUSES.iter();
        loop {
            let sent = self.now();
            let (outcome, failed) = match self.table.change(&renewal.change).await {
                Ok(outcome) => (outcome, None),
                Err(error) => (Outcome::Unknown, Some(error)),
            };
            let again = self.worker().renewed(&renewal, outcome, sent, self.now());
            match (failed, pauses.next()) {
                (None, _) => return Ok(again),
                (Some(error), None) => return Err(error),
                (Some(_), Some(pause)) => tokio::time::sleep(*pause).await,
            }
        }
    }
}

/// Says once that something fails, and once that it does not any more.
fn say_once(fails: &AtomicBool, error: Option<SourceError>) {
    match error {
        Some(error) if !fails.swap(true, Ordering::Relaxed) => {
            tracing::warn!(%error, "leases can't be kept; trying again");
        }
        None if fails.swap(false, Ordering::Relaxed) => tracing::info!("the lease table is reached again"),
        _ => {}
    }
}
