//! One sink of a pipeline: up, or down and behind.
//!
//! The one idea: a sink whose place does not answer counts as a process that died. Rows wait for it as they wait after a
//! crash, in the state, and another is made, which goes on from there as a new process would.
//!
//! | | sink | rows |
//! |---|---|---|
//! | up | has taken every batch | go to it as they come |
//! | behind | answers, and takes one batch after the other | wait |
//! | down | none; one is tried beside the flow, at most once for each epoch that is stored | wait |

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use futures::future::{Either, select};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinSet;
use watershed_sinks::{Flush, Held, Prepared, Sink, SinkError, Upkeep};

use super::outlet::{FIRST_PAUSE, GIVE_UP_AFTER, Kept, LONGEST_PAUSE};
use super::world::World;
use crate::checkpoint::{Behind, Block, Budget, Hold, bytes_of, of_bytes};
use crate::config::{Spill, Standby};

/// Makes a sink; each is a new process to its place.
pub(crate) type MakeSink = Arc<dyn Fn() -> Result<Box<dyn Sink>, SinkError> + Send + Sync>;

/// A sink under the name that the region file gives it.
pub(crate) struct NamedSink {
    pub(crate) name: String,
    pub(crate) make: MakeSink,
    /// How long a place that can't be reached is waited for at the start, where its rows cannot be spilled.
    pub(crate) patience: Duration,
    pub(crate) spill: Option<Spill>,
    pub(crate) standby: Option<Standby>,
}

/// A batch, under its number, for a sink that gets it again; none: the rows were another's.
pub(super) type Again = (u64, Option<Arc<Block>>);

/// A sink, and what it has of the rows.
pub(super) struct Line {
    pub(super) name: String,
    pipeline: Arc<str>,
    make: MakeSink,
    pub(super) spill: Option<Spill>,
    pub(super) standby: Option<Standby>,
    schema: SchemaRef,
    world: World,
    /// None while it is down.
    sink: Option<Box<dyn Sink>>,
    /// Number of the batch that it takes next.
    next: u64,
    /// Number of the first batch that came after its last `prepare`.
    from: u64,
    /// What it held then.
    pub(super) held: Option<Held>,
    /// What of that it had encoded, by its own numbers.
    pub(super) encoded: BTreeMap<u64, Kept>,
    /// What the epoch that is being stored will make visible.
    prepared: Option<Prepared>,
    /// What an epoch has prepared that is stored, if it may not be visible yet.
    owed: Option<Prepared>,
    /// Bytes of the batches that it has not taken.
    pub(super) bytes: u64,
    /// What its sink holds in memory.
    memory: Option<Hold>,
    /// Since when it is down, or has not caught up.
    down_since: Option<Duration>,
    /// An epoch was stored since it went down, or was tried without success.
    may_try: bool,
    attempts: u64,
    attempt: JoinSet<Result<Back, Failed>>,
    try_after: Duration,
    pause: Duration,
    trouble: Option<SinkError>,
    /// Files that were shown beside the flow.
    shown: u64,
    /// Takes what looks after the files of each sink that is made.
    upkeep: UnboundedSender<Box<dyn Upkeep>>,
    newest_upkeep: Option<UnboundedReceiver<Box<dyn Upkeep>>>,
}

/// A sink that answers again, and has what the one before it held.
struct Back {
    sink: Box<dyn Sink>,
    epoch: u64,
    next: u64,
    shown: u64,
}

/// Why a sink is not back.
struct Failed {
    error: SinkError,
    /// It is of no use to try again.
    for_good: bool,
    /// It got so far that it may have begun files.
    begun: bool,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("name", &self.name).field("sink", &self.sink).finish_non_exhaustive()
    }
}

