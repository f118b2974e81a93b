//! Checkpoints: what a run must remember so that a crash loses nothing and counts nothing twice.
//!
//! The one idea: state is immutable [`Block`]s of Arrow rows, and an epoch is one [`Manifest`] that names them. Between
//! chunks each lane hands over its panes and positions (the cut). Blocks that no epoch has named yet are stored together
//! as one segment; then the manifest is created where none may stand already. That put is the commit point: what it
//! names has happened, and everything else, after a crash, never did. Only behind it do files become visible and sources
//! hear an acknowledgement; both may be repeated.
//!
//! | room | what |
//! |---|---|
//! | [`block`](Block) | rows of state in memory or spilled, and where they are stored |
//! | [`manifest`](Manifest) | the epoch as readable JSON |

mod block;
mod manifest;

pub use block::{Block, Budget, Piece};
pub use manifest::{
    CutState, HeldState, MANIFEST_VERSION, Manifest, OutletState, PaneState, PipelineState, SourceState, SplitState,
};
