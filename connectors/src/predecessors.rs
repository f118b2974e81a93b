//! What a source may ask of those who read its splits before this process did.
//!
//! The one idea: a split changes hands, and what was read of it is durable in the state of whoever read it. A source knows
//! who that was; only the engine knows states. So the engine gives each state a name, which sources keep beside their
//! splits and never look into.

use std::fmt;

use async_trait::async_trait;

use crate::error::SourceError;
use crate::source::{Known, SplitId};

/// The states of other processes, and of this one.
#[async_trait]
pub trait Predecessors: Send + Sync + fmt::Debug {
    /// The name of this process's own state, for those who come after it. It stays the same over restarts.
    fn own(&self) -> &str;

    /// Ends the right of whoever writes to `state`, and gives what that state knows of `split`; none if nothing.
    ///
    /// Once this has returned, that process makes nothing durable any more, however alive it is: it stops, and when it is
    /// started again it goes on from its state as after any crash. So call it only when the split is this process's by all
    /// that others can see: a restarted process that could still believe to hold it would read on. It may be called again, and
    /// by several processes at a time. Asked about [`own`](Self::own), it ends nothing.
    ///
    /// # Errors
    /// The state cannot be reached, or makes no sense here: that process may go on, and what it knows stays unknown. The
    /// message says why.
    async fn fence(&self, state: &str, split: &SplitId) -> Result<Option<Known>, SourceError>;
}