impl Line {
    /// Makes the sink and opens it. Gives the first epoch that is free at its place, too; none if that does not answer.
    pub(super) async fn open(
        pipeline: Arc<str>,
        schema: SchemaRef,
        sink: NamedSink,
        world: World,
        stop: &watch::Receiver<bool>,
    ) -> Result<(Self, Option<u64>), SinkError> {
        let NamedSink { name, make, patience, spill, standby } = sink;
        let (upkeep, newest_upkeep) = unbounded_channel();
        let mut newest_upkeep = Some(newest_upkeep);
        let opened = match make() {
            Ok(mut sink) => {
                // One that can't be made now may have something later.
                newest_upkeep = newest_upkeep.filter(|_| sink.upkeep().is_some_and(|first| upkeep.send(first).is_ok()));
                let epoch = match spill {
                    Some(_) => within(spill, &world, sink.open()).await,
                    None => open_patiently(&mut *sink, &pipeline, patience, &world, stop).await,
                };
                epoch.map(|epoch| (sink, epoch))
            }
            Err(error) => Err(error),
        };
        let (sink, opened, trouble) = match opened {
            Ok((sink, epoch)) => (Some(sink), Some(epoch), None),
            Err(error) if spill.is_none() || matches!(error, SinkError::Fatal { .. }) => return Err(error),
            Err(error) => (None, None, Some(error)),
        };
        let mut line = Self {
            name,
            pipeline,
            make,
            spill,
            standby,
            schema,
            world,
            sink,
            next: 0,
            from: 0,
            held: None,
            encoded: BTreeMap::new(),
            prepared: None,
            owed: None,
            bytes: 0,
            memory: None,
            down_since: None,
            may_try: false,
            attempts: 0,
            attempt: JoinSet::new(),
            try_after: Duration::ZERO,
            pause: FIRST_PAUSE,
            trouble: None,
            shown: 0,
            upkeep,
            newest_upkeep,
        };
        if let Some(error) = trouble {
            line.lose(error)?;
        }
        Ok((line, opened))
    }

    /// True while its place does not answer.
    pub(super) fn is_down(&self) -> bool {
        self.sink.is_none()
    }

    /// How long it has been down, if it is.
    pub(super) fn down_for(&self) -> Option<Duration> {
        let since = self.down_since.filter(|_| self.sink.is_none())?;
        Some(self.world.environment.elapsed().saturating_sub(since))
    }

    /// True if it may be given the batch of this number now.
    pub(super) fn takes(&self, number: u64) -> bool {
        self.sink.is_some() && self.next == number
    }

    /// Number of the batch that is to be read back for it, if it takes one and has not had all before `end`.
    pub(super) fn wants(&self, end: u64) -> Option<u64> {
        (self.sink.is_some() && self.next < end).then_some(self.next)
    }

    /// True if rows have to be kept for it between two epochs.
    pub(super) fn keeps(&self) -> bool {
        self.spill.is_some() || self.sink.as_ref().is_some_and(|sink| sink.holds())
    }

    /// True if so many bytes wait for it that the pipeline has to wait, as well. Not while only the end of an epoch can bring it
    /// on: what comes until then is taken on top.
    pub(super) fn is_full(&self) -> bool {
        self.has_no_room() && (self.sink.is_some() || (self.may_try && self.prepared.is_none()))
    }

    /// True if as many bytes wait for it as may.
    pub(super) fn has_no_room(&self) -> bool {
        self.spill.is_some_and(|spill| self.bytes >= spill.limit)
    }

    /// Number of the first batch that waits for it.
    pub(super) fn waits_from(&self) -> u64 {
        if self.sink.is_some() { self.next } else { self.from }
    }

    /// Number of the first batch that it may need once more.
    pub(super) fn needs(&self) -> u64 {
        self.held.as_ref().map_or(self.from, |held| held.first.min(self.from))
    }

    /// What the manifest says of it, if it has not got all before `end`.
    pub(super) fn behind(&self, end: u64) -> Option<Behind> {
        (self.sink.is_none() || self.from < end).then_some(Behind { from: self.from, attempts: self.attempts })
    }

    /// What the manifest says that is to be shown.
    pub(super) fn to_show(&self) -> Option<&Prepared> {
        self.prepared.as_ref().or(self.owed.as_ref())
    }

    /// What looks after its files, and after that what takes the place of it when another sink is made; none if nothing does.
    pub(super) fn upkeep(&mut self) -> Option<UnboundedReceiver<Box<dyn Upkeep>>> {
        self.newest_upkeep.take()
    }

    /// Stands where a dead process stood, if there was one.
    pub(super) fn restore(
        &mut self,
        end: u64,
        held: Option<&Held>,
        behind: Option<&Behind>,
        encoded: BTreeMap<u64, Arc<Block>>,
    ) {
        self.from = behind.map_or(end, |behind| behind.from);
        // It may have gone down since this run began.
        self.attempts += behind.map_or(0, |behind| behind.attempts);
        self.held = held.cloned();
        self.encoded = encoded.into_iter().map(|(number, block)| (number, Kept::Block(block))).collect();
        self.next = self.from;
    }

