//! The record of one epoch, as readable JSON.
//!
//! Everything a new process needs to go on just where the epoch ended: positions, state, what is to be shown, and the
//! counts that add up to them. Ranges are half-open.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use watershed_connectors::Position;
use watershed_sinks::{Held, Prepared};

use super::block::Piece;
use crate::report::Counts;

/// Newest version of the format that this build knows; it reads all of them.
///
/// | version | is written if | as a build that knows only those before |
/// |---|---|---|
/// | 1 | nothing below is | |
/// | 2 | a sink is behind, or its standby takes turns | would go on as if nothing waited for the sink |
/// | 3 | a pipeline keeps sketches | would take them for DataFusion's |
/// | 4 | a sink has encoded rows | would go on without them |
///
/// So an older build refuses just what it does not understand, and reads the rest.
pub const MANIFEST_VERSION: u32 = 4;

/// One epoch of a region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// That of [`MANIFEST_VERSION`]'s table which its contents need.
    pub version: u32,
    /// The epoch; the manifest's name too.
    pub epoch: u64,
    /// Added to the epoch where files are named by it: the sinks held files of so many epochs when the chain began.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub files_before: u64,
    /// How many processes have owned the chain, this one included.
    pub generation: u64,
    /// Random name of the process that wrote it.
    pub owner: String,
    /// The split that another daemon has taken over, if it was that one which wrote this epoch: to end the right of who wrote
    /// those before. It changes nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_split: Option<String>,
    /// When it was written, RFC 3339.
    pub written_at: String,
    /// The region.
    pub region: String,
    /// Version of this program.
    pub engine: String,
    /// Version of DataFusion, whose partial aggregates the state holds.
    pub datafusion: String,
    /// Hash of the region file as resolved, secrets left out.
    pub config_hash: String,
    /// Counts since the chain began; a record that several pipelines read counts once.
    pub counters: Counts,
    /// Where each source stands.
    pub sources: BTreeMap<String, SourceState>,
    /// What each pipeline holds.
    pub pipelines: BTreeMap<String, PipelineState>,
}

/// Where a source stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceState {
    /// What its positions belong to: a source that is another one now begins anew.
    #[serde(default)]
    pub identity: String,
    /// By split.
    pub splits: BTreeMap<String, SplitState>,
    /// The columns that make a key, of a source that deduplicates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// Keys seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<Piece>,
    /// Names of records delivered, of a source whose origin may deliver one again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delivered: Vec<Piece>,
    /// Time in which such records came, in microseconds: the clock of `delivered`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub arrival: u64,
    /// Its dead letters.
    #[serde(default, skip_serializing_if = "OutletState::is_empty")]
    pub dead_letters: OutletState,
}

/// Where a split stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SplitState {
    /// Where the epoch before ended: this epoch took `[from, to)`. None: the source's configured start.
    pub from: Option<Position>,
    /// The next record. None: nothing was read yet.
    pub to: Option<Position>,
    /// True if the split ended for good.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
    /// True if another process was to read on from `to`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left: bool,
    /// Greatest event time seen, in microseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greatest_time: Option<i64>,
}

/// What a pipeline holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PipelineState {
    /// Hash of its statement.
    pub sql_hash: String,
    /// Hash of everything that the state's meaning depends on: windows, keys, aggregates, the steps below them.
    pub fingerprint: String,
    /// Format of the sketches that its approximate aggregates keep; 0 if they are DataFusion's, or if there are none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sketches: u32,
    /// Windows that end at or before this have closed, in microseconds since the Unix epoch; none: no window yet.
    pub closed_through: Option<i64>,
    /// End of the last window that was put out, where windows without rows are put out as well; none: no window yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_window: Option<i64>,
    /// Counts since the chain began.
    pub counters: Counts,
    /// Windows that are open.
    pub open_windows: u64,
    /// State of each operator that needs whole windows.
    pub cuts: Vec<CutState>,
    /// Rows on their way to the sinks.
    #[serde(default, skip_serializing_if = "OutletState::is_empty")]
    pub out: OutletState,
    /// Late rows on their way to their sink.
    #[serde(default, skip_serializing_if = "OutletState::is_empty")]
    pub late: OutletState,
}

