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
//! | [`budget`](Budget) | what state may take of memory, and takes |
//! | `spill` | blocks that did not fit, on local disk |
//! | `opaque` | bytes as rows of state |
//! | [`manifest`](Manifest) | the epoch as readable JSON |
//! | [`place`](Place) | the store that a checkpoint url names |
//! | [`store`](StateStore) | the store, asked with time-outs and patience |
//! | [`create`](create()) | put-if-absent that can be believed |
//! | [`segment`](SegmentWriter) | blocks in one object |
//! | [`chain`](Chain) | the manifests in a row: finding the newest, taking over, appending, sweeping |
//! | [`faulty`] | a store that fails on purpose, for tests |

mod block;
mod budget;
mod chain;
mod compact;
mod create;
mod disk;
mod document;
mod error;
pub mod faulty;
mod fetch;
mod manifest;
mod names;
mod opaque;
mod place;
mod segment;
mod spill;
mod store;
mod sweep;
mod tidy;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use block::BlockRows;
pub use block::{Block, Piece};
pub use budget::{Budget, Hold};
pub use chain::Chain;
pub use create::{Created, create};
pub use error::{Rival, StateError};
pub use manifest::{
    Behind, CutState, MANIFEST_VERSION, Manifest, OutletState, PaneState, PipelineState, SourceState, SplitState,
};
pub(crate) use opaque::{bytes_of, of_bytes};
pub use place::Place;
pub use segment::{SegmentWriter, read_piece};
pub(crate) use spill::is_out_of_room;
pub use store::StateStore;
pub(crate) use tidy::{footprint, tidy};
pub use writer::Writer;