    /// Takes up what a dead process held.
    pub(super) async fn resume(&mut self, rows: Vec<Again>) -> Result<(), SinkError> {
        let encoded = self.at_hand();
        let (Some(held), Some(sink)) = (&self.held, &mut self.sink) else { return Ok(()) };
        let resumed = within(self.spill, &self.world, resume(&mut **sink, &self.schema, held, encoded, rows)).await;
        match resumed {
            Ok(()) => Ok(()),
            Err(Failed { error, for_good: true, .. }) => Err(error),
            Err(Failed { error, .. }) => self.lose(error),
        }
    }

    /// Gives it the batch that it takes next.
    pub(super) async fn write(&mut self, batch: RecordBatch) -> Result<(), SinkError> {
        let Some(sink) = &mut self.sink else { return Ok(()) };
        match within(self.spill, &self.world, sink.write(self.next, batch)).await {
            Ok(()) => {
                self.next += 1;
                Ok(())
            }
            Err(error) => self.lose(error),
        }
    }

    /// Has the budget count what its sink holds by now.
    pub(super) fn count(&mut self, budget: &Arc<Budget>) {
        let bytes = self.sink.as_ref().map_or(0, |sink| sink.held_bytes());
        if self.memory.as_ref().map_or(0, Hold::bytes) != bytes {
            self.memory = (bytes > 0).then(|| budget.hold(bytes));
        }
    }

    /// Notes that it has every batch there is.
    pub(super) fn has_all(&mut self) {
        self.bytes = 0;
        if self.down_since.take().is_some() {
            self.pause = FIRST_PAUSE;
            tracing::info!(pipeline = %self.pipeline, sink = %self.name, "the sink is back, and has all that was spilled");
        }
    }

    /// Makes durable what is due.
    pub(super) async fn prepare(&mut self, epoch: u64, flush: Flush, budget: &Arc<Budget>) -> Result<(), SinkError> {
        let Some(sink) = &mut self.sink else { return Ok(()) };
        match within(self.spill, &self.world, sink.prepare(epoch, flush)).await {
            Ok(prepared) => {
                self.held = sink.held();
                self.keep_encoded(budget)?;
                self.from = self.next;
                self.prepared = Some(prepared).filter(|prepared| !prepared.is_nothing());
                Ok(())
            }
            Err(error) => self.lose(error),
        }
    }

    /// Keeps what it has encoded since, and lets go of what it needs no more.
    fn keep_encoded(&mut self, budget: &Arc<Budget>) -> Result<(), SinkError> {
        let Some(held) = &mut self.held else {
            self.encoded.clear();
            return Ok(());
        };
        self.encoded.retain(|number, _| held.encoded.contains(number));
        for (number, bytes) in std::mem::take(&mut held.bytes) {
            let batch = of_bytes(bytes).map_err(|error| SinkError::fatal("encoded rows", error))?;
            self.encoded.insert(number, Kept::Block(Block::new(batch, budget)));
        }
        Ok(())
    }

    /// What it had encoded, where that can be read back.
    fn at_hand(&self) -> Vec<(u64, Arc<Block>)> {
        self.encoded.iter().filter_map(|(number, kept)| Some((*number, kept.block()?.clone()))).collect()
    }

    /// Has it show once more what the last epoch prepared.
    pub(super) fn prepared_before(&mut self, prepared: &Prepared) {
        self.prepared = Some(prepared.clone());
    }

