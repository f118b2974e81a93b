//! The sinks of one pipeline, written and committed together, epoch by epoch.
//!
//! The one idea: batches are numbered, and kept until no sink needs them any more. A sink puts them into files in its own
//! time; what is in no finished file when an epoch ends goes into the state, and is written to the sink again after a
//! crash.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use watershed_sinks::{Committed, Flush, Held, Prepared, Sink, SinkError};

use super::error::RunError;
use super::sweeping::Sweeping;
use super::world::World;
use crate::checkpoint::{Block, Budget, OutletState, Piece};

/// Pause before a failed commit is tried again, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A pipeline that could not commit for this long stops.
const GIVE_UP_AFTER: Duration = Duration::from_secs(600);

/// A sink under the name that the region file gives it.
pub(crate) type NamedSink = (String, Box<dyn Sink>);

/// Where a pipeline's rows leave.
#[derive(Debug)]
pub(crate) struct Outlet {
    pipeline: Arc<str>,
    schema: SchemaRef,
    sinks: Vec<NamedSink>,
    /// Number of the next batch.
    next: u64,
    /// Batches that some sink may need, by number.
    rows: BTreeMap<u64, Kept>,
    /// What the epoch that is being stored will make visible, by index of the sink.
    prepared: Vec<(usize, Prepared)>,
    budget: Arc<Budget>,
    world: World,
}

/// State on its way into the manifest.
#[derive(Debug, Clone)]
pub(crate) enum Kept {
    /// In memory; maybe stored, too.
    Block(Arc<Block>),
    /// Stored by an earlier epoch.
    Piece(Piece),
}

/// What an outlet adds to an epoch.
#[derive(Debug, Default)]
pub(crate) struct OutletCut {
    pub(crate) next: u64,
    pub(crate) prepared: BTreeMap<String, Prepared>,
    pub(crate) held: BTreeMap<String, Held>,
    pub(crate) rows: BTreeMap<u64, Kept>,
}

impl Outlet {
    /// Opens the sinks. Gives the first epoch that is free at every one of them, too.
    pub(crate) async fn open(
        pipeline: Arc<str>,
        schema: SchemaRef,
        mut sinks: Vec<NamedSink>,
        budget: Arc<Budget>,
        world: World,
    ) -> Result<(Self, u64), RunError> {
        let mut epoch = 1;
        for (_, sink) in &mut sinks {
            let opened = sink.open().await;
            epoch = epoch.max(opened.map_err(|error| RunError::Sink { pipeline: pipeline.to_string(), error })?);
        }
        let outlet =
            Self { pipeline, schema, sinks, next: 0, rows: BTreeMap::new(), prepared: Vec::new(), budget, world };
        Ok((outlet, epoch))
    }

    /// What looks after the files of each sink.
    pub(super) fn sweeping(&mut self) -> impl Iterator<Item = Sweeping> {
        let pipeline = self.pipeline.clone();
        self.sinks.iter_mut().filter_map(move |(name, sink)| {
            let upkeep = sink.upkeep()?;
            Some(Sweeping { pipeline: pipeline.clone(), sink: name.clone(), upkeep })
        })
    }

    /// Shows once more what the last epoch prepared.
    pub(crate) async fn publish_again(&mut self, state: &OutletState) -> Result<u64, RunError> {
        for (name, prepared) in &state.prepared {
            let Some(index) = self.sinks.iter().position(|(own, _)| own == name) else {
                return Err(self.sink_gone(name));
            };
            self.prepared.push((index, prepared.clone()));
        }
        self.show(|error| matches!(error, SinkError::Retry { .. })).await
    }

    /// Takes the rows up again that no finished file held.
    pub(crate) async fn restore(
        &mut self,
        state: &OutletState,
        mut rows: BTreeMap<u64, Arc<Block>>,
    ) -> Result<(), RunError> {
        self.next = state.next;
        for (name, held) in &state.held {
            let Some(index) = self.sinks.iter().position(|(own, _)| own == name) else {
                return Err(self.sink_gone(name));
            };
            let sink = &mut self.sinks[index].1;
            sink.resume(held).await.map_err(|error| broken(&self.pipeline, error))?;
            for (&number, block) in rows.range(held.first..) {
                let sink = &mut self.sinks[index].1;
                let batch = block.batch().map_err(|error| RunError::query(&self.pipeline, &error))?;
                sink.write(number, batch).await.map_err(|error| broken(&self.pipeline, error))?;
            }
        }
        for (&number, piece) in &state.rows {
            if rows.remove(&number).is_some() {
                self.rows.insert(number, Kept::Piece(piece.clone()));
            }
        }
        Ok(())
    }

