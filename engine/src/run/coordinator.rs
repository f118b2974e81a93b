//! Ends epochs: asks for the barrier, collects what comes of it, stores it, and lets it be seen.
//!
//! | phase | ends when |
//! |---|---|
//! | waiting | the interval is over, memory is short, or every pipeline is done |
//! | collecting | every lane, pipeline and writer of dead letters has passed the barrier; then state and manifest are stored |
//! | publishing | every sink has shown its files; then sources are told and old state is swept |
//! | finished | – |

mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use watershed_connectors::SplitId;
use watershed_sinks::Flush;

use super::acks::Acks;
use super::barrier::Barrier;
use super::board::Board;
use super::clock::SourceClock;
use super::cut::{LaneCut, LettersCut, PipelineCut};
use super::dead_letters::LetterMessage;
use super::error::RunError;
use super::lane::{LaneMessage, PipelineMessage};
use super::redelivery::Redelivery;
use super::step::Step;
use super::tally::{Tallies, Totals};
use super::world::World;
use crate::checkpoint::{Budget, Chain, Manifest, SplitState, Writer};
use crate::dedup::SeenKeys;
use crate::report::Counts;

/// What the coordinator is told.
pub(crate) enum CoordinatorMessage {
    /// A lane has passed the barrier.
    Lane(LaneCut),
    /// A pipeline has.
    Pipeline(Box<PipelineCut>),
    /// A writer of dead letters has.
    Letters(LettersCut),
    /// One of them has shown its files.
    Published {
        /// But for some, for which a sink that is down has to come back.
        owes: bool,
    },
    /// A pipeline has closed all that could close, and no records will come.
    Done,
    /// Memory is short: what is stored can be let go of.
    Pressure,
    /// Somebody waits until what a lane took in this round is durable.
    Awaited {
        /// The round.
        round: u64,
    },
}

/// Those whom the coordinator talks to.
pub(crate) struct Audience {
    pub(crate) barrier: watch::Sender<Barrier>,
    pub(crate) lanes: Vec<mpsc::UnboundedSender<LaneMessage>>,
    pub(crate) pipelines: Vec<mpsc::Sender<PipelineMessage>>,
    pub(crate) letters: Vec<mpsc::Sender<LetterMessage>>,
    pub(crate) acks: Arc<Acks>,
}

/// The keys that a source has seen.
pub(crate) struct Seen {
    pub(crate) keys: Arc<SeenKeys>,
    pub(crate) clock: Arc<SourceClock>,
    /// The source's watermark at the end of the epoch before: whatever is read again after a crash comes behind it.
    pub(crate) watermark: i64,
    /// True if the keys are dated by the clock, as the source has no event time.
    pub(crate) by_clock: bool,
}

/// Ends the epochs of a run.
pub(crate) struct Coordinator {
    pub(crate) inbox: mpsc::UnboundedReceiver<CoordinatorMessage>,
    pub(crate) audience: Audience,
    /// Names by index.
    pub(crate) sources: Vec<Arc<str>>,
    pub(crate) pipelines: Vec<Arc<str>>,
    /// By index of the source.
    pub(crate) seen: BTreeMap<usize, Seen>,
    /// By index of the source.
    pub(crate) redeliveries: BTreeMap<usize, Arc<Redelivery>>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) chain: Chain,
    pub(crate) writer: Writer,
    /// The last epoch that was stored.
    pub(crate) manifest: Manifest,
    /// The counts with which this run began.
    pub(crate) base: Totals,
    pub(crate) tallies: Arc<Tallies>,
    pub(crate) interval: Duration,
    pub(crate) world: World,
    pub(crate) phase: Phase,
    pub(crate) round: u64,
    /// The last round that somebody waits for.
    pub(crate) awaited: u64,
    pub(crate) done: usize,
    pub(crate) board: Arc<Board>,
}

/// Epochs that are awaited end no more often than this part of the interval says: a 200 then comes within a second where the
/// interval is ten, and the chain grows by ten manifests in the time of one, at most.
const AWAITED_SHARE: u32 = 10;
/// Nor more often than this, however short the interval: a store in a cloud takes as long to answer.
const LEAST_AWAITED: Duration = Duration::from_millis(100);