    /// The epoch is stored: shows what it prepared. Gives the number of files that were shown since. What `may_pass` is tried
    /// again.
    pub(super) async fn publish(&mut self, may_pass: fn(&SinkError) -> bool) -> Result<u64, SinkError> {
        self.may_try = true;
        let mut files = std::mem::take(&mut self.shown);
        let Some(prepared) = self.prepared.take() else { return Ok(files) };
        let mut pause = FIRST_PAUSE;
        let begun = self.world.environment.elapsed();
        let mut told = false;
        while let Some(sink) = &mut self.sink {
            match within(self.spill, &self.world, sink.commit(&prepared)).await {
                Ok(committed) => {
                    files += committed.files;
                    return Ok(files);
                }
                Err(error) if may_pass(&error) && self.spill.is_some() => self.lose(error)?,
                // A try may take long itself.
                Err(error) if may_pass(&error) && self.world.environment.elapsed() - begun < GIVE_UP_AFTER => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(pipeline = %self.pipeline, %error, "files not visible yet, trying again");
                    }
                    self.world.environment.sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
        self.owed = Some(prepared);
        Ok(files)
    }

    /// True if something that a stored epoch prepared may not be visible.
    pub(super) fn owes(&self) -> bool {
        self.owed.is_some()
    }

    /// The sink cannot go on. An error, if it must.
    fn lose(&mut self, error: SinkError) -> Result<(), SinkError> {
        if self.spill.is_none() || matches!(error, SinkError::Closed { .. }) {
            return Err(error);
        }
        // Makes the manifest another one: an epoch is stored, after which it may be tried, even if no rows come.
        self.attempts += 1;
        if self.down_since.is_none() {
            self.down_since = Some(self.world.environment.elapsed());
            let (pipeline, sink) = (&self.pipeline, &self.name);
            tracing::warn!(%pipeline, %sink, %error, "the sink is down: its rows are spilled until it is back");
        }
        self.sink = None;
        self.may_try = false;
        self.wait();
        self.trouble = Some(error);
        Ok(())
    }

    fn wait(&mut self) {
        self.try_after = self.world.environment.elapsed() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// What has to be read back to try whether it is back; none if that is not due.
    pub(super) fn due(&self) -> Option<Range<u64>> {
        let due = self.sink.is_none()
            && self.may_try
            // What is shown first is known only once the epoch is stored.
            && self.prepared.is_none()
            && self.attempt.is_empty()
            && self.world.environment.elapsed() >= self.try_after;
        due.then(|| self.held.as_ref().map_or(self.from, |held| held.first)..self.from)
    }

    /// Begins to try whether it is back.
    pub(super) fn try_again(&mut self, rows: Vec<Again>) {
        let (make, owed, state, from) = (self.make.clone(), self.owed.clone(), self.held.clone(), self.from);
        let (schema, world, encoded) = (self.schema.clone(), self.world.clone(), self.at_hand());
        self.attempt.spawn(async move {
            let attempt = async {
                let (mut sink, epoch, shown) = reopen(&make, owed).await?;
                if let Some(held) = &state {
                    resume(&mut *sink, &schema, held, encoded, rows).await?;
                }
                Ok::<_, Failed>(Back { sink, epoch, next: from, shown })
            };
            answer_within(GIVE_UP_AFTER, &world, attempt).await
        });
    }

    /// Takes what came of an attempt that has ended. Gives the first epoch that is free at a place which is back.
    pub(super) fn harvest(&mut self) -> Result<Option<u64>, SinkError> {
        match self.attempt.try_join_next() {
            Some(Ok(outcome)) => self.tried(outcome),
            None => Ok(None),
            // It has panicked: as if it had found nobody.
            Some(Err(_)) => {
                self.wait();
                Ok(None)
            }
        }
    }

    /// The same, after waiting for it as long as a call may take; it is given up then.
    pub(super) async fn await_attempt(&mut self, limit: Duration) -> Result<Option<u64>, SinkError> {
        let sleep = self.world.environment.sleep(limit);
        let joined = match select(pin!(self.attempt.join_next()), sleep).await {
            Either::Left((joined, _)) => joined,
            Either::Right(_) => None,
        };
        match joined {
            Some(Ok(outcome)) => self.tried(outcome),
            None => Ok(None),
            Some(Err(_)) => {
                self.wait();
                Ok(None)
            }
        }
    }

    fn tried(&mut self, outcome: Result<Back, Failed>) -> Result<Option<u64>, SinkError> {
        match outcome {
            Ok(Back { mut sink, epoch, next, shown }) => {
                if let Some(upkeep) = sink.upkeep() {
                    // At the end of a run nobody sweeps any more.
                    let _ = self.upkeep.send(upkeep);
                }
                (self.sink, self.next, self.owed) = (Some(sink), next, None);
                self.shown += shown;
                Ok(Some(epoch))
            }
            Err(Failed { error, for_good: true, .. }) => Err(error),
            Err(Failed { error, begun, .. }) => {
                tracing::debug!(pipeline = %self.pipeline, sink = %self.name, %error, "the sink is still down");
                self.attempts += u64::from(begun);
                self.may_try &= !begun;
                self.wait();
                self.trouble = Some(error);
                Ok(None)
            }
        }
    }

    /// True while an attempt is under way.
    pub(super) fn is_tried(&self) -> bool {
        !self.attempt.is_empty()
    }

    /// Makes no more pauses before the next attempt.
    pub(super) fn hurry(&mut self) {
        self.try_after = Duration::ZERO;
    }

    /// Time until the next attempt may begin.
    pub(super) fn until_tried(&self) -> Duration {
        self.try_after.saturating_sub(self.world.environment.elapsed())
    }

    /// Why it is down, if it is said.
    pub(super) fn trouble(&self) -> Option<&SinkError> {
        self.trouble.as_ref()
    }

    /// The same; it is told no more.
    pub(super) fn take_trouble(&mut self) -> SinkError {
        let unknown = || SinkError::retry(format!("sink `{}`", self.name), "it does not answer");
        self.trouble.take().unwrap_or_else(unknown)
    }
}

/// Opens a sink, and tries again for a while where the place is in trouble that may pass. A refusal is final: nothing has
/// worked yet.
async fn open_patiently(
    sink: &mut dyn Sink,
    pipeline: &Arc<str>,
    patience: Duration,
    world: &World,
    stop: &watch::Receiver<bool>,
) -> Result<u64, SinkError> {
    let begun = world.environment.elapsed();
    let mut pause = FIRST_PAUSE;
    let mut told = false;
    loop {
        let opened = sink.open().await;
        let goes_on = !*stop.borrow() && world.environment.elapsed() - begun < patience;
        match opened {
            Err(error @ SinkError::Retry { .. }) if goes_on => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%pipeline, %error, "the place does not answer; trying again for up to {patience:?}");
                }
                world.environment.sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Ok(epoch) => {
                if told {
                    tracing::info!(%pipeline, "the place answers");
                }
                return Ok(epoch);
            }
            Err(error) => return Err(error),
        }
    }
}

