//! What each part of a run adds to an epoch when it passes the barrier.

use std::sync::Arc;

use watershed_connectors::SplitId;

use super::outlet::OutletCut;
use crate::checkpoint::{Block, SplitState};
use crate::window::{PanePart, SessionState};

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
    pub(crate) last_window: Option<i64>,
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
