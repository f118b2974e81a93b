//! Windows over event time: which pane a row falls into, which windows a watermark closes, and the rows of each.
//!
//! The one idea: rows are added to panes, as wide as the greatest common divisor of size and slide; a window is a run
//! of panes. Lanes fill panes alone ([`PaneStore`]); when a watermark has passed, panes of all lanes meet in a
//! [`WindowStore`], which puts out closed windows. Sessions have no panes; see `session`.
//!
//! Everything here is synchronous and pure. Instants are microseconds since the Unix epoch; ranges are half-open.

mod panes;
mod session;
mod sliding;
mod store;

pub use panes::{PaneGrid, PanePart, PaneRows, PaneStore, Work};
pub(crate) use session::session_field;
pub use session::{ClosedSessions, Pushed, SessionStore};
pub use store::{ClosedWindow, Spans, WindowStore};
