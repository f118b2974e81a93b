//! Reads the last epoch back: owns the chain from here on, and hands its state to those who held it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::RunError;
use super::outlet::{Opened, Outlet};
use super::pipeline::{RestoredCut, RestoredPipeline};
use super::recover::first_epoch;
use super::redelivery::{Delivered, Redelivery};
use super::step::Step;
use super::world::World;
use crate::checkpoint::{Block, Budget, Chain, CutState, Manifest, OutletState, Piece, Writer};
use crate::dedup::{SeenKeys, SeenState};
use crate::plan::{PlannedPipeline, PlannedRegion};
use crate::watermark::BEGINNING;
use crate::window::{PanePart, SessionState};

/// The epoch that a run begins with, and the right to write the next.
pub(super) struct Recovered {
    pub(super) chain: Chain,
    pub(super) writer: Writer,
    pub(super) manifest: Manifest,
    /// What the manifest names, by segment and offset.
    blocks: BTreeMap<(String, u64), Arc<Block>>,
}

/// Bytes of stored state that are read together: enough to keep a store busy.
const RESTORED_AT_A_TIME: u64 = 64 << 20;

/// How a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// Where the last epoch ended.
    Resume,
    /// As if there had been none.
    Anew,
}

/// Takes the chain over and reads its state. `opened` is what the places of sinks said; the sources named by `stateless` come
/// only once.
pub(super) async fn recover(
    planned: &PlannedRegion,
    begin: Begin,
    opened: &Opened,
    stateless: &[&str],
    budget: &Arc<Budget>,
    world: &World,
) -> Result<Recovered, RunError> {
    let place = world.connect.state(&planned.region.checkpoint)?;
    let chain = Chain::at(&place, world.environment.clone());
    world.reach(Step::StateRead);
    let writer = match begin {
        Begin::Resume => {
            let first = |previous: Option<&Manifest>, epoch| first_epoch(previous, epoch, planned, opened, stateless);
            chain.take_over(first).await?
        }
        Begin::Anew => chain.start_over(|epoch| first_epoch(None, epoch, planned, opened, stateless)).await?,
    };
    world.reach(Step::TakenOver);
    if let Err(error) = budget.sweep() {
        tracing::warn!(%error, "spill files of an earlier run stay where they are");
    }
    let manifest = Manifest::clone(writer.newest());
    if begin == Begin::Resume && manifest.generation > 1 {
        tracing::info!(epoch = manifest.epoch, generation = manifest.generation, "going on from the last checkpoint");
    }
    let blocks = read_blocks(&chain, &manifest, budget).await?;
    Ok(Recovered { chain, writer, manifest, blocks })
}

/// Reads state back, some segments at a time, and spills what is beyond the budget.
async fn read_blocks(
    chain: &Chain,
    manifest: &Manifest,
    budget: &Arc<Budget>,
) -> Result<BTreeMap<(String, u64), Arc<Block>>, RunError> {
    let mut pieces: Vec<&Piece> = manifest.pieces().collect();
    pieces.sort_by(|a, b| (&a.segment, a.offset).cmp(&(&b.segment, b.offset)));
    let mut blocks = BTreeMap::new();
    while !pieces.is_empty() {
        let mut bytes = 0;
        let fits = |piece: &&&Piece| {
            bytes += piece.length;
            bytes <= RESTORED_AT_A_TIME
        };
        let rest = pieces.split_off(pieces.iter().take_while(fits).count().max(1));
        let some: Vec<Piece> = std::mem::replace(&mut pieces, rest).into_iter().cloned().collect();
        for (piece, batch) in some.iter().zip(chain.read_blocks(&some).await?) {
            let block = Block::restored(batch, piece.clone(), budget);
            if budget.over() > 0 {
                block.spill().map_err(|error| RunError::query("state", &error))?;
            }
            blocks.insert((piece.segment.clone(), piece.offset), block);
        }
    }
    Ok(blocks)
}

impl Recovered {
    fn block(&self, piece: &Piece) -> Result<Arc<Block>, RunError> {
        let block = self.blocks.get(&(piece.segment.clone(), piece.offset));
        block.cloned().ok_or(RunError::Lost("a piece of state"))
    }