/// How far an epoch is.
#[derive(Debug)]
pub(crate) enum Phase {
    Waiting,
    Collecting(Collected),
    Publishing { missing: usize, owes: bool, last: bool },
    Finished,
}

/// What has come in of an epoch.
#[derive(Debug)]
pub(crate) struct Collected {
    barrier: Barrier,
    missing: usize,
    splits: Vec<(usize, SplitId, SplitState)>,
    pipelines: Vec<PipelineCut>,
    letters: Vec<LettersCut>,
}

impl Coordinator {
    /// Ends epochs until the last one, behind which nothing is left.
    pub(crate) async fn run(mut self) -> Result<Manifest, RunError> {
        let mut tick = tokio::time::interval(self.interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first tick is at once, when there is nothing to store.
        tick.tick().await;
        let mut soon = tokio::time::interval((self.interval / AWAITED_SHARE).max(LEAST_AWAITED));
        soon.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !matches!(self.phase, Phase::Finished) {
            tokio::select! {
                message = self.inbox.recv() => match message {
                    Some(message) => self.handle(message).await?,
                    None => return Err(RunError::Lost("every lane")),
                },
                _ = tick.tick(), if matches!(self.phase, Phase::Waiting) => self.begin(Flush::Due)?,
                _ = soon.tick(), if matches!(self.phase, Phase::Waiting) && self.awaited > self.round => {
                    self.begin(Flush::Due)?;
                }
            }
        }
        Ok(self.manifest)
    }

    /// Asks for a barrier.
    pub(super) fn begin(&mut self, flush: Flush) -> Result<(), RunError> {
        self.round += 1;
        self.board.epoch_begun();
        let epoch = self.writer.next_epoch() + self.manifest.files_before;
        let barrier = Barrier { round: self.round, epoch, flush };
        let Audience { lanes, pipelines, letters, .. } = &self.audience;
        self.phase = Phase::Collecting(Collected {
            barrier,
            missing: lanes.len() + pipelines.len() + letters.len(),
            splits: Vec::new(),
            pipelines: Vec::new(),
            letters: Vec::new(),
        });
        self.audience.barrier.send_replace(barrier);
        for lane in &self.audience.lanes {
            lane.send(LaneMessage::Wake).map_err(|_| RunError::Lost("a lane"))?;
        }
        Ok(())
    }

    /// Takes one message, and goes on as far as that allows.
    pub(super) async fn handle(&mut self, message: CoordinatorMessage) -> Result<(), RunError> {
        match (message, &mut self.phase) {
            (CoordinatorMessage::Lane(cut), Phase::Collecting(collected)) => {
                collected.splits.extend(cut.splits);
                collected.missing -= 1;
            }
            (CoordinatorMessage::Pipeline(cut), Phase::Collecting(collected)) => {
                collected.pipelines.push(*cut);
                collected.missing -= 1;
            }
            (CoordinatorMessage::Letters(cut), Phase::Collecting(collected)) => {
                collected.letters.push(cut);
                collected.missing -= 1;
            }
            (CoordinatorMessage::Published { owes: one }, Phase::Publishing { missing, owes, .. }) => {
                *missing -= 1;
                *owes |= one;
            }
            (CoordinatorMessage::Done, _) => self.done += 1,
            (CoordinatorMessage::Awaited { round }, _) => self.awaited = self.awaited.max(round),
            (CoordinatorMessage::Pressure, Phase::Waiting) => self.begin(Flush::Due)?,
            (_, _) => {}
        }
        self.advance().await
    }

    async fn advance(&mut self) -> Result<(), RunError> {
        match &self.phase {
            Phase::Collecting(Collected { missing: 0, .. }) => {
                if let Phase::Collecting(collected) = std::mem::replace(&mut self.phase, Phase::Waiting) {
                    let last = collected.barrier.flush == Flush::All;
                    self.world.reach(Step::Collected);
                    let stored = self.store(collected).await?;
                    self.publish(stored, last).await?;
                }
            }
            Phase::Publishing { missing: 0, owes, last } => {
                let (owes, last) = (*owes, *last);
                self.world.reach(Step::Published);
                self.settle(owes, last).await?;
            }
            _ => {}
        }
        if matches!(self.phase, Phase::Waiting) && self.done == self.pipelines.len() {
            self.begin(Flush::All)?;
        }
        Ok(())
    }

    /// Lets every sink show what it prepared; a round in which nothing was stored has nothing to show.
    async fn publish(&mut self, stored: bool, last: bool) -> Result<(), RunError> {
        if !stored {
            // A split may have come and gone in between: its reader waits to hear that nothing is missing.
            self.tell();
            return self.end_round(last).await;
        }
        for pipeline in &self.audience.pipelines {
            let sent = pipeline.send(PipelineMessage::Publish).await;
            sent.map_err(|_| RunError::Lost("a pipeline"))?;
        }
        for letters in &self.audience.letters {
            let sent = letters.send(LetterMessage::Publish).await;
            sent.map_err(|_| RunError::Lost("the writer of dead letters"))?;
        }
        let missing = self.audience.pipelines.len() + self.audience.letters.len();
        self.phase = Phase::Publishing { missing, owes: false, last };
        Ok(())
    }

    /// Everything of the epoch is visible, but for what a sink owes.
    async fn settle(&mut self, owes: bool, last: bool) -> Result<(), RunError> {
        self.tell();
        self.world.reach(Step::Acknowledged);
        if last && !owes {
            self.close_chain().await?;
        }
        self.chain.sweep(&self.manifest).await;
        self.world.reach(Step::Swept);
        self.end_round(last).await
    }

    /// Tells sources what is durable.
    fn tell(&self) {
        let waits = |(source, redelivery): (&usize, &Arc<Redelivery>)| {
            redelivery.must_wait(self.round).then(|| self.sources[*source].as_ref())
        };
        let waiting: BTreeSet<&str> = self.redeliveries.iter().filter_map(waits).collect();
        let told = self.manifest.sources.iter().filter(|(name, _)| !waiting.contains(name.as_str()));
        let positions = told.flat_map(|(name, source)| {
            let splits = source.splits.iter();
            splits.map(move |(split, state)| (name.as_str(), split.as_str(), state.to.as_ref()))
        });
        self.audience.acks.tell(positions);
    }

    /// Ends the chain with an epoch that has nothing left to show: what is visible may then be moved or deleted by others
    /// without the next run missing it.
    async fn close_chain(&mut self) -> Result<(), RunError> {
        let mut manifest = self.manifest.clone();
        let totals = self.tallies.so_far();
        manifest.counters = sum(self.base.total, totals.total);
        for (number, name) in self.pipelines.iter().enumerate() {
            if let Some(state) = manifest.pipelines.get_mut(name.as_ref()) {
                state.counters = sum(self.base.pipelines[number], totals.pipelines[number]);
            }
        }
        let outlets = manifest.pipelines.values_mut().flat_map(|state| [&mut state.out, &mut state.late]);
        let letters = manifest.sources.values_mut().map(|source| &mut source.dead_letters);
        outlets.chain(letters).for_each(|outlet| outlet.prepared.clear());
        self.manifest = Manifest::clone(self.writer.append(manifest).await.map_err(RunError::Stopped)?.as_ref());
        Ok(())
    }

    async fn end_round(&mut self, last: bool) -> Result<(), RunError> {
        self.phase = Phase::Waiting;
        self.board.epoch_ended(self.manifest.epoch);
        if !last {
            return Ok(());
        }
        self.phase = Phase::Finished;
        for pipeline in &self.audience.pipelines {
            // One that is gone already tells why itself.
            let _ = pipeline.send(PipelineMessage::End).await;
        }
        for letters in &self.audience.letters {
            let _ = letters.send(LetterMessage::End).await;
        }
        Ok(())
    }
}

fn sum(mut a: Counts, b: Counts) -> Counts {
    a += b;
    a
}