    fn sink_gone(&self, name: &str) -> RunError {
        RunError::State(format!(
            "pipeline `{}`: the state holds rows for sink `{name}`, which the pipeline no longer has; give it back and \
             run with --drain first, or leave the rows behind with --reset-state",
            self.pipeline
        ))
    }

    /// Hands rows to every sink; gives their number.
    pub(crate) async fn write(&mut self, batch: RecordBatch) -> Result<u64, RunError> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(0);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let (_, columns, _) = batch.into_parts();
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error| RunError::query(&self.pipeline, &error.into()))?;
        for (_, sink) in &mut self.sinks {
            sink.write(self.next, batch.clone()).await.map_err(|error| broken(&self.pipeline, error))?;
        }
        if self.sinks.iter().any(|(_, sink)| sink.holds()) {
            self.rows.insert(self.next, Kept::Block(Block::new(batch, &self.budget)));
        }
        self.next += 1;
        Ok(rows as u64)
    }

    /// Ends an epoch: makes what is due durable, and says what else must be kept.
    pub(crate) async fn cut(&mut self, epoch: u64, flush: Flush) -> Result<OutletCut, RunError> {
        let mut cut = OutletCut { next: self.next, ..OutletCut::default() };
        let mut needed = self.next;
        for (index, (name, sink)) in self.sinks.iter_mut().enumerate() {
            let prepared = sink.prepare(epoch, flush).await.map_err(|error| broken(&self.pipeline, error))?;
            if let Some(held) = sink.held() {
                needed = needed.min(held.first);
                cut.held.insert(name.clone(), held);
            }
            if !prepared.is_nothing() {
                cut.prepared.insert(name.clone(), prepared.clone());
                self.prepared.push((index, prepared));
            }
        }
        self.rows = self.rows.split_off(&needed);
        for kept in self.rows.values_mut() {
            // What is stored needs no memory any more.
            if let Kept::Block(block) = kept
                && let Some(piece) = block.stored()
            {
                *kept = Kept::Piece(piece.clone());
            }
        }
        cut.rows = self.rows.clone();
        Ok(cut)
    }

    /// Shows what the epoch prepared, now that it is durable. Gives the number of files shown.
    ///
    /// What only the user can mend ends a start at once. Later the same place has worked, and somebody may be about to mend it:
    /// a permission that was taken by mistake, credentials that have run out.
    pub(crate) async fn publish(&mut self) -> Result<u64, RunError> {
        self.show(|error| matches!(error, SinkError::Retry { .. } | SinkError::Config { .. })).await
    }

    async fn show(&mut self, may_pass: fn(&SinkError) -> bool) -> Result<u64, RunError> {
        let mut files = 0;
        for (index, prepared) in std::mem::take(&mut self.prepared) {
            let sink = &mut self.sinks[index].1;
            let mut pause = FIRST_PAUSE;
            let mut waited = Duration::ZERO;
            let committed: Committed = loop {
                match sink.commit(&prepared).await {
                    Ok(committed) => break committed,
                    Err(error) if may_pass(&error) && waited < GIVE_UP_AFTER => {
                        if waited.is_zero() {
                            tracing::warn!(pipeline = %self.pipeline, %error, "files not visible yet, trying again");
                        }
                        self.world.environment.sleep(pause).await;
                        waited += pause;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                    Err(error) => return Err(broken(&self.pipeline, error)),
                }
            };
            files += committed.files;
        }
        Ok(files)
    }
}

/// Trouble after the sink was opened: whatever its kind, it came while running.
fn broken(pipeline: &Arc<str>, error: SinkError) -> RunError {
    RunError::Write { pipeline: pipeline.to_string(), error }
}