    fn blocks(&self, pieces: &[Piece]) -> Result<Vec<Arc<Block>>, RunError> {
        pieces.iter().map(|piece| self.block(piece)).collect()
    }

    async fn rows(&self, state: &OutletState, outlet: &mut Outlet) -> Result<(), RunError> {
        let blocks = |pieces: &BTreeMap<u64, Piece>| {
            let blocks = pieces.iter().map(|(number, piece)| Ok((*number, self.block(piece)?)));
            blocks.collect::<Result<BTreeMap<_, _>, RunError>>()
        };
        let encoded = state.encoded.iter().map(|(sink, pieces)| Ok((sink.clone(), blocks(pieces)?)));
        let encoded = encoded.collect::<Result<BTreeMap<_, _>, RunError>>()?;
        let epoch = self.manifest.epoch + self.manifest.files_before;
        outlet.restore(epoch, state, blocks(&state.rows)?, encoded).await
    }

    /// Says what has come back.
    pub(super) fn tell(&self) {
        if self.blocks.is_empty() {
            return;
        }
        let rows: usize = self.blocks.values().map(|block| block.rows()).sum();
        tracing::info!(epoch = self.manifest.epoch, blocks = self.blocks.len(), rows, "state is back");
    }

    /// Gives a pipeline's sinks the rows back that were in no file.
    pub(super) async fn rows_of_pipeline(
        &self,
        name: &str,
        out: &mut Outlet,
        late: Option<&mut Outlet>,
    ) -> Result<(), RunError> {
        let Some(state) = self.manifest.pipelines.get(name) else { return Ok(()) };
        self.rows(&state.out, out).await?;
        match late {
            Some(late) => self.rows(&state.late, late).await,
            None => Ok(()),
        }
    }

    /// Gives the sink of a source's dead letters its rows back.
    pub(super) async fn rows_of_dead_letters(&self, source: &str, outlet: &mut Outlet) -> Result<(), RunError> {
        let Some(state) = self.manifest.sources.get(source) else { return Ok(()) };
        self.rows(&state.dead_letters, outlet).await
    }

    /// Gives a source the keys back that it had seen.
    pub(super) fn keys_of(&self, source: &str, keys: &SeenKeys) -> Result<(), RunError> {
        let Some(state) = self.manifest.sources.get(source) else { return Ok(()) };
        let blocks = self.blocks(&state.seen)?;
        keys.restore(SeenState { blocks }).map_err(|error| RunError::query(source, &error))
    }

    /// Gives a source the names back of what it was delivered.
    pub(super) fn delivered_of(&self, source: &str, redelivery: &Redelivery) -> Result<(), RunError> {
        let Some(state) = self.manifest.sources.get(source) else { return Ok(()) };
        let delivered = Delivered { blocks: self.blocks(&state.delivered)?, arrival: state.arrival };
        redelivery.restore(delivered).map_err(|error| RunError::query(source, &error))
    }

    /// The windows of a pipeline; none if it begins anew.
    pub(super) fn windows_of(&self, plan: &PlannedPipeline) -> Result<Option<RestoredPipeline>, RunError> {
        let Some(state) = self.manifest.pipelines.get(plan.name.as_ref()) else { return Ok(None) };
        let mut cuts = Vec::new();
        for cut in &state.cuts {
            cuts.push(match cut {
                CutState::Panes { closed_through, panes } => {
                    let mut restored = Vec::with_capacity(panes.len());
                    for pane in panes {
                        let part = PanePart { pane: pane.pane, open_from: pane.open_from };
                        restored.push((part, self.blocks(&pane.pieces)?));
                    }
                    RestoredCut::Panes { closed_through: *closed_through, panes: restored }
                }
                CutState::Sessions { next, sessions, rows } => RestoredCut::Sessions(SessionState {
                    next: *next,
                    sessions: self.blocks(sessions)?,
                    rows: self.blocks(rows)?,
                }),
            });
        }
        let closed_through = state.closed_through.unwrap_or(BEGINNING);
        Ok(Some(RestoredPipeline { closed_through, last_window: state.last_window, cuts }))
    }
}