/// A new sink, in which what an epoch prepared is visible; the first epoch that is free at its place; files shown.
async fn reopen(make: &MakeSink, owed: Option<Prepared>) -> Result<(Box<dyn Sink>, u64, u64), Failed> {
    let failed = |error: SinkError| {
        let for_good = matches!(error, SinkError::Fatal { .. });
        Failed { error, for_good, begun: false }
    };
    let mut sink = make().map_err(failed)?;
    let epoch = sink.open().await.map_err(failed)?;
    let shown = match owed {
        Some(owed) => sink.commit(&owed).await.map_err(failed)?.files,
        None => 0,
    };
    Ok((sink, epoch, shown))
}

/// Gives a new sink what the one before it held.
async fn resume(
    sink: &mut dyn Sink,
    schema: &SchemaRef,
    held: &Held,
    encoded: Vec<(u64, Arc<Block>)>,
    rows: Vec<Again>,
) -> Result<(), Failed> {
    let unread = |error| Failed { error: SinkError::fatal("rows of state", error), for_good: true, begun: true };
    sink.resume(held).await.map_err(|error| Failed { error, for_good: true, begun: false })?;
    for (number, block) in encoded {
        let bytes = bytes_of(&block.batch().map_err(unread)?);
        let bytes =
            bytes.ok_or_else(|| unread(DataFusionError::Internal("other rows than were stored".to_string())))?;
        sink.resume_encoded(number, bytes).await?;
    }
    for (number, block) in rows {
        let batch = match block {
            Some(block) => block.batch().map_err(unread)?,
            None => RecordBatch::new_empty(schema.clone()),
        };
        sink.write(number, batch).await.map_err(|error| Failed { error, for_good: false, begun: true })?;
    }
    Ok(())
}

/// Waits for a call of a sink; of one that may be down, no longer than that is to be waited.
async fn within<T, E: From<SinkError>>(
    spill: Option<Spill>,
    world: &World,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match spill {
        Some(Spill { after, .. }) => answer_within(after, world, call).await,
        None => call.await,
    }
}

async fn answer_within<T, E: From<SinkError>>(
    limit: Duration,
    world: &World,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match select(pin!(call), world.environment.sleep(limit)).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => Err(SinkError::retry("no answer", format!("the place is silent for {limit:?}")).into()),
    }
}

impl From<SinkError> for Failed {
    fn from(error: SinkError) -> Self {
        Self { error, for_good: false, begun: true }
    }
}
