//! Ends epochs: asks for the barrier, collects what comes of it, stores it, and lets it be seen.
//!
//! | phase | ends when |
//! |---|---|
//! | waiting | the interval is over, memory is short, or every pipeline is done |
//! | collecting | every lane, pipeline and writer of dead letters has passed the barrier; then state and manifest are stored |
//! | publishing | every sink has shown its files; then sources are told and old state is swept |
//! | finished | – |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::DataFusionError;
use tokio::sync::{mpsc, watch};
use watershed_connectors::SplitId;
use watershed_sinks::Flush;

use super::acks::Acks;
use super::barrier::Barrier;
use super::board::Board;
use super::clock::SourceClock;
use super::dead_letters::LetterMessage;
use super::error::RunError;
use super::lane::{LaneMessage, PipelineMessage};
use super::outlet::{Kept, OutletCut};
use super::redelivery::{Delivered, Redelivery};
use super::step::Step;
use super::tally::{Tallies, Totals};
use super::world::World;
use crate::checkpoint::{
    Block, Budget, Chain, CutState, Manifest, OutletState, PaneState, Piece, PipelineState, SegmentWriter, SplitState,
    Writer,
};
use crate::dedup::SeenKeys;
use crate::report::Counts;
use crate::watermark::END;
use crate::window::{PanePart, SessionState};

/// Blocks of this many bytes in memory go into one segment; a larger state goes into several, so that no more than this is
/// encoded at a time.
const SEGMENT_BYTES: usize = 128 << 20;

/// What the coordinator is told.
pub(crate) enum CoordinatorMessage {
    /// A lane has passed the barrier.
    Lane(LaneCut),
    /// A pipeline has.
    Pipeline(PipelineCut),
    /// A writer of dead letters has.
    Letters(LettersCut),
    /// One of them has shown its files.
    Published,
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

/// What a lane adds to an epoch: the splits that moved, with the index of their source.
#[derive(Debug)]
pub(crate) struct LaneCut {
    pub(crate) splits: Vec<(usize, SplitId, SplitState)>,
}

/// What a pipeline adds to an epoch.
#[derive(Debug)]
pub(crate) struct PipelineCut {
    pub(crate) pipeline: usize,
    pub(crate) closed_through: Option<i64>,
    pub(crate) open_windows: u64,
    pub(crate) cuts: Vec<CutBlocks>,
    pub(crate) out: OutletCut,
    pub(crate) late: OutletCut,
}

/// The state of one windowed operator.
#[derive(Debug)]
pub(crate) enum CutBlocks {
    Panes { closed_through: Option<i64>, panes: Vec<(PanePart, Vec<Arc<Block>>)> },
    Sessions(SessionState),
}

/// What a writer of dead letters adds to an epoch.
#[derive(Debug)]
pub(crate) struct LettersCut {
    pub(crate) source: Arc<str>,
    pub(crate) out: OutletCut,
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
    Publishing { missing: usize, last: bool },
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
                collected.pipelines.push(cut);
                collected.missing -= 1;
            }
            (CoordinatorMessage::Letters(cut), Phase::Collecting(collected)) => {
                collected.letters.push(cut);
                collected.missing -= 1;
            }
            (CoordinatorMessage::Published, Phase::Publishing { missing, .. }) => *missing -= 1,
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
            Phase::Publishing { missing: 0, last } => {
                let last = *last;
                self.world.reach(Step::Published);
                self.settle(last).await?;
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
        self.phase = Phase::Publishing { missing, last };
        Ok(())
    }

