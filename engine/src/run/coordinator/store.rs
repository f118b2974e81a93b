//! Stores an epoch: state that is new, in segments, and then the manifest that names it.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::DataFusionError;

use super::super::cut::{CutBlocks, LettersCut};
use super::super::error::RunError;
use super::super::outlet::{Kept, OutletCut};
use super::super::redelivery::Delivered;
use super::super::step::Step;
use super::super::tally::Totals;
use super::{Collected, Coordinator, sum};
use crate::checkpoint::{
    Block, Budget, CutState, Manifest, OutletState, PaneState, Piece, PipelineState, SegmentWriter,
};
use crate::watermark::END;
use crate::window::PanePart;

/// Blocks of this many bytes in memory go into one segment; a larger state goes into several, so that no more than this is
/// encoded at a time.
const SEGMENT_BYTES: usize = 128 << 20;

impl Coordinator {
    /// Stores new state, then the manifest: the commit point. False if nothing has happened since the last epoch.
    pub(super) async fn store(&mut self, collected: Collected) -> Result<bool, RunError> {
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
                last_window: cut.last_window,
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
    let kept = outlets.flat_map(|out| out.rows.values().chain(out.encoded.values().flat_map(BTreeMap::values)));
    let rows = kept.filter_map(Kept::block);
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
    let stored = |kept: BTreeMap<u64, Kept>| {
        let stored = kept.into_iter().map(|(number, kept)| match kept {
            Kept::Block(block) => Ok((number, piece(&block)?)),
            Kept::Piece(piece) => Ok((number, piece)),
        });
        stored.collect::<Result<BTreeMap<_, _>, RunError>>()
    };
    let OutletCut { next, prepared, held, behind, turns, rows, encoded } = cut;
    let encoded = encoded.into_iter().map(|(sink, kept)| Ok((sink, stored(kept)?)));
    let encoded = encoded.collect::<Result<BTreeMap<_, _>, RunError>>()?;
    Ok(OutletState { next, prepared, held, behind, turns, rows: stored(rows)?, encoded })
}
