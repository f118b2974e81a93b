//! The steps of a checkpoint by name, so that a test can end the process at any of them.

/// A moment between two effects. Whoever watches is told just before the next effect begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The sinks are open, the chain of manifests was read.
    StateRead,
    /// This process owns the chain.
    TakenOver,
    /// What the last epoch prepared is visible.
    PublishedAgain,
    /// State is back in memory, nothing is read yet.
    Restored,
    /// A lane has handed over its panes and positions.
    LaneCut,
    /// A pipeline's sinks have prepared their files.
    Prepared,
    /// Every part of the epoch has come in.
    Collected,
    /// New state is stored.
    SegmentStored,
    /// The manifest is stored: the commit point.
    ManifestStored,
    /// One pipeline's files are visible.
    PublishedOne,
    /// All files are visible.
    Published,
    /// Sources have been told.
    Acknowledged,
    /// Old state is gone.
    Swept,
}

impl Step {
    /// Every step, in the order of a life.
    pub const ALL: [Self; 13] = [
        Self::StateRead,
        Self::TakenOver,
        Self::PublishedAgain,
        Self::Restored,
        Self::LaneCut,
        Self::Prepared,
        Self::Collected,
        Self::SegmentStored,
        Self::ManifestStored,
        Self::PublishedOne,
        Self::Published,
        Self::Acknowledged,
        Self::Swept,
    ];
}