    /// Everything of the epoch is visible.
    async fn settle(&mut self, last: bool) -> Result<(), RunError> {
        self.tell();
        self.world.reach(Step::Acknowledged);
        if last {
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

    /// Stores new state, then the manifest: the commit point. False if nothing has happened since the last epoch.
    async fn store(&mut self, collected: Collected) -> Result<bool, RunError> {
        let begun = self.world.environment.elapsed();
        let seen = self.cut_seen(collected.barrier.round)?;
        let delivered = self.cut_delivered(collected.barrier.round)?;
        let keys = seen.values().chain(delivered.values().map(|delivered| &delivered.blocks));
        let all = blocks(&collected).chain(keys.flatten());
        let fresh: Vec<Arc<Block>> = all.filter(|block| block.stored().is_none()).cloned().collect();
        let blocks = fresh.len();
        let bytes = self.store_blocks(fresh).await?;
        let totals = self.tallies.settle(collected.barrier.round);
        let manifest = self.manifest_of(collected, &seen, &delivered, &totals)?;
        if manifest == self.manifest {
            return Ok(false);
        }
        self.world.reach(Step::SegmentStored);
        self.manifest = Manifest::clone(self.writer.append(manifest).await.map_err(RunError::Stopped)?.as_ref());
        self.world.reach(Step::ManifestStored);
        let ms = (self.world.environment.elapsed() - begun).as_millis() as u64;
        tracing::debug!(epoch = self.manifest.epoch, blocks, bytes, ms, "state stored");
        Ok(true)
    }

    /// The keys that were seen up to the end of `round`, by index of the source.
    fn cut_seen(&mut self, round: u64) -> Result<BTreeMap<usize, Vec<Arc<Block>>>, RunError> {
        let now = self.world.now_us();
        let mut blocks = BTreeMap::new();
        for (&source, seen) in &mut self.seen {
            let watermark = match seen.clock.least() {
                _ if seen.by_clock => now,
                // The end of what there is now is not the end of time: a later run may bring more.
                None | Some(END) => seen.watermark,
                Some(watermark) => watermark,
            };
            let before = std::mem::replace(&mut seen.watermark, watermark);
            let state = seen.keys.checkpoint(round, before, &self.budget);
            let state = state.map_err(|error| RunError::query(&self.sources[source], &error))?;
            spill(&self.budget, &self.sources[source], &state.blocks)?;
            blocks.insert(source, state.blocks);
        }
        Ok(blocks)
    }

    /// What was delivered up to the end of `round`, by index of the source.
    fn cut_delivered(&self, round: u64) -> Result<BTreeMap<usize, Delivered>, RunError> {
        let mut all = BTreeMap::new();
        for (&source, redelivery) in &self.redeliveries {
            let delivered = redelivery.cut(round, &self.budget);
            let delivered = delivered.map_err(|error| RunError::query(&self.sources[source], &error))?;
            spill(&self.budget, &self.sources[source], &delivered.blocks)?;
            all.insert(source, delivered);
        }
        Ok(all)
    }

    /// Stores blocks, and says how many bytes they became.
    async fn store_blocks(&mut self, mut fresh: Vec<Arc<Block>>) -> Result<usize, RunError> {
        let mut total = 0;
        while !fresh.is_empty() {
            let mut bytes = 0;
            let fits = |block: &&Arc<Block>| {
                bytes += block.bytes();
                bytes <= SEGMENT_BYTES
            };
            let count = fresh.iter().take_while(fits).count().max(1);
            let rest = fresh.split_off(count);
            let name = self.chain.segment_name(self.writer.next_epoch());
            let mut segment = SegmentWriter::new(name.clone());
            let encoding = tokio::task::spawn_blocking(move || {
                let failed = |error| RunError::query("state", &error);
                let push = |block: &Arc<Block>| Ok(segment.push(&block.batch()?)?);
                let pieces = fresh.iter().map(push).collect::<Result<Vec<_>, DataFusionError>>().map_err(failed)?;
                Ok::<_, RunError>((fresh, pieces, segment.finish()))
            });
            let (stored, pieces, bytes) = encoding.await.map_err(|_| RunError::Lost("an encoder of state"))??;
            total += bytes.len();
            self.chain.put_segment(&name, bytes).await.map_err(RunError::Stopped)?;
            stored.iter().zip(pieces).for_each(|(block, piece)| block.set_stored(piece));
            fresh = rest;
        }
        Ok(total)
    }

    /// The epoch, on the ground of the one before.
    fn manifest_of(
        &self,
        collected: Collected,
        seen: &BTreeMap<usize, Vec<Arc<Block>>>,
        delivered: &BTreeMap<usize, Delivered>,
        totals: &Totals,
    ) -> Result<Manifest, RunError> {
        let mut manifest = self.manifest.clone();
        manifest.counters = sum(self.base.total, totals.total);
        for source in manifest.sources.values_mut() {
            // What no lane has touched has not moved: this epoch took nothing of it.
            source.splits.values_mut().for_each(|split| split.from = split.to.clone());
        }
        for (source, split, state) in collected.splits {
            let source = manifest.sources.entry(self.sources[source].to_string()).or_default();
            source.splits.insert(split.as_str().to_string(), state);
        }
        for (&source, blocks) in seen {
            manifest.sources.entry(self.sources[source].to_string()).or_default().seen = pieces(blocks)?;
        }
        for (&source, Delivered { blocks, arrival }) in delivered {
            let state = manifest.sources.entry(self.sources[source].to_string()).or_default();
            (state.delivered, state.arrival) = (pieces(blocks)?, *arrival);
        }
        for LettersCut { source, out } in collected.letters {
            manifest.sources.entry(source.to_string()).or_default().dead_letters = outlet_state(out)?;
        }
        for cut in collected.pipelines {
            let number = cut.pipeline;
            let Some(state) = manifest.pipelines.get_mut(self.pipelines[number].as_ref()) else { continue };
            *state = PipelineState {
                closed_through: cut.closed_through,
                counters: sum(self.base.pipelines[number], totals.pipelines[number]),
                open_windows: cut.open_windows,
                cuts: cut.cuts.into_iter().map(cut_state).collect::<Result<_, _>>()?,
                out: outlet_state(cut.out)?,
                late: outlet_state(cut.late)?,
                ..state.clone()
            };
        }
        Ok(manifest)
    }
}

fn sum(mut a: Counts, b: Counts) -> Counts {
    a += b;
    a
}

/// Lets go of a source's keys in memory, where that is short.
fn spill(budget: &Budget, source: &str, blocks: &[Arc<Block>]) -> Result<(), RunError> {
    if budget.over() == 0 {
        return Ok(());
    }
    let spilled = blocks.iter().try_for_each(|block| block.spill().map(drop));
    spilled.map_err(|error| RunError::query(source, &error))
}

/// Every block of an epoch.
fn blocks(collected: &Collected) -> impl Iterator<Item = &Arc<Block>> {
    let outlets = collected.pipelines.iter().flat_map(|cut| [&cut.out, &cut.late]);
    let outlets = outlets.chain(collected.letters.iter().map(|cut| &cut.out));
    let rows = outlets.flat_map(|out| out.rows.values()).filter_map(|kept| match kept {
        Kept::Block(block) => Some(block),
        Kept::Piece(_) => None,
    });
    let cuts = collected.pipelines.iter().flat_map(|cut| &cut.cuts);
    rows.chain(cuts.flat_map(|cut| -> Box<dyn Iterator<Item = &Arc<Block>>> {
        match cut {
            CutBlocks::Panes { panes, .. } => Box::new(panes.iter().flat_map(|(_, blocks)| blocks)),
            CutBlocks::Sessions(state) => Box::new(state.sessions.iter().chain(&state.rows)),
        }
    }))
}

fn piece(block: &Arc<Block>) -> Result<Piece, RunError> {
    block.stored().cloned().ok_or(RunError::Lost("a block of state"))
}

fn pieces(blocks: &[Arc<Block>]) -> Result<Vec<Piece>, RunError> {
    blocks.iter().map(piece).collect()
}

fn cut_state(cut: CutBlocks) -> Result<CutState, RunError> {
    Ok(match cut {
        CutBlocks::Panes { closed_through, panes } => {
            let pane = |(part, blocks): (PanePart, Vec<Arc<Block>>)| {
                Ok(PaneState { pane: part.pane, open_from: part.open_from, pieces: pieces(&blocks)? })
            };
            CutState::Panes { closed_through, panes: panes.into_iter().map(pane).collect::<Result<_, RunError>>()? }
        }
        CutBlocks::Sessions(state) => {
            CutState::Sessions { next: state.next, sessions: pieces(&state.sessions)?, rows: pieces(&state.rows)? }
        }
    })
}

fn outlet_state(cut: OutletCut) -> Result<OutletState, RunError> {
    let rows = cut.rows.into_iter().map(|(number, kept)| {
        let piece = match kept {
            Kept::Block(block) => piece(&block)?,
            Kept::Piece(piece) => piece,
        };
        Ok((number, piece))
    });
    let rows = rows.collect::<Result<BTreeMap<_, _>, RunError>>()?;
    Ok(OutletState { next: cut.next, prepared: cut.prepared, held: cut.held, rows })
}
