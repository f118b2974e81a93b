//! Windows over event time: which pane a row falls into, which windows a watermark closes, and the rows of each.
//!
//! The one idea: rows are added to panes, as wide as the greatest common divisor of size and slide; a window is a run
//! of panes. Lanes fill panes alone ([`PaneStore`]); when a watermark has passed, panes of all lanes meet in a
//! [`WindowStore`], which puts out closed windows. Sessions have no panes.
//!
//! | room | what |
//! |---|---|
//! | `panes` | the grid, and what one lane fills |
//! | `store` | where lanes meet; windows close, checkpoints freeze |
//! | `sealed` | one pane there: tables that nobody has read yet, and blocks |
//! | `compact` | when blocks become one |
//! | `merge` | tables and blocks into results, in passes where they exceed memory |
//! | `parted` | many groups are merged in parts: each fits a cache, and has a core |
//! | `sliding` | what overlapping windows share |
//! | `session` | sessions |
//!
//! Everything here is synchronous, and pure but for blocks that are on disk. Instants are microseconds since the Unix epoch; ranges are half-open.

mod compact;
mod merge;
mod panes;
mod parted;
mod sealed;
mod session;
mod sliding;
mod store;

pub use compact::{Compacted, Compaction};
pub use panes::{PaneGrid, PanePart, PaneRows, PaneStore, Work};
pub(crate) use session::session_field;
pub use session::{ClosedSessions, Pushed, SessionState, SessionStore};
pub use store::{ClosedWindow, Spans, WindowStore};

#[cfg(test)]
mod tests;