/// State of one windowed operator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutState {
    /// Tumbling and hopping windows.
    Panes {
        /// Windows that ended at or before this have been put out; none: no window yet.
        closed_through: Option<i64>,
        /// Sealed panes.
        panes: Vec<PaneState>,
    },
    /// Sessions.
    Sessions {
        /// Number of the next session.
        next: u64,
        /// Changes to the set of open sessions, in the order in which they are to be applied.
        sessions: Vec<Piece>,
        /// Partial aggregates or rows, by number of their session.
        rows: Vec<Piece>,
    },
}

/// The sealed rows of one pane that are in the same windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PaneState {
    /// Index of the pane.
    pub pane: i64,
    /// End of the first window that its rows are in.
    pub open_from: i64,
    /// Partial aggregates, or rows.
    pub pieces: Vec<Piece>,
}

/// Rows between their window and a visible file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OutletState {
    /// Number of the next batch.
    pub next: u64,
    /// By sink: what this epoch makes visible.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prepared: BTreeMap<String, Prepared>,
    /// By sink: which of the rows below it has not put into a finished file yet.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub held: BTreeMap<String, Held>,
    /// By sink: how far one is behind that does not answer, or has not caught up yet. Of version 2.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub behind: BTreeMap<String, Behind>,
    /// By sink: numbers of the batches from which on its standby takes the rows, itself again, and so on. Of
    /// version 2.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub turns: BTreeMap<String, Vec<u64>>,
    /// Batches that some sink still needs, by number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rows: BTreeMap<u64, Piece>,
    /// By sink: rows that it has encoded and not put into a finished file, by its own numbers. Of version 4.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub encoded: BTreeMap<String, BTreeMap<u64, Piece>>,
}

/// How far a sink is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// Number of the first batch that it has not taken. What it took before is shown, prepared or held.
    pub from: u64,
    /// How often it went down or was tried again. An epoch is thus stored after each of them, which bounds how far files that
    /// were begun run ahead of the state.
    pub attempts: u64,
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

impl OutletState {
    /// True if there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    /// True if some rows are in no file that is finished.
    pub fn holds_rows(&self) -> bool {
        self.pieces().next().is_some()
    }

    /// Its pieces of state.
    pub fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.rows.values().chain(self.encoded.values().flat_map(BTreeMap::values))
    }
}

impl Manifest {
    /// The lowest version whose readers understand all that it says.
    pub(super) fn needed_version(&self) -> u32 {
        let pipelines = self.pipelines.values().flat_map(|pipeline| [&pipeline.out, &pipeline.late]);
        let mut outlets = pipelines.chain(self.sources.values().map(|source| &source.dead_letters));
        if outlets.clone().any(|outlet| !outlet.encoded.is_empty()) {
            return 4;
        }
        if self.pipelines.values().any(|pipeline| pipeline.sketches > 0) {
            return 3;
        }
        if outlets.any(|outlet| !outlet.behind.is_empty() || !outlet.turns.is_empty()) { 2 } else { 1 }
    }

    /// All pieces of state that it names.
    pub fn pieces(&self) -> impl Iterator<Item = &Piece> {
        let sources = self
            .sources
            .values()
            .flat_map(|source| source.seen.iter().chain(&source.delivered).chain(source.dead_letters.pieces()));
        let pipelines = self.pipelines.values().flat_map(|pipeline| {
            let cuts = pipeline.cuts.iter().flat_map(CutState::pieces);
            cuts.chain(pipeline.out.pieces()).chain(pipeline.late.pieces())
        });
        sources.chain(pipelines)
    }
}

impl CutState {
    fn pieces(&self) -> Box<dyn Iterator<Item = &Piece> + '_> {
        match self {
            Self::Panes { panes, .. } => Box::new(panes.iter().flat_map(|pane| &pane.pieces)),
            Self::Sessions { sessions, rows, .. } => Box::new(sessions.iter().chain(rows)),
        }
    }
}
